"""What the lease is kept between: the key store on one side, the guardian on the other; and what
is asked of the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from raftha.instants import Instant, Seconds
from raftha.model.ids import Epoch, Revision
from raftha.model.store import Command, Key, LeaseId, Outcome, Snapshot
from raftha.model.view import HeldLease


class Store(Protocol):
    """The part of the key store that the keeper uses."""

    def submit(
        self, command: Command, *, timeout: Seconds, done: Callable[[Outcome], None]
    ) -> None: ...

    def peek(self) -> Snapshot: ...


class Guard(Protocol):
    """The part of the guardian that the keeper uses. Raises GuardianError."""

    def arm(self, epoch: Epoch, renewal: Revision, kill_at: Instant) -> None: ...

    def burn(self, epoch: Epoch) -> None: ...

    def disarm(self, epoch: Epoch) -> None: ...


class Attempt(Struct, frozen=True, kw_only=True):
    """A command in flight that wins or renews the lease, and what its commit would mean."""

    ttl: Seconds
    lease: LeaseId
    renews: Epoch | None
    armed: bool = True


def standing(held: HeldLease, snapshot: Snapshot, leader_key: Key) -> HeldLease | None:
    """The same lease as the local replica has it; None once the key is not this epoch's."""
    lease = snapshot.leases.get(held.lease)
    if lease is None or snapshot.epoch_of(leader_key) != held.epoch:
        return None
    return replace(held, revision=lease.revision)
