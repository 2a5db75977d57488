"""What a voter's file holds, read whole and checked: at each start, before anything is said.

What is damaged must not be voted from. What another release or another node wrote is whole, and is
left to it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from raftha.consensus import state
from raftha.consensus.commands import WireError
from raftha.consensus.marks import Mark
from raftha.consensus.shelf import Shelf
from raftha.consensus.stable import Owner, Persisted, Standing, Voter
from raftha.consensus.state import LogEntry, OtherFormat
from raftha.errors import StorageFailed

FORMAT: Final = 5

Query = Callable[..., list[tuple[Any, ...]]]
"""Takes a statement and its values; returns all rows."""


class Damaged(StorageFailed):
    """What the file holds is not what was written. At a start it is put aside; a running voter
    stops, because nobody knows what it answered from it."""


class FileReader:
    """Reads the SQLite file at `file` through `query`, for its owner."""

    def __init__(self, query: Query, file: Path, owner: Owner) -> None:
        self._query = query
        self._file = file
        self._owner = owner
        self.is_anew = False
        """Another owner left it without a promise: it is ours now, as another incarnation."""

    def read(self, shelf: Shelf) -> Persisted:
        """All of it. Raises Damaged, or StorageFailed for what is whole and not ours."""
        self._check_file()
        self._check_format()
        self._check_owner()
        identity = self._query("SELECT incarnation, boot, joining, voter_since FROM identity")
        ballot = self._query("SELECT term, vote, crc FROM ballot")
        base = self._query("SELECT snapshot, first FROM base")
        if not len(identity) == len(ballot) == len(base) == 1:
            raise self._damaged("identity, term, vote or what the log begins with is missing")
        incarnation, boot, joining, voter_since = identity[0]
        term, vote, crc = ballot[0]
        if crc != ballot_crc(term, vote):
            raise self._damaged("wrong checksum of term and vote")
        snapshot = self._read_snapshot(shelf, *base[0])
        voters = self._query("SELECT address, name, incarnation, witness FROM voters")
        persisted = Persisted(
            incarnation=incarnation,
            boot=boot + 1,
            term=term,
            vote=vote,
            entries=self._read_log(base[0][1], snapshot is not None),
            snapshot=snapshot,
            voters={
                address: Voter(name=name, incarnation=incarnation, witness=bool(witness))
                for address, name, incarnation, witness in voters
            },
            standing=Standing(joining=bool(joining), voter_since=voter_since),
            marks=self._read_marks(),
        )
        self._check_snapshot(persisted)
        return persisted

    def _check_file(self) -> None:
        rows = self._query("PRAGMA quick_check")
        if rows != [("ok",)]:
            raise self._damaged(str(rows[0][0]))

    def _check_format(self) -> None:
        """Another format is no damage: whoever wrote it can read it."""
        rows = self._query("SELECT format FROM identity")
        if not rows or rows[0][0] == FORMAT:
            return
        found = rows[0][0]
        what = f"{self._file} has format {found}, this release reads {FORMAT}: "
        if found > FORMAT:
            raise StorageFailed(f"{what}a newer release of raftha wrote it; start that one here")
        raise StorageFailed(
            f"{what}an older release of raftha wrote it; start that one here or, while the other "
            f"voters are up, remove {self._file.name} and what begins with that name in "
            f"{self._file.parent}: the node joins anew"
        )

    def _check_owner(self) -> None:
        """A copy of another node's directory holds that node's promises, not this one's. If it
        holds none, the node was only given another name."""
        for scope, name in self._query("SELECT scope, name FROM identity"):
            owner = Owner(scope=scope, name=name)
            is_ours = owner.is_same(self._owner)
            self.is_anew = not is_ours and self._is_unused()
            if not (is_ours or self.is_anew):
                raise StorageFailed(
                    f"{self._file.parent} is the Raft directory of {owner}, and this is "
                    f"{self._owner}: give each node a raft.data_dir of its own, never a copy; "
                    "with an empty one a node joins by itself"
                )

    def _is_unused(self) -> bool:
        """Nothing but the entry that every log begins with, no term, and no cluster was met."""
        return self._query(
            "SELECT 1 FROM identity, ballot, base WHERE joining = 0 AND ballot.term = 0"
            " AND snapshot IS NULL AND (SELECT count(*) FROM log WHERE log.term > 0) = 0"
        ) == [(1,)]

    def _read_snapshot(self, shelf: Shelf, in_use: int | None, first: int) -> bytes | None:
        parts = self._query("SELECT id, snapshot FROM parts ORDER BY id")
        oldest = self._query("SELECT min(idx) FROM log")[0][0] or first
        shelf.open(parts, in_use, oldest, first)
        if in_use is None:
            return None
        bodies = self._query("SELECT body FROM parts WHERE snapshot = ? ORDER BY id", in_use)
        return b"".join(body for (body,) in bodies)

    def _read_log(self, first: int, has_snapshot: bool) -> tuple[LogEntry, ...]:
        entries: list[LogEntry] = []
        for index, term, command, crc in self._query(
            "SELECT idx, term, command, crc FROM log WHERE idx >= ? ORDER BY idx", first
        ):
            entry = LogEntry(command, index, term)
            if crc != entry_crc(entry):
                raise self._damaged(f"wrong checksum of log entry {index}")
            if entries and index != entries[-1].index + 1:
                raise damaged(
                    self._file, f"log entries between {entries[-1].index} and {index} are gone"
                )
            entries.append(entry)
        if first > 1 and not has_snapshot:
            raise self._damaged("the log begins late and there is no snapshot")
        if entries and entries[0].index != first:
            raise damaged(
                self._file, f"the log begins late, with entry {entries[0].index}, not {first}"
            )
        if has_snapshot and len(entries) < 2:
            raise self._damaged("there is a snapshot, but no log")
        return tuple(entries)

    def _read_marks(self) -> dict[str, Mark]:
        """At their word others put their directory aside: none that is damaged may speak."""
        marks: dict[str, Mark] = {}
        for address, incarnation, voted, term, index, crc in self._query(
            "SELECT address, incarnation, voted, term, idx, crc FROM marks"
        ):
            mark = Mark(incarnation=incarnation, voted=voted, term=term, index=index)
            if crc != mark_crc(address, mark):
                raise self._damaged(f"wrong checksum of what {address} promised")
            marks[address] = mark
        return marks

    def _check_snapshot(self, persisted: Persisted) -> None:
        """The snapshot must be whole, and the log must go on from it."""
        if persisted.snapshot is None:
            return
        try:
            last = state.unseal(persisted.snapshot).head.last
        except OtherFormat as error:
            raise StorageFailed(f"{self._file}: {error}") from error
        except WireError as error:
            raise self._damaged(f"the snapshot: {error}") from error
        if not any((e.index, e.term) == (last.index, last.term) for e in persisted.entries):
            raise self._damaged("the log does not go on from the snapshot")

    def _damaged(self, what: str) -> Damaged:
        return damaged(self._file, what)


def damaged(file: Path, what: str) -> Damaged:
    """The words for it."""
    return Damaged(f"{file} is damaged: {what}")


def ballot_crc(term: int, vote: str | None) -> int:
    """The checksum of term and vote."""
    return zlib.crc32(f"{term} {vote}".encode())


def entry_crc(entry: LogEntry) -> int:
    """The checksum of a log entry."""
    return zlib.crc32(entry.command, zlib.crc32(b"%d %d " % (entry.index, entry.term)))


def mark_crc(address: str, mark: Mark) -> int:
    """The checksum of what an address promised."""
    words = f"{address} {mark.incarnation} {mark.voted} {mark.term} {mark.index}"
    return zlib.crc32(words.encode())
