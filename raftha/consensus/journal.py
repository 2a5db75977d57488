"""The Raft log in memory, in step with the stable store: what the library uses as its journal.

Method names in mixed case are the library's. Entries are the library's triples (command, index,
term). Every change goes to the store first; the store makes it durable before a message shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, overload

from raftha.consensus import configuration
from raftha.consensus.configuration import Configuration, ConfigurationLog
from raftha.consensus.stable import Persisted, StableStore
from raftha.consensus.state import Image, LogEntry

Triple = tuple[bytes, int, int]

_FIRST: Final = LogEntry(b"\x01", 1, 0)
"""Every log begins with the same empty entry, so that any two have a common prefix."""


class Journal:
    """A contiguous run of entries; the first is at `first_index`."""

    def __init__(
        self,
        store: StableStore,
        appended: Callable[[int], None],
        fatal: Callable[[str], object],
    ) -> None:
        self._store = store
        self._appended = appended
        self._fatal = fatal
        self._entries: list[Triple] = []
        self._ballot: tuple[int, str | None] = (0, None)
        self.configurations = ConfigurationLog()

    def open(self, persisted: Persisted, image: Image | None = None) -> None:
        """Take what the store held at start; the snapshot is unsealed. Raises WireError."""
        self._ballot = (persisted.term, persisted.vote)
        self._entries = [_triple(entry) for entry in persisted.entries]
        self._read_configurations(image)
        if not self._entries:
            self._entries = [_triple(_FIRST)]
            self._store.append(_FIRST)
            self._store.sync()

    @property
    def first_index(self) -> int:
        return self._entries[0][1]

    @property
    def last_index(self) -> int:
        return self._entries[-1][1]

    @property
    def last_term(self) -> int:
        return self._entries[-1][2]

    def at(self, index: int) -> Triple:
        """The entry at an index that the log holds."""
        return self._entries[index - self.first_index]

    def term_at(self, index: int) -> int | None:
        """The term of the entry at an index; None if the log does not hold it."""
        if self.first_index <= index <= self.last_index:
            return self.at(index)[2]
        return None

    def forget_before(self, index: int) -> None:
        """Drop the entries before this one; the store has dropped them already."""
        del self._entries[: index - self.first_index]

    def install(self, image: Image) -> tuple[LogEntry, ...]:
        """Continue from a snapshot. A tail survives only if it provably follows the snapshot."""
        tail: list[Triple] = []
        if self.term_at(image.head.last.index) == image.head.last.term:
            tail = self._entries[image.head.last.index + 1 - self.first_index :]
        self._entries = [_triple(image.head.previous), _triple(image.head.last), *tail]
        self._read_configurations(image)
        return tuple(LogEntry(*entry) for entry in self._entries)

    def add(self, command: bytes, index: int, term: int) -> None:
        """Append; a gap would be a fault of the program."""
        if index != self.last_index + 1:
            self._fatal(f"entry {index} appended after {self.last_index}")
            return
        self._store.append(LogEntry(command, index, term))
        self._entries.append((command, index, term))
        fault = self.configurations.add(index, command)
        if fault is not None:
            self._fatal(f"entry {index} of term {term}: {fault}")
        self._appended(index)

    def deleteEntriesFrom(self, position: int) -> None:  # noqa: N802
        """Cut the log at a position counted from its first entry."""
        if position < len(self._entries):
            self._store.truncate(self._entries[position][1])
            self.configurations.cut(self._entries[position][1])
            del self._entries[position:]

    def setCurrentTerm(self, term: int, vote: str | None) -> None:  # noqa: N802
        """Store the term and the vote before anybody sees them. A term never falls, and a vote
        once given in a term is never changed."""
        known_term, known_vote = self._ballot
        if (term, vote) == self._ballot:
            return
        if term < known_term:
            self._fatal(f"the term would fall from {known_term} to {term}")
            return
        if term == known_term and known_vote is not None:
            self._fatal(f"a second vote in term {term}: {known_vote}, then {vote}")
            return
        self._store.save_ballot(term, vote)
        self._ballot = (term, vote)

    @property
    def ballot(self) -> tuple[int, str | None]:
        """The term, and the vote given in it."""
        return self._ballot

    def setRaftCommitIndex(self, index: int) -> None:  # noqa: N802
        """Not kept: Raft finds the commit index again, and a kept one could be ahead."""

    def onOneSecondTimer(self) -> None:  # noqa: N802
        """Nothing is due by time."""

    def _read_configurations(self, image: Image | None) -> None:
        after = 0 if image is None else image.head.last.index
        base: Configuration | None = (
            None if image is None else configuration.decode(image.head.voters)
        )
        self.configurations.begin(after, base)
        for command, index, _ in self._entries:
            if index > after:
                self.configurations.add(index, command)

    @overload
    def __getitem__(self, key: int) -> Triple: ...
    @overload
    def __getitem__(self, key: slice) -> list[Triple]: ...
    def __getitem__(self, key: int | slice) -> Triple | list[Triple]:
        return self._entries[key]

    def __len__(self) -> int:
        return len(self._entries)


def _triple(entry: LogEntry) -> Triple:
    return (entry.command, entry.index, entry.term)
