"""Raft directories that are lost, damaged or put back from a copy: the node goes on, and votes
again once the others gave it a new seat. That it does vote is shown by the loss of another node,
after which nothing could be written without its vote."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import ClusterHarness
from tests.integration.scene import WRITABLE_LIMIT_S, NewCluster, Probe, Scene, under_load

pytestmark = pytest.mark.integration


def raft_directory(cluster: ClusterHarness, name: str) -> Path:
    """Where the node keeps its log and its votes."""
    return cluster.nodes[name].folder / "raft"


def incarnations(cluster: ClusterHarness) -> dict[str, str]:
    """Who has a seat in the group with which Raft directory, by any node that leads the group."""
    for node in cluster.nodes:
        code, body = cluster.get(node, "/health")
        raft: dict[str, Any] = (body or {}).get("raft", {}) if code in (200, 503) else {}
        if raft.get("role") == "leader":
            return {v["name"]: v["incarnation"] for v in raft["voters"] if v["connected"]}
    return {}


def hurt(scene: Scene, name: str, harm: Callable[[Path], object]) -> None:
    """The node dies whole, its Raft directory suffers, it starts again and gets a seat anew."""
    cluster = scene.cluster
    before = incarnations(cluster)[name]
    cluster.kill(name)
    harm(raft_directory(cluster, name))
    cluster.start(name)
    cluster.wait_for(
        lambda: incarnations(cluster).get(name, before) != before,
        WRITABLE_LIMIT_S,
        f"{name} has a seat with a new Raft directory",
    )


def check_votes(scene: Scene, name: str, primary: str) -> None:
    """With the third node gone nothing is written without this one's vote."""
    cluster = scene.cluster
    (third,) = (node for node in cluster.nodes if node not in (name, primary))
    cluster.kill(third)
    scene.wait_for_writes()
    cluster.start(third)


def put_aside(directory: Path) -> list[str]:
    """The reasons why directories were put aside here, the oldest first."""
    return [path.read_text() for path in sorted(directory.glob("raft-void-*/raft.void"))]


def damage(directory: Path) -> None:
    """Overwrite the middle of the SQLite file, and lose what had not been moved into it."""
    store = directory / "raft.sqlite"
    for tail in directory.glob(f"{store.name}-*"):
        tail.unlink()
    content = bytearray(store.read_bytes())
    middle = len(content) // 2
    content[middle - 2048 : middle + 2048] = b"\xa5" * 4096
    store.write_bytes(content)


def test_a_standby_whose_raft_directory_is_emptied_or_damaged_votes_again(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe)
    cluster, primary = scene.cluster, scene.primary
    name = next(node for node in cluster.nodes if node != primary)

    hurt(scene, name, shutil.rmtree)
    cluster.wait_until_whole()
    check_votes(scene, name, primary)

    cluster.wait_until_whole()
    hurt(scene, name, damage)
    (reason,) = put_aside(raft_directory(cluster, name))
    assert reason
    cluster.wait_until_whole()
    check_votes(scene, name, primary)

    scene.finish(at_least=50)
    assert cluster.wait_for_primary() == primary


def test_a_primary_whose_raft_directory_is_lost_comes_back_as_a_voter(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe)
    cluster, old = scene.cluster, scene.primary
    before = incarnations(cluster)[old]

    cluster.kill(old)
    shutil.rmtree(raft_directory(cluster, old))
    new = scene.await_successor()
    cluster.start(old)
    cluster.wait_for(
        lambda: incarnations(cluster).get(old, before) != before, WRITABLE_LIMIT_S, "a new seat"
    )
    cluster.wait_until_whole()
    check_votes(scene, old, new)

    scene.finish(at_least=50)


def test_a_raft_directory_put_back_from_a_copy_is_not_voted_from(
    new_cluster: NewCluster, probe: Probe
) -> None:
    """The copy is older than what the node acknowledged since: the others know, and say so."""
    scene = under_load(new_cluster, probe)
    cluster, primary = scene.cluster, scene.primary
    name = next(node for node in cluster.nodes if node != primary)
    directory = raft_directory(cluster, name)
    copy = directory.with_name("raft-copy")

    cluster.kill(name)
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("run"))
    cluster.start(name)
    cluster.wait_until_whole()
    scene.wait_for_writes(100)

    def put_back(place: Path) -> None:
        shutil.rmtree(place)
        copy.rename(place)

    hurt(scene, name, put_back)
    (reason,) = put_aside(directory)
    assert reason
    cluster.wait_until_whole()
    check_votes(scene, name, primary)

    scene.finish(at_least=50)
