"""How much one peer may send (PURE): so much a second, and one second's worth at once.

Voters are trusted to be who they are, not to be sane: one that sends without end must not keep the
raft thread from the others. Who spends more than it has is not read from until it has earned it
back; the rest waits in its own kernel.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

FRAMES_PER_S: Final = 10_000
"""A follower that forwards for a hundred callers sends up to 5000."""
BYTES_PER_S: Final = 64 * 1024 * 1024


class Budget(Struct):
    """Grows by `rate` a second up to `rate`; `since` is when it stood at `left`."""

    rate: float
    left: float
    since: float

    @classmethod
    def full(cls, rate: float, now: float) -> Budget:
        return cls(rate, rate, now)

    def spend(self, amount: float, now: float) -> None:
        """Take from it, below zero if need be."""
        self.left = min(self.rate, self.left + (now - self.since) * self.rate) - amount
        self.since = now

    def solvent_at(self) -> float:
        """When there will be something left."""
        return self.since if self.left >= 0 else self.since - self.left / self.rate
