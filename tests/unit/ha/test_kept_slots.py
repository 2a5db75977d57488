"""Slots of members and permanent ones on every node: kept, moved on, let go."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import AdvanceSlots, DropSlots, EnsureSlots
from raftha.ha.decide import decide
from raftha.ha.explain import problems
from raftha.ha.memory import LeaderSeen, Memory
from raftha.ha.slots import SEGMENT_BYTES, absent_since, own_slot
from raftha.ha.table import Decision
from raftha.instants import Seconds
from raftha.model.cluster import SlotNote
from raftha.model.ids import Lsn, Revision, Timeline
from raftha.model.membership import MemberVerb, MemberWish, WishState
from raftha.model.postgres import ServerStatus, SlotState
from raftha.model.settings import (
    DynamicConfig,
    DynamicPostgres,
    PermanentSlot,
    SlotMatcher,
    SlotType,
    SynchronousMode,
)
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import N2, N3

PLACE = 10 * SEGMENT_BYTES
FAR = PLACE + SEGMENT_BYTES
BACKUP = SlotState(name="backup", position=Lsn(PLACE))


def state(name: str, position: int = PLACE, **more: Any) -> SlotState:
    return SlotState(name=name, position=Lsn(position), **more)


def states(*given: SlotState) -> dict[str, Any]:
    known = {s.name: s for s in (state("n2"), state("n3"), *given)}
    return {"slots": tuple(sorted(known)), "slot_states": tuple(known.values())}


def settings(**more: Any) -> DynamicConfig:
    return DynamicConfig(**{"synchronous_mode": SynchronousMode.ON, **more})


KEEPING = settings(slots=(PermanentSlot(name="backup"),))


def following(config: DynamicConfig | None = None, **more: Any) -> View:
    given: dict[str, Any] = {"config": config} if config else {}
    server = pg.standby(FAR, **{"redo": Lsn(FAR), **states(), "receiver": pg.receiver(N2), **more})
    return b.following(cluster=b.followed(**given), server=server)


def follow(view: View, *, timeline: int = 1, **positions: int) -> Decision:
    """What a settled standby does that has heard this of the leader's slots."""
    seen = LeaderSeen(
        revision=Revision(50),
        at=pg.T0,
        name=N2,
        timeline=Timeline(timeline),
        position=Lsn(FAR),
        slots={name: SlotNote(position=Lsn(where)) for name, where in positions.items()},
    )
    return decide(view, b.following_memory(view, leader_seen=seen), b.KEYS)


def lead(server: ServerStatus, config: DynamicConfig | None = None, **away: float) -> Decision:
    """What a leader does while members have been away for so many seconds."""
    view = leading(server, config, *away)
    memory = b.leading_memory(view, away={name: pg.at(-since) for name, since in away.items()})
    return decide(view, memory, b.KEYS)


def leading(server: ServerStatus, config: DynamicConfig | None, *away: str) -> View:
    raft = b.raft()
    gone = [replace(voter, connected=voter.name not in away) for voter in raft.voters]
    given: dict[str, Any] = {"config": config} if config else {}
    return b.view(cluster=b.cluster(**given), server=server, raft=replace(raft, voters=tuple(gone)))


def test_a_standby_moves_a_slot_to_where_its_member_is() -> None:
    decision = follow(following(), n3=FAR)
    assert b.only(decision, AdvanceSlots).targets["n3"] == Lsn(FAR)
    assert decision.reason == "no action: I am n1, a standby of n2, streaming"


def test_a_slot_is_never_moved_beyond_what_its_member_has_confirmed() -> None:
    server = {"n3": FAR - 1}
    assert "n3" not in b.only(follow(following(), **server), AdvanceSlots).targets


def test_a_slot_is_never_moved_beyond_what_is_replayed_here() -> None:
    view = following(replayed=Lsn(FAR - 1))
    assert b.acts(follow(view, n3=FAR)) == []


def test_the_slot_of_the_leader_stays_where_a_recovery_here_would_begin() -> None:
    """A rewind of it needs the WAL from the last checkpoint on that both have."""
    assert b.acts(follow(following(redo=Lsn(FAR - 1)))) == []
    assert b.only(follow(following(redo=Lsn(FAR))), AdvanceSlots).targets == {"n2": Lsn(FAR)}
    assert b.acts(follow(following(redo=None))) == []


