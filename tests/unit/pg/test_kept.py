"""What is kept beside the data directory is named and measured, until it is removed."""

from __future__ import annotations

import shutil
from pathlib import Path

from raftha.model.postgres import Kept
from raftha.pg.kept import KeptCopies


def test_what_is_kept_is_measured_once_and_forgotten_when_it_is_gone(tmp_path: Path) -> None:
    told: list[tuple[Kept, ...]] = []
    copies = KeptCopies(tmp_path / "data", told.append)
    kept = tmp_path / "data.diverged-S"
    (kept / "base").mkdir(parents=True)
    (kept / "base" / "1").write_bytes(b"x" * 1000)
    (kept / "PG_VERSION").write_bytes(b"15\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "other.diverged-S").mkdir()

    copies.look()
    copies.look()
    assert told == [(Kept(path=kept, size_bytes=1003),)]

    shutil.rmtree(kept)
    copies.look()
    assert told[1:] == [()]
