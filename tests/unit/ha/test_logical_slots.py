"""Logical slots over a failover: who makes, copies, moves and drops them, when they are ready."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import (
    AdvanceSlots,
    CopySlots,
    DropSlots,
    MakeLogicalSlots,
    RousePostmaster,
    Stop,
    StopMode,
    Submit,
)
from raftha.ha.decide import decide, observe_memory
from raftha.ha.explain import problems
from raftha.ha.keys import encode_position
from raftha.ha.logical import STEP_BYTES, unready
from raftha.ha.memory import Arming, Floors, LeaderSeen, Memory
from raftha.ha.plans import names_for, primary_plan, standby_plan
from raftha.ha.table import Decision
from raftha.model.cluster import MemberState, SlotNote
from raftha.model.ids import Lsn, Revision, Timeline
from raftha.model.postgres import SlotState
from raftha.model.settings import DynamicConfig, PermanentSlot, SlotMatcher, SynchronousMode
from raftha.model.view import JobKind, JobResult, JobView, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import N2, N3

SUB = PermanentSlot(name="sub", plugin="pgoutput", database="app")
KEEPING = DynamicConfig(synchronous_mode=SynchronousMode.ON, slots=(SUB,))
NO_SLOTS = replace(KEEPING, slots=())
OLD, NEW = 160014, 180004


def copy(position: int = 5000, **more: Any) -> SlotState:
    given = {"plugin": "pgoutput", "database": "app", "catalog_xmin": 700}
    return SlotState(name="sub", position=Lsn(position), **{**given, **more})


def members() -> tuple[SlotState, ...]:
    return (SlotState(name="n2", position=Lsn(0)), SlotState(name="n3", position=Lsn(0)))


def following(*there: SlotState, version: int = OLD, **more: Any) -> View:
    config, made = more.pop("config", KEEPING), more.pop("made", {"sub"})
    position = more.pop("position", 9000)
    server = pg.standby(
        position,
        version=version,
        receiver=pg.receiver(N2),
        slot_states=(*members(), *there),
        **more,
    )
    return replace(
        b.following(cluster=b.followed(config=config), server=server), made_slots=frozenset(made)
    )


def told(position: int = 9000, xmin: int | None = 700, own: int | None = 700) -> LeaderSeen:
    """What the leader said last of its slot, and of this node's."""
    return LeaderSeen(
        revision=Revision(50),
        at=pg.T0,
        name=N2,
        timeline=Timeline(1),
        position=Lsn(9000),
        slots={
            "sub": SlotNote(position=Lsn(position), catalog_xmin=xmin),
            "n1": SlotNote(position=Lsn(9000), catalog_xmin=own),
        },
    )


def remembered(view: View, **more: Any) -> Memory:
    given: dict[str, Any] = {"leader_seen": told(), "streaming_since": pg.at(-60.0)}
    return b.following_memory(view, **{**given, **more})


def follow(view: View, **more: Any) -> Decision:
    return decide(view, remembered(view, **more), b.KEYS)


def leading(*there: SlotState, config: DynamicConfig = KEEPING, **more: Any) -> View:
    made = more.pop("made", set())
    given = {"wal_level": "logical", "slot_states": (*members(), *there), "version": OLD, **more}
    view = b.view(cluster=b.cluster(config=config), server=pg.primary(**given))
    return replace(view, made_slots=frozenset(made))


def lead(view: View, **more: Any) -> Decision:
    return decide(view, b.leading_memory(view, **more), b.KEYS)


# The primary


@pytest.mark.parametrize(("version", "synced"), [(OLD, False), (NEW, True)])
def test_the_primary_makes_a_slot_that_is_missing(version: int, synced: bool) -> None:
    made = b.only(lead(leading(version=version)), MakeLogicalSlots)
    assert made == MakeLogicalSlots((SUB,), synced=synced)
    assert b.acts(lead(leading(copy(), version=version))) == []


