"""What an operator sets decides: whom commits wait for, and who goes on after a crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from raftha.cli.exits import Exit
from tests.integration.harness import ClusterHarness
from tests.integration.node_support import hang_up, rewrite
from tests.integration.scene import (
    NewCluster,
    Probe,
    raftha,
    report,
    sync_standbys,
    under_load,
    wait_for_sync,
)
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LIMIT_S: Final = 20.0


def test_priorities_choose_the_synchronous_standby_and_a_limit_who_goes_on_after_a_crash(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts]
) -> None:
    scene = under_load(new_cluster, probe, synchronous_mode="on")
    cluster, primary = scene.cluster, scene.primary
    (first,) = sync_standbys(cluster)
    (other,) = (node.name for node in cluster.members() if node.name not in (primary, first))

    prefer(cluster, other, 2)
    await_synchronous(cluster, other)
    scene.wait_for_writes()
    cluster.kill(other)
    await_synchronous(cluster, first)
    cluster.start(other)
    await_synchronous(cluster, other)
    prefer(cluster, other, 0)
    await_synchronous(cluster, first)

    raftha(cluster, Exit.DONE, "edit-config", "-s", "primary_start_timeout=0", "--yes")
    timeline = report(cluster)["history"][-1]["timeline"]
    cluster.kill_postgres(primary)
    assert scene.await_successor() == first, "nobody waited for the recovery of the old one"
    last = report(cluster)["history"][-1]
    assert last["timeline"] == timeline + 1
    assert "primary_start_timeout: 0 s" in last["reason"]
    prefer(cluster, other, 1)
    cluster.wait_until_whole()
    wait_for_sync(cluster)
    conclude(scene, gap_s=15.0)


def prefer(cluster: ClusterHarness, name: str, priority: int) -> None:
    rewrite(cluster, name, lambda options: options.update(tags={"sync_priority": priority}))
    hang_up(cluster, name)


def await_synchronous(cluster: ClusterHarness, name: str) -> None:
    cluster.wait_for(
        lambda: sync_standbys(cluster) == [name], LIMIT_S, f"commits wait for {name} alone"
    )
