"""Which history files a directory has before its server starts, and before it is promoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from raftha.model.ids import Timeline
from raftha.model.postgres import ServerRole
from raftha.pg import timeline
from raftha.pg.histories import Histories, PgWal


@pytest.fixture
def pg_wal(tmp_path: Path) -> Path:
    """With the history of timeline 3."""
    path = tmp_path / "pg_wal"
    path.mkdir()
    (path / "00000003.history").write_text("1\t0/3000000\tno recovery target specified\n")
    (path / "000000030000000000000001").touch()
    return path


@pytest.fixture
def histories(pg_wal: Path) -> Histories:
    return Histories(PgWal(pg_wal.parent))


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


def test_a_primary_keeps_reservations_and_fills_gaps(histories: Histories, pg_wal: Path) -> None:
    assert histories.before_promotion(Timeline(3), (Timeline(4),)) == (4,)
    assert not histories.before_start(ServerRole.PRIMARY, Timeline(3))
    for number in (2, 4):
        text = (pg_wal / timeline.history_file(Timeline(number))).read_text()
        assert text == timeline.PLACEHOLDER
    assert histories.forks(Timeline(2)) == ()
    assert histories.forks(Timeline(9)) == ()
