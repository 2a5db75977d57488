"""The real server and client on a loopback port, around a fake agent."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from raftha.api.client import ApiClient, Refused, Unreachable
from raftha.api.server import ApiServer, ListenError
from raftha.clock import SystemClock
from raftha.errors import StoreUnavailable
from raftha.instants import Seconds
from raftha.model.ids import MemberName
from raftha.model.operation import OperationState, RequestKind
from raftha.model.report import OperationRequest
from raftha.model.settings import Address, BasicAuth, RestConfig, Secret, TlsFiles, VerifyClient
from tests.certificates import make_certificates
from tests.unit.api.fake_cluster import cluster_report
from tests.unit.api.fake_responder import (
    FakeResponder,
    finished,
    peer_report,
    rest_config,
    running,
    tls_files,
)

AUTH = BasicAuth(username="admin", password=Secret("geheim"))
WISH = OperationRequest(
    kind=RequestKind.SWITCHOVER, leader=MemberName("n1"), candidate=MemberName("n2")
)


@contextmanager
def serving(responder: FakeResponder, config: RestConfig | None = None) -> Iterator[Address]:
    server = ApiServer(config or rest_config(), responder, SystemClock())
    address = server.start()
    try:
        yield address
    finally:
        server.stop()


@pytest.fixture
def responder() -> FakeResponder:
    return FakeResponder()


@pytest.fixture
def address(responder: FakeResponder) -> Iterator[Address]:
    with serving(responder) as address:
        yield address


def client(address: Address, scheme: str = "http", **more: Any) -> ApiClient:
    return ApiClient(url=f"{scheme}://{address}", timeout=Seconds(5.0), **more)


def post(address: Address, path: str, body: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
    connection.request("POST", path, body=body)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def test_metrics_are_text_and_need_no_password(responder: FakeResponder) -> None:
    with serving(responder, rest_config(authentication=AUTH)) as address:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
        for method in ("GET", "HEAD", "OPTIONS"):
            connection.request(method, "/metrics")
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200
            assert response.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
            assert (b'\nraftha_routed{name="n1",scope="main"} 1.0\n' in body) is (method == "GET")
        connection.close()


def test_one_connection_carries_get_head_and_options(address: Address) -> None:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
    ports, lengths = set(), []
    for method in ("GET", "HEAD", "OPTIONS", "GET"):
        connection.request(method, "/primary")
        assert isinstance(connection.sock, socket.socket)
        ports.add(connection.sock.getsockname()[1])
        response = connection.getresponse()
        assert response.status == 200
        lengths.append(len(response.read()))
    connection.close()

    assert len(ports) == 1
    assert lengths[1:3] == [0, 0]
    assert lengths[0] > 0 < lengths[3]


def test_the_client_gets_every_report(responder: FakeResponder, address: Address) -> None:
    responder.progress = [finished(OperationState.DONE)]

    assert client(address).peer() == peer_report()
    assert client(address).cluster() == cluster_report()
    assert client(address).operation() == finished(OperationState.DONE)


def test_where_nothing_was_requested_there_is_no_operation(address: Address) -> None:
    assert client(address).operation() is None


def test_a_switchover_is_waited_for(responder: FakeResponder, address: Address) -> None:
    responder.progress = [running(2), finished(OperationState.DONE)]

    status, answer = post(address, "/switchover", '{"leader": "n1", "candidate": "n2"}')

    assert (status, answer["state"], answer["write_gap_seconds"]) == (200, "done", 0.8)
    assert responder.requests == [WISH]


@pytest.mark.parametrize(
    ("state", "status"), [(OperationState.REFUSED, 412), (OperationState.UNKNOWN, 503)]
)
def test_another_outcome_has_its_status(
    responder: FakeResponder, address: Address, state: OperationState, status: int
) -> None:
    responder.accepted = finished(state, "n2 is behind")

    assert post(address, "/switchover", '{"leader": "n1"}')[0] == status
    assert client(address).operate(WISH).state is state


def test_who_does_not_wait_is_told_that_it_was_accepted(address: Address) -> None:
    assert post(address, "/failover", '{"candidate": "n2", "wait": false}')[0] == 202
    assert client(address).operate(WISH) == running()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/switchover", "{", 400),
        ("/switchover", '{"leader": 1}', 400),
        ("/switchover", '{"leader": "n1", "force": true}', 400),
        ("/switchover", "{}", 400),
        ("/switchover", '{"leader": "n1", "candidate": "n1"}', 400),
        ("/failover", "", 400),
        ("/failover", '{"candidate": "n2", "scheduled_at": "2030-01-01T00:00+00"}', 400),
        ("/primary", "{}", 405),
        ("/nothing", "{}", 404),
    ],
)
def test_a_bad_request_changes_nothing(
    responder: FakeResponder, address: Address, path: str, body: str, status: int
) -> None:
    answered, answer = post(address, path, body)

    assert answered == status
    assert answer["reason"]
    assert responder.requests == []


def test_a_body_that_is_too_long_is_refused(address: Address) -> None:
    with socket.create_connection((address.host, address.port), 5) as raw:
        raw.sendall(b"POST /switchover HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


def test_an_agent_that_cannot_answer_is_503_with_its_reason(
    responder: FakeResponder, address: Address
) -> None:
    responder.failure = StoreUnavailable("no majority")

    with pytest.raises(Refused, match="no majority") as caught:
        client(address).cluster()
    assert caught.value.status == 503


def test_a_change_needs_the_password(responder: FakeResponder) -> None:
    with serving(responder, rest_config(authentication=AUTH)) as address:
        with pytest.raises(Refused) as caught:
            client(address).operate(WISH)
        assert caught.value.status == 401
        assert client(address, auth=AUTH).operate(WISH) == running()
        assert client(address).cluster() == cluster_report()


def test_who_asked_for_a_change_is_kept(address: Address) -> None:
    assert client(address).operate(WISH) == running()
    assert client(address).operate(WISH) == running()

    kept = client(address).events(1).events
    assert [event.words for event in kept] == ["POST /switchover from 127.0.0.1"]
    assert client(address).get("/events?last=0").status == 400
    assert client(address).get(f"/events?last={'9' * 5000}").status == 400


def test_a_port_in_use_is_named(responder: FakeResponder, address: Address) -> None:
    second = ApiServer(rest_config(port=address.port), responder, SystemClock())

    with pytest.raises(ListenError, match=f"{address.port}: another process listens"):
        second.start()


def test_ipv6_is_served(responder: FakeResponder) -> None:
    with serving(responder, rest_config(host="::1")) as address:
        assert client(address).peer() == peer_report()


def test_nobody_there_and_somebody_silent_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_at = Address("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(Unreachable) as caught:
            ApiClient(url=f"http://{silent_at}", timeout=Seconds(0.2)).peer()
        assert caught.value.sent
    with pytest.raises(Unreachable) as caught:
        ApiClient(url=f"http://{silent_at}", timeout=Seconds(0.2)).peer()
    assert not caught.value.sent


def test_tls_checks_both_ends_and_a_silent_client_holds_up_nobody(
    responder: FakeResponder, tmp_path: Path
) -> None:
    make_certificates(tmp_path, "node")
    files: TlsFiles = tls_files(tmp_path, "node")
    config = rest_config(authentication=AUTH, tls=files, verify_client=VerifyClient.OPTIONAL)
    with (
        serving(responder, config) as address,
        socket.create_connection((address.host, address.port), 5),
    ):
        assert client(address, "https", tls=files, auth=AUTH).operate(WISH) == running()
        for shown, code in (({"tls": files}, 401), ({"auth": AUTH, "verify": False}, 403)):
            with pytest.raises(Refused) as caught:
                client(address, "https", **shown).operate(WISH)
            assert caught.value.status == code
        with pytest.raises(Unreachable):
            client(address, "https").peer()
        with pytest.raises(Unreachable):
            client(address, "http").peer()
