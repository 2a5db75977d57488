"""A primary whose cable is pulled, or carries one direction alone, in network namespaces.

Unlike a proxy a dead cable closes nothing and answers nothing. Clients reach every node all the
time, through another network.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pytest

from tests.faults.links import Way
from tests.faults.nets import NetCluster
from tests.faults.stage import ALLOWANCE_S, LEASE_S, PROMISED_S
from tests.integration.scene import NewCluster, Probe, under_load
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

LAG_BYTES: Final = 256 << 10
LASTS_S: Final = 2 * LEASE_S
"""How long it goes on after another one has taken writes."""


@pytest.mark.parametrize("mode", ["on", "off"])
@pytest.mark.parametrize("way", list(Way), ids=lambda way: way.value.replace(" ", "-"))
def test_a_primary_behind_a_dead_cable_ends_and_another_takes_over(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts], way: Way, mode: str
) -> None:
    options = {"synchronous_mode": mode, "maximum_lag_on_failover": LAG_BYTES}
    scene = under_load(new_cluster, probe, kind=NetCluster, ttl=LEASE_S, **options)
    cluster, primary = scene.cluster, scene.primary
    assert isinstance(cluster, NetCluster)
    other = next(name for name in cluster.nodes if name != primary)
    assert cluster.hears(primary, other)
    assert cluster.hears(other, primary)

    cluster.part(primary, way)
    assert cluster.hears(primary, other) == (way is Way.OUT)
    assert cluster.hears(other, primary) == (way is Way.IN)
    scene.await_successor()
    time.sleep(LASTS_S)
    scene.wait_for_writes()
    cluster.heal()

    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S, may_lose=LAG_BYTES if mode == "off" else None)
    assert cluster.hears(primary, other)
