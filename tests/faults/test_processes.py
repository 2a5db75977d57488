"""Every combination of a primary's processes, killed or stopped at one blow, under load.

A stopped guardian beside a stopped postmaster leaves sessions that run on (`docs/fencing.md`); here
they get no answer to a commit, because no standby answers them any more.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

import psutil
import pytest

from tests.faults.stage import (
    ALLOWANCE_S,
    HEALTH_S,
    LEASE_S,
    PROMISED_S,
    BusyCluster,
    Crowd,
    is_busy,
    parts_of,
)
from tests.integration import processes
from tests.integration.scene import NewCluster, Probe, Scene, under_load, wait_for_sync
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

PARTS: Final = ("backends", "postmaster", "guardian", "agent")
COMBINATIONS: Final = [
    chosen for size in range(1, 5) for chosen in itertools.combinations(PARTS, size)
]
LASTS_S: Final = HEALTH_S + PROMISED_S
"""How long what is frozen stays so: until another one had to take over."""

PAUSE_S: Final = 2 * LEASE_S
"""What L1 allows from the fourth loss in a row on."""

KILLS: Final = 50
SEED: Final = 20_251_127
SHORT: Final = ("guardian", "agent")
"""Tried by the default suite too: nothing but the kernel is left to end the server."""

each_combination = pytest.mark.parametrize(
    "parts",
    [
        pytest.param(parts, id="+".join(parts), marks=[pytest.mark.short] * (parts == SHORT))
        for parts in COMBINATIONS
    ],
)


def strike(scene: Scene, parts: tuple[str, ...], number: signal.Signals) -> list[psutil.Process]:
    """Send the signal to all these processes of the primary, while a transaction is busy there;
    those that it reached. Sessions come and go: one that has just ended is none to hit."""
    scene.cluster.wait_for(lambda: is_busy(scene), 20, "a busy transaction")
    found = parts_of(scene, parts)
    reached = processes.send_at_once(found, number)
    assert len(reached) >= len(parts), f"too few were hit: {reached} of {found}"
    return reached


@each_combination
def test_whatever_is_killed_together_the_cluster_writes_on(
    new_cluster: NewCluster,
    probe: Probe,
    crowd: Callable[..., Crowd],
    conclude: Callable[..., Counts],
    parts: tuple[str, ...],
) -> None:
    scene = under_load(new_cluster, probe, kind=BusyCluster, ttl=LEASE_S)
    load = crowd(scene)

    killed = strike(scene, parts, signal.SIGKILL)
    processes.wait_until_gone(killed, 5)
    if "agent" in parts:
        scene.await_successor()
        scene.cluster.start(scene.primary)
    scene.wait_for_writes()

    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S, crowd=load)


@each_combination
def test_whatever_is_frozen_together_the_cluster_writes_on(
    new_cluster: NewCluster,
    probe: Probe,
    crowd: Callable[..., Crowd],
    conclude: Callable[..., Counts],
    parts: tuple[str, ...],
) -> None:
    scene = under_load(new_cluster, probe, kind=BusyCluster, ttl=LEASE_S)
    load = crowd(scene)

    frozen = strike(scene, parts, signal.SIGSTOP)
    try:
        scene.cluster.wait_for(lambda: all(map(processes.is_stopped, frozen)), 2, "all stand still")
        time.sleep(LASTS_S)
        if {"agent", "postmaster"} & set(parts):
            scene.await_successor()
        scene.wait_for_writes()
    finally:
        processes.send(frozen, signal.SIGCONT)

    conclude(scene, gap_s=PROMISED_S + HEALTH_S + ALLOWANCE_S, crowd=load)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_kills_in_a_row_end_with_every_row(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts]
) -> None:
    """Whoever is primary loses what the seed says, as soon as the cluster is whole again."""
    scene = under_load(new_cluster, probe, ttl=LEASE_S)
    cluster, draw = scene.cluster, Random(SEED)
    primaries = set()
    for number in range(KILLS):
        scene = replace(scene, primary=cluster.wait_until_whole())
        primaries.add(scene.primary)
        wait_for_sync(cluster)
        parts = draw.choice(COMBINATIONS)
        killed = processes.send_at_once(parts_of(scene, parts), signal.SIGKILL)
        assert killed, f"kill {number} of seed {SEED}: nothing of {parts} is there"
        processes.wait_until_gone(killed, 5)
        if "agent" in parts:
            cluster.start(scene.primary)
        scene.wait_for_writes(5)

    assert len(primaries) > 1, "nobody ever took over"
    conclude(scene, gap_s=PROMISED_S + PAUSE_S + ALLOWANCE_S)