def test_a_slot_is_made_when_nothing_else_is_under_way() -> None:
    """A job, or a set whose proof needs one; WAL that says enough."""
    assert b.acts(lead(leading(), arming=Arming(names=names_for(N2), since=pg.T0))) == []
    busy = replace(leading(), job=JobView(kind=JobKind.CHECKPOINT, started=pg.T0))
    assert b.acts(lead(busy)) == []
    assert b.acts(lead(leading(wal_level="replica"))) == []
    told = [n.what for n in problems(b.situation(leading(wal_level="replica")))]
    assert any("wal_level is replica" in what for what in told)


def test_a_lost_slot_is_told_and_not_made_anew() -> None:
    """Its reader would go on with a gap and not notice."""
    view = leading(copy(lost=True))
    assert b.acts(lead(view)) == []
    assert any("has lost what its reader" in n.what for n in problems(b.situation(view)))


@pytest.mark.parametrize(
    ("there", "part"),
    [
        (copy(plugin="", database=""), "it has no plugin"),
        (copy(database="other"), "it has plugin pgoutput, database other"),
        (copy(failover=False), "made without failover"),
    ],
)
def test_a_slot_that_is_not_what_was_asked_for_is_told(there: SlotState, part: str) -> None:
    view = leading(there, version=NEW)
    assert b.acts(lead(view)) == []
    assert any(part in n.what for n in problems(b.situation(view)))


@pytest.mark.parametrize(
    ("there", "made", "config", "dropped"),
    [
        (copy(), {"sub"}, NO_SLOTS, True),
        (copy(), set(), NO_SLOTS, False),
        (copy(active=True), {"sub"}, NO_SLOTS, False),
        (copy(), {"sub"}, KEEPING, False),
        (copy(), {"sub"}, replace(NO_SLOTS, ignore_slots=(SlotMatcher(database="app"),)), False),
    ],
)
def test_the_primary_drops_only_what_it_made_and_nobody_wants_or_reads(
    there: SlotState, made: set[str], config: DynamicConfig, dropped: bool
) -> None:
    decision = lead(leading(there, made=made, config=config))
    assert b.acts(decision) == (["DropSlots"] if dropped else [])


# Copies before 17


def test_a_standby_fetches_what_it_lacks_and_then_restarts() -> None:
    view = following()
    first = follow(view)
    assert first.rule == "follow-57"
    assert b.only(first, CopySlots).names == ("sub",)

    fetched = JobResult(kind=JobKind.COPY_SLOTS, ended=pg.T0)
    second = decide(replace(view, finished=fetched), remembered(view), b.KEYS)
    assert b.only(second, Stop).mode is StopMode.FAST
    restarted = replace(view, guardian=pg.guardian(primary=False, epoch=None, process="78@2"))
    again = decide(restarted, replace(second.memory, leader_seen=told()), b.KEYS)
    assert b.acts(again) == [], "a restart that did not help is no reason for the next"


def test_a_failed_fetch_restarts_nothing() -> None:
    view = following()
    failed = JobResult(kind=JobKind.COPY_SLOTS, ended=pg.T0, error="no route")
    assert b.acts(decide(replace(view, finished=failed), remembered(view), b.KEYS)) == []


@pytest.mark.parametrize(
    "view",
    [
        following(copy()),
        following(version=NEW),
        following(config=NO_SLOTS),
        following(config=replace(KEEPING, pause=True)),
        replace(following(), server=pg.standby(9000, version=OLD, slot_states=members())),
    ],
)
def test_nothing_is_fetched_where_that_is_not_needed_or_not_possible(view: View) -> None:
    assert "CopySlots" not in b.acts(follow(view))


def test_nothing_is_fetched_that_the_leader_has_not() -> None:
    assert b.acts(follow(following(), leader_seen=replace(told(), slots={}))) == []


