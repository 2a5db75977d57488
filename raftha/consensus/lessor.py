"""Which leases may be declared dead, by this replica's own clocks (PURE).

A stamp says when this replica received the log entry that granted or renewed a lease. Receiving
comes after the holder's own reading of its clock, so counting from the stamp never ends a lease
early. Stamps are keyed by (lease, revision) and never leave this process: after a restart or a
snapshot the stamp is the time of the load, which only makes the wait longer.

`due` proposes; it decides nothing. The command it leads to compares the revision, so a renewal that
came first in the log wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from raftha.consensus.commands import Expire
from raftha.instants import RHO, Instant, Seconds, shortest
from raftha.model.ids import Revision
from raftha.model.store import Lease, LeaseId

REPROPOSE_AFTER: Final = Seconds(0.25)
"""A proposal that had no effect (no leader, lost) is repeated after this time."""
LOOK_AGAIN_AFTER: Final = Seconds(0.05)


class _Stamp(Struct):
    revision: Revision
    at: Instant
    proposed: Instant | None = None


class Lessor:
    """Keeps the stamps. Every method takes the present instant; none reads a clock."""

    def __init__(self) -> None:
        self._received: dict[int, Instant] = {}
        self._stamps: dict[LeaseId, _Stamp] = {}

    def received(self, index: int, now: Instant) -> None:
        """A log entry arrived at this index; a later one at the same index replaces it."""
        self._received[index] = now

    def applied(
        self, index: int, renewed: Iterable[tuple[LeaseId, Revision]], now: Instant
    ) -> None:
        """The entry at this index is committed and renewed these leases."""
        at = self._received.pop(index, now)
        for lease, revision in renewed:
            self._stamps[lease] = _Stamp(revision, at)

    def loaded(self) -> None:
        """The state was replaced by a snapshot: what is known by log index is void. Stamps of
        revisions that the snapshot still holds stay true."""
        self._received.clear()

    def due(
        self, leases: Mapping[LeaseId, Lease], now: Instant, patience: Seconds
    ) -> tuple[Expire, ...]:
        """Leases whose whole ttl has passed on this replica's slower clock.

        `patience` is added to the ttl: 0 on the raft leader, a little on the others, so that
        normally one replica proposes. A returned lease is not returned again at once.
        """
        for gone in self._stamps.keys() - leases.keys():
            del self._stamps[gone]
        due = [lease for lease in leases.values() if self._is_due(lease, now, patience)]
        return tuple(Expire(lease.id, lease.revision) for lease in due)

    def next_due(self, leases: Mapping[LeaseId, Lease], now: Instant) -> Seconds:
        """Seconds until it is worth looking again: when the first lease comes due, and now and then
        while one is due and not ended yet."""
        wait = 1.0
        for lease in leases.values():
            stamp = self._stamps.get(lease.id)
            if stamp is not None and stamp.revision == lease.revision:
                left = lease.ttl * (1 + RHO) - shortest(stamp.at, now)
                wait = min(wait, left if left > 0 else LOOK_AGAIN_AFTER)
        return Seconds(wait)

    def _is_due(self, lease: Lease, now: Instant, patience: Seconds) -> bool:
        stamp = self._stamps.get(lease.id)
        if stamp is None or stamp.revision != lease.revision:
            self._stamps[lease.id] = _Stamp(lease.revision, now)
            return False
        if shortest(stamp.at, now) < lease.ttl * (1 + RHO) + patience:
            return False
        if stamp.proposed is not None and shortest(stamp.proposed, now) < REPROPOSE_AFTER:
            return False
        stamp.proposed = now
        return True
