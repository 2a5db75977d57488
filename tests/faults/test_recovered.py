"""After a recovery the majority of the past comes back: it learns that it is none any more before
it can lead, and joins."""

from __future__ import annotations

import pytest

from raftha.cli.exits import Exit
from tests.integration.scene import (
    WRITABLE_LIMIT_S,
    NewCluster,
    Probe,
    sync_standbys,
    under_load,
)
from tests.integration.test_recover import recover
from tests.integration.test_voters import incarnations, put_aside, raft_directory

pytestmark = pytest.mark.integration


def test_two_old_nodes_that_come_back_together_join_the_recovered_one(
    new_cluster: NewCluster, probe: Probe
) -> None:
    """With all their directories, the primary of the past among them. Two of three, they could
    elect and promote; whichever of them meets the recovered node hears of it, and at once."""
    scene = under_load(new_cluster, probe, synchronous_mode="on")
    cluster, lost = scene.cluster, scene.primary
    (survivor,) = sync_standbys(cluster)
    (third,) = set(cluster.nodes) - {lost, survivor}
    before = incarnations(cluster)
    cluster.kill(lost)
    cluster.kill(third)
    cluster.kill_agent(survivor)

    words = ("--confirm", "test", "--fenced", lost, "--fenced", third)
    done = recover(cluster, survivor, *words)
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    cluster.start(survivor)
    assert cluster.wait_for_primary() == survivor
    scene.wait_for_writes()

    for name in (lost, third):
        cluster.start(name)
    cluster.wait_for(
        lambda: len(incarnations(cluster)) == 3, WRITABLE_LIMIT_S, "three voters again"
    )
    after = incarnations(cluster)
    assert not set(before.values()) & set(after.values())
    for name in (lost, third):
        (reason,) = put_aside(raft_directory(cluster, name))
        assert "recovered without this node (generation 1)" in reason
    scene.finish(at_least=50)
    assert cluster.primary() == survivor
