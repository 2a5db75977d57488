"""The runner, against /bin/sh and friends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from raftha.clock import SystemClock
from raftha.errors import CommandFailed
from raftha.pg.run import Cancelled, NotRun, environment, run

CLOCK = SystemClock()


def test_output_is_returned_and_progress_is_told_line_by_line() -> None:
    told: list[str] = []
    script = "echo out; printf 'one\\rtwo\\nthree' >&2"
    output = run(["/bin/sh", "-c", script], clock=CLOCK, timeout=10, progress=told.append)
    assert output == "out\n"
    assert told == ["one", "two", "three"]


def test_a_failure_carries_the_last_twenty_lines() -> None:
    script = "for i in $(seq 1 30); do echo line$i >&2; done; exit 3"
    with pytest.raises(CommandFailed) as failed:
        run(["/bin/sh", "-c", script], clock=CLOCK, timeout=10)
    text = str(failed.value)
    assert "status 3" in text
    assert "line11\n" in text
    assert "line10\n" not in text


def test_a_program_that_hangs_is_ended_with_its_children() -> None:
    began = time.monotonic()
    with pytest.raises(CommandFailed, match="did not end within"):
        run(["/bin/sh", "-c", "sleep 60 & wait"], clock=CLOCK, timeout=0.2)
    assert time.monotonic() - began < 3


def test_a_cancelled_program_is_told_apart() -> None:
    with pytest.raises(Cancelled):
        run(["/bin/sleep", "60"], clock=CLOCK, timeout=10, cancel=lambda: True)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(NotRun, match="/nowhere/initdb"):
        run([str(Path("/nowhere/initdb"))], clock=CLOCK, timeout=1)


def test_the_environment_is_cleaned() -> None:
    inherited = {
        "PGHOST": "x",
        "PGDATA": "y",
        "PG_OOM_ADJUST_VALUE": "0",
        "LC_MESSAGES": "de_DE",
        "LANG": "de_DE",
        "RAFTHA_SECRET": "s",
        "AWS_KEY": "k",
    }
    assert environment(inherited, {"PGPASSFILE": "/p"}) == {
        "PATH": "/bin:/usr/bin",
        "PG_OOM_ADJUST_VALUE": "0",
        "AWS_KEY": "k",
        "LC_ALL": "C",
        "PGPASSFILE": "/p",
    }
