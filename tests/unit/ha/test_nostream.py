"""A member tagged `nostream` gets its WAL from the archive alone: what that touches."""

from __future__ import annotations

from typing import Any, Final

import pytest
from msgspec.structs import replace

from raftha.ha.actions import (
    Clone,
    Configure,
    DropSlots,
    EnsureSlots,
    FillHistories,
    Start,
    Submit,
)
from raftha.ha.candidates import obstacle
from raftha.ha.explain import problems
from raftha.ha.logical import notices
from raftha.ha.memory import LeaderSeen, Memory, Unstreamed
from raftha.ha.plans import standby_plan
from raftha.ha.refusals import refusal
from raftha.ha.situation import Situation
from raftha.ha.slots import slot_steps
from raftha.ha.standbys import may_serve
from raftha.ha.upstreams import copy_source, upstream_of
from raftha.model.cluster import Member, MemberRole, MemberState, SlotNote
from raftha.model.ids import Lsn, Revision, Timeline
from raftha.model.operation import RequestKind
from raftha.model.postgres import DirectoryState, SlotState
from raftha.model.settings import DynamicConfig, PermanentSlot, Tags
from raftha.model.view import Identity, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import EPOCH, N1, N2, N3
from tests.unit.ha.test_operations import RUNNING

NOSTREAM: Final = Tags(nostream=True)
ALONE: Final = b.identity(tags=NOSTREAM)
FOLLOWED: Final = tuple(b.followed().members[name] for name in (N1, N2))
"""n1 as a standby, and n2, which leads it."""

WAL_REMOVED: Final = "requested WAL segment 000000010000000000000001 has already been removed"


def apart(me: Identity = ALONE, **more: Any) -> View:
    """n1 is tagged, n2 leads and has no slot for it."""
    given: dict[str, Any] = {
        "me": me,
        "cluster": b.followed(slots=("n3",)),
        "server": pg.standby(slots=("n2", "n3"), restores=True),
    }
    return b.following(**{**given, **more})


def settled(view: View, **more: Any) -> Memory:
    plan = standby_plan(view.cluster, view.me, view.cluster.members[N2])
    return Memory(plan=plan, **more)


def tagged(**more: Any) -> Member:
    """n3 is, as its entry in the store says."""
    given: dict[str, Any] = {
        "tags": NOSTREAM,
        "state": MemberState.RUNNING,
        "role": MemberRole.STANDBY,
    }
    return b.member(N3, **{**given, **more})


def test_it_is_configured_without_an_upstream_though_it_follows_a_leader() -> None:
    view = apart(cluster=b.followed(slots=("n3",), initialize=b.BORN))
    streamed = standby_plan(view.cluster, b.identity(), view.cluster.members[N2])
    decision = b.decided(view, Memory(plan=streamed))
    plan = b.only(decision, Configure).plan

    assert (plan.upstream, plan.archive_only) == (None, True)
    assert (streamed.upstream is None, streamed.archive_only) == (False, False)
    assert plan.birth == b.BORN.birth, "its directory is part of the cluster nevertheless"


def test_its_healthy_state_is_quiet_and_called_by_its_name() -> None:
    view = apart()
    decision = b.decided(view, settled(view))

    assert b.acts(decision) == []
    assert decision.reason == "no action: I am n1, a standby of n2, in archive recovery"


def test_it_starts_and_is_copied_without_a_slot() -> None:
    down: dict[str, Any] = {"guardian": pg.IDLE_GUARDIAN, "server": None}
    started = b.decided(apart(**down))
    assert b.only(started, Start).plan.archive_only

    empty = pg.directory(state=DirectoryState.EMPTY, control=None)
    assert b.only(b.decided(apart(directory=empty, **down)), Clone).source.name == N2
    streaming = b.decided(apart(b.identity(), directory=empty, **down))
    assert "waiting for n2 to make the slot" in streaming.reason


def test_nobody_keeps_a_slot_for_it() -> None:
    """Neither the leader nor another standby, which the leader may still tell to have one."""
    cluster = b.cluster(members=b.members(tagged()), slots=("n2", "n3"))
    idle = SlotState(name="n3", active=False)
    server = pg.primary(slots=("n2", "n3"), slot_states=(idle,))
    led = slot_steps(b.situation(b.view(cluster=cluster, server=server)), server)
    assert led == (DropSlots(("n3",)),)

    members = b.members(*FOLLOWED, tagged())
    standby = pg.standby(slots=("n2",))
    view = b.following(cluster=b.followed(members=members, slots=("n1", "n3")), server=standby)
    assert not any(isinstance(step, EnsureSlots) for step in slot_steps(b.situation(view), standby))


def test_no_commit_waits_for_it() -> None:
    s = b.situation(b.view(cluster=b.cluster(members=b.members(tagged()))))

    assert may_serve(s, N2)
    assert not may_serve(s, N3)


def test_it_is_no_candidate_and_says_why() -> None:
    why = obstacle(b.situation(b.racing(me=ALONE), b.LOST)) or ""
    assert "nostream: it holds what the archive holds" in why

    cluster = b.cluster(members=b.members(tagged()))
    asked = b.request(RequestKind.SWITCHOVER, by=N1, to=N3)
    assert "n3 may not lead: its tags forbid it (nostream" in (
        refusal(b.situation(b.view(cluster=cluster)), asked) or ""
    )


