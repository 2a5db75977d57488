"""Two of three machines are lost for good: the third is recovered by hand, and the others come back
as new machines, or as old ones that do not know yet."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from raftha.cli.exits import Exit
from tests.integration.harness import ClusterHarness
from tests.integration.scene import (
    WRITABLE_LIMIT_S,
    NewCluster,
    Probe,
    report,
    sync_standbys,
    under_load,
    wait_for_sync,
)
from tests.integration.test_voters import incarnations, put_aside, raft_directory

pytestmark = pytest.mark.integration

RECOVERY_LIMIT_S = 60.0


def recover(cluster: ClusterHarness, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a node, as a script would."""
    node = cluster.nodes[name]
    return subprocess.run(
        [sys.executable, "-m", "raftha", "recover", "-c", str(node.file), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RECOVERY_LIMIT_S,
        cwd=node.folder,
        check=False,
    )


def test_two_of_three_machines_are_lost_for_good(new_cluster: NewCluster, probe: Probe) -> None:
    scene = under_load(new_cluster, probe, synchronous_mode="on")
    cluster, lost = scene.cluster, scene.primary
    (survivor,) = sync_standbys(cluster)
    (destroyed,) = set(cluster.nodes) - {lost, survivor}

    cluster.kill(lost)
    cluster.kill(destroyed)
    shutil.rmtree(cluster.nodes[destroyed].folder)
    refused = recover(cluster, survivor, "--dry-run")
    assert (refused.returncode, "in use" in refused.stderr) == (Exit.REFUSED, True)
    cluster.kill_agent(survivor)

    words = ("--confirm", "test", "--fenced", lost, "--fenced", destroyed)
    done = recover(cluster, survivor, *words)
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    assert f"{survivor} is the synchronous standby of {lost}" in done.stdout

    cluster.start(survivor)
    assert cluster.wait_for_primary() == survivor
    scene.wait_for_writes()
    assert any("single voter" in p["what"] for p in report(cluster)["problems"])

    cluster.start(lost)  # with all its old directories, and it was the primary
    cluster.wait_for(
        lambda: len(incarnations(cluster)) == 2, WRITABLE_LIMIT_S, f"{lost} has a seat again"
    )
    (reason,) = put_aside(raft_directory(cluster, lost))
    assert "recovered without this node (generation 1)" in reason
    cluster.start(destroyed)
    cluster.wait_until_whole()
    cluster.wait_for(
        lambda: len(incarnations(cluster)) == 3, WRITABLE_LIMIT_S, "three voters again"
    )
    scene.finish(at_least=50)
    assert cluster.primary() == survivor


def test_a_witness_takes_in_a_member_that_lost_its_raft_directory(new_cluster: NewCluster) -> None:
    """Both have, so their votes are lost for good; but not their data, nor what the witness knows
    of who holds every commit."""
    cluster = new_cluster(nodes=2, witnesses=1)
    cluster.start_all()
    primary = cluster.wait_until_whole()
    wait_for_sync(cluster)
    cluster.query(primary, "CREATE TABLE kept AS SELECT 42 AS answer")
    (standby,) = {"n1", "n2"} - {primary}
    for name in (primary, standby):
        cluster.kill(name)
        shutil.rmtree(raft_directory(cluster, name))
    cluster.kill("w1")

    words = ("--confirm", "test", "--fenced", "n1", "--fenced", "n2")
    done = recover(cluster, "w1", *words)
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    cluster.start("w1")
    cluster.start(standby)
    assert cluster.wait_for_primary() == standby
    assert cluster.query(standby, "SELECT answer FROM kept") == [(42,)]
    cluster.query(standby, "INSERT INTO kept VALUES (43)")
