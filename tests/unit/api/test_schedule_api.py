"""`scheduled_at`, `schedule` and `DELETE`: which answer each gets, and what it leaves behind."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from raftha.api.listing import cluster_document
from raftha.api.schedules import BadTime, parse_time
from raftha.model.settings import Address, BasicAuth, Secret
from tests.unit.api.fake_cluster import WALL
from tests.unit.api.fake_responder import FakeResponder, rest_config
from tests.unit.api.test_api_server import post, serving

AT = "2999-05-17T03:00:00+02:00"
DUE = 32483898000.0
AUTH = BasicAuth(username="admin", password=Secret("geheim"))


@pytest.fixture
def responder() -> FakeResponder:
    return FakeResponder()


@pytest.fixture
def address(responder: FakeResponder) -> Iterator[Address]:
    with serving(responder) as address:
        yield address


def delete(address: Address, path: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
    connection.request("DELETE", path)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def scheduled(**more: Any) -> str:
    return json.dumps({"leader": "n1", "candidate": "n2", "scheduled_at": AT, **more})


def test_a_switchover_is_scheduled_shown_and_taken_back(
    responder: FakeResponder, address: Address
) -> None:
    status, told = post(address, "/switchover", scheduled())
    assert status == 202
    assert "switchover from n1 to n2 at 2999-05-17T01:00:00+00:00" in told["message"]
    plan = responder.schedule_store.cluster.scheduled_switchover
    assert plan is not None
    assert plan.due == DUE
    assert responder.requests == []
    assert post(address, "/switchover", scheduled())[0] == 409

    shown = cluster_document(responder.cluster())
    assert shown["scheduled_switchover"] == {
        "at": "2999-05-17T01:00:00+00:00",
        "from": "n1",
        "to": "n2",
    }
    assert delete(address, "/switchover")[0] == 200
    assert delete(address, "/switchover")[0] == 404
    assert "scheduled_switchover" not in cluster_document(responder.cluster())


def test_a_restart_is_scheduled_shown_and_taken_back(
    responder: FakeResponder, address: Address
) -> None:
    body = json.dumps({"role": "primary", "schedule": AT, "restart_pending": True})
    assert post(address, "/restart", body)[0] == 202
    assert post(address, "/restart", body)[0] == 409
    assert responder.wishes.asked == []
    members = {m["name"]: m for m in cluster_document(responder.cluster())["members"]}
    assert members["n1"]["scheduled_restart"] == {
        "schedule": "2999-05-17T01:00:00+00:00",
        "role": "primary",
        "restart_pending": True,
    }
    assert "scheduled_restart" not in members["n2"]
    assert delete(address, "/restart?name=n2")[0] == 404
    assert delete(address, "/restart?name=n1")[0] == 200
    assert delete(address, "/restart")[0] == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/switchover", scheduled(scheduled_at="2999-05-17T03:00"), 400, "no time zone"),
        ("/switchover", scheduled(scheduled_at="2001-05-17T03:00Z"), 422, "has passed"),
        ("/switchover", scheduled(scheduled_at="at three"), 422, "no time as ISO 8601"),
        ("/switchover", scheduled(scheduled_at=3), 400, "not a request"),
        ("/switchover", scheduled(leader="n2", candidate="n1"), 412, "n2 is not the leader"),
        ("/switchover", scheduled(candidate="n9"), 412, "n9 is not a member"),
        ("/switchover", scheduled(candidate="n3"), 412, "n3 may not lead"),
        ("/switchover", scheduled(leader=None), 400, "needs the leader's name"),
        ("/switchover", scheduled(dry_run=True), 400, "dry_run"),
        ("/failover", scheduled(), 400, "cannot be scheduled"),
        ("/restart", f'{{"schedule": "{AT}", "timeout": 9}}', 400, "timeout"),
        ("/restart", f'{{"schedule": "{AT}", "dry_run": true}}', 400, "dry_run"),
        ("/restart", f'{{"schedule": "{AT}", "name": "n2"}}', 412, "this is n1, not n2"),
        ("/restart", f'{{"schedule": "{AT}", "role": "boss"}}', 400, "role must be"),
        ("/restart", '{"schedule": "2030-01-01 00:00"}', 400, "no time zone"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    responder: FakeResponder, address: Address, path: str, body: str, status: int, words: str
) -> None:
    before = responder.schedule_store.peek().revision
    answered, told = post(address, path, body)
    assert answered == status, told
    assert words in told["reason"]
    assert responder.schedule_store.peek().revision == before
    assert (responder.requests, responder.wishes.asked) == ([], [])


def test_a_dry_run_is_judged_and_not_done(responder: FakeResponder, address: Address) -> None:
    post(address, "/switchover", '{"leader": "n1", "dry_run": true, "wait": false}')
    post(address, "/restart", '{"dry_run": true, "wait": false}')
    assert responder.requests[0].dry_run
    assert responder.wishes.asked[0].dry_run


def test_taking_back_needs_the_password(responder: FakeResponder) -> None:
    with serving(responder, rest_config(authentication=AUTH)) as address:
        assert post(address, "/switchover", scheduled())[0] == 401
        assert delete(address, "/switchover")[0] == 401
        assert delete(address, "/restart")[0] == 401
    assert responder.schedule_store.cluster.scheduled_switchover is None


def test_other_paths_take_no_delete(address: Address) -> None:
    assert delete(address, "/failover")[0] == 405
    assert delete(address, "/config")[0] == 405


@pytest.mark.parametrize("zone", ["Z", "+00:00", "-11:00", "+0530"])
def test_a_time_counts_in_its_own_zone(zone: str) -> None:
    hours = {"Z": 0.0, "+00:00": 0.0, "-11:00": -11.0, "+0530": 5.5}[zone]
    due = parse_time(f"2999-05-17T03:00:00{zone}", WALL)
    assert due == DUE + 2 * 3600 - hours * 3600


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_the_ends_of_time_are_no_crash(text: str) -> None:
    with pytest.raises(BadTime, match=r"passed|too far") as raised:
        parse_time(text, WALL)
    assert raised.value.status == 422
