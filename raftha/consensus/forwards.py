"""Commands on their way into the log of a raft leader: its own, and those that others forward.

A voter is trusted to be who it is, not to be sane. One that forwards without end would fill the log
up to the bound at which the raft leader takes nothing more, not even its own renewals of the lease.
So each may have only so many commands in the log that are not committed yet. What is beyond is not
taken; its sender is in the state of anybody whose message was lost, and reports an unknown outcome.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from raftha.consensus import commands
from raftha.consensus.commands import MAX_COMMAND_BYTES, Body, NewerFormat, WireError
from raftha.consensus.journal import Journal
from raftha.consensus.limits import Account, most_added
from raftha.consensus.proposals import MAX_PENDING

MAX_UNCOMMITTED: Final = 10_000
MAX_UNDER_WAY: Final = 2 * MAX_PENDING
"""A voter has so many commands under way and, after a link broke, the same ones once more."""

Report = Callable[[str, str], object]
"""Takes a peer and what is wrong with it, in words that stay the same for the same cause."""


class Engine(Protocol):
    """What is asked of Raft itself."""

    @property
    def term(self) -> int: ...
    @property
    def commit_index(self) -> int: ...
    @property
    def applied_index(self) -> int: ...


Room = Callable[[Body, int], str | None]
"""Why there is no room in the store for a command, with so many bytes under way already."""


class Intake:
    """Appends what can be applied, while this node leads."""

    def __init__(self, engine: Engine, journal: Journal, report: Report, room: Room) -> None:
        self._engine = engine
        self._journal = journal
        self._forwards = Forwards(report)
        self._room = room
        self._account = Account()
        self.last_forwarded = 0
        """The index of the last entry that another voter wanted."""

    def append(self, payload: bytes) -> bool:
        """Append a command of this node."""
        body = _read(payload)
        return body is not None and self._add(payload, body)

    def objection(self, body: Body) -> str | None:
        """Why the store has no room for a command, as far as this node knows."""
        self._account.settle(self._engine.term, self._engine.applied_index)
        return self._room(body, self._account.under_way)

    def take(self, peer: str, payload: bytes) -> None:
        """Append what another voter wants, as long as there is room for our own commands."""
        if not self._forwards.admits(peer, self._engine.term, self._engine.commit_index):
            return
        if self._backlog >= MAX_UNCOMMITTED - MAX_PENDING:
            return
        body = _read(payload)
        if body is None:
            self._forwards.refuse(peer)
        elif self._add(payload, body):
            self.last_forwarded = self._journal.last_index
            self._forwards.took(peer, self.last_forwarded)

    def _add(self, payload: bytes, body: Body) -> bool:
        if self._backlog >= MAX_UNCOMMITTED or self.objection(body) is not None:
            return False
        index = self._journal.last_index + 1
        self._journal.add(commands.REGULAR + payload, index, self._engine.term)
        self._account.took(index, most_added(body))
        return True

    @property
    def _backlog(self) -> int:
        """How many entries wait to be committed."""
        return self._journal.last_index - self._engine.commit_index


def _read(payload: bytes) -> Body | None:
    """What a command is to do; None for bytes that are none: they would stop every replica."""
    if len(payload) > MAX_COMMAND_BYTES:
        return None
    try:
        return commands.decode(payload).body
    except (WireError, NewerFormat):
        return None


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
