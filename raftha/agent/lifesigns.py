"""Whether anything of a node still answers: its Raft address, its HTTP API, its PostgreSQL.

A connection that the kernel of the other machine accepts is enough: a stopped process cannot refuse
one. Silence proves nothing; it is what a dead machine, a cut and a firewall look like.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from msgspec import Struct

from raftha.config.values import Invalid, parse_address
from raftha.instants import Seconds
from raftha.model.cluster import Member
from raftha.model.settings import Address

TIMEOUT: Final = Seconds(1.0)
"""For one connection."""
_MAX_THREADS: Final = 32


class Place(Struct, frozen=True, kw_only=True):
    """An address where a node would answer, and what it is, for people."""

    what: str
    address: Address


class Suspect(Struct, frozen=True, kw_only=True):
    """A node that is believed to be gone."""

    name: str
    places: tuple[Place, ...]


class LifeSign(Struct, frozen=True, kw_only=True):
    """What was found of one node. `answering` are the addresses that accept connections; where a
    machine refuses one, the machine is up and nothing listens there."""

    name: str
    answering: tuple[str, ...] = ()
    refusing: tuple[str, ...] = ()

    @property
    def is_alive(self) -> bool:
        """Something of it answers."""
        return bool(self.answering)

    def __str__(self) -> str:
        if self.answering:
            return f"{self.name} answers: {', '.join(self.answering)}"
        if self.refusing:
            return (
                f"{self.name}: its machine answers, and nothing of the node runs there "
                f"({', '.join(self.refusing)} refused)"
            )
        return f"{self.name}: no answer"


def look(suspects: Sequence[Suspect], timeout: Seconds = TIMEOUT) -> tuple[LifeSign, ...]:
    """Try every address of every node once, all at the same time."""
    places = [place for suspect in suspects for place in suspect.places]
    with ThreadPoolExecutor(max_workers=min(_MAX_THREADS, max(1, len(places)))) as threads:
        answers = iter(list(threads.map(lambda place: _accepts(place, timeout), places)))
    return tuple(
        _sign(suspect, {place: next(answers) for place in suspect.places}) for suspect in suspects
    )


def suspect(member: Member) -> Suspect:
    """A member that may be gone."""
    return Suspect(name=member.name, places=places_of(member.raft, member))


def places_of(raft: str, member: Member | None) -> tuple[Place, ...]:
    """Where the node with this Raft address would answer."""
    places = [Place(what="Raft at", address=parse_address(raft))]
    if member is not None:
        api = _host_of(member.api_url)
        places += [] if api is None else [Place(what="HTTP at", address=api)]
        places.append(Place(what="PostgreSQL at", address=member.postgres))
    return tuple(places)


def _host_of(url: str) -> Address | None:
    try:
        return parse_address(url.partition("//")[2].partition("/")[0])
    except Invalid:
        return None


def _sign(suspect: Suspect, answers: dict[Place, bool | None]) -> LifeSign:
    named = {place: f"{place.what} {place.address}" for place in answers}
    return LifeSign(
        name=suspect.name,
        answering=tuple(named[place] for place, accepts in answers.items() if accepts is True),
        refusing=tuple(named[place] for place, accepts in answers.items() if accepts is False),
    )


def _accepts(place: Place, timeout: Seconds) -> bool | None:
    """Whether a connection is accepted; None if nobody says anything."""
    try:
        with socket.create_connection((place.address.host, place.address.port), timeout) as link:
            # On this machine the kernel may have joined a port of its own choice to itself.
            return bool(link.getsockname() != link.getpeername())
    except ConnectionRefusedError:
        return False
    except OSError:
        return None
