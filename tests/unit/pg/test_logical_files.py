"""The state of a logical slot as a file, on its way from a primary into a stopped standby."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from raftha.errors import PostgresError
from raftha.model.ids import Lsn
from raftha.pg import logical
from raftha.pg.book import SlotBook
from raftha.pg.layout import Layout


def state_of(name: str, restart: int, magic: int = 0x1051CA1) -> bytes:
    """As slot.c writes it, up to where it needs WAL; what follows is of no interest here."""
    head = struct.pack("=I12x64sIIII", magic, name.encode(), 5, 0, 0, 733)
    return head + struct.pack("=Q", restart) + b"\0" * 100


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    for folder in ("pg_replslot", "pg_logical/snapshots", "pg_wal"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    return Layout(data_dir=tmp_path / "data", run_dir=tmp_path / "run")


def stage(layout: Layout, name: str, **content: bytes) -> None:
    folder = layout.staged_slots / name
    folder.mkdir(parents=True)
    for file, data in content.items():
        (folder / file.replace("_snap", ".snap")).write_bytes(data)


def test_from_where_on_a_slot_needs_wal_is_read_from_its_state() -> None:
    assert logical.needs_from("sub", state_of("sub", 0x16B374D848)) == Lsn(0x16B374D848)


@pytest.mark.parametrize(
    "state", [b"", state_of("sub", 1)[:90], state_of("other", 1), state_of("sub", 1, magic=7)]
)
def test_a_state_of_another_kind_is_refused(state: bytes) -> None:
    with pytest.raises(PostgresError, match="the state of the slot sub"):
        logical.needs_from("sub", state)


@pytest.mark.parametrize(
    ("position", "there"),
    [(0x100000000 + 0x3000000, True), (0x100000000 + 0x2FFFFFF, False), (0x3000000, False)],
)
def test_wal_is_there_if_a_segment_with_it_is(layout: Layout, position: int, there: bool) -> None:
    pg_wal = layout.data_dir / "pg_wal"
    assert not logical.has_wal(pg_wal, Lsn(position))
    with (pg_wal / "000000070000000100000003").open("wb") as segment:
        segment.truncate(16 << 20)
    (pg_wal / "00000007.history").touch()
    assert logical.has_wal(pg_wal, Lsn(position)) == there


def test_a_slot_is_laid_in_with_the_snapshot_that_it_begins_from(layout: Layout) -> None:
    stage(layout, "sub", state=b"state", begin_snap=b"snapshot")
    assert logical.install(layout) == ("sub",)
    assert (layout.data_dir / "pg_replslot/sub/state").read_bytes() == b"state"
    assert (layout.data_dir / "pg_logical/snapshots/begin.snap").read_bytes() == b"snapshot"
    assert logical.install(layout) == (), "once"


def test_nothing_is_put_in_the_place_of_a_slot_that_is_there(layout: Layout) -> None:
    stage(layout, "sub", state=b"new", begin_snap=b"new")
    there = layout.data_dir / "pg_replslot/sub"
    there.mkdir()
    (there / "state").write_bytes(b"old")
    assert logical.install(layout) == ()
    assert (there / "state").read_bytes() == b"old"


def test_what_was_fetched_half_is_not_laid_in(layout: Layout) -> None:
    stage(layout, "sub", begin_snap=b"snapshot")
    assert logical.install(layout) == ()
    assert list((layout.data_dir / "pg_replslot").iterdir()) == []


def test_slots_of_a_rewound_directory_are_removed_by_name(layout: Layout) -> None:
    for name in ("n2", "sub", "theirs"):
        (layout.data_dir / "pg_replslot" / name).mkdir()
    logical.discard(layout, ("n2", "sub", "never"))
    assert [path.name for path in (layout.data_dir / "pg_replslot").iterdir()] == ["theirs"]


def test_the_book_outlives_its_reader_and_names_nothing_if_it_cannot_be_read(
    layout: Layout,
) -> None:
    path = layout.slot_book
    SlotBook(path).write({"b", "a"})
    assert SlotBook(path).made() == {"a", "b"}
    for content in (b"", b"{}", b'{"made":[1]}', b"\xff"):
        path.write_bytes(content)
        assert SlotBook(path).made() == frozenset()
