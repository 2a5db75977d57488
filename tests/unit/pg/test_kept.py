"""What is kept beside the data directory is named and measured, until it is removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from raftha.model.postgres import Kept
from raftha.pg.kept import KeptCopies


@pytest.mark.parametrize("kind", ["diverged", "replaced", "failed"])
def test_what_is_kept_is_measured_once_and_forgotten_when_it_is_gone(
    tmp_path: Path, kind: str
) -> None:
    told: list[tuple[Kept, ...]] = []
    copies = KeptCopies(tmp_path / "data", told.append)
    kept = tmp_path / f"data.{kind}-S"
    (kept / "base").mkdir(parents=True)
    (kept / "base" / "1").write_bytes(b"x" * 1000)
    (kept / "PG_VERSION").write_bytes(b"15\n")
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "16385").write_bytes(b"x" * 500)
    (kept / "pg_tblspc").mkdir()
    (kept / "pg_tblspc" / "1").symlink_to(tmp_path / "volume")
    (tmp_path / "data").mkdir()
    (tmp_path / "other.diverged-S").mkdir()

    copies.look()
    copies.look()
    assert told == [(Kept(path=kept, size_bytes=1503),)]

    shutil.rmtree(kept)
    copies.look()
    assert told[1:] == [()]


def test_of_undone_wal_the_oldest_goes_where_there_is_a_limit(tmp_path: Path) -> None:
    told: list[tuple[Kept, ...]] = []
    names = ["data.diverged-S1", "data.diverged-wal-S1", "data.diverged-wal-S2"]

    def left() -> list[str]:
        copies.look()
        assert [kept.path.name for kept in told[-1]] == sorted(os.listdir(tmp_path))
        return sorted(os.listdir(tmp_path))

    def keep(name: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "0000000100000000000000AB").write_bytes(b"x" * 1000)

    for name in names:
        keep(name)
    copies = KeptCopies(tmp_path / "data", told.append)
    assert left() == names, "without a limit all of it stays"

    copies = KeptCopies(tmp_path / "data", told.append, 2000)
    assert left() == names
    keep("data.diverged-wal-S3")
    assert left() == ["data.diverged-S1", "data.diverged-wal-S2", "data.diverged-wal-S3"]

    copies = KeptCopies(tmp_path / "data", told.append, 0)
    assert left() == ["data.diverged-S1", "data.diverged-wal-S3"], "the newest stays"
