"""Timelines: which write-ahead log is a beginning of which other. PURE.

PostgreSQL numbers timelines, and two servers can take the same number on their own (R25). So what
is said here holds only among directories whose numbers the store knows to be of one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

from raftha.model.ids import Lsn, Timeline
from raftha.model.postgres import TimelineSwitch

PLACEHOLDER: Final = "# raftha: this timeline's number is taken; the file only makes it skipped.\n"
"""Content of a reserving history file: it names no parent, so no recovery ever turns into it."""

_LINE: Final = re.compile(r"\s*(\d+)\s+([0-9A-Fa-f]+/[0-9A-Fa-f]+)(?:\s+(.*))?")
_FILE: Final = re.compile(r"([0-9A-F]{8})\.history")
_SEGMENT: Final = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(?:\.partial)?")


class Relation(StrEnum):
    """How a directory's log stands to an upstream's."""

    FOLLOWS = "follows"
    DIVERGED = "diverged"


def parse_history(text: str) -> tuple[TimelineSwitch, ...]:
    """The switches in a history file, oldest first. Raises ValueError for a line it cannot be."""
    lines = (line for line in text.splitlines() if line.strip() and line.strip()[0] != "#")
    return tuple(_switch(line) for line in lines)


def render_history(switches: Sequence[TimelineSwitch]) -> str:
    """The text of a history file, in PostgreSQL's form."""
    return "\n".join(f"{line.timeline}\t{line.switch}\t{line.reason}\n" for line in switches)


def is_ancestor(
    history: Sequence[TimelineSwitch], timeline: Timeline, lsn: Lsn, current: Timeline
) -> bool:
    """Whether (timeline, lsn), an end of log, lies on the line that `history` and `current` tell.

    `history` is that of the upstream's `current` timeline, which itself has no end yet.
    """
    if timeline == current:
        return True
    return any(line.timeline == timeline and lsn <= line.switch for line in history)


def relation(
    *,
    timeline: Timeline,
    last_record: Lsn,
    history: Sequence[TimelineSwitch],
    upstream_timeline: Timeline,
    upstream_position: Lsn,
) -> Relation:
    """Whether a log whose last record *begins* at `last_record` can go on from the upstream.

    A switch lies between two records, so a record that begins before it also ends before it.
    """
    end = upstream_position
    if timeline != upstream_timeline:
        ends = [line.switch for line in history if line.timeline == timeline]
        if not ends:
            return Relation.DIVERGED
        end = ends[-1]
    return Relation.FOLLOWS if last_record < end else Relation.DIVERGED


def fork_point(history: Sequence[TimelineSwitch], timeline: Timeline) -> Lsn | None:
    """Where the upstream's line left this timeline; None if it never was on it."""
    ends = [line.switch for line in history if line.timeline == timeline]
    return ends[-1] if ends else None


def history_file(timeline: Timeline) -> str:
    """`00000002.history`"""
    return f"{timeline:08X}.history"


def timeline_of_history(name: str) -> Timeline | None:
    """The timeline of a history file by its name; None if it is another kind of file."""
    match = _FILE.fullmatch(name)
    return Timeline(int(match[1], 16)) if match else None


def to_reserve(current: Timeline, burned: Iterable[Timeline]) -> tuple[Timeline, ...]:
    """The numbers that a promotion from `current` must skip: PostgreSQL takes the first gap."""
    newest = max((number for number in burned), default=current)
    return tuple(Timeline(number) for number in range(current + 1, newest + 1))


def segments_from(
    names: Iterable[str], timeline: Timeline, start: Lsn, segment_bytes: int
) -> tuple[str, ...]:
    """Of the file names of pg_wal, the segments of `timeline` or later that reach past `start`."""
    first = start.value // segment_bytes
    per_log = (1 << 32) // segment_bytes
    chosen = []
    for name in sorted(names):
        match = _SEGMENT.fullmatch(name)
        if match is None or int(match[1], 16) < timeline:
            continue
        if int(match[2], 16) * per_log + int(match[3], 16) >= first:
            chosen.append(name)
    return tuple(chosen)


def start_of_segment(name: str, segment_bytes: int) -> Lsn:
    """The first position in the WAL file of this name. Raises ValueError."""
    match = _SEGMENT.fullmatch(name)
    if match is None:
        raise ValueError(f"not the name of a WAL segment: {name!r}")
    return Lsn((int(match[2], 16) << 32) + int(match[3], 16) * segment_bytes)


def segments_down_from(name: str, most: int, segment_bytes: int) -> Iterator[str]:
    """At most so many names of segments of one timeline: this one, and those before it."""
    last = start_of_segment(name, segment_bytes).value // segment_bytes
    per_log = (1 << 32) // segment_bytes
    for number in range(last, max(-1, last - most), -1):
        yield f"{name[:8]}{number // per_log:08X}{number % per_log:08X}"


def is_shared(name: str, history: Sequence[TimelineSwitch], segment_bytes: int) -> bool:
    """Whether all of a segment lies before the place where the line of this history left the
    segment's timeline: then it is the same on both."""
    end = start_of_segment(name, segment_bytes).value + segment_bytes
    left = fork_point(history, Timeline(int(name[:8], 16)))
    return left is not None and end <= left.value


def _switch(line: str) -> TimelineSwitch:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"not a line of a timeline history: {line!r}")
    return TimelineSwitch(
        timeline=Timeline(int(match[1])),
        switch=Lsn.parse(match[2]),
        reason=(match[3] or "").strip(),
    )
