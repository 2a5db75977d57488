"""A cluster is given up with `raftha remove`, and then taken back."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raftha.cli.exits import Exit
from tests.integration.harness import ClusterHarness
from tests.integration.scene import NewCluster, Probe, under_load, wait_for_sync
from tests.integration.test_voters import raft_directory

pytestmark = [pytest.mark.integration, pytest.mark.timeout(200)]

LIMIT_S = 40.0


def remove(cluster: ClusterHarness, name: str, *words: str) -> tuple[int, str]:
    node = cluster.nodes[name]
    done = subprocess.run(
        [sys.executable, "-m", "raftha", "remove", *words, "-c", str(node.file)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        cwd=node.folder,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_cluster_is_given_up_node_by_node_and_taken_back(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe)
    cluster = scene.cluster
    wait_for_sync(cluster)
    names = [node.name for node in cluster.members()]
    rejected, *others = names

    code, said = remove(cluster, rejected, "--confirm", "test")
    assert (code, "in use by another raftha process" in said) == (Exit.REFUSED, True)
    assert cluster.stop(rejected) == 0
    code, said = remove(cluster, rejected, "--confirm", "test")
    assert (code, f"raftha member remove {rejected}" in said) == (Exit.REFUSED, True)
    assert all(f"{name} answers" in said for name in others)
    assert [cluster.stop(name) for name in others] == [0, 0]

    stores = [raft_directory(cluster, name) for name in names]
    for name in names:
        code, said = remove(cluster, name, "test", "--confirm", "test")
        assert (code, "has forgotten test" in said) == (Exit.DONE, True), said
        assert (cluster.nodes[name].pgdata / "PG_VERSION").is_file()
    assert not [path for store in stores for path in store.glob("raft.sqlite*")]

    # As the command says: until an agent has started it can be undone.
    for store in stores:
        for path in (store / "raft-void-1").glob("raft.sqlite*"):
            path.rename(store / path.name)
    for name in names:
        cluster.start(name)
    cluster.wait_until_whole(LIMIT_S)
    scene.finish()
