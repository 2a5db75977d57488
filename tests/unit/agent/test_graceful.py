"""A stop in order waits for the operator's program, beside the loop, and hits no other server."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest

from raftha.agent.graceful import GracefulStop
from raftha.clock import SystemClock
from raftha.guardian.events import StopMode
from raftha.model.hooks import Hooks
from raftha.model.view import GuardianView

LIMIT_S = 10.0


class FakeGuarding:
    """A guardian whose server is this process."""

    def __init__(self) -> None:
        self.process = "7@1"
        self.stops: list[StopMode] = []
        self.looked = threading.Event()
        self.stopped = threading.Event()

    def view(self) -> GuardianView:
        self.looked.set()
        return GuardianView(alive=True, running=True, process=self.process)

    def stop(self, mode: StopMode) -> None:
        self.stops.append(mode)
        self.stopped.set()


@pytest.fixture
def guarding() -> FakeGuarding:
    return FakeGuarding()


def stopping(guarding: FakeGuarding, folder: Path, *words: str) -> GracefulStop:
    return GracefulStop(
        hooks=lambda: Hooks(before_stop=words),
        guarding=cast(Any, guarding),
        output=folder / "programs.log",
        clock=SystemClock(),
    )


def test_without_a_program_the_stop_is_at_once(guarding: FakeGuarding, tmp_path: Path) -> None:
    stopping(guarding, tmp_path).stop("7@1")
    assert guarding.stops == [StopMode.FAST]


def test_the_program_runs_once_and_its_end_is_the_stop(
    guarding: FakeGuarding, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    script = f'echo before; while [ ! -e "{gate}" ]; do sleep 0.01; done; exit 9'
    stop = stopping(guarding, tmp_path, "sh", "-c", script)
    stop.stop("7@1")
    stop.stop("7@1")
    assert guarding.stops == []
    gate.touch()
    assert guarding.stopped.wait(LIMIT_S)
    assert guarding.stops == [StopMode.FAST]
    assert (tmp_path / "programs.log").read_text() == "before\n"


def test_a_server_that_was_started_meanwhile_is_left_alone(
    guarding: FakeGuarding, tmp_path: Path
) -> None:
    guarding.process = "8@2"
    stopping(guarding, tmp_path, "true").stop("7@1")
    assert guarding.looked.wait(LIMIT_S)
    assert not guarding.stopped.wait(0.05)
