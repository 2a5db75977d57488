"""A standby that is away for longer than its slot may keep WAL: told, and copied anew by itself."""

from __future__ import annotations

import pytest

from tests.integration.harness import ClusterHarness
from tests.integration.scene import NewCluster, Probe, report, under_load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LITTLE = {
    "max_slot_wal_keep_size": "80MB",
    "max_wal_size": "64MB",
    "min_wal_size": "32MB",
    "wal_keep_size": "0",
}
"""Of the cluster's parameters: so little WAL is kept that a test can write more."""


def told(cluster: ClusterHarness, words: str) -> bool:
    return any(words in notice["what"] for notice in report(cluster).get("problems", []))


def test_who_comes_back_after_its_slot_was_lost_is_copied_anew(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, postgresql={"parameters": LITTLE})
    cluster, primary = scene.cluster, scene.primary
    away = next(node.name for node in cluster.members() if node.name != primary)
    cluster.stop(away)

    for _ in range(5):
        write_segment(cluster, primary)
    cluster.wait_for(lambda: told(cluster, f"the slot {away} of {away} keeps"), 10, "a warning")
    for _ in range(3):
        write_segment(cluster, primary)
    cluster.query(primary, "CHECKPOINT")
    cluster.wait_for(lambda: restart_of(cluster, away) is not None, 10, "a slot made anew")
    assert cluster.query(primary, SOUND) == [(2,)]

    begun = cluster.tail(away, 10_000).count("job started kind=pg_basebackup")
    cluster.start(away)
    cluster.wait_until_whole(60)
    assert cluster.tail(away, 10_000).count("job started kind=pg_basebackup") == begun + 1
    scene.finish()


SOUND = "SELECT count(*)::int FROM pg_replication_slots WHERE wal_status <> 'lost'"


def write_segment(cluster: ClusterHarness, primary: str) -> None:
    cluster.query(primary, "SELECT pg_logical_emit_message(false, 'x', 'y')")
    cluster.query(primary, "SELECT pg_switch_wal()")


def restart_of(cluster: ClusterHarness, name: str) -> object:
    """Where the slot begins to keep WAL; None once it is lost, and while it is being made anew."""
    slot = f"SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = '{name}'"
    rows = cluster.query(cluster.primary() or "n1", slot)
    return rows[0][0] if rows else None