def test_positions_of_another_timeline_move_nothing() -> None:
    assert b.acts(follow(following(), n3=FAR, timeline=2)) == []


def test_a_slot_in_use_and_one_that_is_lost_are_not_moved() -> None:
    busy, lost = state("n2", active=True), state("n3", lost=True)
    decision = follow(following(**states(busy, lost)), n3=FAR)
    assert b.acts(decision) == ["EnsureSlots"]
    assert b.only(decision, EnsureSlots).wanted == ("n3",)


def test_a_slot_that_holds_back_the_primary_is_made_anew_once_its_reader_is_far_enough() -> None:
    """It had been the slot of a stream while this node was the primary."""
    old = states(state("n3", xmin_age=3))
    late = following(redo=Lsn(PLACE + 1), **old)
    assert b.acts(follow(late, n3=PLACE)) == []
    soon = following(redo=Lsn(PLACE), **old)
    assert b.only(follow(soon, n3=PLACE), DropSlots).names == ("n3",)


def test_the_slot_of_a_member_that_was_away_for_too_long_is_dropped_and_not_made_anew() -> None:
    server = pg.primary(**states())
    config = settings(member_slots_ttl=Seconds(60.0))
    assert b.acts(lead(server, config, n3=64.9)) == []
    assert b.only(lead(server, config, n3=65.0), DropSlots).names == ("n3",)
    dropped = pg.primary(slots=("n2",), slot_states=(state("n2"),))
    assert "EnsureSlots" not in b.acts(lead(dropped, config, n3=66.0))
    assert b.only(lead(dropped, config), EnsureSlots).wanted == ("n3",)


def test_without_a_ttl_a_slot_goes_once_an_agent_could_have_been_restarted() -> None:
    server, config = pg.primary(**states()), settings(member_slots_ttl=Seconds(0.0))
    assert b.acts(lead(server, config, n3=4.9)) == []
    assert b.only(lead(server, config, n3=5.0), DropSlots).names == ("n3",)


def test_a_slot_through_which_a_server_streams_without_its_agent_stays() -> None:
    server = pg.primary(**states(state("n3", active=True)))
    assert b.acts(lead(server, n3=1e6)) == []


def test_a_slot_that_is_kept_for_somebody_is_told_with_how_long() -> None:
    view = leading(pg.primary(**states()), None, "n3")
    memory = Memory(away={N3: pg.at(-605.0)})
    told = [notice.what for notice in problems(b.situation(view, memory))]
    assert "n3 is not in touch; its slot n3 keeps WAL for 20 more minutes" in told
    early = problems(b.situation(view, Memory(away={N3: pg.at(-2.0)})))
    assert not any("keeps WAL" in notice.what for notice in early)


def test_who_is_away_is_counted_from_when_it_was_first_missed() -> None:
    view = leading(pg.primary(), None, "n3")
    assert absent_since(view, {N2: pg.at(-9.0)}) == {N3: pg.T0}
    assert absent_since(view, {N3: pg.at(-9.0)}) == {N3: pg.at(-9.0)}


@pytest.mark.parametrize("leads", [True, False])
def test_a_permanent_slot_is_made_on_every_member(leads: bool) -> None:
    server = pg.primary(**states())
    decision = lead(server, KEEPING) if leads else follow(following(KEEPING))
    assert b.only(decision, EnsureSlots).wanted == ("backup",)


def test_a_permanent_slot_moves_with_its_reader() -> None:
    decision = follow(following(KEEPING, **states(BACKUP)), backup=FAR, n2=0)
    assert b.only(decision, AdvanceSlots).targets["backup"] == Lsn(FAR)


def test_a_permanent_slot_that_is_called_like_a_member_is_that_members() -> None:
    config = settings(slots=(PermanentSlot(name="n1"),))
    assert b.acts(lead(pg.primary(**states()), config)) == []


