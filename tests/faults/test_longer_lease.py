"""A longer lease for the restart of an agent, and the usual one afterwards (R2)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pytest

from tests.faults.stage import ALLOWANCE_S, LEASE_S, PROMISED_S
from tests.integration.node_support import raftha
from tests.integration.scene import (
    NewCluster,
    Probe,
    Scene,
    postmaster_pid,
    report,
    under_load,
)
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

LONG_S: Final = 5 * LEASE_S


def set_ttl(scene: Scene, ttl: float) -> None:
    """It is what the last renewal was made with, when this returns."""
    file = scene.cluster.nodes[scene.primary].file
    done = raftha("edit-config", "-c", file, "-s", f"ttl={ttl:g}", "--yes")
    assert done.returncode == 0, done.stdout

    def is_renewed() -> bool:
        left = report(scene.cluster)["lease_remaining_seconds"]
        return left is not None and ttl - LEASE_S / 2 < left <= ttl * 1.01

    scene.cluster.wait_for(is_renewed, 10, f"a lease of {ttl:g} s")


def test_an_agent_may_stay_away_for_a_longer_lease_that_was_asked_for_before(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts]
) -> None:
    scene = under_load(new_cluster, probe, ttl=LEASE_S)
    cluster, primary = scene.cluster, scene.primary
    server = postmaster_pid(cluster, primary)

    set_ttl(scene, LONG_S)
    cluster.kill_agent(primary)
    since = time.monotonic()
    time.sleep(2 * LEASE_S)
    cluster.start(primary)
    cluster.wait_for(lambda: cluster.primary() == primary, LEASE_S, "it leads again")
    assert postmaster_pid(cluster, primary) == server
    assert scene.ledger.longest_gap_s(since) < LEASE_S
    set_ttl(scene, LEASE_S)

    cluster.kill_agent(primary)
    scene.await_successor()
    cluster.start(primary)

    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S)
