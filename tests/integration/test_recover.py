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
    scene = under_load(new_cluster, probe)
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
