"""Libraries that a server would load, and that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from raftha.pg.libraries import missing, names_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("pg_stat_statements.so", "plugins/mine.so", "other/far.so"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def test_the_names_are_read_as_postgresql_reads_them() -> None:
    assert names_in(' a, "B c" ,,$libdir/d') == ["a", "B c", "$libdir/d"]
    assert names_in("") == []


@pytest.mark.parametrize(
    ("parameter", "value", "lacks"),
    [
        ("shared_preload_libraries", "pg_stat_statements", []),
        ("shared_preload_libraries", "pg_stat_statements.so, $libdir/pg_stat_statements", []),
        ("shared_preload_libraries", "pg_stat_statements,pg_cron", ["pg_cron"]),
        ("shared_preload_libraries", "far", []),
        ("shared_preload_libraries", "/nowhere/x", ["/nowhere/x"]),
        ("session_preload_libraries", "auto_explain", ["auto_explain"]),
        ("local_preload_libraries", "mine", []),
        ("local_preload_libraries", "pg_stat_statements", ["pg_stat_statements"]),
        ("work_mem", "8MB", []),
    ],
)
def test_what_is_not_there_is_named(
    folder: Path, parameter: str, value: str, lacks: list[str]
) -> None:
    found = missing({parameter: value}, folder, f"$libdir:{folder}/other")
    assert [problem.what.split(" is not in ")[0] for problem in found] == lacks
    assert all(str(folder) in p.what or "/nowhere" in p.what for p in found)
    assert all(p.where == f"postgresql.parameters.{parameter}" for p in found)
