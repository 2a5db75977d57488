"""When a raft leader tells the others of new entries, and that entries are committed.

Runs on the raft thread; the library alone would wait for its next heartbeat.
"""

from __future__ import annotations

from typing import Final, Protocol

from raftha.consensus.forwards import Intake
from raftha.consensus.journal import Journal

PAUSE: Final = 0.001
"""Seconds for which a raft leader keeps to itself that entries are committed, if only its own
callers asked for them: a client that writes again costs each node one message less."""


class Speaker(Protocol):
    """The part of the library that sends."""

    heartbeat_due: float

    @property
    def is_leading(self) -> bool: ...
    @property
    def commit_index(self) -> int: ...
    def send_entries(self) -> None: ...


class News:
    """Knows what was told last."""

    def __init__(self, engine: Speaker, journal: Journal, intake: Intake) -> None:
        self._engine = engine
        self._journal = journal
        self._intake = intake
        self._told = (0, 0)

    def tell(self, now: float) -> None:
        """New entries go out at once, and a new commit index if another node waits for it. Else it
        is left for a moment to the next entries, which tell of it too."""
        before, before_commit = self._told
        last, commit = self._told = (self._journal.last_index, self._engine.commit_index)
        if not self._engine.is_leading or (last, commit) == (before, before_commit):
            return
        if last != before or self._intake.last_forwarded > before_commit:
            self._engine.send_entries()
        else:
            self._engine.heartbeat_due = min(self._engine.heartbeat_due, now + PAUSE)
