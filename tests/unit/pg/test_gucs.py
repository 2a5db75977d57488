"""Values that PostgreSQL refuses, by the words of a program that stands for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from raftha.clock import SystemClock
from raftha.errors import CommandFailed, PostgresError
from raftha.model.postgres import Binaries
from raftha.pg import gucs

SCRIPT = """#!/bin/sh
case "$*" in
  *--describe-config*) printf 'max_wal_size\\tA\\nwork_mem\\tB\\n' ;;
  *wrk_mem*) echo 'FATAL:  unrecognized configuration parameter "wrk_mem"' >&2; exit 1 ;;
  *work_mem=8XB*) echo 'x FATAL:  invalid value: "8XB"' >&2; echo 'HINT:  Units.' >&2; exit 1 ;;
  *crash*) echo 'Segmentation fault' >&2; exit 139 ;;
  *) echo 5432 ;;
esac
"""


@pytest.fixture
def binaries(tmp_path: Path) -> Binaries:
    program = tmp_path / "postgres"
    program.write_text(SCRIPT)
    program.chmod(0o755)
    return Binaries(bin_dir=tmp_path, major=15, version="15.18", origin="configured")


def refused(binaries: Binaries, **parameters: str) -> list[str]:
    found = gucs.refused(binaries, binaries.bin_dir, parameters, SystemClock(), 5.0)
    return [str(problem) for problem in found]


def test_each_refused_value_is_told_with_the_words_of_postgresql(binaries: Binaries) -> None:
    assert refused(binaries, work_mem="8MB") == []
    assert refused(binaries, work_mem="8XB", wrk_mem="1MB") == [
        'postgresql.parameters.work_mem: invalid value: "8XB"; Units.',
        'postgresql.parameters.wrk_mem: unrecognized configuration parameter "wrk_mem"'
        " (did you mean work_mem?)",
    ]


def test_a_program_that_judges_nothing_is_no_yes(binaries: Binaries) -> None:
    with pytest.raises(CommandFailed, match="Segmentation"):
        refused(binaries, crash="on")


def test_only_what_extensions_defined_is_tried_in_a_session() -> None:
    tried = []

    def attempt(name: str, value: str) -> None:
        tried.append((name, value))
        code = {"abc": "22023", "later": "55P02"}.get(value)
        if code is not None:
            raise PostgresError(f"PostgreSQL refused a statement: {value} ({code})")

    given = {"a.b": "abc", "c.d": "later", "e.f": "1", "work_mem": "abc"}
    found = gucs.refused_by_extensions(given, attempt)
    assert [problem.where for problem in found] == ["postgresql.parameters.a.b"]
    assert tried == [("a.b", "abc"), ("c.d", "later"), ("e.f", "1")]
