"""A fence is measured once, on children of the program's own, and compared with its budget."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from raftha.agent.calibration import Calibration, _measured
from raftha.guardian import calibrate
from raftha.guardian.fence import GRACE_S
from raftha.instants import Seconds

AT_ONCE = Seconds(0.0)
BUDGET = Seconds(0.5)


def calibrated(seconds: float) -> None:
    Calibration(lambda: BUDGET, lambda: Seconds(seconds), AT_ONCE).run(threading.Event())


@pytest.mark.parametrize(("seconds", "is_warned"), [(0.39, False), (0.41, True), (3.0, True)])
def test_a_machine_on_which_a_fence_takes_most_of_its_budget_is_warned_of(
    seconds: float, is_warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        calibrated(seconds)
    assert [record.levelno == logging.WARNING for record in caplog.records] == [is_warned]
    assert vars(caplog.records[0])["raftha_facts"]["seconds"] == seconds


def test_an_agent_that_ends_before_measures_nothing() -> None:
    ended = threading.Event()
    ended.set()
    Calibration(lambda: BUDGET, pytest.fail, Seconds(60.0)).run(ended)


def test_what_cannot_be_measured_is_said_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> Seconds:
        raise OSError("no process to be had")

    Calibration(lambda: BUDGET, fail, AT_ONCE).run(threading.Event())
    assert vars(caplog.records[0])["raftha_facts"]["why"] == "no process to be had"


COUNTED = """
import os
from raftha.guardian import calibrate

fork, forked = os.fork, []

def counting():
    forked.append(fork())
    return forked[-1]

os.fork = counting
print(calibrate.measure(20), *forked)
"""
"""Tells which processes it made; whoever looks from outside may miss those that end too soon."""


def test_the_program_ends_its_own_children_and_tells_how_long_that_took() -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        command = [sys.executable, "-I", "-S", str(Path(calibrate.__file__)), "20"]
        assert float(subprocess.check_output(command, text=True)) >= GRACE_S

        counted = subprocess.check_output([sys.executable, "-c", COUNTED], text=True)
        seconds, *made = counted.split()
        assert float(seconds) >= GRACE_S
        assert len(set(made)) == 20
        assert not any(psutil.pid_exists(int(pid)) for pid in made)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_two_hundred_processes_can_be_ended_within_the_time_that_is_waited() -> None:
    assert GRACE_S <= _measured() < 20
