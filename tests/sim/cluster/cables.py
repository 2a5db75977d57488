"""Which links of the made-up network carry anything: PostgreSQL's and those of HTTP. The links of
Raft are in `wires.py`; a cut of both is made in both places."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from tests.sim.network import Link


class Cables:
    """Directed links of two kinds, each cut or not; and how long a message takes."""

    def __init__(self, random: Random, delay: float) -> None:
        self._random = random
        self._delay = delay
        self._cut: dict[tuple[str, Link], int] = {}

    def cut(self, kind: str, links: Iterable[Link]) -> None:
        """Nothing gets through in these directions, until `heal` has been called as often."""
        for link in links:
            self._cut[kind, link] = self._cut.get((kind, link), 0) + 1

    def heal(self, kind: str, links: Iterable[Link]) -> None:
        for link in links:
            left = self._cut.get((kind, link), 0) - 1
            if left > 0:
                self._cut[kind, link] = left
            else:
                self._cut.pop((kind, link), None)

    def heal_all(self) -> None:
        self._cut.clear()

    def carries(self, kind: str, source: str, target: str) -> bool:
        """Whether a message gets through now; a machine always hears itself."""
        return (kind, (source, target)) not in self._cut

    def carry_both(self, kind: str, left: str, right: str) -> bool:
        return self.carries(kind, left, right) and self.carries(kind, right, left)

    @property
    def delay(self) -> float:
        """What one message takes."""
        return self._delay * (1 + self._random.random())
