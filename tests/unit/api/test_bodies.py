"""What a request may bring along, what each answer carries, and what is kept of who asked."""

from __future__ import annotations

import http.client
import platform
import socket

import pytest

from raftha import __version__
from raftha.api.server import ApiServer
from raftha.clock import SystemClock
from raftha.errors import ConfigError, Problem, RafthaError
from raftha.model.operation import OperationState
from raftha.model.report import Reloaded
from raftha.model.settings import Address, ServerTokens
from tests.unit.api.fake_responder import FakeResponder, finished, rest_config
from tests.unit.api.test_api_server import client, post, serving

HIDDEN = b"POST /reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


def told(address: Address, words: bytes) -> bytes:
    """All that a server says to these bytes, until it hangs up or has said all."""
    with socket.create_connection((address.host, address.port), 5) as raw:
        raw.sendall(words)
        raw.settimeout(0.5)
        answer = b""
        try:
            while piece := raw.recv(65536):
                answer += piece
        except TimeoutError:
            answer += b"<still open>"
        return answer


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def test_a_change_that_needs_no_body_needs_no_length() -> None:
    responder = FakeResponder()
    with serving(responder) as address:
        assert told(address, head("POST /reload")).startswith(b"HTTP/1.1 202")
        assert told(address, head("POST /restart")).startswith(b"HTTP/1.1 200")
        assert told(address, head("POST /switchover")).startswith(b"HTTP/1.1 400")
        assert told(address, head("PATCH /config")).startswith(b"HTTP/1.1 400")
    assert (responder.reloads, responder.requests) == (1, [])


@pytest.mark.parametrize("method", ["POST /reload", "GET /health"])
@pytest.mark.parametrize(
    "headers",
    [
        ("Transfer-Encoding: chunked",),
        ("Transfer-Encoding: chunked", "Content-Length: 4"),
        ("Content-Length: +0",),
    ],
)
def test_nothing_behind_a_body_of_unknown_length_is_taken_for_a_request(
    method: str, headers: tuple[str, ...]
) -> None:
    responder = FakeResponder()
    with serving(responder) as address:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
        answer = told(address, head(method, *headers) + body)
    assert answer.startswith(b"HTTP/1.1 411" if "POST" in method else b"HTTP/1.1 200")
    assert (answer.count(b"HTTP/1.1 "), b"<still open>" in answer) == (1, False)
    assert responder.reloads == 0


def test_an_encoding_that_is_unknown_is_refused() -> None:
    with serving(FakeResponder()) as address:
        answer = told(address, head("POST /reload", "Transfer-Encoding: gzip") + HIDDEN)
    assert answer.startswith(b"HTTP/1.1 501")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_failsafe_is_off_as_patroni_says_it() -> None:
    with serving(FakeResponder()) as address:
        assert client(address).get("/failsafe").status == 502
        status, body = post(address, "/failsafe", '{"name": "n1"}')
        assert (status, "failsafe_mode is off" in body["reason"]) == (502, True)


def test_a_dry_run_and_a_refusal_are_kept_as_such() -> None:
    responder = FakeResponder()
    responder.accepted = finished(OperationState.REFUSED, "n2 is behind")
    with serving(responder) as address:
        post(address, "/switchover", '{"leader": "n1", "dry_run": true}')
        post(address, "/switchover", '{"leader": "n1"}')
        post(address, "/switchover", "[]")
        responder.accepted = finished(OperationState.DONE)
        post(address, "/switchover", '{"leader": "n1", "dry_run": false}')
    assert [line.words.partition(": the body")[0] for line in responder.happened] == [
        "dry run of POST /switchover from 127.0.0.1",
        "412: dry run of POST /switchover from 127.0.0.1: n2 is behind",
        "POST /switchover from 127.0.0.1",
        "412: POST /switchover from 127.0.0.1: n2 is behind",
        "POST /switchover from 127.0.0.1",
        "400: POST /switchover from 127.0.0.1",
        "POST /switchover from 127.0.0.1",
    ]


def test_what_fails_inside_is_kept_too() -> None:
    responder = FakeResponder()
    responder.file = RafthaError("no majority")
    with serving(responder) as address:
        assert post(address, "/reload", "")[0] == 503
    assert responder.happened[-1].words.startswith("503: POST /reload")


def test_a_reload_tells_what_changed_and_what_waits() -> None:
    responder = FakeResponder()
    changed = ("log.level", "restapi.listen")
    responder.file = Reloaded(changed=changed, waiting=("restapi.listen",), log="no such folder")
    with serving(responder) as address:
        status, body = post(address, "/reload", "")
        assert (status, body["changed"], body["waiting"]) == (202, [*changed], ["restapi.listen"])
        assert body["reason"] == (
            "the file was read again; changed: log.level, restapi.listen; waiting for a restart of "
            "the agent: restapi.listen; the log goes on as before: no such folder"
        )
        assert client(address).reload() == body["reason"]
        responder.file = Reloaded()
        assert client(address).reload() == "the file was read again; nothing changed"


def test_a_file_that_cannot_be_used_is_refused_with_its_mistakes() -> None:
    responder = FakeResponder()
    responder.file = ConfigError([Problem("n1.yml:3: raft.self_addr", "has no port")])
    with serving(responder) as address:
        status, body = post(address, "/reload", "")
    assert status == 412
    assert "the old settings stay" in body["reason"]
    assert "n1.yml:3: raft.self_addr" in body["reason"]


def headers_of(address: Address, path: str = "/health") -> http.client.HTTPMessage:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.headers


def test_each_answer_has_the_headers_that_were_asked_for_and_they_change_while_it_serves() -> None:
    first = rest_config(
        http_extra_headers={"X-Frame-Options": "DENY"}, https_extra_headers={"X-S": "1"}
    )
    server = ApiServer(first, FakeResponder(), SystemClock())
    address = server.start()
    try:
        for path in ("/health", "/nonsense", "/metrics"):
            found = headers_of(address, path)
            assert (found["X-Frame-Options"], found["X-S"]) == ("DENY", None)
            assert found["Server"] == f"raftha/{__version__}"
        server.take(rest_config(http_extra_headers={}, server_tokens=ServerTokens.PRODUCT_ONLY))
        found = headers_of(address)
        assert (found["X-Frame-Options"], found["Server"]) == (None, "raftha")
        server.take(rest_config(server_tokens=ServerTokens.ORIGINAL))
        assert headers_of(address)["Server"] == (
            f"raftha/{__version__} Python/{platform.python_version()}"
        )
    finally:
        server.stop()
