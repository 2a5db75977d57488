"""Of standbys that hold the same WAL the one with the higher failover_priority takes over."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import pytest

from tests.integration.harness import ClusterHarness, Node
from tests.integration.scene import NewCluster, wait_for_sync

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LIMIT_S: Final = 20.0
PRIORITIES: Final = {"n1": 1, "n2": 3, "n3": 2}
HELD: Final = "SELECT pg_last_wal_receive_lsn()::text, pg_last_wal_replay_lsn()::text"


class PreferringCluster(ClusterHarness):
    """Its members have different priorities."""

    def options(self, node: Node) -> dict[str, Any]:
        return {**super().options(node), "tags": {"failover_priority": PRIORITIES[node.name]}}


def test_of_equals_the_preferred_one_takes_over(new_cluster: NewCluster) -> None:
    """Nobody writes, so the standbys are equal; each member is lost once as the primary."""
    cluster = new_cluster(kind=PreferringCluster)
    cluster.start_all()
    primary = cluster.wait_until_whole()
    for _ in range(4):
        wait_for_sync(cluster)
        standbys = sorted(PRIORITIES.keys() - {primary}, key=lambda name: PRIORITIES[name])
        cluster.wait_for(partial(hold_the_same, cluster, standbys), LIMIT_S, "equals")
        cluster.kill(primary)
        successor = cluster.wait_for_primary(other_than=primary)
        assert successor == standbys[-1]
        cluster.start(primary)
        primary = cluster.wait_until_whole()


def hold_the_same(cluster: ClusterHarness, names: list[str]) -> bool:
    return len({position for name in names for position in cluster.query(name, HELD)[0]}) == 1
