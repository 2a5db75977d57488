"""The Raft timers of a profile that is changed while the cluster runs: each node takes them over at
the next start of its agent, nodes with different ones live together meanwhile, and nobody
writes less for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest

from tests.faults.stage import ALLOWANCE_S, LEASE_S
from tests.integration.harness import ClusterHarness
from tests.integration.node_support import raftha
from tests.integration.scene import NewCluster, Probe, report, under_load
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

LONG_S: Final = 5 * LEASE_S
LIMIT_S: Final = 15.0


def waiting(cluster: ClusterHarness) -> list[str]:
    """The nodes that run by other timers than the settings ask for, as the status tells."""
    found = report(cluster)
    told = {each["subject"] for each in found.get("problems", []) if "Raft timers" in each["what"]}
    shown = {each["name"] for each in found.get("members", []) if each["agent_pending"]}
    return sorted(told) if told == shown else [f"{sorted(told)} told, {sorted(shown)} shown"]


def edit(cluster: ClusterHarness, *settings: str) -> tuple[int, str]:
    """What `edit-config` says of these, asked of the first node."""
    words = [word for each in settings for word in ("-s", each)]
    done = raftha("edit-config", "-c", cluster.nodes["n1"].file, *words, "--yes")
    return done.returncode, done.stdout


def start_anew(cluster: ClusterHarness, name: str, profile: str) -> None:
    """The next agent, which runs by the timers of this profile."""
    before = cluster.nodes[name].log.stat().st_size
    cluster.kill_agent(name)
    cluster.start(name)

    def is_told() -> bool:
        with cluster.nodes[name].log.open("rb") as log:
            log.seek(before)
            return f"Raft timers profile={profile}".encode() in log.read()

    cluster.wait_for(is_told, LIMIT_S, f"{name} runs by the timers of {profile}")


def test_timers_follow_the_profile_at_the_next_start_of_each_agent(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts]
) -> None:
    scene = under_load(new_cluster, probe, nodes=2, witnesses=1, ttl=LONG_S)
    cluster = scene.cluster
    everybody = sorted(cluster.nodes)
    assert waiting(cluster) == []

    code, told = edit(cluster, "profile=slow")
    assert code == 0, told
    cluster.wait_for(partial(_is, cluster, everybody), LIMIT_S, "everybody tells")
    assert cluster.get("w1", "/patroni")[1]["pending_agent_restart"] == ["profile"]
    for number, name in enumerate(everybody, 1):
        start_anew(cluster, name, "slow")
        left = everybody[number:]
        cluster.wait_for(partial(_is, cluster, left), LIMIT_S, f"{left} are left")
        scene.wait_for_writes()
        time.sleep(LEASE_S)  # raft leaders and followers of both kinds beside each other

    code, told = edit(cluster, "profile=fast", f"ttl={LEASE_S:g}")
    assert code != 0
    assert "restart the agents one after the other" in told
    assert edit(cluster, "profile=fast")[0] == 0
    for name in everybody:
        start_anew(cluster, name, "fast")
    code, told = edit(cluster, f"ttl={LEASE_S:g}")
    assert code == 0, told

    conclude(scene, gap_s=LONG_S / 2 + ALLOWANCE_S)
    assert cluster.primary() == scene.primary


def test_a_damaged_raft_directory_costs_the_timers_of_the_file_until_the_next_start(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts]
) -> None:
    scene = under_load(new_cluster, probe, ttl=LONG_S)
    cluster = scene.cluster
    assert edit(cluster, "profile=slow")[0] == 0
    standby = next(name for name in cluster.nodes if name != scene.primary)
    start_anew(cluster, standby, "slow")

    cluster.kill_agent(standby)
    for file in (cluster.nodes[standby].folder / "raft").glob("raft.sqlite*"):
        file.write_bytes(b"this is no database" * 100)
    start_anew(cluster, standby, "fast")
    cluster.wait_for(partial(_is, cluster, sorted(cluster.nodes)), LIMIT_S, "it says so too")
    start_anew(cluster, standby, "slow")
    others = sorted(name for name in cluster.nodes if name != standby)
    cluster.wait_for(partial(_is, cluster, others), LIMIT_S, "it has what was asked for")

    conclude(scene, gap_s=LONG_S / 2 + ALLOWANCE_S)


def _is(cluster: ClusterHarness, names: list[str]) -> bool:
    return waiting(cluster) == names
