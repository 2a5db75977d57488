"""The life of a cluster: it is born once, everybody follows, the lease lapses, the best takes over.

How a primary that was replaced comes back is in `test_rejoin`.
"""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest

from tests.integration.harness import STREAM_OF, ClusterHarness
from tests.integration.processes import Part
from tests.integration.scene import (
    TTL_S,
    NewCluster,
    Probe,
    Scene,
    await_line,
    check_quiet,
    log_of,
    report,
    server_log,
    under_load,
    wait_for_sync,
)

pytestmark = pytest.mark.integration


@pytest.mark.smoke
def test_a_lone_node_waits_and_names_whom_then_three_become_one_cluster(
    new_cluster: NewCluster, probe: Probe
) -> None:
    cluster = new_cluster(ttl=TTL_S)
    cluster.start("n1")
    others = [f"127.0.0.1:{cluster.nodes[name].raft_port}" for name in ("n2", "n3")]

    waiting = await_line(cluster, "n1", r"waiting for a majority \(1 of 3 voters\)", 10)
    assert [address in waiting.words for address in others] == [True, True], waiting.words
    code, health = cluster.get("n1", "/health")
    assert code == 503
    assert all(address in str(health["problems"]) for address in others), health
    time.sleep(2 * TTL_S)
    assert not cluster.nodes["n1"].pgdata.exists(), "a lone node of three initialised a cluster"

    cluster.start_all()
    primary = cluster.wait_until_whole()
    wait_for_sync(cluster)
    scene = Scene(cluster, probe(cluster), primary)
    scene.wait_for_writes()
    check_birth(cluster, primary)
    check_renewals(cluster, primary)
    scene.finish()


def test_all_nodes_at_the_same_instant_initialise_once(new_cluster: NewCluster) -> None:
    cluster = new_cluster(ttl=TTL_S)
    starters = [threading.Thread(target=cluster.start, args=(name,)) for name in cluster.nodes]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()

    primary = cluster.wait_until_whole()

    check_birth(cluster, primary)
    check_quiet(cluster)


def check_birth(cluster: ClusterHarness, primary: str) -> None:
    """One initdb; the roles; slots before connections; who leads and who follows says so."""
    births = [
        name
        for name in cluster.nodes
        for line in log_of(cluster, name)
        if "job started" in line.words and "initdb" in line.words
    ]
    assert births == [primary]
    roles = {row[0] for row in cluster.query(primary, "SELECT rolname FROM pg_roles")}
    assert {"postgres", "replicator", "rewinder"} <= roles
    await_line(cluster, primary, f"no action: I am {primary}, the leader with the lock", 10)
    slots = cluster.query(
        primary, "SELECT slot_name FROM pg_replication_slots WHERE active ORDER BY 1"
    )
    assert slots == [(node.name,) for node in cluster.members() if node.name != primary]
    for node in cluster.members():
        lost = [li for li in server_log(cluster, node.name).splitlines() if "does not exist" in li]
        assert [li for li in lost if "slot" in li] == [], f"{node.name} met a missing slot"
        if node.name != primary:
            copies = [li for li in log_of(cluster, node.name) if "cloning from" in li.words]
            assert len(copies) == 1, copies
            await_line(cluster, node.name, f"a standby of {primary}, streaming", 10)


def check_renewals(cluster: ClusterHarness, primary: str) -> None:
    """The lease is renewed by compare-and-set: its revision grows, the epoch stays."""
    first = cluster.get(primary, "/patroni")[1]
    before = report(cluster)
    time.sleep(1.2)
    second = cluster.get(primary, "/patroni")[1]
    assert second["raft"]["commit_index"] > first["raft"]["commit_index"]
    assert second["raft"]["commit_index"] - first["raft"]["commit_index"] <= 12, "too many writes"
    assert report(cluster)["history"] == before["history"]
    assert 0 < second["lease_remaining_seconds"] <= TTL_S


def test_every_standby_is_told_at_once_when_the_leader_key_lapses(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, loop_wait=5.0)
    cluster = scene.cluster
    standbys = [node.name for node in cluster.members() if node.name != scene.primary]
    lapsed: dict[str, float] = {}

    def watch(name: str) -> None:
        """When this node's replica of the store lost the key, asked every 20 ms."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and name not in lapsed:
            body: Any = cluster.get(name, "/cluster")[1]
            if isinstance(body, dict) and body["report"]["leader"] != scene.primary:
                lapsed[name] = time.time()
            time.sleep(0.02)

    watchers = [threading.Thread(target=watch, args=(name,)) for name in standbys]
    killed = time.time()
    cluster.kill(scene.primary)
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join()

    for name in standbys:
        told = await_line(cluster, name, "there is no leader|racing for|leaving the", 10, killed)
        assert told.at >= killed + TTL_S / 2, "the key lapsed before its time"
        assert told.at <= lapsed[name] + 0.5, f"{name} heard {told.at - lapsed[name]:.2f} s late"
    scene.await_successor()
    cluster.start(scene.primary)
    scene.finish()


def test_the_standby_that_holds_more_takes_over(new_cluster: NewCluster, probe: Probe) -> None:
    scene = under_load(new_cluster, probe, synchronous_mode="off")
    cluster, primary = scene.cluster, scene.primary
    scene.prober.stop()
    behind, ahead = (node.name for node in cluster.members() if node.name != primary)
    cut_off(cluster, primary, behind)
    cluster.query(primary, "CREATE TABLE extra AS SELECT generate_series(1, 100) AS id")
    position = cluster.query(primary, "SELECT pg_current_wal_flush_lsn()")[0][0]
    cluster.wait_for(
        lambda: cluster.query(
            primary,
            "SELECT 1 FROM pg_stat_replication"
            f" WHERE {STREAM_OF} = '{ahead}' AND flush_lsn >= '{position}'",
        ),
        10,
        f"{ahead} holds everything",
    )

    cluster.kill(primary)
    cluster.resume(behind)

    assert cluster.wait_for_primary(15, other_than=primary) == ahead
    assert cluster.query(ahead, "SELECT count(*) FROM extra") == [(100,)]
    cluster.start(primary)
    assert check_quiet(cluster) == ahead
    reasons = [record["reason"] for record in report(cluster)["history"]]
    assert re.search(rf"{ahead} .*{behind} ", reasons[-1]), reasons[-1]


def cut_off(cluster: ClusterHarness, primary: str, standby: str) -> None:
    """Freeze a standby's server and close its stream, so that it gets nothing that follows."""
    cluster.pause(standby, Part.POSTGRES)
    cluster.query(
        primary,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_replication"
        f" WHERE {STREAM_OF} = '{standby}'",
    )
    cluster.wait_for(
        lambda: cluster.query(
            primary,
            f"SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_replication"
            f" WHERE {STREAM_OF} = '{standby}')",
        ),
        10,
        f"{standby} is cut off",
    )
