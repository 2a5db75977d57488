"""Without synchronous replication nothing but the fence keeps a lost primary from acknowledging.

In synchronous mode a primary whose standby has gone over to another waits for its answer for ever,
fenced or not; here it would go on, and so would its busy and its idle sessions. One that is cut off
from the others is in `test_networks`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pytest

from tests.faults.stage import (
    ALLOWANCE_S,
    LEASE_S,
    PROMISED_S,
    BusyCluster,
    Crowd,
    is_busy,
)
from tests.integration.processes import Part
from tests.integration.scene import NewCluster, Probe, Scene, under_load
from tests.integration.workload import Counts, Outcome

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

Conclude = Callable[..., Counts]
LAG_BYTES: Final = 256 << 10
OFF: Final = {"synchronous_mode": "off", "maximum_lag_on_failover": LAG_BYTES, "ttl": LEASE_S}
LASTS_S: Final = 2 * LEASE_S
"""How long a fault goes on after another primary has taken writes."""

STARVED_S: Final = 20.0
RUNS_S: Final = 0.1
"""A starved agent has a twentieth of the time, in turns that end at no particular instant."""


def last_row_of(scene: Scene, name: str) -> float:
    """When a server last acknowledged one, of `time.monotonic()`."""
    own = (a for a in scene.ledger.attempts() if a.server == name and a.outcome is Outcome.OK)
    return max(a.ended for a in own)


def starve(scene: Scene, stands_s: float) -> int:
    """Stop the agent of the primary and let it go on for a moment, again and again; the turns."""
    cluster, name = scene.cluster, scene.primary
    end = time.monotonic() + STARVED_S
    turns = 0
    while time.monotonic() < end:
        cluster.pause(name, Part.AGENT)
        time.sleep(stands_s)
        cluster.resume(name)
        time.sleep(RUNS_S)
        turns += 1
    return turns


def await_end(scene: Scene) -> None:
    """Another one is primary, and for a while both could be written to by whoever reaches them."""
    struck = time.monotonic()
    scene.await_successor()
    time.sleep(LASTS_S)
    scene.wait_for_writes()
    assert last_row_of(scene, scene.primary) > struck, "it should have served until its deadline"


@pytest.mark.smoke
def test_a_primary_whose_agent_is_killed_writes_no_more_when_another_does(
    new_cluster: NewCluster, probe: Probe, crowd: Callable[..., Crowd], conclude: Conclude
) -> None:
    scene = under_load(new_cluster, probe, kind=BusyCluster, **OFF)
    load = crowd(scene)
    scene.cluster.wait_for(lambda: is_busy(scene), 20, "a busy transaction")

    scene.cluster.kill_agent(scene.primary)
    await_end(scene)
    assert not scene.cluster.processes(scene.primary, Part.POSTGRES), "the old server is there"
    scene.cluster.start(scene.primary)

    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S, crowd=load, may_lose=LAG_BYTES)


@pytest.mark.short
def test_a_primary_whose_agent_is_frozen_writes_no_more_when_another_does(
    new_cluster: NewCluster, probe: Probe, crowd: Callable[..., Crowd], conclude: Conclude
) -> None:
    scene = under_load(new_cluster, probe, kind=BusyCluster, **OFF)
    load = crowd(scene)
    scene.cluster.wait_for(lambda: is_busy(scene), 20, "a busy transaction")

    scene.cluster.pause(scene.primary, Part.AGENT)
    await_end(scene)
    assert not scene.cluster.processes(scene.primary, Part.POSTGRES), "the old server is there"
    scene.cluster.resume(scene.primary)

    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S, crowd=load, may_lose=LAG_BYTES)


@pytest.mark.parametrize("stands_s", [LEASE_S * 0.65, LEASE_S + RUNS_S], ids=["short", "long"])
def test_a_primary_whose_agent_starves_writes_no_more_when_another_does(
    new_cluster: NewCluster,
    probe: Probe,
    crowd: Callable[..., Crowd],
    conclude: Conclude,
    stands_s: float,
) -> None:
    scene = under_load(new_cluster, probe, kind=BusyCluster, **OFF)
    load = crowd(scene)

    turns = starve(scene, stands_s)
    assert turns > STARVED_S / (stands_s + RUNS_S) / 2, "it was not starved for most of the time"
    scene.wait_for_writes()

    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S, crowd=load, may_lose=LAG_BYTES)
