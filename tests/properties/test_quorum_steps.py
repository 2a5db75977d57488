"""Every reachable state of the store and the setting: who can acknowledge meets who can promote.

A small world is walked through exhaustively. What may be in force, what was acknowledged and by
whom, and what a set can promote are worked out here from sets of standbys alone, without the
arithmetic of `raftha.ha.quorum`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain, combinations, product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from raftha.ha import quorum
from raftha.ha.quorum import NO_STANDBY, Promotable, Prove, SetNames, Step, StoreSet, Waits
from raftha.ha.rules.election import claim
from raftha.model.ids import MemberName
from raftha.model.store import Put
from tests.unit.ha import builders as b

Names = frozenset[MemberName]
Debts = frozenset[Names]
"""What was acknowledged, each commit as the standbys that are sure to hold it; only the least."""

LEADER = MemberName("n1")
NOBODY = Waits(1, frozenset())
ALONE = Waits(0, frozenset())


def standbys(count: int) -> tuple[MemberName, ...]:
    return tuple(MemberName(f"n{number}") for number in range(2, count + 2))


@cache
def subsets(names: Names, size: int) -> tuple[Names, ...]:
    return tuple(frozenset(chosen) for chosen in combinations(sorted(names), size))


@cache
def settings(names: Names) -> tuple[Waits, ...]:
    """Every setting: nobody, never, and any so many of each group."""
    groups = [group for size in range(1, len(names) + 1) for group in subsets(names, size)]
    found = [Waits(count, group) for group in groups for count in range(1, len(group) + 1)]
    return (ALONE, NOBODY, *found)


@cache
def least(debts: Debts) -> Debts:
    return frozenset(d for d in debts if not any(other < d for other in debts))


@cache
def acknowledged(waits: Waits) -> Debts:
    """The sets of standbys that a commit may have been acknowledged with."""
    return frozenset(subsets(waits.names, waits.count))


@cache
def loses(stored: Promotable, debts: Debts) -> bool:
    """Somebody may be promoted although a commit is held by none of those that it heard."""
    if not stored.names:
        return False
    return any(
        heard.isdisjoint(debt) for heard in subsets(stored.names, stored.heard) for debt in debts
    )


class World(Struct, frozen=True):
    """`shown` is the setting that the server shows; `writing` is a write to the store whose outcome
    is not known; `holders` as the agent knows it.

    Each setting that may be in force has had its commits, as bad ones as can be, from the moment
    it was written: they stay in `debts` until a proof, after which only `shown` adds to them.
    """

    stored: Promotable
    shown: Waits
    debts: Debts
    writing: Promotable | None = None
    holders: Names | None = None

    def is_safe(self) -> bool:
        known = [self.stored] if self.writing is None else [self.stored, self.writing]
        return not any(loses(stored, self.debts) for stored in known)


def alike(world: World, everybody: tuple[MemberName, ...]) -> World:
    """The same world with the standbys renamed by what they are in: one for many that differ in
    names alone."""

    def place(name: MemberName) -> object:
        groups = (
            world.stored.names,
            world.shown.names,
            world.writing.names if world.writing else frozenset(),
            world.holders or frozenset(),
        )
        return [name in group for group in groups], sorted(len(d) for d in world.debts if name in d)

    names = dict(zip(sorted(everybody, key=place), everybody, strict=True))

    def called(group: Names) -> Names:
        return frozenset(names[name] for name in group)

    return World(
        replace(world.stored, names=called(world.stored.names)),
        replace(world.shown, names=called(world.shown.names)),
        frozenset(called(debt) for debt in world.debts),
        world.writing and replace(world.writing, names=called(world.writing.names)),
        None if world.holders is None else called(world.holders),
    )


Steps = Callable[[Promotable, Waits | None, Waits, Names | None], Step]


def act(world: World, wanted: Waits, everybody: Names, steps: Steps) -> Iterator[World]:
    """What may become of one step of the agent, which does nothing while a write is open."""
    if world.writing is not None:
        return
    match steps(world.stored, world.shown, wanted, world.holders):
        case SetNames(waits):
            debts = least(world.debts | acknowledged(waits))
            yield replace(world, shown=waits, debts=debts, holders=None)
        case StoreSet(promotable):
            yield replace(world, writing=promotable)
        case Prove():
            for holders in chain.from_iterable(
                subsets(everybody, size) for size in range(len(everybody) + 1)
            ):
                settled = frozenset(debt | holders for debt in world.debts)
                debts = least(settled | acknowledged(world.shown))
                yield replace(world, debts=debts, holders=holders)


def befall(world: World) -> Iterator[World]:
    """What happens by itself: a write ends, done or not; the agent is restarted."""
    if world.writing is not None:
        yield replace(world, stored=world.writing, writing=None)
        yield replace(world, writing=None)
    elif world.holders is not None:
        yield replace(world, holders=None)


Claim = Callable[[Promotable, MemberName], Promotable]


@cache
def claimed(stored: Promotable, winner: MemberName) -> Promotable:
    """What the store says once `winner` has the leader key: as the product writes it."""
    before = b.sync(*sorted(stored.names), by=LEADER, quorum=max(0, stored.heard - 1))
    vacant = b.followed(leader=None, sync=before)
    command = claim(b.situation(b.racing(me=b.identity(winner), cluster=vacant)))
    (put,) = (w for w in command.writes if isinstance(w, Put) and w.key == b.KEYS.sync)
    told = msgspec.json.decode(put.value)
    names = frozenset(told["sync_standby"])
    return Promotable(names, told.get("quorum", 0) + 1) if names else NO_STANDBY


def succeed(world: World, everybody: Names, claims: Claim) -> Iterator[World]:
    """The key was lost, and is won: again by the leader, or by one that may be promoted, which
    holds all that was acknowledged. In the place of that standby there is the old leader then,
    which is not sure to hold anything. The winner begins with any setting, and what it leaves in
    the store holds while it has acknowledged nothing yet."""
    for winner in (LEADER, *sorted(world.stored.names)):
        left = frozenset(debt - {winner} for debt in world.debts)
        stored = claims(world.stored, winner)
        for waits in settings(everybody):
            yield World(stored, waits, least(left | acknowledged(waits)))


def walk(count: int, steps: Steps, claims: Claim = claimed) -> set[World]:
    """Every world that can be reached with so many standbys, each checked."""
    names = standbys(count)
    everybody = frozenset(names)
    first = World(NO_STANDBY, ALONE, acknowledged(ALONE))
    seen, ahead = {first}, [first]
    while ahead:
        world = ahead.pop()
        assert world.is_safe(), world
        found = chain(
            befall(world),
            succeed(world, everybody, claims),
            *(act(world, wanted, everybody, steps) for wanted in settings(everybody)),
        )
        for then in {alike(then, names) for then in set(found)}:
            if then not in seen:
                seen.add(then)
                ahead.append(then)
    return seen


@pytest.mark.parametrize("count", [1, 2, 3])
def test_whoever_can_acknowledge_meets_whoever_can_promote(count: int) -> None:
    assert len(walk(count, quorum.next_step)) > 10


def test_a_winner_that_lets_the_old_set_be_promoted_is_noticed() -> None:
    """It would have to wait for the same standbys from its first commit on."""
    with pytest.raises(AssertionError, match="World"):
        walk(2, quorum.next_step, claims=lambda stored, _: stored)


@given(st.sampled_from([4, 5]), st.data())
def test_the_same_on_long_ways_with_more_standbys(count: int, data: st.DataObject) -> None:
    everybody = frozenset(standbys(count))
    world = World(NO_STANDBY, ALONE, acknowledged(ALONE))
    wanted = st.sampled_from(settings(everybody))
    want = data.draw(wanted)
    for _ in range(data.draw(st.integers(1, 60))):
        ahead = sorted({*act(world, want, everybody, quorum.next_step), *befall(world)}, key=repr)
        if ahead and data.draw(st.integers(0, 3)):
            world = data.draw(st.sampled_from(ahead))
        else:
            want = data.draw(wanted)
        assert world.is_safe(), world


def test_left_in_peace_it_ends_with_what_is_wanted() -> None:
    everybody = frozenset(standbys(3))
    for world, wanted in product(walk(3, quorum.next_step), settings(everybody)):
        stored, shown, holders = world.writing or world.stored, world.shown, world.holders
        for _ in range(6):
            match quorum.next_step(stored, shown, wanted, holders):
                case SetNames(waits):
                    shown, holders = waits, None
                case StoreSet(promotable):
                    stored = promotable
                case _:
                    holders = everybody
        assert (shown, stored) == (wanted, quorum.goal(wanted)), world


def test_the_fewer_acknowledge_the_more_must_be_heard() -> None:
    three = frozenset(standbys(3))

    assert quorum.goal(Waits(1, three)) == Promotable(three, 3)
    assert quorum.goal(Waits(2, three)) == Promotable(three, 2)
    assert quorum.goal(Waits(3, three)) == Promotable(three, 1)
    assert quorum.goal(ALONE) == quorum.goal(NOBODY) == NO_STANDBY
