"""Write-ahead log as rows at positions, and which server wrote them.

A `Line` is what one server wrote from one moment on. PostgreSQL knows it by a number only, and two
lines may have the same: that is how histories come to differ unseen, so the rows are compared by
line and not by number.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from raftha.model.ids import Lsn, Timeline
from raftha.model.postgres import TimelineSwitch

FIRST: Final = 1 << 24
"""Where the WAL of a new cluster begins."""


class Line(Struct, eq=False):
    """What one server wrote under one timeline number: the ends of records, and their rows; a
    record of PostgreSQL's own has the row -1. `sizes` are what its writer said of its shared
    memory, by the ends of those records."""

    number: int
    writer: str
    begin: int
    ends: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    sizes: list[tuple[int, Mapping[str, int]]] = field(default_factory=list)


class Piece(Struct, frozen=True, eq=False):
    """A part of a line, from after `begin` to `end`."""

    line: Line
    begin: int
    end: int

    def rows(self) -> Iterator[int]:
        first = bisect_right(self.line.ends, self.begin)
        last = bisect_right(self.line.ends, self.end)
        yield from (row for row in self.line.rows[first:last] if row >= 0)

    def cut(self, begin: int, end: int) -> Piece | None:
        """What of it lies between two positions."""
        begin, end = max(begin, self.begin), min(end, self.end)
        return Piece(self.line, begin, end) if begin < end else None


class Wal:
    """The log in one data directory: pieces that follow one another, and the history file of the
    last one's number."""

    def __init__(self, pieces: list[Piece], history: tuple[TimelineSwitch, ...] = ()) -> None:
        self.pieces = pieces
        self.history = history

    @classmethod
    def born(cls, writer: str) -> Wal:
        line = Line(1, writer, FIRST)
        line.ends.append(FIRST + 100)
        line.rows.append(-1)
        return cls([Piece(line, FIRST, FIRST + 100)])

    def copy(self) -> Wal:
        return Wal(list(self.pieces), self.history)

    @property
    def end(self) -> int:
        return self.pieces[-1].end

    @property
    def number(self) -> int:
        return self.pieces[-1].line.number

    @property
    def last_record(self) -> int:
        """Where the last record begins."""
        line, end = self.pieces[-1].line, self.end
        before = bisect_right(line.ends, end) - 1
        return line.ends[before - 1] if before > 0 else min(line.begin, end - 1)

    def rows(self) -> set[int]:
        return {row for piece in self.pieces for row in piece.rows()}

    # What a primary does.

    def own(self, writer: str) -> None:
        """This server will write on. If others hold more of the line than is here, what it writes
        is another line, whatever its number says."""
        last = self.pieces[-1]
        if last.line.writer != writer or (last.line.ends and last.line.ends[-1] > last.end):
            fork = Line(last.line.number, writer, last.end)
            self.pieces.append(Piece(fork, last.end, last.end))

    def append(self, size: int, row: int) -> int:
        """A record of so many bytes; its end."""
        last = self.pieces[-1]
        end = last.end + size
        last.line.ends.append(end)
        last.line.rows.append(row)
        self.pieces[-1] = replace(last, end=end)
        return end

    def promote(self, number: int, writer: str) -> None:
        """A new timeline begins at the end of what is here."""
        switch = TimelineSwitch(timeline=Timeline(self.number), switch=Lsn(self.end))
        self.history = (*self.history, switch)
        self.pieces.append(Piece(Line(number, writer, self.end), self.end, self.end))
        self.append(60, -1)

    def tell_sizes(self, sizes: Mapping[str, int]) -> None:
        """A record of what the writer runs with."""
        self.pieces[-1].line.sizes.append((self.append(60, -1), dict(sizes)))

    # What a standby does.

    def sizes_between(self, begin: int, end: int) -> Iterator[tuple[int, Mapping[str, int]]]:
        """What the log says of its writers' sizes after one position and up to another."""
        for piece in self.pieces:
            if piece.line.sizes and piece.end > begin:
                first, last = max(begin, piece.begin), min(end, piece.end)
                yield from (told for told in piece.line.sizes if first < told[0] <= last)

    def may_follow(self, upstream: Wal) -> bool:
        """Whether PostgreSQL would let it stream from there: it compares numbers."""
        if self.number == upstream.number:
            return self.end <= upstream.end
        ends = [s.switch.value for s in upstream.history if s.timeline == self.number]
        return bool(ends) and self.end <= ends[-1]

    def receive(self, upstream: Wal, until: int) -> None:
        """Take over what the upstream holds from the end of what is here."""
        for piece in upstream.pieces:
            part = piece.cut(self.end, until)
            if part is None:
                continue
            last = self.pieces[-1]
            if last.line is part.line and last.end == part.begin:
                self.pieces[-1] = replace(last, end=part.end)
            else:
                self.pieces.append(part)
        if self.number == upstream.number:
            self.history = upstream.history

    def fork_with(self, upstream: Wal) -> int:
        """Where two logs truly part."""
        common = FIRST
        for own, other in zip(self.pieces, upstream.pieces, strict=False):
            if own.line is not other.line or own.begin != other.begin:
                break
            common = min(own.end, other.end)
        return common
