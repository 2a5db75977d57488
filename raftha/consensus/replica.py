"""This node's copy of the key store: committed entries go in, snapshots and answers come out.

Runs on the raft thread. `published` alone is read by others: an immutable value, swapped whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from raftha.clock import Clock
from raftha.consensus import commands, state
from raftha.consensus.commands import Body, Expire, LogCommand, NewerFormat, WireError
from raftha.consensus.lessor import Lessor
from raftha.consensus.limits import lack_of_room
from raftha.consensus.machine import Machine, Result
from raftha.consensus.watch import WatchHub
from raftha.instants import Seconds
from raftha.model.store import Event, Snapshot

Heard = Callable[[LogCommand, Result], None]

PATIENCE: Final = Seconds(0.1)
"""How much later than the raft leader each further replica proposes the end of a lease."""


class Replica:
    """State machine, stamps and watches, driven by the log."""

    def __init__(
        self,
        *,
        clock: Clock,
        watches: WatchHub,
        heard: Heard,
        restored: Callable[[Machine], None],
        fatal: Callable[[str], object],
    ) -> None:
        self._clock = clock
        self._watches = watches
        self._heard = heard
        self._restored = restored
        self._fatal = fatal
        self._lessor = Lessor()
        self._events: list[Event] = []
        self._applied = False
        self.machine = Machine()
        self.published = self._snapshot()

    def appended(self, index: int) -> None:
        """An entry arrived; if it renews a lease, the lease is stamped with this instant."""
        self._lessor.received(index, self._clock.now())

    def apply(self, index: int, payload: bytes) -> None:
        """Carry out a committed command. Bytes that cannot be read end the process: the raft leader
        appends only what it can read itself, so another version wrote them, and to skip them here
        would let the replicas differ."""
        try:
            command = commands.decode(payload)
        except (NewerFormat, WireError) as error:
            self._fatal(f"the committed entry {index} cannot be read: {error}")
            return
        applied = self.machine.apply(command)
        self._applied = True
        self._lessor.applied(index, applied.renewed, self._clock.now())
        self._events.extend(applied.events)
        self._heard(command, applied.result)

    def lack_of_room(self, body: Body, under_way: int) -> str | None:
        """Why a command is not to get into the log, for the size that the store has here."""
        return lack_of_room(self.machine, body, under_way)

    def dump(self) -> Iterator[bytes]:
        """The whole state as it is now, piece by piece."""
        return state.pieces(self.machine)

    def restore(self, data: bytes) -> None:
        """Take a snapshot's state. Raises WireError if it is none."""
        try:
            self.machine = state.restore(data)
        except NewerFormat as error:
            self._fatal(str(error))
            return
        self._lessor.loaded()
        self._events.clear()
        self._watches.restart(self.machine.revision)
        self._restored(self.machine)
        self.published = self._snapshot()

    def publish(self) -> None:
        """Let everybody see what was applied, and wake the watches."""
        if self.machine.revision != self.published.revision:
            self.published = self._snapshot()
        elif self._applied:
            self.published = replace(self.published, taken=self._clock.now())
        self._applied = False
        if self._events:
            events, self._events = self._events, []
            self._watches.add(events, self.machine.revision)

    def due(self, rank: int) -> tuple[Expire, ...]:
        """Leases to be ended; `rank` is 0 on the raft leader, higher on each other replica."""
        patience = Seconds(rank * PATIENCE)
        return self._lessor.due(self.machine.leases, self._clock.now(), patience)

    @property
    def wait(self) -> Seconds:
        """Seconds until a lease may be due."""
        return self._lessor.next_due(self.machine.leases, self._clock.now())

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            revision=self.machine.revision,
            generation=self.machine.generation,
            taken=self._clock.now(),
            entries=MappingProxyType(dict(self.machine.entries)),
            leases=MappingProxyType(dict(self.machine.leases)),
        )
