"""`/pause` and `/resume`, and what `/patroni`, `/cluster` and `/liveness` say in a pause."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from raftha.api.client import ApiClient, Refused
from raftha.api.server import ApiServer
from raftha.clock import SystemClock
from raftha.instants import Seconds
from raftha.model.operation import OperationState
from raftha.model.report import OperationRequest, RequestKind
from raftha.model.settings import BasicAuth, Secret
from tests.unit.api.fake_responder import FakeResponder, primary_node, rest_config
from tests.unit.api.test_api_server import post, serving
from tests.unit.ha.servers import N1, N2

AUTH = BasicAuth(username="admin", password=Secret("geheim"))


@pytest.fixture
def responder() -> FakeResponder:
    return FakeResponder()


@pytest.fixture
def url(responder: FakeResponder) -> Iterator[str]:
    server = ApiServer(rest_config(authentication=AUTH), responder, SystemClock())
    yield f"http://{server.start()}"
    server.stop()


def client(url: str, auth: BasicAuth | None = AUTH) -> ApiClient:
    return ApiClient(url=url, timeout=Seconds(5.0), auth=auth)


def test_a_pause_needs_the_password(responder: FakeResponder, url: str) -> None:
    with pytest.raises(Refused, match="name and password"):
        client(url, None).change_pause(paused=True)
    assert responder.pauses.asked == []

    assert client(url).change_pause(paused=True) == responder.pauses.answer
    client(url).change_pause(paused=False)
    assert responder.pauses.asked == [True, False]


@pytest.mark.parametrize(
    ("state", "status"),
    [(OperationState.DONE, 200), (OperationState.REFUSED, 412), (OperationState.UNKNOWN, 503)],
)
def test_each_outcome_has_its_status(
    responder: FakeResponder, state: OperationState, status: int
) -> None:
    responder.pauses.answer = replace(responder.pauses.answer, state=state)
    with serving(responder, rest_config()) as address:
        assert post(address, "/pause", "")[0] == status
        code, answer = post(address, "/resume", '{"wait": true}')
    assert (code, "unknown field" in answer["reason"]) == (400, True)


def test_the_pages_tell_of_the_pause(responder: FakeResponder, url: str) -> None:
    for path in ("/patroni", "/cluster"):
        assert "pause" not in json.loads(client(url).get(path).body)
    responder.report = replace(primary_node(SystemClock().now()), paused=True)
    responder.cluster_report = replace(responder.cluster_report, paused=True)

    for path in ("/patroni", "/cluster"):
        assert json.loads(client(url).get(path).body)["pause"] is True


def test_a_standing_loop_is_no_reason_to_restart_the_agent_in_a_pause(
    responder: FakeResponder, url: str
) -> None:
    old = primary_node(SystemClock().now().plus(-60))
    responder.report = old
    assert client(url).get("/liveness").status == 503
    responder.report = replace(old, paused=True)
    assert client(url).get("/liveness").status == 200


def test_the_word_that_a_member_is_off_goes_with_a_failover_only(
    responder: FakeResponder, url: str
) -> None:
    asked = OperationRequest(kind=RequestKind.FAILOVER, candidate=N2, fenced=N1)
    client(url).operate(asked)
    assert responder.requests == [asked]

    wrong = replace(asked, kind=RequestKind.SWITCHOVER, leader=N1)
    with pytest.raises(Refused, match="failover without a leader"):
        client(url).operate(wrong)
