"""A planned stop of the agent."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import (
    AskPeers,
    CancelJob,
    EndAgent,
    ReleaseLeader,
    Stop,
    StopMode,
    Submit,
)
from raftha.ha.backoff import STOPPED
from raftha.ha.keys import encode_sync
from raftha.ha.memory import Memory, StopSent
from raftha.ha.table import Decision
from raftha.model.cluster import Initialize
from raftha.model.ids import MemberName, Revision, SystemId
from raftha.model.membership import MemberVerb, MemberWish, key_of
from raftha.model.postgres import ControlState
from raftha.model.settings import Tags
from raftha.model.store import KeyAbsent, KeyAt, KeyCreatedAt, Put, RaftStatus
from raftha.model.view import JobKind, JobView
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, N2, N3

DRAINED = Memory(drained="stop", drain_since=pg.at(-1))
DOWN = {"guardian": pg.IDLE_GUARDIAN, "server": None, "stopping": True}


def test_a_copy_is_given_up() -> None:
    job = JobView(kind=JobKind.CLONE, started=pg.at(-3))
    view = b.following(stopping=True, job=job, guardian=pg.IDLE_GUARDIAN, server=None)
    decision = b.decided(view)

    assert decision.rule == "stop-10"
    assert b.only(decision, CancelJob)


def test_a_checkpoint_is_not_given_up() -> None:
    job = JobView(kind=JobKind.CHECKPOINT, started=pg.at(-3))
    decision = b.decided(b.view(stopping=True, job=job), DRAINED)

    assert decision.rule == "stop-20"
    assert b.acts(decision) == []


def test_a_primary_writes_a_checkpoint_then_stops() -> None:
    first = b.decided(b.view(stopping=True))
    assert b.acts(first) == ["Checkpoint"]

    second = b.decided(b.view(stopping=True), first.memory)
    assert b.only(second, Stop).mode is StopMode.FAST


def test_a_synchronous_standby_waits_to_be_let_out_of_the_set() -> None:
    view = b.following(stopping=True)

    assert b.acts(b.decided(view)) == []
    late = b.decided(view, Memory(drain_since=pg.at(-2.0)))
    assert b.only(late, Stop).mode is StopMode.FAST


def test_another_standby_stops_at_once() -> None:
    view = b.following(stopping=True, cluster=b.followed(sync=b.sync(by=N2)))

    assert b.only(b.decided(view), Stop).mode is StopMode.FAST


def test_a_synchronous_standby_does_not_wait_for_a_store_without_majority() -> None:
    view = b.following(stopping=True, raft=b.raft(majority=False))

    assert b.only(b.decided(view), Stop).mode is StopMode.FAST


def test_what_outlives_the_shutdown_record_is_killed() -> None:
    written = pg.directory(control=pg.control(state=ControlState.SHUT_DOWN))
    sent = StopSent(process="77@1", mode=StopMode.FAST, at=pg.at(-1.5))
    view = b.view(stopping=True, directory=written)
    decision = b.decided(view, Memory(drained="stop", drain_since=pg.at(-3), stop=sent))

    assert b.only(decision, Stop).mode is StopMode.KILL


def test_a_fast_stop_without_end_becomes_an_immediate_one() -> None:
    sent = StopSent(process="77@1", mode=StopMode.FAST, at=pg.at(-61))
    decision = b.decided(
        b.view(stopping=True), Memory(drained="stop", drain_since=pg.at(-62), stop=sent)
    )

    assert b.only(decision, Stop).mode is StopMode.IMMEDIATE


def test_the_key_is_given_back_only_after_the_stop() -> None:
    """That it was wished is written down meanwhile, so that it counts as no failure."""
    stopping = b.decided(b.view(stopping=True), DRAINED)
    assert b.acts(stopping) == ["Stop", "history"]
    assert f'"ended":"{STOPPED}"'.encode() in b.only(stopping, Submit).command.writes[0].value
    noted = b.cluster(history=(b.record(ended=STOPPED),))
    decision = b.decided(b.view(**{**DOWN, "cluster": noted}), DRAINED)

    assert decision.rule == "stop-30"
    assert b.only(decision, ReleaseLeader).epoch == pg.EPOCH


WRITTEN = pg.directory(control=pg.control(state=ControlState.SHUT_DOWN))


def without_set(ago: float = 0.5, **more: Any) -> Decision:
    """n1 has stopped so long ago, and the synchronous set holds nobody yet."""
    sent = StopSent(process="77@1", mode=StopMode.FAST, at=pg.at(-ago))
    given = {**DOWN, "directory": WRITTEN, "cluster": b.cluster(sync=b.sync()), **more}
    return b.decided(b.view(**given), replace(DRAINED, stop=sent))


def test_without_a_synchronous_standby_an_heir_is_looked_for_first() -> None:
    """Nobody may take over but who is in the set: released with an empty one, the key would wait
    for this node to come back."""
    assert b.only(without_set(), AskPeers).names == (N2, N3)

    held = without_set(peers=pg.answers(pg.report(N2, 4000), pg.report(N3, 4001)))
    command = b.only(held, Submit).command
    assert command.writes == (Put(KEYS.sync, encode_sync(N1, (N3,), floor=pg.lsn(4000))),)
    assert command.guards == (
        KeyCreatedAt(KEYS.leader, Revision(pg.EPOCH.revision)),
        KeyAt(KEYS.sync, Revision(41)),
        KeyAbsent(key_of(KEYS.scope, N3)),
    )
    assert "ReleaseLeader" not in b.acts(held)


def test_of_a_quorum_each_that_holds_everything_is_an_heir() -> None:
    """None of them has to hear another one then."""
    quorum = b.cluster(sync=b.sync(N2, N3, quorum=1))
    both = pg.answers(pg.report(N2, 4001), pg.report(N3, 4001))

    command = b.only(without_set(cluster=quorum, peers=both), Submit).command
    assert command.writes == (Put(KEYS.sync, encode_sync(N1, (N2, N3), floor=pg.lsn(4000))),)
    known = b.cluster(sync=b.sync(N2, N3))
    assert "sync" not in b.acts(without_set(cluster=known, peers=both))


def voters_but(name: MemberName) -> RaftStatus:
    return replace(b.raft(), voters=tuple(v for v in b.raft().voters if v.name != name))


REMOVED = MemberWish(id="w", verb=MemberVerb.REMOVE, name=N2, address="", revision=Revision(58))


@pytest.mark.parametrize(
    "unfit",
    [
        {"raft": voters_but(N2)},
        {"cluster": b.cluster(sync=b.sync(), wishes={N2: REMOVED})},
        {
            "cluster": b.cluster(
                sync=b.sync(), members=b.members(b.member(N2, tags=Tags(nofailover=True)))
            )
        },
    ],
    ids=["without a vote", "to be removed", "unwilling"],
)
def test_nobody_is_made_the_heir_who_may_not_lead(unfit: dict[str, Any]) -> None:
    """The key would be released for it, and wait for this node to come back."""
    both = pg.answers(pg.report(N2, 4001), pg.report(N3, 4001))

    command = b.only(without_set(peers=both, **unfit), Submit).command
    assert command.writes == (Put(KEYS.sync, encode_sync(N1, (N3,), floor=pg.lsn(4000))),)


def test_an_heir_that_is_being_written_down_is_waited_for() -> None:
    answers = pg.answers(pg.report(N3, 4001))

    assert b.acts(without_set(peers=answers, pending=frozenset({"sync"}))) == []


def test_nobody_is_waited_for_longer_than_a_moment() -> None:
    assert b.acts(without_set(ago=60)) == ["ReleaseLeader"]
    assert b.acts(without_set(raft=b.raft(majority=False))) == ["ReleaseLeader"]


def test_the_agent_does_not_end_before_the_key_is_given_back() -> None:
    giving = b.decided(b.view(**DOWN, lease=None, pending=frozenset({"leader"})), DRAINED)
    assert b.acts(giving) == []

    given = b.decided(b.view(**DOWN, lease=None, cluster=b.vacant()), DRAINED)
    assert b.only(given, EndAgent)


def test_an_agent_with_a_foreign_directory_can_be_stopped() -> None:
    other = Initialize(by=N1, system_id=SystemId("8"), revision=Revision(9))
    view = b.following(**DOWN, cluster=b.followed(initialize=other))

    assert b.only(b.decided(view), EndAgent)


def test_an_agent_with_a_broken_directory_can_be_stopped() -> None:
    broken = pg.directory(control=None, problem="pg_control is not there")
    view = b.following(**DOWN, directory=broken)

    assert b.only(b.decided(view), EndAgent)
