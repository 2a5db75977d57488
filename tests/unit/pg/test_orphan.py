"""A program that outlives its agent is ended before the next one works on the same directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from raftha.clock import SystemClock
from raftha.pg.run import run

CLOCK: Final = SystemClock()
AGENT: Final = """
import sys
from pathlib import Path
from raftha.clock import SystemClock
from raftha.pg.run import run
script = "sleep 60 & echo started >&2; wait"
run(["/bin/sh", "-c", script], clock=SystemClock(), timeout=60,
    progress=lambda line: print(line, flush=True), lock=Path(sys.argv[1]))
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "run" / "work.lock"


@pytest.fixture
def orphans(lock: Path) -> Iterator[list[psutil.Process]]:
    """A shell and its child, whose agent was killed."""
    command = [sys.executable, "-c", AGENT, str(lock)]
    agent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert agent.stdout is not None
    assert agent.stdout.readline() == "started\n"
    found = psutil.Process(agent.pid).children(recursive=True)
    agent.kill()
    agent.wait()
    agent.stdout.close()
    yield found
    for process in found:
        if process.is_running():
            process.kill()


def test_the_program_of_a_killed_agent_is_ended_with_its_children(
    lock: Path, orphans: list[psutil.Process]
) -> None:
    assert len(orphans) == 2
    assert all(process.is_running() for process in orphans), "they outlive the agent"

    assert run(["/bin/echo", "next"], clock=CLOCK, timeout=10, lock=lock) == "next\n"

    psutil.wait_procs(orphans, timeout=5)
    assert not any(process.is_running() for process in orphans)


def test_a_child_alone_keeps_the_lock_and_is_ended_too(
    lock: Path, orphans: list[psutil.Process]
) -> None:
    shell, child = sorted(orphans, key=lambda process: process.name() != "sh")
    os.kill(shell.pid, signal.SIGKILL)
    psutil.wait_procs([shell], timeout=5)

    run(["/bin/true"], clock=CLOCK, timeout=10, lock=lock)

    psutil.wait_procs([child], timeout=5)
    assert not child.is_running()


def test_programs_follow_one_another_undisturbed(lock: Path) -> None:
    for word in ("one", "two"):
        assert run(["/bin/echo", word], clock=CLOCK, timeout=10, lock=lock) == f"{word}\n"
