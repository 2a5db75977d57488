"""Each layer of the fence alone, the others taken out: a lost primary ends before another writes.

Without synchronous replication, so that nothing else keeps the old server from acknowledging. That
the prober would see a layer that is late, or missing, is tried beside each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pytest

from tests.faults.links import Way
from tests.faults.nets import NetCluster
from tests.faults.planted import (
    LateLoopAlone,
    LateTimerAlone,
    LoopAlone,
    NothingAtAll,
    PlantedCluster,
    StopAlone,
    TimerAlone,
)
from tests.faults.stage import ALLOWANCE_S, LEASE_S, PROMISED_S, Crowd, is_busy
from tests.integration.processes import Part
from tests.integration.scene import NewCluster, Probe, Scene, under_load
from tests.integration.workload import Counts, overlap_s

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

Conclude = Callable[..., Counts]
LAG_BYTES: Final = 256 << 10
OFF: Final = {
    "synchronous_mode": "off",
    "maximum_lag_on_failover": LAG_BYTES,
    "ttl": LEASE_S,
    "loop_wait": 1.0,  # the default
}
LASTS_S: Final = 2 * LEASE_S
"""How long a fault goes on after another primary has taken writes."""


def planted(new_cluster: NewCluster, probe: Probe, kind: type[PlantedCluster]) -> Scene:
    """A cluster of this kind under load; what is planted there does run."""
    scene = under_load(new_cluster, probe, kind=kind, **OFF)
    assert isinstance(scene.cluster, PlantedCluster)
    assert scene.cluster.runs_the_copy(scene.primary)
    return scene


def lose_the_agent(scene: Scene, *, guardian: bool) -> None:
    """Nobody is left to renew; with the guardian stopped, nobody to look at its deadline either."""
    parts = (Part.AGENT, Part.GUARDIAN) if guardian else (Part.AGENT,)
    scene.cluster.pause(scene.primary, *parts)


def cut_off(scene: Scene) -> NetCluster:
    """The primary and its agent go on, without the others."""
    assert isinstance(scene.cluster, NetCluster)
    scene.cluster.part(scene.primary, Way.BOTH)
    return scene.cluster


def two_writers_s(scene: Scene) -> float:
    """For how long two servers acknowledged, once another one has taken writes for a while."""
    scene.wait_for_writes()
    time.sleep(LASTS_S)
    return overlap_s(scene.ledger.attempts())


def end_fault(scene: Scene) -> None:
    scene.await_successor()
    time.sleep(LASTS_S)
    scene.wait_for_writes()
    assert not scene.cluster.processes(scene.primary, Part.POSTGRES), "the old server is there"


@pytest.mark.parametrize("kind", [LoopAlone, TimerAlone])
def test_the_guardian_alone_ends_a_primary_whose_agent_is_frozen(
    new_cluster: NewCluster,
    probe: Probe,
    crowd: Callable[..., Crowd],
    conclude: Conclude,
    kind: type[PlantedCluster],
) -> None:
    scene = planted(new_cluster, probe, kind)
    load = crowd(scene)
    scene.cluster.wait_for(lambda: is_busy(scene), 20, "a busy transaction")

    lose_the_agent(scene, guardian=kind is TimerAlone)
    end_fault(scene)
    scene.cluster.resume(scene.primary)

    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S, crowd=load, may_lose=LAG_BYTES)


def test_the_agent_alone_ends_a_primary_that_is_cut_off(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    scene = planted(new_cluster, probe, StopAlone)

    cluster = cut_off(scene)
    scene.await_successor()
    time.sleep(LASTS_S)
    scene.wait_for_writes()
    cluster.heal()

    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S, may_lose=LAG_BYTES)


@pytest.mark.parametrize("kind", [LateLoopAlone, LateTimerAlone])
def test_a_guardian_that_is_late_is_seen(
    new_cluster: NewCluster, probe: Probe, kind: type[PlantedCluster]
) -> None:
    scene = planted(new_cluster, probe, kind)

    lose_the_agent(scene, guardian=kind is LateTimerAlone)

    assert two_writers_s(scene) > 0


def test_a_primary_that_nothing_ends_is_seen(new_cluster: NewCluster, probe: Probe) -> None:
    scene = planted(new_cluster, probe, NothingAtAll)

    cut_off(scene)

    assert two_writers_s(scene) > LEASE_S
