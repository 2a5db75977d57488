"""Puts the applied state in place of the log that led to it, a part in each round.

However large the state is, no round waits for all of it: it is encoded and written part by part,
beside the snapshot in use, and shows what it showed when it was begun. The last part makes it the
one in use and forgets the log before it, in one step. A process that ends before goes on with the
snapshot and the log that it had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from raftha.consensus import configuration
from raftha.consensus.journal import Journal
from raftha.consensus.snapshots import Feed
from raftha.consensus.stable import Origin, StableStore
from raftha.consensus.state import Head, LogEntry, sealing

COMPACT_ENTRIES: Final = 5000
"""The log is replaced by a snapshot when it is longer than this, …"""
COMPACT_SECONDS: Final = 300.0
COMPACT_MIN_ENTRIES: Final = 64
"""… or after this time, if it is longer than that."""


class _Draft:
    """A snapshot in the making; it replaces the log up to `last_index`."""

    def __init__(self, last_index: int, pieces: Iterator[bytes]) -> None:
        self.last_index = last_index
        self._pieces = pieces
        self.parts: list[bytes] = []
        self.is_whole = False

    def next_part(self, size: int) -> bytes:
        """At least so many bytes more; fewer once the draft is whole."""
        part = bytearray()
        for piece in self._pieces:
            part += piece
            if len(part) >= size:
                break
        else:
            self.is_whole = True
        self.parts.append(bytes(part))
        return self.parts[-1]


class Compaction:
    """Call `turn` once a round; `begin` begins at once, due or not."""

    def __init__(
        self,
        *,
        journal: Journal,
        store: StableStore,
        feed: Feed,
        dump: Callable[[], Iterator[bytes]],
        now: float,
    ) -> None:
        """`dump` gives the pieces of the state as it is when it is called."""
        self._journal = journal
        self._store = store
        self._feed = feed
        self._dump = dump
        self._ended = now
        self._draft: _Draft | None = None

    def turn(self, now: float, applied_index: int) -> None:
        """Go on with what was begun, or begin if it is time."""
        if self._draft is not None:
            self._go_on(self._draft, now)
            return
        size = len(self._journal)
        is_late = now - self._ended > COMPACT_SECONDS and size > COMPACT_MIN_ENTRIES
        if size > COMPACT_ENTRIES or is_late:
            self.begin(now, applied_index)

    def begin(self, now: float, applied_index: int) -> None:
        """Begin with the state after this entry, and make the first part."""
        if applied_index - self._journal.first_index < 2:
            return
        previous, last = self._journal.at(applied_index - 1), self._journal.at(applied_index)
        voters, _ = self._journal.configurations.as_of(applied_index)
        packed = b"" if voters is None else configuration.encode(voters)
        head = Head(LogEntry(*previous), LogEntry(*last), packed)
        self._draft = _Draft(applied_index, sealing(head, self._dump()))
        self._go_on(self._draft, now)

    @property
    def is_under_way(self) -> bool:
        """Whether a snapshot is in the making."""
        return self._draft is not None

    def abandon(self) -> None:
        """A newer snapshot than the one in the making is in use now."""
        self._draft = None

    def _go_on(self, draft: _Draft, now: float) -> None:
        is_first = not draft.parts
        part = draft.next_part(self._feed.chunk_bytes)
        self._store.stage(Origin.OWN, part, first=is_first)
        if not draft.is_whole:
            return
        first_kept = draft.last_index - 1
        self._store.compact(first_kept)
        self._journal.forget_before(first_kept)
        self._feed.offer(b"".join(draft.parts))
        self._draft = None
        self._ended = now
