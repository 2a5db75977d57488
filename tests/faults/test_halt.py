"""A whole cluster stopped and started by one command each, under load and without."""

from __future__ import annotations

import pytest

from raftha.cli.exits import Exit
from tests.integration import processes
from tests.integration.harness import ClusterHarness
from tests.integration.scene import (
    NewCluster,
    Probe,
    raftha,
    report,
    under_load,
    wait_for_sync,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

LIMIT_S = 40.0


def servers(cluster: ClusterHarness) -> list[str]:
    """The members whose PostgreSQL runs."""
    return [
        node.name for node in cluster.members() if processes.postmaster(node.pgdata) is not None
    ]


def check_nothing_starts(cluster: ClusterHarness) -> None:
    """Every agent is back, and says that its server is stopped."""
    cluster.wait_for(
        lambda: [m["state"] for m in report(cluster).get("members", [])] == ["stopped"] * 3,
        LIMIT_S,
        "the agents are back",
    )
    assert servers(cluster) == []


def line(cluster: ClusterHarness) -> tuple[str, int]:
    """Who led last, and the timeline."""
    last = report(cluster)["history"][-1]
    return last["leader"], last["timeline"]


def test_the_whole_cluster_stops_and_goes_on_where_it_was(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe)
    cluster = scene.cluster
    wait_for_sync(cluster)
    before = line(cluster)

    said = raftha(cluster, Exit.DONE, "stop", "--yes")
    assert "PostgreSQL is down everywhere" in said
    assert servers(cluster) == []
    for verb in (("switchover", "--yes"), ("pause",), ("restart", "--yes"), ("stop", "--yes")):
        raftha(cluster, Exit.REFUSED, *verb)
    assert "an operator has stopped it" in raftha(cluster, Exit.DONE, "status")

    # An agent that is stopped and started meanwhile, of a standby: nothing starts.
    standby = next(node.name for node in cluster.members() if node.name != scene.primary)
    assert cluster.stop(standby) == 0
    cluster.start(standby)
    check_nothing_starts(cluster)

    said = raftha(cluster, Exit.DONE, "start")
    assert f"{scene.primary} is the leader" in said
    assert line(cluster) == before, "no failover and no new timeline"

    # With all agents stopped too the lease is over: still nothing starts before it is told to.
    cluster.wait_until_whole(LIMIT_S)
    wait_for_sync(cluster)
    raftha(cluster, Exit.DONE, "stop", "--yes")
    names = [node.name for node in cluster.members()]
    assert [cluster.stop(name) for name in names] == [0, 0, 0]
    for name in names:
        cluster.start(name)
    check_nothing_starts(cluster)
    raftha(cluster, Exit.DONE, "start")
    scene.finish()
