"""What must hold on every PostgreSQL first: a cluster forms, and survives its primary."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.harness import ClusterHarness
from tests.integration.scene import wait_for_sync
from tests.integration.workload import WriteProber

pytestmark = [pytest.mark.integration, pytest.mark.smoke]

NewCluster = Callable[..., ClusterHarness]
Probe = Callable[[ClusterHarness], WriteProber]
TTL_S = 2.0
# Waiting for a free processor on a loaded machine, on top of what the product promises.
SLACK_S = 5.0


def test_three_nodes_started_at_once_become_one_cluster(new_cluster: NewCluster) -> None:
    cluster = new_cluster(ttl=TTL_S)
    cluster.start_all()

    primary = cluster.wait_until_whole()

    systems = {
        cluster.query(node.name, "SELECT system_identifier FROM pg_control_system()")[0][0]
        for node in cluster.members()
    }
    standbys = [
        node.name
        for node in cluster.members()
        if cluster.query(node.name, "SELECT pg_is_in_recovery()") == [(True,)]
    ]
    assert len(systems) == 1
    assert sorted([primary, *standbys]) == ["n1", "n2", "n3"]


def test_a_killed_primary_is_replaced_without_loss_and_comes_back(
    new_cluster: NewCluster, probe: Probe
) -> None:
    cluster = new_cluster(ttl=TTL_S)
    cluster.start_all()
    old = cluster.wait_until_whole()
    wait_for_sync(cluster)
    prober = probe(cluster)
    ledger = prober.ledger
    cluster.wait_for(lambda: ledger.acknowledged() >= 20, 10, "twenty acknowledged rows")

    cluster.kill(old)
    new = cluster.wait_for_primary(TTL_S + 1 + SLACK_S, other_than=old)
    before = ledger.acknowledged()
    cluster.wait_for(lambda: ledger.acknowledged() >= before + 20, 10, "writes to the new primary")
    cluster.start(old)
    cluster.wait_until_whole()
    prober.stop()

    session = cluster.connect(new)
    counts = ledger.check(session, at_least=40)
    session.close()
    assert counts.rows >= counts.ok