@pytest.mark.parametrize(("tags", "rule"), [(NOSTREAM, "elect-70"), (Tags(), "elect-30")])
def test_no_race_waits_for_its_answer(tags: Tags, rule: str) -> None:
    members = b.members(*FOLLOWED, b.member(N3, tags=tags))
    view = b.racing(cluster=b.followed(leader=None, members=members))
    silent = replace(view, peers=pg.answers(silent=(N2,)))

    assert b.decided(silent, b.LOST).rule == rule


def test_a_switchover_ends_without_its_stream() -> None:
    cluster = b.cluster(members=b.members(tagged()), operation=RUNNING)
    view = b.view(cluster=cluster, server=pg.primary(attached=(pg.attached(N2),)))
    decision = b.decided(view, b.leading_memory(view, promoted_at=pg.at(-0.1)))

    value = b.only(decision, Submit).command.writes[0].value
    assert b'["followers attached","n1"]' in value


def test_what_its_log_says_of_a_stream_it_had_is_no_reason_for_a_copy() -> None:
    view = apart(last_words=WAL_REMOVED)
    memory = settled(view, starved_since=pg.at(-60.0), starved_at=view.server.replayed)
    decision = b.decided(view, memory)

    assert decision.rule == "follow-60"
    assert decision.memory.starved_since is None


@pytest.mark.parametrize(("newest", "filled"), [(1, False), (2, False), (3, True)])
def test_a_burned_number_does_not_hide_the_next_timeline(newest: int, filled: bool) -> None:
    """PostgreSQL looks for the history of 2, and would never look for that of 3."""
    history = (b.record(1, leader=N2), b.record(newest, parent=Timeline(1)))
    view = apart(
        cluster=b.followed(
            slots=("n3",), timeline=Timeline(newest), history=history[: 1 if newest == 1 else 2]
        ),
        server=pg.standby(4000, slots=("n2", "n3"), restores=True),
    )
    decision = b.decided(view, settled(view))
    found = [act for act in decision.actions if isinstance(act, FillHistories)]

    assert found == ([FillHistories(Timeline(3))] if filled else [])
    streaming = replace(view, me=b.identity(), server=pg.standby(4000, receiver=pg.receiver(N2)))
    assert "FillHistories" not in b.acts(b.decided(streaming))


def test_it_is_told_where_it_gets_no_wal_at_all_and_not_that_it_does_not_stream() -> None:
    lost = Memory(unstreamed=Unstreamed(epoch=EPOCH, since=pg.at(-60.0)))

    def told(**more: Any) -> list[str]:
        return [notice.code for notice in problems(b.situation(apart(**more), lost))]

    complains = {"last_words": "cp: cannot stat '/archive/1': No such file or directory"}
    assert told(**complains) == []
    assert told(server=pg.standby(), **complains) == ["no-restore-command"]


def test_copies_of_logical_slots_are_not_looked_for_there() -> None:
    wanted = DynamicConfig(slots=(PermanentSlot(name="sub", plugin="pgoutput", database="app"),))
    view = apart()
    view = replace(view, cluster=b.with_config(view.cluster, wanted))

    assert notices(b.situation(view)) == []
    assert notices(b.situation(replace(view, me=b.identity()))) != []
    for version in (160014, 180004):
        server = replace(view.server, version=version)
        told = b.decided(replace(view, server=server), settled(view))
        assert b.acts(told) == [], version


def test_another_standby_may_stream_from_it_and_none_is_copied_from_it() -> None:
    below = b.member(N1, state=MemberState.RUNNING, tags=Tags(replicatefrom=N3))
    leader = FOLLOWED[1]

    def situation(**more: Any) -> Situation:
        members = b.members(below, leader, tagged(**more))
        return b.situation(b.following(cluster=b.followed(members=members)))

    def upstream(**more: Any) -> Member | None:
        return upstream_of(situation(**more), N1)

    assert upstream() == tagged()
    for state in (MemberState.STOPPED, MemberState.STARTING):
        assert upstream(state=state) == leader
    assert upstream(role=MemberRole.PRIMARY) == leader
    asked = Tags(nostream=True, clonefrom=True)
    assert copy_source(situation(tags=asked), leader) == leader


def test_its_own_upstream_is_nobody_else() -> None:
    both = Tags(nostream=True, replicatefrom=N3)
    members = b.members(b.member(N1, tags=both), FOLLOWED[1])
    s = b.situation(b.following(cluster=b.followed(members=members)))
    assert upstream_of(s, N1) == FOLLOWED[1]


def test_the_turn_of_another_standby_does_not_wait_for_its_stream() -> None:
    """Before 17 copies of logical slots are taken in by one standby after the other."""
    wanted = DynamicConfig(slots=(PermanentSlot(name="sub", plugin="pgoutput", database="app"),))
    told = LeaderSeen(
        revision=Revision(50),
        at=pg.T0,
        name=N2,
        timeline=Timeline(1),
        slots={"sub": SlotNote(position=Lsn(4000))},
    )
    server = pg.standby(slots=("n2",), version=160014, receiver=pg.receiver(N2))
    members = b.members(*FOLLOWED, tagged())
    view = b.following(cluster=b.followed(config=wanted, members=members), server=server)
    memory = b.following_memory(view, leader_seen=told, streaming_since=pg.at(-60.0))

    assert b.decided(view, memory).rule == "follow-57"
