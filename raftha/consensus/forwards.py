"""What other voters hand to this raft leader: commands, no more at once than a sane one sends.

A voter is trusted to be who it is, not to be sane. One that forwards without end would fill the log
up to the bound at which the raft leader takes nothing more, not even its own renewals of the lease.
So each may have only so many commands in the log that are not committed yet. What is beyond is not
taken; its sender is in the state of anybody whose message was lost, and reports an unknown outcome.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from raftha.consensus.proposals import MAX_PENDING

MAX_UNDER_WAY: Final = 2 * MAX_PENDING
"""A voter has so many commands under way and, after a link broke, the same ones once more."""

Report = Callable[[str, str], object]
"""Takes a peer and what is wrong with it, in words that stay the same for the same cause."""


class Forwards:
    """Keeps account while this node leads; another term begins a new account."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._term = 0
        self._under_way: dict[str, deque[int]] = {}

    def admits(self, peer: str, term: int, commit_index: int) -> bool:
        """Whether a command of this peer is to be looked at."""
        if term != self._term:
            self._term = term
            self._under_way.clear()
        indexes = self._under_way.setdefault(peer, deque())
        while indexes and indexes[0] <= commit_index:
            indexes.popleft()
        if len(indexes) < MAX_UNDER_WAY:
            return True
        self._report(
            peer,
            f"it forwards more than {MAX_UNDER_WAY} commands before any of them is committed, "
            "and what is beyond is not taken: restart raftha on that node if it goes on",
        )
        return False

    def took(self, peer: str, index: int) -> None:
        """A command of this peer stands in the log there."""
        self._under_way[peer].append(index)

    def refuse(self, peer: str) -> None:
        """What came from this peer is no command."""
        self._report(
            peer,
            "it forwards what is no command for this release, and nothing of that is taken: "
            "run the same release of raftha on both",
        )
