"""Clocks that are slewed or set while PostgreSQL serves: injected, for those of the machine are
shared by everybody on it. Without synchronous replication nothing but the clocks ends a primary."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pytest

from raftha.cli.exits import Exit
from tests.faults.clocks import SLEWED, OneClockCluster, SlewedCluster, SteppedCluster
from tests.faults.stage import ALLOWANCE_S, LEASE_S, PROMISED_S
from tests.integration.node_support import raftha
from tests.integration.processes import Part
from tests.integration.scene import NewCluster, Probe, Scene, postmaster_pid, report, under_load
from tests.integration.workload import Counts, overlap_s

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

Conclude = Callable[..., Counts]
LAG_BYTES: Final = 256 << 10
OFF: Final = {"synchronous_mode": "off", "maximum_lag_on_failover": LAG_BYTES, "ttl": LEASE_S}
LASTS_S: Final = 2 * LEASE_S
HOUR_S: Final = 3600.0


def led_by_the_slow_one(new_cluster: NewCluster, probe: Probe, kind: type[SlewedCluster]) -> Scene:
    """A cluster under load; the clocks of its primary run at half their rate."""
    cluster = new_cluster(kind=kind, **OFF)
    assert isinstance(cluster, SlewedCluster)
    cluster.start_all()
    leader = cluster.wait_until_whole()
    if leader != SLEWED:
        words = ("--candidate", SLEWED, "--yes", "--url", cluster.url(leader))
        done = raftha("switchover", *words)
        assert done.returncode == Exit.DONE, done.stdout
    assert cluster.wait_until_whole() == SLEWED
    assert cluster.runs_the_copy(SLEWED)
    scene = Scene(cluster, probe(cluster), SLEWED)
    scene.wait_for_writes()
    return scene


def test_a_primary_whose_clock_is_slewed_slower_ends_before_another_writes(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    scene = led_by_the_slow_one(new_cluster, probe, SlewedCluster)

    scene.cluster.pause(SLEWED, Part.AGENT)
    scene.await_successor()
    time.sleep(LASTS_S)
    scene.wait_for_writes()
    assert not scene.cluster.processes(SLEWED, Part.POSTGRES), "the old server is there"
    scene.cluster.resume(SLEWED)

    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S, may_lose=LAG_BYTES)


def test_a_guardian_that_goes_by_the_slewed_clock_alone_is_seen(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = led_by_the_slow_one(new_cluster, probe, OneClockCluster)

    scene.cluster.pause(SLEWED, Part.AGENT)
    scene.await_successor()
    time.sleep(LASTS_S)

    assert overlap_s(scene.ledger.attempts()) > 0


def test_a_time_of_day_that_is_set_decides_nothing(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    """An hour forward on the primary, an hour back on the others, and a failover in between."""
    scene = under_load(new_cluster, probe, kind=SteppedCluster, ttl=LEASE_S)
    cluster, primary = scene.cluster, scene.primary
    assert isinstance(cluster, SteppedCluster)
    assert cluster.runs_the_copy(primary)
    server, history = postmaster_pid(cluster, primary), report(cluster)["history"]

    for node in cluster.members():
        cluster.step(node.name, HOUR_S if node.name == primary else -HOUR_S)
    time.sleep(LASTS_S)
    assert (cluster.primary(), postmaster_pid(cluster, primary)) == (primary, server)
    assert report(cluster)["history"] == history
    cluster.kill(primary)
    scene.await_successor()
    assert told_s_ago(cluster) > HOUR_S / 2, "the time of day was not set"
    cluster.start(primary)

    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S)


def told_s_ago(cluster: SteppedCluster) -> float:
    """How old the last promotion is, by the time of day of whoever was promoted."""
    return time.time() - float(report(cluster)["history"][-1]["wall"])
