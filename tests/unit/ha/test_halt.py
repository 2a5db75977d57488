"""An operator has stopped the whole cluster: who stops when, and what nobody does then."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import Checkpoint, Stop, StopMode
from raftha.ha.documents import read_cluster
from raftha.ha.explain import cluster_problems
from raftha.ha.halting import WORDS, halting, objection, starting
from raftha.ha.operations import open_request
from raftha.ha.refusals import refusal
from raftha.ha.restarting import hindrance
from raftha.ha.scheduling import general_objection
from raftha.model.cluster import Halt, Initialize, MemberRole, MemberState
from raftha.model.ids import MemberName, Revision
from raftha.model.store import Entry, KeyAbsent, KeyAt, Put, Snapshot
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, N2, N3

HALT = Halt(by=N3, revision=Revision(59))


def following(**more: Any) -> View:
    """n1 follows n2, in its synchronous set."""
    return b.following(cluster=b.followed(halt=HALT, **more))


def test_the_leader_writes_a_checkpoint_stops_and_keeps_the_key() -> None:
    view = b.view(cluster=b.cluster(halt=HALT))
    first = b.decided(view, b.leading_memory(view))
    assert first.rule == "halt-10"
    assert b.only(first, Checkpoint)
    second = b.decided(view, first.memory)
    assert b.only(second, Stop).mode is StopMode.FAST

    down = replace(view, guardian=pg.guardian(running=False, primary=False, process=""))
    down = replace(down, server=None, directory=pg.directory())
    third = b.decided(down, second.memory)
    assert (third.rule, third.reason, b.acts(third)) == ("halt-20", WORDS, [])
    started = b.decided(replace(down, cluster=b.cluster()), third.memory)
    assert (started.rule, b.acts(started)) == ("lead-10", ["Start"])
    assert started.reason == "restarting the primary in place", "it did not crash"


def test_a_standby_waits_for_the_leader_and_not_for_its_place_in_the_set() -> None:
    waits = b.decided(following())
    assert (waits.rule, b.acts(waits)) == ("halt-10", [])
    assert waits.reason.endswith("n2 goes first")
    n2 = b.member(N2, state=MemberState.STOPPED, role=MemberRole.NONE)
    assert b.only(b.decided(following(members=b.members(n2))), Stop).mode is StopMode.FAST


@pytest.mark.parametrize("case", ["nobody leads", "the leader is not in touch"])
def test_a_standby_waits_for_nobody_in_vain(case: str) -> None:
    view = following(**({"leader": None} if case == "nobody leads" else {}))
    if case != "nobody leads":
        voters = tuple(replace(v, connected=v.name != N2) for v in view.raft.voters)
        view = replace(view, raft=replace(view.raft, voters=voters))
    decision = b.decided(view, b.LOST if case == "nobody leads" else None)
    assert decision.rule == "halt-10"
    assert b.only(decision, Stop).mode is StopMode.FAST


def test_nobody_races_and_nobody_starts() -> None:
    vacant = b.followed(leader=None, halt=HALT)
    down = b.racing(cluster=vacant, guardian=pg.IDLE_GUARDIAN, server=None)
    assert b.decided(down, b.LOST).rule == "halt-20"
    assert b.acts(b.decided(down, b.LOST)) == []
    empty = b.following(
        cluster=b.followed(halt=HALT),
        guardian=pg.IDLE_GUARDIAN,
        server=None,
        directory=pg.EMPTY,
    )
    assert b.decided(empty).rule == "halt-20", "nor is anybody made anew"


def test_an_agent_that_is_stopped_meanwhile_gives_the_key_back() -> None:
    view = b.view(cluster=b.cluster(halt=HALT), stopping=True, server=None)
    view = replace(view, guardian=pg.guardian(running=False, primary=False, process=""))
    assert b.decided(view).rule == "stop-30"


def test_nothing_else_is_begun_meanwhile() -> None:
    stopped = b.cluster(halt=HALT)
    s = b.situation(b.view(cluster=stopped))
    assert refusal(s, b.request(to=N2)) == WORDS
    assert hindrance(s) == WORDS
    assert general_objection(stopped, majority=True) == WORDS
    guards = open_request(KEYS, stopped, b.request(), N1).guards
    assert KeyAbsent(KEYS.halt) in guards
    assert KeyAbsent(KEYS.failover) in halting(KEYS, N1).guards


def test_it_is_told_with_what_to_do() -> None:
    assert len(cluster_problems(b.vacant(halt=HALT, sync=b.sync()), b.raft(), {})) == 1
    (notice,) = cluster_problems(b.cluster(halt=HALT), b.raft(), {})
    assert "stopped it, at n3" in notice.what
    assert notice.remedy == "raftha start"


def test_the_word_survives_the_store_even_if_it_cannot_be_read() -> None:
    (put,) = halting(KEYS, N3).writes
    assert isinstance(put, Put)
    for value, by in ((put.value, "n3"), (b"{", "somebody")):
        entry = Entry(
            key=KEYS.halt, value=value, create_revision=HALT.revision, mod_revision=HALT.revision
        )
        snapshot = Snapshot(
            generation=1, revision=Revision(60), taken=pg.T0, entries={KEYS.halt: entry}
        )
        found = read_cluster(KEYS, snapshot).halt
        assert found == Halt(by=MemberName(by), revision=HALT.revision)


def test_what_stands_against_it() -> None:
    cluster = b.cluster()
    stopped = replace(cluster, halt=HALT)
    paused = b.with_config(cluster, replace(cluster.config, pause=True))
    unborn = replace(cluster, initialize=Initialize(by=N1, system_id=None, revision=Revision(1)))
    asked = replace(cluster, request=b.request(to=N2))
    assert objection(cluster, halts=True, majority=True) is None
    assert objection(stopped, halts=False, majority=True) is None
    for given, halts, words in (
        (stopped, True, "stopped already"),
        (cluster, False, "not stopped"),
        (paused, True, "maintenance pause"),
        (unborn, True, "no cluster yet"),
        (asked, True, "switchover is under way"),
    ):
        assert words in (objection(given, halts=halts, majority=True) or "")
    assert "no majority" in (objection(cluster, halts=True, majority=False) or "")
    assert starting(KEYS, stopped).guards == (KeyAt(KEYS.halt, HALT.revision),)
