"""A server that somebody else started is asked to end, in order, and never killed."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raftha.errors import PostgresError
from raftha.pg.configuration import BIRTH_FILE
from raftha.pg.layout import Layout
from raftha.pg.takeover import end_stranger, to_take_over

STUBBORN = ("sh", "-c", "trap '' INT; exec sleep 60")


@contextmanager
def server(folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for a postmaster of the directory."""
    with subprocess.Popen(words or ("sleep", "60"), cwd=folder) as process:
        (folder / "postmaster.pid").write_text(f"{process.pid}\n{folder}\n")
        comm = Path(f"/proc/{process.pid}/comm")
        while comm.read_text() != "sleep\n":
            time.sleep(0.002)
        try:
            yield process
        finally:
            process.kill()


def end(folder: Path, pid: int, timeout: float = 5.0, *, cancelled: bool = False) -> None:
    end_stranger(folder, pid, lambda: cancelled, timeout)


def test_it_is_asked_for_a_fast_shutdown_and_for_nothing_more(tmp_path: Path) -> None:
    with server(tmp_path) as process:
        end(tmp_path, process.pid)
        assert process.wait(5) == -signal.SIGINT


@pytest.mark.parametrize("cancelled", [False, True])
def test_one_that_does_not_stop_is_left_alone(tmp_path: Path, cancelled: bool) -> None:
    with server(tmp_path, *STUBBORN) as process:
        with pytest.raises(PostgresError, match="has not stopped within"):
            end(tmp_path, process.pid, timeout=0.1, cancelled=cancelled)
        assert process.poll() is None


def test_a_process_that_only_has_its_number_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with server(elsewhere) as process:
        (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
        end(tmp_path, process.pid)
        assert process.poll() is None
    end(tmp_path, process.pid)  # nor is one missed that has gone


@pytest.mark.parametrize(
    ("take_over", "birth", "is_taken"),
    [(True, False, True), (False, False, False), (True, True, False)],
)
def test_what_was_part_of_a_cluster_once_is_not_taken_over(
    tmp_path: Path, take_over: bool, birth: bool, is_taken: bool
) -> None:
    config: Any = SimpleNamespace(take_over=take_over)
    if birth:
        (tmp_path / BIRTH_FILE).write_text("n1@0f3c9a71\n")
    with server(tmp_path) as process:
        layout = Layout(data_dir=tmp_path, run_dir=tmp_path / "run")
        assert to_take_over(config, layout) == (process.pid if is_taken else None)
