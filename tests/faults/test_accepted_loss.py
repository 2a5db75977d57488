"""A primary and its synchronous standby are gone: nobody takes over by himself, and an operator who
accepts the loss has the last member promoted."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raftha.cli.exits import Exit
from tests.integration.harness import ClusterHarness, Part
from tests.integration.scene import NewCluster, Probe, report, sync_standbys, under_load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def failover(cluster: ClusterHarness, to: str, *words: str) -> subprocess.CompletedProcess[str]:
    file = str(cluster.nodes[to].file)
    return subprocess.run(
        [sys.executable, "-m", "raftha", "failover", "-c", file, "--candidate", to, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_last_member_leads_once_an_operator_accepts_the_loss(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, witnesses=2, synchronous_mode="on")
    cluster, lost = scene.cluster, scene.primary
    (standby,) = sync_standbys(cluster)
    (last,) = {node.name for node in cluster.members()} - {lost, standby}
    cluster.pause(last, Part.POSTGRES)
    scene.wait_for_writes(50)
    cluster.kill(lost)
    cluster.kill(standby)
    cluster.resume(last)

    lacks = f"provably held by {lost} and {standby} alone"
    cluster.wait_for(lambda: lacks in str(report(cluster)), 15, "why nobody races")
    refused = failover(cluster, last, "--yes")
    assert refused.returncode == Exit.REFUSED
    assert lacks in refused.stderr
    other = failover(cluster, last, "--allow-data-loss", "--confirm", "another")
    assert other.returncode == Exit.USAGE
    assert report(cluster)["leader"] is None

    done = failover(cluster, last, "--allow-data-loss", "--confirm", "test", "--wait")
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    assert "bytes of WAL at least" in done.stdout
    scene.wait_for_writes()
    told = report(cluster)["history"][-1]
    assert "an operator accepted the loss" in told["reason"]

    for name in (lost, standby):
        cluster.start(name)
    cluster.wait_until_whole(60)
    assert scene.finish(at_least=50, may_lose=True).lost > 0
    assert cluster.primary() == last
    cluster.wait_for(lambda: report(cluster)["history"][-1]["lost_bytes"], 15, "the loss told")


def test_in_a_quorum_too_the_last_member_leads_once_the_loss_is_accepted(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, witnesses=2)
    cluster, lost = scene.cluster, scene.primary
    last, other = sorted({node.name for node in cluster.members()} - {lost})
    for name in (lost, other):
        cluster.kill(name)

    cluster.wait_for(lambda: "may lack acknowledged" in str(report(cluster)), 15, "the reason")
    cluster.wait_for(lambda: f"{other} does not answer" in str(report(cluster)), 15, "whom it is")
    refused = failover(cluster, last, "--yes")
    assert refused.returncode == Exit.REFUSED
    assert "--allow-data-loss would overrule that" in refused.stderr
    done = failover(cluster, last, "--allow-data-loss", "--confirm", "test", "--wait")
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    scene.wait_for_writes()

    for name in (lost, other):
        cluster.start(name)
    cluster.wait_until_whole(60)
    scene.finish(at_least=50, may_lose=True)
    assert cluster.primary() == last
