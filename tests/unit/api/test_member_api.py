"""`/members`: what it answers, what it takes, and from whom."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from raftha.api.client import ApiClient, Refused
from raftha.api.server import ApiServer
from raftha.clock import SystemClock
from raftha.instants import Seconds
from raftha.model.membership import MemberVerb
from raftha.model.operation import OperationState
from raftha.model.report import MemberChangeRequest
from raftha.model.settings import BasicAuth, Secret
from tests.unit.api.fake_changes import change
from tests.unit.api.fake_responder import FakeResponder, rest_config
from tests.unit.api.test_api_server import post, serving

AUTH = BasicAuth(username="admin", password=Secret("geheim"))
WISH = MemberChangeRequest(verb=MemberVerb.ADD, name="n4", address="10.0.0.4:2380")


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


def test_the_list_is_open_to_all_and_names_everybody(url: str) -> None:
    answer = client(url, None).get("/members")

    assert answer.status == 200
    assert b'"n3"' in answer.body
    assert b'"changes"' in answer.body


def test_a_wish_needs_the_password(responder: FakeResponder, url: str) -> None:
    with pytest.raises(Refused, match="name and password"):
        client(url, None).change_member(WISH)
    assert responder.changes.asked == []

    assert client(url).change_member(WISH) == change()
    assert responder.changes.asked == [WISH]


def test_the_latest_change_of_a_name_is_told(responder: FakeResponder, url: str) -> None:
    assert client(url).member_change("n4") is None

    responder.changes.progress = [change(OperationState.DONE, "n4 votes")]
    assert client(url).member_change("n4") == change(OperationState.DONE, "n4 votes")


def test_whoever_waits_hears_the_end(responder: FakeResponder) -> None:
    responder.changes.progress = [None, change(), change(OperationState.REFUSED, "no n4")]
    with serving(responder) as address:
        body = '{"verb": "add", "name": " n4 ", "address": "10.0.0.4:2380"}'
        status, answer = post(address, "/members", body)

    assert (status, answer["state"], answer["message"]) == (412, "refused", "no n4")
    assert responder.changes.asked == [WISH]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        '{"name": "n4"}',
        '{"verb": "befriend", "name": "n4"}',
        '{"verb": "remove", "name": " "}',
        '{"verb": "add", "name": "n 4", "address": "10.0.0.4:2380"}',
        '{"verb": "add", "name": "n4", "address": "10.0.0.4"}',
        '{"verb": "add", "name": "n4", "address": "10.0.0.4:99999"}',
        '{"verb": "add", "name": "n4", "adress": "10.0.0.4:2380"}',
    ],
)
def test_a_bad_wish_changes_nothing(responder: FakeResponder, body: str) -> None:
    with serving(responder) as address:
        status, answer = post(address, "/members", body)

    assert status == 400
    assert answer["reason"]
    assert ("one of add, remove, replace" in answer["reason"]) == ("befriend" in body)
    assert responder.changes.asked == []
