"""A cluster is given up with `raftha remove`, taken back, and begun anew with its data."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from raftha.cli.exits import Exit
from tests.integration.harness import ClusterHarness
from tests.integration.scene import NewCluster, Probe, report, under_load, wait_for_sync
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

    give_up(cluster, names)
    assert not [path for store in stores_of(cluster) for path in store.glob("raft.sqlite*")]

    # As the command says: until an agent has started it can be undone.
    for store in stores_of(cluster):
        for path in (store / "raft-void-1").glob("raft.sqlite*"):
            path.rename(store / path.name)
    start_again(cluster, names)
    before = len(report(cluster)["history"])
    scene.wait_for_writes()

    # And as it says, what is started without is a cluster anew, with the data of the last primary.
    assert [cluster.stop(name) for name in names] == [0, 0, 0]
    give_up(cluster, names)
    start_again(cluster, names)
    assert len(report(cluster)["history"]) == 1 <= before
    scene.finish()


def stores_of(cluster: ClusterHarness) -> list[Path]:
    return [raft_directory(cluster, node.name) for node in cluster.members()]


def give_up(cluster: ClusterHarness, names: Sequence[str]) -> None:
    for name in names:
        code, said = remove(cluster, name, "test", "--confirm", "test")
        assert (code, "has forgotten test" in said) == (Exit.DONE, True), said
        assert (cluster.nodes[name].pgdata / "PG_VERSION").is_file()


def start_again(cluster: ClusterHarness, names: Sequence[str]) -> None:
    for name in names:
        cluster.start(name)
    cluster.wait_until_whole(LIMIT_S)
    wait_for_sync(cluster)