def test_standbys_restart_one_after_the_other() -> None:
    view = following()
    assert b.acts(follow(view, streaming_since=pg.at(-1.9))) == []
    assert b.acts(follow(view, streaming_since=pg.at(-2.0))) == ["CopySlots"]
    other = b.member(N3, state=MemberState.STOPPING)
    members = {**view.cluster.members, N3: other}
    stopping = replace(view, cluster=replace(view.cluster, members=members))
    assert b.acts(follow(stopping)) == []


def test_a_copy_moves_to_where_the_primarys_slot_is_step_by_step() -> None:
    near = b.only(follow(following(copy(8999))), AdvanceSlots)
    assert near.targets == {"sub": Lsn(9000)}
    far = following(copy(0), position=5 * STEP_BYTES)
    seen = told(position=4 * STEP_BYTES)
    acts = follow(far, leader_seen=seen).actions
    moved = [act.targets for act in acts if isinstance(act, AdvanceSlots)]
    assert {"sub": Lsn(STEP_BYTES)} in moved


@pytest.mark.parametrize(
    ("there", "position", "version"),
    [
        (copy(9000), 9000, OLD),
        (copy(8000, active=True), 9000, OLD),
        (copy(5000), 5000, OLD),
        (copy(8000, synced=True), 9000, NEW),
    ],
)
def test_a_copy_is_not_moved_by_hand_beyond_replay_in_use_or_from_17_on(
    there: SlotState, position: int, version: int
) -> None:
    assert b.acts(follow(following(there, position=position, version=version))) == []


def test_a_copy_that_is_lost_or_not_wanted_is_dropped() -> None:
    assert b.only(follow(following(copy(lost=True))), DropSlots).names == ("sub",)
    assert b.only(follow(following(copy(), config=NO_SLOTS)), DropSlots).names == ("sub",)
    theirs = following(copy(lost=True), made=set())
    assert b.acts(follow(theirs)) == []


# From 17 on


def test_what_a_former_primary_has_left_makes_room_for_the_synchronised_copy() -> None:
    left = copy(failover=True)
    assert b.only(follow(following(left, version=NEW, made=set())), DropSlots).names == ("sub",)
    unknown = follow(
        following(left, version=NEW, made=set()), leader_seen=replace(told(), slots={})
    )
    assert "DropSlots" not in b.acts(unknown), "nobody else has it"
    synced = replace(left, synced=True)
    assert b.acts(follow(following(synced, version=NEW))) == []


def test_a_postmaster_is_roused_until_the_copy_is_there() -> None:
    assert b.only(follow(following(version=NEW)), RousePostmaster)
    assert b.acts(follow(following(copy(synced=True), version=NEW))) == []
    assert b.acts(follow(following(copy()))) == ["AdvanceSlots"]


# Readiness


def why_not(*there: SlotState, version: int = OLD, **more: Any) -> str:
    view = following(*there, version=version)
    memory = observe_memory(view, remembered(view, **more))
    situation = b.situation(view, memory)
    assert situation.server is not None
    return unready(situation, situation.server).get("sub", "")


def test_a_copy_is_ready_once_it_is_where_the_primary_began_to_keep_the_catalog_for_it() -> None:
    assert why_not(copy()) == ""
    assert "come as far" in why_not(copy(catalog_xmin=699))
    assert "does not keep" in why_not(copy(), leader_seen=told(own=None))
    assert "does not keep" in why_not(copy(), leader_seen=None)
    assert why_not() == "it is not here yet"
    assert "has lost" in why_not(copy(lost=True))


def test_transactions_are_compared_over_their_wrap() -> None:
    late = told(xmin=2**32 - 5)
    assert why_not(copy(catalog_xmin=10), leader_seen=late) == ""
    assert "come as far" in why_not(copy(catalog_xmin=2**32 - 6), leader_seen=late)