@pytest.mark.parametrize(
    ("config", "made", "dropped"),
    [
        (settings(), {"backup"}, True),
        (settings(), set(), False),
        (KEEPING, {"backup"}, False),
        (settings(ignore_slots=(SlotMatcher(name="backup"),)), {"backup"}, False),
        (settings(ignore_slots=(SlotMatcher(plugin="pgoutput"),)), {"backup"}, True),
        (settings(postgresql=DynamicPostgres(use_slots=False)), {"backup"}, True),
    ],
)
@pytest.mark.parametrize("leads", [True, False])
def test_only_what_was_made_here_and_nobody_wants_is_dropped(
    config: DynamicConfig, made: set[str], dropped: bool, leads: bool
) -> None:
    there = states(BACKUP)
    view = leading(pg.primary(**there), config) if leads else following(config, **there)
    view = replace(view, made_slots=frozenset(made))
    memory = b.leading_memory(view) if leads else b.following_memory(view)
    acts = [a for a in decide(view, memory, b.KEYS).actions if isinstance(a, DropSlots)]
    assert ("backup" in {name for act in acts for name in act.names}) == dropped


def test_a_slot_in_use_is_not_dropped_from_a_primary() -> None:
    view = leading(pg.primary(**states(replace(BACKUP, active=True))), None)
    view = replace(view, made_slots=frozenset({"backup"}))
    assert b.acts(decide(view, b.leading_memory(view), b.KEYS)) == []


@pytest.mark.parametrize(
    ("matcher", "fits"),
    [
        (SlotMatcher(name="s"), True),
        (SlotMatcher(name="t"), False),
        (SlotMatcher(type=SlotType.LOGICAL), True),
        (SlotMatcher(type=SlotType.PHYSICAL), False),
        (SlotMatcher(name="s", database="d", plugin="p", type=SlotType.LOGICAL), True),
        (SlotMatcher(name="s", database="other"), False),
        (SlotMatcher(plugin="other"), False),
    ],
)
def test_a_matcher_means_slots_with_all_that_it_names(matcher: SlotMatcher, fits: bool) -> None:
    assert matcher.fits("s", "p", "d") == fits


REPLACED = MemberWish(
    id="w",
    verb=MemberVerb.REPLACE,
    name=N3,
    address="127.0.0.1:2383",
    barred="0f3c9a71" * 4,
    state=WishState.DONE,
)


@pytest.mark.parametrize(
    ("wish", "incarnation", "slot"),
    [
        (None, "abcdef01" * 4, "n3"),
        (REPLACED, "abcdef01" * 4, "n3_abcdef01"),
        (replace(REPLACED, state=WishState.ASKED), "ABCDEF01" * 4, "n3_abcdef01"),
        (REPLACED, "0f3c9a71" * 4, "n3"),
        (REPLACED, "", "n3"),
        (replace(REPLACED, barred=""), "abcdef01" * 4, "n3"),
        (replace(REPLACED, state=WishState.REFUSED), "abcdef01" * 4, "n3"),
        (replace(REPLACED, verb=MemberVerb.REMOVE), "abcdef01" * 4, "n3"),
    ],
)
def test_a_machine_in_the_place_of_another_has_a_slot_of_its_own(
    wish: MemberWish | None, incarnation: str, slot: str
) -> None:
    cluster = b.cluster(wishes={N3: wish} if wish else {})
    assert own_slot("n3", N3, incarnation, cluster) == slot
    long = own_slot("x" * 63, N3, incarnation, cluster)
    assert (len(long), long.endswith("_abcdef01")) == (63, slot != "n3")


def test_the_slot_that_a_replaced_machine_still_uses_is_taken_from_it() -> None:
    """A server whose agent died streams on; a slot of that name that somebody made is left."""
    there = states(state("n3", active=True), state("n3_abcdef01"))
    members = b.members(b.member(N3, slot="n3_abcdef01"))
    view = b.view(cluster=b.cluster(members=members), server=pg.primary(**there))
    made = replace(view, made_slots=frozenset({"n3"}))
    decision = decide(made, b.leading_memory(made), b.KEYS)
    assert b.only(decision, DropSlots).names == ("n3",)
    assert "DropSlots" not in b.acts(decide(view, b.leading_memory(view), b.KEYS))
