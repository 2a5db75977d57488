"""The shared settings changed under load, and servers restarted for them: one cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from raftha.cli.exits import Exit
from tests.integration.harness import ClusterHarness, Node
from tests.integration.scene import NewCluster, Probe, Scene, raftha, report, under_load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

SEEN_S = 20.0
ROLL_GAP_S = 4.0
"""Of clients while every server is restarted once: a hand-over takes half a second to one, on a
machine of its own."""


class SharedSettings(ClusterHarness):
    """Its nodes have no sizes of their own, so that those of the store count."""

    def _postgres_options(self, node: Node) -> dict[str, Any]:
        options = super()._postgres_options(node)
        options["parameters"].pop("max_connections", None)
        return options


def settings(cluster: ClusterHarness) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load(raftha(cluster, Exit.DONE, "show-config"))
    return found


def edit(cluster: ClusterHarness, *words: str) -> None:
    raftha(cluster, Exit.DONE, "edit-config", "--yes", *words)


def connections(cluster: ClusterHarness) -> dict[str, str]:
    """What each server runs with."""
    found = {}
    for node in cluster.members():
        ((value,),) = cluster.query(node.name, "SHOW max_connections")
        found[node.name] = value
    return found


def pending(cluster: ClusterHarness) -> dict[str, set[str]]:
    """Which parameters wait for a restart, by member."""
    members = report(cluster).get("members", [])
    return {m["name"]: {p["name"] for p in m["pending"]} for m in members}


def wait_for_pending(cluster: ClusterHarness, *names: str) -> None:
    cluster.wait_for(
        lambda: [set(names)] * 3 == list(pending(cluster).values()),
        SEEN_S,
        f"pending on every member: {names}",
    )


def in_file(cluster: ClusterHarness, name: str, line: str) -> bool:
    return line in (cluster.nodes[name].pgdata / "postgresql.conf").read_text()


def check_live_changes(scene: Scene) -> None:
    """A longer and a shorter ttl, and parameters that need no restart: nobody loses the lead."""
    cluster = scene.cluster
    first = settings(cluster)
    assert (first["profile"], first["ttl"]) == ("fast", 2), "it is stored as it was given"
    assert "heartbeat" not in first, "nobody gave it"
    edit(cluster, "-s", "ttl=6", "-s", "loop_wait=0.5")
    scene.wait_for_writes(40)
    assert report(cluster)["ttl"] == 6
    edit(cluster, "-s", "ttl=2", "--pg", "work_mem=7MB", "--pg", "log_min_duration_statement=90s")
    scene.wait_for_writes(40)
    for node in cluster.members():
        cluster.wait_for(
            lambda n=node: cluster.query(n.name, "SHOW work_mem") == [("7MB",)],
            SEEN_S,
            "the parameter everywhere",
        )
    assert cluster.primary() == scene.primary


def check_refusals(scene: Scene) -> None:
    cluster = scene.cluster
    before = settings(cluster)
    for words, said in (
        (("--pg", "wrk_mem=1MB"), "did you mean work_mem?"),
        (("--pg", "work_mem=8XB"), "Valid units"),
        (("--pg", "shared_buffers=many"), "shared_buffers"),
        (("--pg", "shared_preload_libraries=nothing_there"), "nothing_there is not in"),
        (("--pg", "synchronous_standby_names=*"), "synchronous_mode"),
        (("-s", "ttl=1"), "ttl"),
        (("-s", "postgresql.pg_hba=[hosts all all all md5]"), "no type of connection"),
    ):
        told = raftha(cluster, Exit.REFUSED, "edit-config", "--yes", *words)
        assert said in told, (words, told)
    assert settings(cluster) == before


def check_raised(scene: Scene) -> None:
    """Standbys first: the primary's files do not even hold the value before all of them have it."""
    cluster = scene.cluster
    edit(cluster, "--pg", "max_connections=150")
    wait_for_pending(cluster, "max_connections")
    leader = cluster.primary()
    assert leader is not None
    assert in_file(cluster, leader, "max_connections = '100'")
    cluster.kill_postgres(leader)
    scene.wait_for_writes()
    leader = cluster.wait_until_whole()
    assert cluster.query(leader, "SHOW max_connections") == [("100",)], "as its standbys"
    scene.wait_for_writes()
    since = time.monotonic()
    told = raftha(cluster, Exit.DONE, "restart", "--pending", "--yes")
    assert "hands over" in told
    scene.wait_for_writes()
    gap_s = scene.ledger.longest_gap_s(since)
    assert gap_s <= ROLL_GAP_S, "three restarts cost more than one hand-over"
    cluster.wait_until_whole()
    assert set(connections(cluster).values()) == {"150"}
    assert cluster.primary() != leader
    wait_for_pending(cluster)


def check_lowered(scene: Scene) -> None:
    """The primary first, where it is; the standbys after it."""
    cluster = scene.cluster
    leader = cluster.wait_until_whole()
    edit(cluster, "--pg", "max_connections=120")
    wait_for_pending(cluster, "max_connections")
    told = raftha(cluster, Exit.DONE, "restart", "--pending", "--yes")
    assert told.index(f"of {leader}") < told.index("of n", told.index(f"of {leader}") + 5)
    cluster.wait_until_whole()
    assert set(connections(cluster).values()) == {"120"}
    assert cluster.primary() == leader, "a restart in place is no failover"


def check_unset(scene: Scene) -> None:
    """What nobody sets any more gets its default back, and one that is larger standbys first."""
    cluster = scene.cluster
    cluster.wait_until_whole()
    edit(cluster, "--pg", "max_locks_per_transaction=128", "--pg", "max_connections=60")
    wait_for_pending(cluster, "max_locks_per_transaction", "max_connections")
    raftha(cluster, Exit.DONE, "restart", "--pending", "--yes")
    wait_for_pending(cluster)
    edit(cluster, "--pg", "max_locks_per_transaction=null", "--pg", "max_connections=null")
    wait_for_pending(cluster, "max_locks_per_transaction", "max_connections")
    leader = cluster.wait_until_whole()
    assert in_file(cluster, leader, "max_connections = '60'")
    raftha(cluster, Exit.DONE, "restart", "--pending", "--yes")
    wait_for_pending(cluster)
    assert set(connections(cluster).values()) == {"100"}
    for node in cluster.members():
        assert cluster.query(node.name, "SHOW max_locks_per_transaction") == [("64",)]


def check_made_anew(scene: Scene) -> None:
    cluster = scene.cluster
    leader = cluster.wait_until_whole()
    standby = next(node.name for node in cluster.members() if node.name != leader)
    told = raftha(cluster, Exit.REFUSED, "reinit", "--yes", leader)
    assert "hand over first" in told
    mark = cluster.nodes[standby].pgdata / "mark"
    mark.write_text("old")
    raftha(cluster, Exit.DONE, "reinit", "--yes", "--wait", standby)
    assert not mark.exists()
    kept = cluster.nodes[standby].pgdata.parent.glob(f"{mark.parent.name}.replaced-*/mark")
    assert [path.read_text() for path in kept] == ["old"], "nothing had diverged"


def test_settings_are_changed_and_restarts_roll_while_rows_are_written(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, kind=SharedSettings, synchronous_mode="on")

    check_live_changes(scene)
    check_refusals(scene)
    check_raised(scene)
    check_lowered(scene)
    check_unset(scene)
    check_made_anew(scene)
    counts = scene.finish(at_least=100)
    assert counts.lost == 0
