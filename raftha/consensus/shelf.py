"""The snapshots in a voter's file: the one in use, those in the making, and what older ones left.

A snapshot is written part by part and put in use by one small change. What that makes worthless,
its parts and the log before it, is taken away little by little with each new entry: to take all of
it away at once would hold up a round as long as writing it did.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from raftha.consensus.stable import Origin

ENTRIES_AT_A_TIME: Final = 2
"""Old log entries that go for each new one; more than one, or they would never be gone."""
ENTRIES_A_TIDYING: Final = 16
PARTS_A_TIDYING: Final = 2

SCHEMA: Final = (
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, snapshot INTEGER NOT NULL, body BLOB NOT NULL)",
    "CREATE TABLE base (id INTEGER PRIMARY KEY CHECK (id = 1), snapshot INTEGER,"
    " first INTEGER NOT NULL)",
)

Write = Callable[..., None]


class Shelf:
    """Writes through `write(statement, *values)`, whose transaction is the store's."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._next_part = 1
        self._next_snapshot = 1
        self._in_use: int | None = None
        self._drafts: dict[Origin, int] = {}
        self._parts: dict[int, list[int]] = {}
        self._worthless: deque[int] = deque()
        self._oldest = self._first = 1
        self._owed = 0

    def open(
        self, parts: Iterable[tuple[int, int]], in_use: int | None, oldest: int, first: int
    ) -> None:
        """Take over what the file holds: the number of each part and of its snapshot, the snapshot
        in use, the oldest entry that is still there, and the first that counts."""
        self._in_use, self._oldest, self._first = in_use, oldest, first
        for part, snapshot in parts:
            self._next_part = max(self._next_part, part + 1)
            self._next_snapshot = max(self._next_snapshot, snapshot + 1)
            if snapshot == in_use:
                self._parts.setdefault(snapshot, []).append(part)
            else:
                self._worthless.append(part)

    def stage(self, origin: Origin, body: bytes, *, first: bool) -> None:
        """Write one part of a snapshot in the making."""
        if first:
            self._discard(self._drafts.pop(origin, None))
            self._drafts[origin] = self._next_snapshot
            self._next_snapshot += 1
        snapshot = self._drafts[origin]
        self._write("INSERT INTO parts VALUES (?, ?, ?)", self._next_part, snapshot, body)
        self._parts.setdefault(snapshot, []).append(self._next_part)
        self._next_part += 1

    def put_in_use(self, origin: Origin, first: int) -> None:
        """From now on this snapshot counts, and no entry before `first`."""
        snapshot = self._drafts.pop(origin)
        self._write("UPDATE base SET snapshot = ?, first = ?", snapshot, first)
        self._discard(self._in_use)
        self._in_use, self._first = snapshot, first

    def tidy(self, added: int) -> None:
        """Take a little away of what is worthless, now that so many entries were added; mostly
        nothing, for to touch an old page costs as much as a new one."""
        self._owed += added
        if self._owed < ENTRIES_A_TIDYING:
            return
        gone, self._owed = self._owed * ENTRIES_AT_A_TIME, 0
        if self._oldest < self._first:
            self._oldest = min(self._oldest + gone, self._first)
            self._write("DELETE FROM log WHERE idx < ?", self._oldest)
        for _ in range(min(PARTS_A_TIDYING, len(self._worthless))):
            self._write("DELETE FROM parts WHERE id = ?", self._worthless.popleft())

    def _discard(self, snapshot: int | None) -> None:
        if snapshot is not None:
            self._worthless += self._parts.pop(snapshot, [])
