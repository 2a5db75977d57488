"""`/config` over HTTP: who may change it, which answer each mistake gets."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest

from raftha.api.client import ApiClient, Refused
from raftha.api.server import ApiServer
from raftha.clock import SystemClock
from raftha.errors import OutcomeUnknown
from raftha.instants import Seconds
from raftha.model.settings import Address, BasicAuth, Secret
from tests.unit.api.fake_responder import FakeResponder, rest_config
from tests.unit.api.fake_settings import GIVEN

AUTH = BasicAuth(username="admin", password=Secret("geheim"))


@pytest.fixture
def responder() -> FakeResponder:
    return FakeResponder()


@pytest.fixture
def address(responder: FakeResponder) -> Iterator[Address]:
    server = ApiServer(rest_config(authentication=AUTH), responder, SystemClock())
    yield server.start()
    server.stop()


def client(address: Address, auth: BasicAuth | None = AUTH) -> ApiClient:
    return ApiClient(url=f"http://{address}", timeout=Seconds(5.0), auth=auth)


def ask(address: Address, method: str, body: bytes | None, **headers: str) -> tuple[int, str]:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
    known = {"Authorization": "Basic YWRtaW46Z2VoZWlt"}
    connection.request(method, "/config", body=body, headers={**known, **headers})
    response = connection.getresponse()
    told = json.loads(response.read()).get("reason", "")
    connection.close()
    return response.status, told


def test_everybody_may_read_and_only_operators_change(
    responder: FakeResponder, address: Address
) -> None:
    assert client(address, None).config() == (GIVEN, '"11"')
    with pytest.raises(Refused, match="name and password"):
        client(address, None).change_config("PATCH", {"ttl": 8})
    assert responder.settings.writes == 0

    assert client(address).change_config("PATCH", {"ttl": 8})["ttl"] == 8
    assert client(address).change_config("PUT", {"ttl": 7}) == {"ttl": 7}


def test_a_change_is_made_to_what_was_seen_or_not_at_all(
    responder: FakeResponder, address: Address
) -> None:
    _, etag = client(address).config()
    assert etag is not None
    client(address).change_config("PUT", {"ttl": 7}, etag)

    with pytest.raises(Refused) as refused:
        client(address).change_config("PUT", {"ttl": 6}, etag)
    assert refused.value.status == 409
    assert responder.settings.document == {"ttl": 7}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "JSON object"),
        (b"[1]", 400, "JSON object"),
        (b"\xff{}", 400, "JSON object"),
        (b'{"tll": 5}', 400, "did you mean ttl?"),
        (b'{"ttl": 1}', 400, "ttl"),
        (b"", 400, "JSON object"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_bad_bodies_are_refused(
    responder: FakeResponder, address: Address, method: str, body: bytes, status: int, words: str
) -> None:
    told = ask(address, method, body)

    assert told[0] == status
    assert words in told[1]
    assert responder.settings.writes == 0


def test_other_refusals_have_their_codes(responder: FakeResponder, address: Address) -> None:
    assert ask(address, "PATCH", None, Transfer_Encoding="chunked")[0] in (400, 411)
    strange = (400, "If-Match is no ETag of /config, such as \"7\", but 'x'")
    assert ask(address, "PATCH", b'{"ttl": 8}', If_Match="x") == strange
    assert ask(address, "PATCH", b'{"ttl": 8}', If_Match='"9"')[0] == 409
    lines = json.dumps({"postgresql": {"pg_hba": ["local all all trust"] * 1500}}).encode()
    assert ask(address, "PUT", lines)[0] == 413
    assert ask(address, "POST", b"{}")[0] == 405
    responder.settings.error = OutcomeUnknown("x")
    status, why = ask(address, "PATCH", b'{"ttl": 8}')
    assert (status, "outcome unknown" in why) == (503, True)
    responder.settings.value = None
    assert ask(address, "GET", None)[0] == 502
    assert ask(address, "PUT", b"{}")[0] == 503
    assert responder.settings.writes == 0
