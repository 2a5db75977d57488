"""Who votes: the set of voters as an entry of the log, and how one set may follow another (PURE).

A configuration is in force on a node from the moment its entry stands in that node's log, committed
or not, and no longer than it stands there. So two neighbouring sets may be in force at once, and
majorities of both must share a voter: one step adds or removes one voter at most. A voter is an
address together with the one incarnation that answers there, so another Raft directory behind the
same address is another voter, and to exchange one for the other takes two steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from raftha.consensus.commands import UNDECODABLE, NewerFormat, WireError

KIND: Final = b"\x10"
"""The first byte of a log entry that holds a configuration; the library's own kinds are below."""
MAX_SEATS: Final = 32
_FORMAT: Final = 1

_Text = Annotated[str, msgspec.Meta(max_length=300)]


class Seat(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One place in the set of voters. Without an incarnation it is unbound: at the birth of a
    cluster the addresses are known before anybody has been met there."""

    address: _Text
    name: _Text = ""
    incarnation: _Text = ""
    witness: bool = False

    @property
    def is_bound(self) -> bool:
        """Whether it is known which incarnation votes here."""
        return bool(self.incarnation)

    def is_called(self, name: str) -> bool:
        """Whether the voter here has this name, in any spelling of it."""
        return self.name.casefold() == name.casefold() != ""


class _Packed(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    format: int
    lineage: _Text
    generation: Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
    seats: Annotated[list[Seat], msgspec.Meta(max_length=MAX_SEATS)]
    expected: Annotated[list[Seat], msgspec.Meta(max_length=MAX_SEATS)]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Packed)
_HEADER: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])


class Configuration(Struct, frozen=True, kw_only=True):
    """The voters. `lineage` tells clusters apart that were born apart under one scope; a recovery
    after the loss of a majority raises `generation`. `expected` are nodes that will get a seat once
    they hold the log."""

    lineage: str
    generation: int = 0
    seats: tuple[Seat, ...]
    expected: tuple[Seat, ...] = ()

    def at(self, address: str) -> Seat | None:
        """The seat at an address."""
        return next((seat for seat in self.seats if seat.address == address), None)

    def named(self, name: str) -> Seat | None:
        """The seat of a voter by its name."""
        return next((seat for seat in self.seats if seat.is_called(name)), None)

    def home(self, name: str) -> str | None:
        """The address that belongs to a name: where a voter has it, or a node is to get a seat."""
        called = (seat.address for seat in (*self.seats, *self.expected) if seat.is_called(name))
        return next(called, None)

    def spelling(self, name: str) -> str:
        """A name as whoever has it, or is to get a seat by it, spells it. All spellings are one
        name, but for the store, which keeps its keys by it."""
        same = [seat.name for seat in (*self.seats, *self.expected) if seat.is_called(name)]
        return name if not same or name in same else same[0]

    def binds(self, address: str, incarnation: str) -> bool:
        """Whether this incarnation votes at this address."""
        seat = self.at(address)
        return seat is not None and seat.is_bound and seat.incarnation == incarnation

    def expects(self, address: str, incarnation: str) -> bool:
        """Whether this incarnation is to get a seat. One that is awaited by name alone is none."""
        return any(
            seat.is_bound and (seat.address, seat.incarnation) == (address, incarnation)
            for seat in self.expected
        )

    def shares_voter(self, other: Configuration) -> bool:
        """Whether one incarnation votes in both."""
        return any(other.binds(seat.address, seat.incarnation) for seat in self.seats)

    def binding(self, known: Iterable[Seat]) -> Configuration:
        """The same seats, the unbound ones bound to whom is known to answer there. A name that has
        a seat is not bound a second time."""
        met = {seat.address: seat for seat in known if self.named(seat.name) is None}
        bound = tuple(seat if seat.is_bound else met.get(seat.address, seat) for seat in self.seats)
        return replace(self, seats=bound)

    def without(self, name: str) -> Configuration:
        """The set without the voter, and without the expected node, of this name."""
        return replace(
            self,
            seats=tuple(seat for seat in self.seats if not seat.is_called(name)),
            expected=tuple(seat for seat in self.expected if not seat.is_called(name)),
        )

    def without_address(self, address: str) -> Configuration:
        """The set without the voter at this address, whose name may never have been learned."""
        return replace(self, seats=tuple(seat for seat in self.seats if seat.address != address))

    def expecting(self, newcomer: Seat) -> Configuration:
        """The same voters; this node is to become one. It stands for any earlier of its name."""
        others = (seat for seat in self.expected if not seat.is_called(newcomer.name))
        return replace(self, expected=(*others, newcomer))

    def admitting(self, newcomer: Seat) -> Configuration:
        """The set with one voter more."""
        seats = sorted((*self.seats, newcomer), key=lambda seat: seat.address)
        expected = tuple(seat for seat in self.expected if not seat.is_called(newcomer.name))
        return replace(self, seats=tuple(seats), expected=expected)


class ConfigurationLog:
    """The configurations of a log, oldest first. The first one may be a snapshot's."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, Configuration]] = []

    def begin(self, index: int, configuration: Configuration | None) -> None:
        """Start over from a snapshot that ends at this index, or from nothing."""
        self._entries = [] if configuration is None else [(index, configuration)]

    def add(self, index: int, command: bytes) -> str | None:
        """Take note of an entry that was appended. Returns why it must not follow the one before
        it, if that is so. Raises WireError, or NewerFormat."""
        configuration = decode(command)
        if configuration is None:
            return None
        before = self.latest
        self._entries.append((index, configuration))
        return None if before is None else fault_of_step(before.seats, configuration)

    def cut(self, index: int) -> None:
        """The entries from this one on are gone."""
        while self._entries and self._entries[-1][0] >= index:
            self._entries.pop()

    def as_of(self, index: int) -> tuple[Configuration | None, int]:
        """What the log up to this entry says, and where; (None, 0) if it says nothing."""
        for at, known in reversed(self._entries):
            if at <= index:
                return known, at
        return None, 0

    @property
    def latest(self) -> Configuration | None:
        """What is in force; None before the birth of the cluster."""
        return self._entries[-1][1] if self._entries else None

    @property
    def latest_index(self) -> int:
        """Where it stands; 0 if there is none."""
        return self._entries[-1][0] if self._entries else 0


def party_id(seat: Seat) -> str:
    """A name for one incarnation at one address."""
    return f"{seat.address} {seat.incarnation}"


def unborn(addresses: Iterable[str]) -> tuple[Seat, ...]:
    """The seats before any configuration: the addresses of the files, unbound."""
    return tuple(Seat(address) for address in sorted(set(addresses)))


def fault_of_step(before: Sequence[Seat], after: Configuration) -> str | None:
    """Why a set must not follow another; None if it may. To bind a seat changes nobody's vote: it
    only writes down who has it."""
    old = {seat.address: seat for seat in before}
    new = {seat.address: seat for seat in after.seats}
    if not new or len(new) != len(after.seats):
        return "a set of voters that is empty or names an address twice"
    exchanged = [
        address
        for address in old.keys() & new.keys()
        if old[address].is_bound and old[address].incarnation != new[address].incarnation
    ]
    changes = len(old.keys() ^ new.keys()) + 2 * len(exchanged)
    return None if changes <= 1 else f"{changes} voters come or go in one step"


def encode(configuration: Configuration) -> bytes:
    """The log entry."""
    return KIND + _ENCODER.encode(
        _Packed(
            _FORMAT,
            configuration.lineage,
            configuration.generation,
            list(configuration.seats),
            list(configuration.expected),
        )
    )


def decode(command: bytes) -> Configuration | None:
    """Read a log entry; None if it is of another kind. Raises WireError, or NewerFormat."""
    if command[:1] != KIND:
        return None
    try:
        packed = _DECODER.decode(command[1:])
    except UNDECODABLE as error:
        _refuse_newer(command[1:])
        raise WireError(f"not a set of voters: {error}") from None
    if packed.format != _FORMAT:
        _refuse_newer(command[1:])
        raise WireError(f"unknown format {packed.format} of a set of voters")
    return Configuration(
        lineage=packed.lineage,
        generation=packed.generation,
        seats=tuple(packed.seats),
        expected=tuple(packed.expected),
    )


def _refuse_newer(body: bytes) -> None:
    try:
        fields = _HEADER.decode(body)
        number = msgspec.msgpack.decode(fields[0], type=int) if fields else 0
    except UNDECODABLE:
        return
    if number > _FORMAT:
        raise NewerFormat(
            f"the Raft log holds a set of voters of format {number}, this release knows {_FORMAT}: "
            "upgrade raftha on this node"
        )
