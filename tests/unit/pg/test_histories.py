"""Which history files a directory has before its server starts, and before it is promoted: on a
disk, and in the made-up directory of the simulation."""

from __future__ import annotations

from pathlib import Path

import pytest

from raftha.model.ids import Timeline
from raftha.model.postgres import ServerRole
from raftha.pg import timeline
from raftha.pg.histories import Folder, Histories, PgWal
from tests.sim.cluster.directory import HistoryFiles

REAL = "1\t0/3000000\tno recovery target specified\n"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """With a segment of timeline 3."""
    (tmp_path / "pg_wal").mkdir()
    (tmp_path / "pg_wal" / "000000030000000000000001").touch()
    return tmp_path


@pytest.fixture(params=["disk", "simulation"])
def folder(request: pytest.FixtureRequest, data_dir: Path) -> Folder:
    """With the history of timeline 3."""
    made: Folder = PgWal(data_dir) if request.param == "disk" else HistoryFiles()
    made.write(Timeline(3), REAL, synced=True)
    return made


@pytest.fixture
def histories(folder: Folder) -> Histories:
    return Histories(folder)


def test_reservations_are_placed_and_only_they_are_cleared(histories: Histories) -> None:
    burned = frozenset({Timeline(3), Timeline(4)})
    assert histories.reserve(Timeline(1), burned) == (2, 4)
    assert histories.reserve(Timeline(1), burned) == ()
    assert histories.before_start(ServerRole.STANDBY, Timeline(1))
    assert not histories.before_start(ServerRole.STANDBY, Timeline(1))
    assert histories.forks(Timeline(3)) != ()


def test_a_follower_of_any_age_finds_a_file_of_each_timeline(histories: Histories) -> None:
    assert histories.fill_gaps(Timeline(5)) == (2, 4)
    assert histories.fill_gaps(Timeline(5)) == ()
    assert histories.clear() == (2, 4)
    assert histories.forks(Timeline(3)) != ()


def test_a_primary_keeps_reservations_and_fills_gaps(histories: Histories, folder: Folder) -> None:
    assert histories.before_promotion(Timeline(3), (Timeline(4),)) == (4,)
    assert not histories.before_start(ServerRole.PRIMARY, Timeline(3))
    assert folder.numbers() == (2, 3, 4)
    assert folder.read(Timeline(2)) == folder.read(Timeline(4)) == timeline.PLACEHOLDER
    assert histories.forks(Timeline(2)) == ()


def test_what_is_not_there_is_told(histories: Histories, folder: Folder) -> None:
    assert histories.forks(Timeline(9)) == ()
    with pytest.raises(FileNotFoundError, match=timeline.history_file(Timeline(9))):
        folder.read(Timeline(9))
