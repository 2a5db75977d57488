"""Tablespaces and WAL outside of a data directory: nothing is written over, nothing is left."""

from __future__ import annotations

import os
from pathlib import Path

from raftha.clock import SystemClock
from raftha.pg import elsewhere, job
from raftha.pg.layout import Layout


def made(tmp_path: Path, place: Path, attempt: str = "A") -> tuple[Layout, Path]:
    """A copy whose tablespace 1663 is filled beside `place`."""
    layout = Layout(data_dir=tmp_path / "data", run_dir=tmp_path / "run", attempt=attempt)
    layout.run_dir.mkdir(exist_ok=True)
    filled = elsewhere.beside(place, attempt)
    job.begin_copy(layout, SystemClock(), (filled,))
    (layout.copy / "pg_tblspc").mkdir()
    (layout.copy / "pg_wal").mkdir()
    filled.mkdir(parents=True)
    (filled / "row").write_text(attempt)
    (layout.copy / "pg_tblspc" / "1663").symlink_to(filled)
    return layout, filled


def content(layout: Layout) -> tuple[str, str]:
    """Where the tablespace of the data directory lies, and what is in it."""
    link = layout.data_dir / "pg_tblspc" / "1663"
    return os.readlink(link), (link / "row").read_text()


def test_a_part_takes_its_place_where_nothing_lies(tmp_path: Path) -> None:
    place = tmp_path / "volume" / "ts"
    place.mkdir(parents=True)
    layout, filled = made(tmp_path, place)
    job.finish_copy(layout, layout.diverged("S"))

    assert content(layout) == (str(place), "A")
    assert not filled.exists()
    assert os.listdir(layout.data_dir / "pg_tblspc") == ["1663"]


def test_a_place_in_use_is_left_alone_by_a_copy_that_succeeds_and_one_that_fails(
    tmp_path: Path,
) -> None:
    place = tmp_path / "ts"
    job.finish_copy(made(tmp_path, place, "A")[0], tmp_path / "none")
    failed, filled = made(tmp_path, place, "B")
    job.abandon_copy(failed)

    assert not filled.exists()
    assert not failed.copy.exists()
    assert not failed.copy_marker.exists()
    assert content(failed) == (str(place), "A")

    again, filled = made(tmp_path, place, "C")
    job.finish_copy(again, again.diverged("S"))
    assert content(again) == (str(filled), "C")
    kept = again.diverged("S") / "pg_tblspc" / "1663" / "row"
    assert kept.read_text() == "A", "the directory that was replaced keeps its part"


def test_what_a_killed_attempt_left_elsewhere_is_removed_and_nothing_besides(
    tmp_path: Path,
) -> None:
    layout, filled = made(tmp_path, tmp_path / "ts", "A")
    other = tmp_path / "ts.raftha-other"
    other.mkdir()
    marker = layout.copy_marker
    marker.write_text(marker.read_text() + f"{tmp_path / 'run'}\n")

    made(tmp_path, tmp_path / "ts", "B")

    assert not filled.exists()
    assert other.exists()
    assert layout.run_dir.exists(), "a name that no copy gives itself"


def test_a_copy_of_a_copy_wants_the_place_of_the_first(tmp_path: Path) -> None:
    place = tmp_path / "ts"
    assert elsewhere.beside(elsewhere.beside(place, "A"), "B") == tmp_path / "ts.raftha-B"
