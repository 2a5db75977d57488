"""`/store`: what is told of the key store, to whom, and in which words it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from raftha.api.application import Application, Request
from raftha.api.auth import Caller
from raftha.api.reply import Reply
from raftha.clock import SystemClock
from raftha.errors import OutcomeUnknown, StoreUnavailable
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.settings import BasicAuth, RestConfig, Secret
from raftha.model.store import Cause, Lease, LeaseId
from tests.unit.api.fake_responder import FakeResponder, rest_config

HERE = Caller(address="127.0.0.1", authorization=None, verified=False)
STRANGER = Caller(address="10.1.2.3", authorization=None, verified=False)


@pytest.fixture
def responder() -> FakeResponder:
    responder = FakeResponder()
    store = responder.key_store
    store.put("/raftha/main/leader", b'{"name":"n1"}', lease="leader")
    store.put("/raftha/main/members/n1", b"\xff\x00")
    store.put("/raftha/main/leader", b'{"name":"n2"}', lease="leader")
    store.lend(
        Lease(id=LeaseId("leader"), holder="n2", ttl=Seconds(5.0), revision=Revision(3), note=b"x")
    )
    return responder


def ask(
    responder: FakeResponder,
    query: Mapping[str, str],
    *,
    caller: Caller = HERE,
    config: RestConfig | None = None,
) -> Reply:
    application = Application(
        config=config or rest_config(), responder=responder, clock=SystemClock()
    )
    return application.reply(
        Request(method="GET", path="/store", query=query, body=None, caller=caller)
    )


def body(reply: Reply) -> Mapping[str, Any]:
    assert isinstance(reply.body, Mapping)
    return reply.body


def test_a_linearizable_answer_has_keys_leases_and_no_age(responder: FakeResponder) -> None:
    reply = ask(responder, {"prefix": "leader"})
    assert reply.status == 200
    told = body(reply)
    assert (told["linearizable"], told["age_seconds"], told["revision"]) == (True, 0.0, 3)
    assert told["entries"] == [
        {
            "key": "/raftha/main/leader",
            "value": '{"name":"n2"}',
            "encoding": "utf-8",
            "create_revision": 1,
            "mod_revision": 3,
            "lease": "leader",
        }
    ]
    assert [(x["id"], x["holder"], x["ttl"]) for x in told["leases"]] == [("leader", "n2", 5.0)]


def test_what_is_no_text_comes_as_base64(responder: FakeResponder) -> None:
    (entry,) = body(ask(responder, {"prefix": "/raftha/main/members"}))["entries"]
    assert (entry["encoding"], entry["value"]) == ("base64", "/wA=")


@pytest.mark.parametrize("failure", [StoreUnavailable("no raft leader"), OutcomeUnknown("lost")])
def test_without_a_majority_only_the_local_replica_is_told(
    responder: FakeResponder, failure: StoreUnavailable | OutcomeUnknown
) -> None:
    responder.key_store.failure = failure
    responder.key_store.majority = False

    refused = ask(responder, {})
    local = body(ask(responder, {"local": "1"}))

    assert (refused.status, body(refused)["reason"]) == (503, str(failure))
    assert (local["linearizable"], local["majority"], len(local["entries"])) == (False, False, 2)
    assert 0.0 < local["age_seconds"] < 60.0


def test_events_come_in_order_with_what_became_of_each_key(responder: FakeResponder) -> None:
    responder.key_store.drop("/raftha/main/leader", Cause.EXPIRED)
    told = body(ask(responder, {"after": "0"}))
    assert [(e["revision"], e["kind"], e["entry"]["key"][13:]) for e in told["events"]] == [
        (1, "created", "leader"),
        (2, "created", "members/n1"),
        (3, "written", "leader"),
        (4, "expired", "leader"),
    ]
    assert told["events"][3]["entry"]["value"] == '{"name":"n2"}'
    assert told["revision"] == 4
    assert body(ask(responder, {"after": "4"}))["events"] == []
    assert len(body(ask(responder, {"after": "0", "prefix": "members/"}))["events"]) == 1


def test_events_that_are_not_kept_any_more_are_gone(responder: FakeResponder) -> None:
    for number in range(3):
        responder.key_store.put("/raftha/main/x", b"%d" % number)
    reply = ask(responder, {"after": "1"})
    assert reply.status == 410
    assert "changes after revision 1 are kept only from 2 on" in body(reply)["reason"]
    assert ask(responder, {"after": "2"}).status == 200


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"after": "x"}, "use the number of a revision"),
        ({"after": "-1"}, "use the number of a revision"),
        ({"after": "9" * 19}, "use the number of a revision"),
        ({"prefx": "a"}, "prefx is not known here; there are: prefix, local, after"),
    ],
)
def test_a_question_that_cannot_be_read_is_refused(
    responder: FakeResponder, query: Mapping[str, str], said: str
) -> None:
    reply = ask(responder, query)
    assert reply.status == 400
    assert said in body(reply)["reason"]


def test_a_stranger_is_refused_as_for_a_change(responder: FakeResponder) -> None:
    guarded = rest_config(authentication=BasicAuth(username="a", password=Secret("b")))
    for config, status in ((rest_config(), 403), (guarded, 401)):
        for query in ({}, {"local": "1"}, {"after": "0"}):
            reply = ask(responder, query, caller=STRANGER, config=config)
            assert reply.status == status
            assert body(reply)["reason"].startswith("a look into the store ")
    known = Caller(address="10.1.2.3", authorization="Basic YTpi", verified=False)
    assert ask(responder, {}, caller=known, config=guarded).status == 200
