"""Machines come and go while a client writes: replaced, removed, added, by the command."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any, cast

import pytest

from tests.integration.harness import ClusterHarness
from tests.integration.machines import CHANGE_LIMIT_S, ChangingCluster
from tests.integration.node_support import raftha, wait_until_told
from tests.integration.processes import Part
from tests.integration.scene import NewCluster, Probe, sync_standbys, under_load

pytestmark = pytest.mark.integration

LONGEST_GAP_S = 3.0
"""Without any write: what the loss of a synchronous standby costs, on a slow machine."""


def slots(cluster: ClusterHarness, primary: str) -> set[str]:
    rows = cluster.query(primary, "SELECT slot_name FROM pg_replication_slots")
    return {str(row[0]) for row in rows}


def who(node: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a node is in the group, and which one it is."""
    return node["standing"], node["address"], node["incarnation"]


def test_a_dead_machine_is_replaced_then_removed_then_added_while_a_client_writes(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, kind=ChangingCluster, synchronous_mode="on")
    cluster, primary = cast(ChangingCluster, scene.cluster), scene.primary
    (name,) = sync_standbys(cluster)

    replace(cluster, name, primary)
    scene.wait_for_writes()
    remove(cluster, name, primary)
    scene.wait_for_writes()
    refused = raftha("member", "remove", primary, "--yes", "--url", cluster.url(primary))
    assert (refused.returncode, "switchover" in refused.stdout) == (1, True), refused.stdout
    add_again(cluster, name, primary)

    scene.finish(at_least=50)
    assert cluster.wait_for_primary() == primary
    assert scene.ledger.longest_gap_s() < LONGEST_GAP_S


def replace(cluster: ChangingCluster, name: str, primary: str) -> None:
    """The machine dies, another gets its name and its vote; the old one comes back and stays out
    for ever."""
    before = cluster.listed(primary)[name]
    cluster.kill(name)
    old = cluster.second_machine(name)
    cluster.start(name)
    cluster.await_standing(name, "newcomer", by=primary)
    cluster.member("replace", name, cluster.address(name), by=primary)
    after = cluster.listed(primary)[name]
    assert who(after)[:2] == ("voter", cluster.address(name))
    assert who(after)[2] != who(before)[2]
    cluster.wait_until_whole()

    cluster.start(old)
    wait_until_told(cluster, old, "was replaced", "raftha member add", within_s=CHANGE_LIMIT_S)
    assert not cluster.processes(old, Part.POSTGRES)
    assert who(cluster.listed(primary)[name]) == who(after)
    cluster.kill(old)
    del cluster.nodes[old]


def remove(cluster: ChangingCluster, name: str, primary: str) -> None:
    """Its vote, its place in the synchronous set, its slot and its key go, and its server stops."""
    cluster.member("remove", name, by=primary)
    assert cluster.listed(primary)[name]["standing"] == "removed"
    assert name not in slots(cluster, primary)
    told = cluster.get(primary, "/cluster")[1]
    assert name not in told["report"]["sync_standbys"]
    assert name not in [member["name"] for member in told["members"]]
    wait_until_told(cluster, name, "was removed", within_s=CHANGE_LIMIT_S)
    cluster.wait_for(
        lambda: not cluster.processes(name, Part.POSTGRES), CHANGE_LIMIT_S, "PostgreSQL is stopped"
    )


def add_again(cluster: ChangingCluster, name: str, primary: str) -> None:
    """It comes back with an empty Raft directory and the data that it has."""
    cluster.stop(name)
    shutil.rmtree(cluster.nodes[name].folder / "raft")
    cluster.start(name)
    cluster.await_standing(name, "newcomer", by=primary)
    cluster.member("add", name, cluster.address(name), by=primary)
    cluster.wait_until_whole()
    assert name in slots(cluster, primary)


def test_a_dead_witness_is_replaced_and_the_new_one_votes(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, kind=ChangingCluster, nodes=2, witnesses=1)
    cluster, primary = cast(ChangingCluster, scene.cluster), scene.primary

    cluster.kill("w1")
    cluster.second_machine("w1")
    cluster.start("w1")
    cluster.await_standing("w1", "newcomer", by=primary)
    cluster.member("replace", "w1", cluster.address("w1"), by=primary)
    assert cluster.listed(primary)["w1"]["kind"] == "witness"

    cluster.kill(primary)
    scene.await_successor()
    cluster.start(primary)
    scene.finish(at_least=30)
