"""Quorum mode on real servers: lost primaries lose no row, and a lost standby is not felt."""

from __future__ import annotations

import time

import pytest

from tests.integration.harness import ClusterHarness, Part
from tests.integration.scene import TTL_S, NewCluster, Probe, Scene, report, under_load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROUNDS = 5
STALL_LIMIT_S = 0.5
"""Less than a primary waits before it lets a standby go that it needs."""


def in_quorum(new_cluster: NewCluster, probe: Probe, **options: object) -> Scene:
    """Three members under load, with both standbys in the quorum."""
    scene = under_load(new_cluster, probe, synchronous_mode="quorum", **options)
    wait_for_quorum(scene.cluster, 2)
    return scene


def wait_for_quorum(cluster: ClusterHarness, standbys: int) -> None:
    """The store names so many standbys, of which all have to be heard."""

    def settled() -> bool:
        found = report(cluster)
        return (len(found.get("sync_standbys", [])), found.get("sync_quorum")) == (
            standbys,
            standbys - 1,
        )

    cluster.wait_for(settled, 15, f"a quorum of {standbys} standbys")


def test_primaries_that_are_lost_one_after_the_other_lose_no_row(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = in_quorum(new_cluster, probe)
    cluster = scene.cluster

    for number in range(ROUNDS):
        primary = cluster.wait_for_primary()
        cluster.kill(primary)
        cluster.wait_for_primary(15, other_than=primary)
        scene.wait_for_writes()
        cluster.start(primary)
        cluster.wait_until_whole()
        wait_for_quorum(cluster, 2)
        assert report(cluster)["rpo"]["bytes"] == 0, f"round {number}"

    scene.finish(at_least=50 * ROUNDS)


def test_the_loss_of_a_standby_is_not_felt(new_cluster: NewCluster, probe: Probe) -> None:
    scene = in_quorum(new_cluster, probe)
    cluster = scene.cluster
    lost = next(node.name for node in cluster.members() if node.name != scene.primary)

    begun = time.monotonic()
    cluster.kill(lost)
    wait_for_quorum(cluster, 1)
    scene.wait_for_writes()

    gap = scene.ledger.longest_gap_s(begun)
    assert gap < STALL_LIMIT_S, f"commits paused for {gap:.2f} s"
    cluster.start(lost)
    cluster.wait_until_whole()
    wait_for_quorum(cluster, 2)
    scene.finish()
    assert cluster.wait_for_primary() == scene.primary


def test_strict_commits_wait_until_a_standby_is_back(new_cluster: NewCluster, probe: Probe) -> None:
    """The servers of both standbys stand still, their agents vote on: the primary stays, and
    acknowledges nothing."""
    scene = in_quorum(new_cluster, probe, synchronous_mode_strict=True)
    cluster = scene.cluster
    standbys = [node.name for node in cluster.members() if node.name != scene.primary]

    for name in standbys:
        cluster.pause(name, Part.POSTGRES)
    time.sleep(1)
    begun = time.monotonic()
    time.sleep(3 * TTL_S)
    assert scene.ledger.acknowledged(begun) == 0, "a commit that no standby has"
    assert cluster.primary() is None, "clients are sent to a primary that can acknowledge nothing"
    told = [notice["what"] for notice in report(cluster)["problems"]]
    assert any(what.startswith("commits wait: too few") for what in told), told

    for name in standbys:
        cluster.resume(name)
    scene.finish()
    assert cluster.wait_for_primary() == scene.primary