def test_what_the_primary_began_to_keep_stays_the_measure() -> None:
    """It goes on, and the copy follows a step behind; that takes nothing away from it."""
    view = following()
    where = (view.guardian.process, b.followed().leader.epoch)  # type: ignore[union-attr]
    begun = Floors(where=where, of={"sub": 600})
    later = told(xmin=800, own=700)
    assert why_not(copy(), leader_seen=later, floors=begun) == ""
    other = Floors(where=("another", where[1]), of={"sub": 600})
    assert "come as far" in why_not(copy(), leader_seen=later, floors=other)


@pytest.mark.parametrize(
    ("seen", "slots"),
    [
        (told(), told().slots),
        (replace(told(), name=N3), {}),
        (replace(told(), revision=Revision(b.EPOCH.revision - 1)), {}),
        (None, {}),
    ],
    ids=["this reign", "another leader", "an earlier reign", "nothing"],
)
def test_a_leader_whose_server_is_gone_takes_back_nothing_that_it_told_of_its_slots(
    seen: LeaderSeen | None, slots: dict[str, SlotNote]
) -> None:
    """It stops before it hands over: a copy that was ready is ready still."""
    leader = b.leader(N2)
    silent = replace(leader, lease=replace(leader.lease, revision=Revision(51), note=b""))
    view = b.following(cluster=b.followed(leader=silent), server=pg.standby())
    after = observe_memory(view, remembered(view, leader_seen=seen)).leader_seen
    assert after is not None
    assert (after.revision, after.slots) == (Revision(51), slots)


def test_a_leader_without_slots_says_so() -> None:
    note = encode_position(Timeline(1), Lsn(9000))
    leader = b.leader(N2)
    told_none = replace(leader, lease=replace(leader.lease, revision=Revision(51), note=note))
    view = b.following(cluster=b.followed(leader=told_none), server=pg.standby())
    after = observe_memory(view, remembered(view)).leader_seen
    assert after is not None
    assert after.slots == {}


def test_from_17_on_a_copy_is_ready_when_it_is_synchronised() -> None:
    assert why_not(copy(synced=True), version=NEW) == ""
    assert why_not(copy(), version=NEW) == "it is not synchronised"


def test_a_standby_tells_that_its_copy_is_not_ready() -> None:
    view = following(copy(), version=NEW)
    what = [notice.what for notice in problems(b.situation(view))]
    assert "the logical slot sub is not ready here: it is not synchronised" in what


@pytest.mark.parametrize(("there", "said"), [((), True), ((copy(synced=True),), False)])
def test_a_promotion_says_whose_readers_may_miss_changes(
    there: tuple[SlotState, ...], said: bool
) -> None:
    server = pg.standby(slot_states=(*members(), *there), version=NEW)
    view = b.view(
        cluster=b.won(config=KEEPING),
        guardian=pg.STANDBY_GUARDIAN,
        directory=pg.STANDBY_DIRECTORY,
        server=server,
        peers=pg.answers(pg.report(N3), silent=(N2,)),
    )
    write = b.only(b.decided(view, Memory(race="the lease of n2 ended")), Submit).command.writes[0]
    words = b"the lease of n2 ended; not ready here, so that readers may miss changes: sub"
    assert (words in write.value) == said


# The configuration


def test_readers_get_only_what_is_held_by_all_who_may_be_promoted() -> None:
    cluster = b.cluster(config=KEEPING, sync=b.sync(N3))
    plan = primary_plan(cluster, b.identity(), names_for(N2))
    assert (plan.logical, plan.awaited) == (True, ("n2", "n3"))
    elsewhere = b.cluster(config=KEEPING, sync=b.sync(N3, by=N2))
    assert primary_plan(elsewhere, b.identity(), names_for(N2)).awaited == ("n2",)


def test_without_logical_slots_nothing_is_asked_of_the_servers() -> None:
    for plan in (
        primary_plan(b.cluster(), b.identity(), names_for(N2)),
        standby_plan(b.followed(), b.identity(), b.member(N2)),
    ):
        assert (plan.logical, plan.awaited) == (False, ())
