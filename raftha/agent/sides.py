"""What the lease is kept between: the key store on one side, the guardian on the other; and what
is asked of the first."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from raftha.instants import Instant, Seconds
from raftha.logs import event
from raftha.model.ids import Epoch, Revision
from raftha.model.settings import DynamicConfig
from raftha.model.store import Command, Key, LeaseId, Outcome, Snapshot
from raftha.model.view import HeldLease

LOG = logging.getLogger(__name__)
_SECONDS: Final = re.compile(r"[0-9.]+ s\b")


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


class Restraint:
    """Asks why a renewal must not go out, and logs the reason when it is another one; figures that
    grow make no other."""

    def __init__(self, ask: Callable[[], str | None]) -> None:
        self._ask = ask
        self._said = ""

    def holds_back(self) -> bool:
        """Whether there is a reason now."""
        reason = self._ask()
        said = "" if reason is None else _SECONDS.sub("# s", reason)
        if reason is not None and said != self._said:
            event(LOG, logging.WARNING, "renewal held back", why=reason)
        self._said = said
        return reason is not None


def share_of(ttl: Seconds, settings: DynamicConfig) -> float:
    """How much of the heartbeat and of the time for an answer is right for a lease of this ttl: all
    of it, unless a longer ttl is wanted by now. Until that has committed the lease is as short as
    it was, and the heartbeat that goes with the longer one may be longer than that (R2)."""
    return min(1.0, ttl / settings.ttl)


def standing(held: HeldLease, snapshot: Snapshot, leader_key: Key) -> HeldLease | None:
    """The same lease as the local replica has it; None once the key is not this epoch's."""
    lease = snapshot.leases.get(held.lease)
    if lease is None or snapshot.epoch_of(leader_key) != held.epoch:
        return None
    return replace(held, revision=lease.revision)
