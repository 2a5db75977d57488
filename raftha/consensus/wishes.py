"""What a raft leader makes of an operator's wish: the next step, or why there is none (PURE).

A ruling follows from the wish, the set of voters in force and who answers now, so any raft leader
comes to the same one and nothing has to be remembered between two steps. The rules of the steps
themselves (one voter a step, each behind a committed one) are kept elsewhere: `configuration.py`,
`council.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from raftha.consensus.configuration import MAX_SEATS, Configuration, Seat
from raftha.model.membership import MemberVerb, MemberWish


class Scene(Struct, frozen=True, kw_only=True):
    """What a raft leader knows when it looks at a wish. All but `own` go by address: the nodes that
    hold the log without a vote, those of them that hold all of it, the voters that answer now,
    itself included, and the other voters that lack nothing of the log."""

    latest: Configuration
    own: Seat
    newcomers: Mapping[str, Seat]
    ready: frozenset[str]
    answering: frozenset[str]
    heirs: frozenset[str]


class Step(Struct, frozen=True):
    """This set of voters is to follow."""

    after: Configuration


class HandOver(Struct, frozen=True):
    """Another voter has to lead the group first: a raft leader never takes its own seat."""


class Fulfilled(Struct, frozen=True):
    """The set of voters is as it was wished."""

    message: str


class Waiting(Struct, frozen=True):
    """It goes on by itself, or cannot go on yet."""


class Declined(Struct, frozen=True):
    """It cannot be done as things stand. `undo` is the set of voters that takes back what was begun
    of it, which has to come into force first."""

    why: str
    undo: Configuration | None = None


Ruling = Step | HandOver | Fulfilled | Waiting | Declined


def rule(wish: MemberWish, scene: Scene) -> Ruling:
    """What is to be done about an open wish now."""
    if not wish.released:
        return Declined(
            f"commits still wait for {wish.name}, and no primary has let it go: see raftha status"
        )
    match wish.verb:
        case MemberVerb.ADD:
            return _rule_on_add(wish, scene)
        case MemberVerb.REMOVE:
            return _rule_on_remove(wish, scene)
        case MemberVerb.REPLACE:
            return _rule_on_replace(wish, scene)
        case _:
            assert_never(wish.verb)


def _rule_on_add(wish: MemberWish, scene: Scene) -> Ruling:
    latest = scene.latest
    seat = latest.named(wish.name)
    if seat is not None and seat.address == wish.address:
        return Fulfilled(_outcome(wish, latest))
    if seat is not None:
        return Declined(
            f"{wish.name} has a vote at {seat.address} already: to give it to the node at "
            f"{wish.address}, use raftha member replace {wish.name} {wish.address}"
        )
    newcomer = _newcomer(wish, scene)
    if isinstance(newcomer, Declined):
        return replace(newcomer, undo=_without_expecting(latest, wish))
    if latest.expects(newcomer.address, newcomer.incarnation):
        return Waiting()
    if len(latest.seats) + len(latest.expected) >= MAX_SEATS:
        return Declined(f"there are {len(latest.seats)} voters, and at most {MAX_SEATS}")
    after = latest.admitting(newcomer)
    lost = _without_majority(after, scene.answering | {newcomer.address}, wish)
    return lost or Step(latest.expecting(newcomer))


def _without_expecting(latest: Configuration, wish: MemberWish) -> Configuration | None:
    """The set that admits nobody of this name; None if it does not anyway."""
    kept = latest.without(wish.name)
    return None if kept == latest else kept


def _rule_on_remove(wish: MemberWish, scene: Scene) -> Ruling:
    latest = scene.latest
    after = latest.without(wish.name)
    seat = latest.named(wish.name)
    if seat is None:
        unmet = latest.at(wish.name)
        if unmet is not None and not unmet.is_bound:
            seat, after = unmet, latest.without_address(wish.name)
    if after == latest:
        return Fulfilled(f"the voters are {_list(latest.seats)}")
    if not after.seats:
        return Declined(f"{wish.name} is the last voter: without it there is no cluster")
    lost = _without_majority(after, scene.answering, wish)
    if lost is not None:
        return lost
    if seat is not None and seat.address == scene.own.address:
        return HandOver() if scene.heirs else Waiting()
    return Step(after)


def _rule_on_replace(wish: MemberWish, scene: Scene) -> Ruling:
    latest = scene.latest
    seat = latest.named(wish.name)
    if seat is None:
        is_under_way = any(expected.is_called(wish.name) for expected in latest.expected)
        return Waiting() if is_under_way else Declined(f"{wish.name} has no vote any more")
    if seat.incarnation != wish.barred:
        if seat.address == wish.address:
            return Fulfilled(_outcome(wish, latest))
        return Declined(f"the vote of {wish.name} has gone to the node at {seat.address}")
    if seat.address in scene.answering:
        return Declined(
            f"{wish.name} at {seat.address} is alive: stop the old node first, a name belongs to "
            "one of the two"
        )
    newcomer = _newcomer(wish, scene)
    if isinstance(newcomer, Declined):
        return newcomer
    if newcomer.address not in scene.ready:
        return Waiting()
    after = latest.without(wish.name).expecting(newcomer)
    return _without_majority(after, scene.answering, wish) or Step(after)


def _newcomer(wish: MemberWish, scene: Scene) -> Seat | Declined:
    """The node that the wish is about, which must be here before anything is done for it."""
    other = scene.latest.at(wish.address)
    if other is not None and not other.is_called(wish.name):
        return Declined(f"{wish.address} is the address of {other.name or 'another voter'}")
    newcomer = scene.newcomers.get(wish.address)
    if newcomer is not None and newcomer.is_called(wish.name):
        return newcomer
    absent = f"no {wish.name} at {wish.address} is in touch with the raft leader"
    namesakes = [seat for seat in scene.newcomers.values() if seat.is_called(wish.name)]
    if namesakes:
        places = ", ".join(sorted(seat.address for seat in namesakes))
        return Declined(
            f"{absent}, but another {wish.name}, without a vote, at {places}: stop that one, of "
            "two nodes with one name only one is let in"
        )
    waiting = [f"{seat.name} at {seat.address}" for seat in scene.newcomers.values()]
    return Declined(
        f"{absent}: start it first, with this cluster in its raft.partner_addrs; in touch without "
        "a vote: " + (", ".join(sorted(waiting)) or "nobody")
    )


def _without_majority(
    after: Configuration, answering: Iterable[str], wish: MemberWish
) -> Declined | None:
    """Why a set of voters must not come into force: too few of them answer now."""
    silent = [seat for seat in after.seats if seat.address not in set(answering)]
    if len(after.seats) - len(silent) > len(after.seats) / 2:
        return None
    return Declined(
        f"to {wish.verb} {wish.name} would leave the voters {_list(after.seats)}, of whom too few "
        f"answer for a majority; no answer from {_list(silent)}: start what is down there first"
    )


def _outcome(wish: MemberWish, latest: Configuration) -> str:
    return f"{wish.name} at {wish.address} votes; the voters are {_list(latest.seats)}"


def _list(seats: Iterable[Seat]) -> str:
    return ", ".join(sorted(seat.name or seat.address for seat in seats))
