"""What is taken for a segment of WAL that both lines have; fetched from a real server in
`tests/faults/test_missing_wal.py`."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from raftha.errors import PostgresError
from raftha.model.ids import SystemId
from raftha.pg.shared_wal import require_segment

SIZE = 1 << 20
SYSTEM = SystemId("7301234567890123456")
NAME = "000000020000000000000007"


def segment(
    *, flags: int = 2, timeline: int = 2, place: int = 7 * SIZE, system: SystemId = SYSTEM
) -> bytes:
    page = struct.pack("=HHIQI4xQII", 0xD110, flags, timeline, place, 0, int(system), SIZE, 8192)
    return page.ljust(SIZE, b"\0")


@pytest.mark.parametrize("timeline", [1, 2])
def test_a_whole_segment_is_taken(tmp_path: Path, timeline: int) -> None:
    """It may begin on the timeline before."""
    path = tmp_path / "segment"
    path.write_bytes(segment(timeline=timeline))
    require_segment(path, NAME, SYSTEM, SIZE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        segment()[:-1],
        segment() + b"\0",
        bytes(SIZE),
        segment(flags=0),
        segment(timeline=3),
        segment(place=6 * SIZE),
        segment(system=SystemId("1")),
    ],
    ids=["empty", "short", "long", "zeroes", "no-head", "later-line", "elsewhere", "stranger"],
)
def test_what_is_not_that_whole_segment_is_not_taken(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "segment"
    path.write_bytes(content)
    with pytest.raises(PostgresError, match=f"as the WAL segment {NAME} is not that segment"):
        require_segment(path, NAME, SYSTEM, SIZE)
