"""What a server and its sessions do not get from the guardian that starts them (R15)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.guardian.stand_in import EPOCH, StandIn


@pytest.fixture
def host(tmp_path: Path) -> Iterator[StandIn]:
    made = StandIn(tmp_path)
    made.spawn()
    yield made
    made.close()


def oom_score(pid: int) -> Path:
    return Path(f"/proc/{pid}/oom_score_adj")


def start_primary(host: StandIn) -> list[int]:
    """The postmaster and its backends."""
    host.arm(60.0)
    host.start(EPOCH)
    alive = host.alive()
    assert len(alive) == 3
    return alive


def test_a_server_has_the_usual_scheduling_class_whatever_its_guardian_has(host: StandIn) -> None:
    """SCHED_BATCH stands for the classes that only root may take."""
    guardian = host.agent.status().guardian_pid
    os.sched_setscheduler(guardian, os.SCHED_BATCH, os.sched_param(0))

    started = start_primary(host)

    assert {os.sched_getscheduler(pid) for pid in started} == {os.SCHED_OTHER}
    assert os.sched_getscheduler(guardian) == os.SCHED_BATCH


def test_a_server_has_the_usual_niceness_whatever_its_guardian_has(host: StandIn) -> None:
    guardian = host.agent.status().guardian_pid
    try:
        os.setpriority(os.PRIO_PROCESS, guardian, -5)
    except PermissionError as problem:
        pytest.skip(f"only root may favour a process: {problem}")

    started = start_primary(host)

    assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in started} == {0}


def test_a_server_is_not_spared_when_memory_is_short_though_its_guardian_is(host: StandIn) -> None:
    guardian = host.agent.status().guardian_pid
    try:
        oom_score(guardian).write_text("-500")
    except PermissionError as problem:
        pytest.skip(f"only root may spare a process: {problem}")

    started = start_primary(host)

    assert {oom_score(pid).read_text() for pid in started} == {"0\n"}
    assert oom_score(guardian).read_text() == "-500\n"
