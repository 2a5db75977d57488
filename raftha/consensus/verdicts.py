"""What others hold against this node itself, and how long each of them does (PURE)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from raftha.consensus.greeting import Grounds, Refusal
from raftha.model.store import Accusation

_MAX_HELD: Final = 256


class Verdicts:
    """One verdict for each address; `worst` is the gravest of them, then the first, `accusation`
    the same for people to read.

    It stands until the same peer lets this node in, or has no seat any more. One that voids the
    Raft directory stands for good: nothing that happens later gives it back what it has forgotten.
    """

    def __init__(self) -> None:
        self.worst: Refusal | None = None
        self.accusation: Accusation | None = None
        self._held: dict[str, Refusal] = {}

    def add(self, address: str, refusal: Refusal) -> None:
        """The peer at this address has turned this node away."""
        has_room = len(self._held) < _MAX_HELD or refusal.grounds.voids_directory
        if has_room and not self._is_final(address):
            self._held[address] = refusal
            self._weigh()

    def lift(self, over: Callable[[str], bool]) -> None:
        """What was held at the addresses for which this is true is over."""
        kept = {a: held for a, held in self._held.items() if self._is_final(a) or not over(a)}
        if len(kept) < len(self._held):
            self._held = kept
            self._weigh()

    def _is_final(self, address: str) -> bool:
        held = self._held.get(address)
        return held is not None and held.grounds.voids_directory

    def _weigh(self) -> None:
        address, self.worst = max(self._held.items(), key=_gravity, default=("", None))
        said = self.worst
        self.accusation = Accusation(address=address, why=said.why) if said else None

    @property
    def barred(self) -> str | None:
        """Why this node is no voter any more, if the worst is that it is none."""
        worst = self.worst
        is_out = worst is not None and worst.grounds is Grounds.REMOVED
        return worst.why if worst is not None and is_out else None


def _gravity(held: tuple[str, Refusal]) -> int:
    refusal = held[1]
    return 2 if refusal.grounds.voids_directory else int(refusal.grounds is Grounds.REMOVED)
