"""What one Raft directory still holds of a cluster whose majority is lost for good, and the
beginning of the next generation that is made from it (PURE).

All that the log holds counts as having happened: the commit index is not stored, and whatever was
acknowledged with this voter's help is there. An entry that never was committed happens too, which
is one of the two things that its caller was told to expect.

The new generation has one voter, a new incarnation of the survivor. Its epochs are above every
earlier one, since an epoch is compared by generation first; no lease goes over into it; and nobody
of the past may speak with it (`members.py`), whichever majority of the past it is part of.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from raftha.consensus import commands, configuration, state
from raftha.consensus.commands import LogCommand, NewerFormat, WireError
from raftha.consensus.configuration import Configuration, ConfigurationLog, Seat
from raftha.consensus.machine import Happened, Machine
from raftha.consensus.stable import Persisted
from raftha.consensus.state import Head, Image, LogEntry
from raftha.errors import RafthaError
from raftha.instants import Seconds
from raftha.model.store import Revoke, Transact

_NO_LEASE: Final = Seconds(0.0)


class NotRecoverable(RafthaError):
    """Nothing can be recovered from this directory; the message says why."""


class Remains(Struct, frozen=True, kw_only=True):
    """What a directory holds, everything in its log applied. `largest_ttl` is the largest that any
    lease had, as far back as the log goes."""

    incarnation: str
    term: int
    last: LogEntry
    machine: Machine
    voters: Configuration
    largest_ttl: Seconds

    @property
    def generation(self) -> int:
        """The generation that ends."""
        return max(self.machine.generation, self.voters.generation)

    @property
    def has_seat(self) -> bool:
        """Whether this directory votes, by its own log, at whatever address it had then."""
        return any(seat.incarnation == self.incarnation for seat in self.voters.seats)


class Beginning(Struct, frozen=True, kw_only=True):
    """The first content of the new Raft directory."""

    generation: int
    term: int
    voters: Configuration
    snapshot: bytes
    entries: tuple[LogEntry, LogEntry]


def read(persisted: Persisted) -> Remains:
    """Apply all that was stored. Raises NotRecoverable."""
    try:
        machine, largest_ttl = replay(persisted)
        voters = _voters(persisted)
    except (WireError, NewerFormat) as error:
        raise NotRecoverable(f"the stored log cannot be read: {error}") from error
    if voters is None:
        raise NotRecoverable(
            "no set of voters stands in the log: this node never was part of a cluster that began"
        )
    return Remains(
        incarnation=persisted.incarnation,
        term=max(persisted.term, persisted.entries[-1].term),
        last=persisted.entries[-1],
        machine=machine,
        voters=voters,
        largest_ttl=largest_ttl,
    )


def begin(remains: Remains, own: Seat, lineage: str, amendment: Transact | None) -> Beginning:
    """The state of a new generation with `own` as its only voter: the old one without leases and
    sessions, and with the amendment carried out. Whoever had a seat gets one again once it comes
    with an empty directory. Raises NotRecoverable if the amendment does not fit the state."""
    machine = _heir(remains, amendment)
    voters = Configuration(
        lineage=lineage,
        generation=machine.generation,
        seats=(own,),
        expected=_expected(remains.voters, own),
    )
    term = remains.term + 1
    entry = LogEntry(configuration.encode(voters), remains.last.index + 1, term)
    image = Image(Head(remains.last, entry, entry.command), state.dump(machine))
    return Beginning(
        generation=machine.generation,
        term=term,
        voters=voters,
        snapshot=state.seal(image),
        entries=(remains.last, entry),
    )


def replay(persisted: Persisted) -> tuple[Machine, Seconds]:
    """The state with all of the log applied, and the largest ttl on the way. Raises WireError or
    NewerFormat."""
    machine, applied = Machine(), 0
    if persisted.snapshot is not None:
        image = state.unseal(persisted.snapshot)
        machine, applied = state.restore(image.state), image.head.last.index
    largest = _largest_ttl(machine, _NO_LEASE)
    for entry in persisted.entries:
        if entry.index > applied and entry.command[:1] == commands.REGULAR:
            machine.apply(commands.decode(entry.command[1:]))
            largest = _largest_ttl(machine, largest)
    return machine, largest


def _largest_ttl(machine: Machine, known: Seconds) -> Seconds:
    return max((known, *(lease.ttl for lease in machine.leases.values())))


def _voters(persisted: Persisted) -> Configuration | None:
    log, after = ConfigurationLog(), 0
    if persisted.snapshot is not None:
        image = state.unseal(persisted.snapshot)
        after = image.head.last.index
        log.begin(after, configuration.decode(image.head.voters))
    for entry in persisted.entries:
        if entry.index > after:
            log.add(entry.index, entry.command)
    return log.latest


def _heir(remains: Remains, amendment: Transact | None) -> Machine:
    machine = state.restore(state.dump(remains.machine))
    machine.generation = remains.generation + 1
    machine.sessions.clear()
    for lease in list(machine.leases.values()):
        machine.apply(LogCommand(body=Revoke(lease.id, lease.revision)))
    if amendment is None:
        return machine
    result = machine.apply(LogCommand(body=amendment)).result
    if not isinstance(result, Happened):
        raise NotRecoverable(f"the state of the new generation cannot be written: {result}")
    return machine


def _expected(voters: Configuration, own: Seat) -> tuple[Seat, ...]:
    """The others, by name and address alone: none of them comes back with what it was."""
    others: dict[str, Seat] = {}
    for seat in (*voters.seats, *voters.expected):
        if seat.name and seat.address != own.address and not seat.is_called(own.name):
            others.setdefault(seat.name.casefold(), Seat(seat.address, seat.name, "", seat.witness))
    return tuple(others.values())
