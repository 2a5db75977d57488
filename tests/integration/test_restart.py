"""Planned stops and starts, of one node and of all, and the loss of the majority."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.harness import ClusterHarness
from tests.integration.processes import Part
from tests.integration.scene import (
    TTL_S,
    WRITABLE_LIMIT_S,
    NewCluster,
    Probe,
    check_quiet,
    first,
    report,
    sync_standbys,
    under_load,
)
from tests.integration.workload import Outcome

pytestmark = pytest.mark.integration


def nothing_runs(cluster: ClusterHarness, name: str) -> bool:
    """Neither agent nor guardian nor server."""
    return not any(cluster.processes(name, part) for part in Part)


@pytest.mark.parametrize("manner", ["at once", "the primary first", "the primary last"])
def test_all_nodes_stop_and_start_again_with_every_row(
    new_cluster: NewCluster, probe: Probe, manner: str
) -> None:
    scene = under_load(new_cluster, probe)
    cluster = scene.cluster
    standbys = [node.name for node in cluster.members() if node.name != scene.primary]
    order = [scene.primary, *standbys]
    if manner == "the primary last":
        order.reverse()

    if manner == "at once":
        with ThreadPoolExecutor(len(order)) as pool:
            codes = list(pool.map(cluster.stop, order))
    else:
        codes = [cluster.stop(name) for name in order]
    assert codes == [0, 0, 0]
    cluster.wait_for(
        lambda: all(nothing_runs(cluster, name) for name in cluster.nodes), 5, "nothing runs"
    )

    for name in reversed(order):
        cluster.start(name)
    scene.finish()


def test_a_stopped_primary_hands_over_long_before_its_ttl_is_out(
    new_cluster: NewCluster, probe: Probe
) -> None:
    ttl_s = 15.0
    scene = under_load(new_cluster, probe, ttl=ttl_s)

    begun = time.monotonic()
    assert scene.cluster.stop(scene.primary) == 0
    scene.await_successor()

    assert time.monotonic() - begun < ttl_s, "the successor waited for the lease to lapse"
    assert scene.ledger.longest_gap_s() <= 10.0
    scene.cluster.start(scene.primary)
    scene.finish(at_least=50)


def test_a_primary_stopped_before_its_set_is_formed_still_hands_over(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(ttl=TTL_S)
    cluster.start_all()
    old = cluster.wait_until_whole()

    assert cluster.stop(old) == 0

    cluster.wait_for_primary(WRITABLE_LIMIT_S, other_than=old)
    cluster.start(old)
    check_quiet(cluster)


def test_a_stopped_standby_leaves_the_synchronous_set_first(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, synchronous_mode="on")
    cluster, primary = scene.cluster, scene.primary
    (synchronous,) = sync_standbys(cluster)

    begun = time.time()
    assert cluster.stop(synchronous) == 0
    left = first(cluster, primary, "store write intent=sync .*Committed", begun)
    stopped = first(cluster, synchronous, "stopping the server|server ended", begun)

    assert left is not None, "the set was not changed"
    assert stopped is not None
    assert left.at <= stopped.at, f"it stopped {left.at - stopped.at:.2f} s before it was let out"
    scene.wait_for_writes()
    assert scene.ledger.longest_gap_s() <= 2.0
    cluster.start(synchronous)
    scene.finish(at_least=50)
    assert cluster.wait_for_primary() == primary


def test_without_a_majority_nothing_is_writable_and_everybody_says_why(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, synchronous_mode="off")
    cluster, primary = scene.cluster, scene.primary
    standbys = [node.name for node in cluster.members() if node.name != primary]

    killed = time.monotonic()
    for name in standbys:
        cluster.kill(name)
    alone = time.monotonic()
    cluster.wait_for(
        lambda: cluster.query(primary, "SELECT pg_is_in_recovery()") == [(True,)],
        WRITABLE_LIMIT_S + TTL_S,
        "the last node serves reads as a standby",
    )

    late = [
        attempt
        for attempt in scene.ledger.attempts()
        if attempt.outcome is Outcome.OK and attempt.started > alone + TTL_S
    ]
    assert late == [], f"written {late[-1].started - killed:.1f} s after the majority was gone"
    assert cluster.get(primary, "/primary")[0] == 503
    found = report(cluster)
    assert found["majority"] is False
    assert any("no majority" in problem["what"] for problem in found["problems"]), found
    shown = status_screen(cluster, primary)
    assert "no majority" in shown, shown
    assert all(name in shown for name in standbys), shown

    for name in standbys:
        cluster.start(name)
    scene.wait_for_writes(timeout_s=30)
    scene.finish()


def status_screen(cluster: ClusterHarness, name: str) -> str:
    """What `raftha status` prints when asked with the file of a node."""
    done = subprocess.run(
        [sys.executable, "-m", "raftha", "status", "-c", str(cluster.nodes[name].file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
