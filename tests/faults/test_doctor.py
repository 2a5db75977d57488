"""What `raftha doctor` finds on real nodes: each is made true, seen with its remedy, and gone when
it was mended. It ends with 5 while there is a problem, and with 0 without one."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import pytest

from raftha.cli.exits import Exit
from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.node_support import hang_up, raftha, rewrite
from tests.integration.processes import Part
from tests.integration.scene import NewCluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

LIMIT_S: Final = 15.0
OF_THIS_MACHINE: Final = ("raft disk", "slow-disk", "clock")
"""What a machine that tests run on may be told of by right."""

Found = Mapping[str, Any]


def examined(cluster: ClusterHarness, asked: str) -> list[Found]:
    """What is not well, with the node that says so, but for what is this machine's own."""
    done = raftha("doctor", "-c", cluster.nodes[asked].file, "-o", "json")
    placed = json.loads(done.stdout)["findings"]
    bad = [p for p in placed if p["finding"]["grade"] == "problem"]
    assert done.returncode == (Exit.UNWELL if bad else Exit.DONE)
    found = [{"node": p["node"], **p["finding"]} for p in placed]
    assert all(each["remedy"] for each in found if each["grade"] != "ok"), found
    return [f for f in found if f["grade"] != "ok" and f["check"] not in OF_THIS_MACHINE]


def is_found(
    cluster: ClusterHarness, asked: str, check: str, words: str, grade: str = "problem"
) -> bool:
    return any(
        (each["check"], each["grade"]) == (check, grade) and words in each["what"]
        for each in examined(cluster, asked)
    )


def is_well(cluster: ClusterHarness, asked: str) -> bool:
    return examined(cluster, asked) == []


@contextmanager
def frozen(cluster: ClusterHarness, name: str) -> Iterator[None]:
    """The guardian of a standby says nothing."""
    (guardian,) = cluster.processes(name, Part.GUARDIAN)
    guardian.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        guardian.send_signal(signal.SIGCONT)


def edit(cluster: ClusterHarness, asked: str, *words: str) -> None:
    done = raftha("edit-config", "-c", cluster.nodes[asked].file, *words, "--yes")
    assert done.returncode == Exit.DONE, done.stdout


def announce(cluster: ClusterHarness, name: str, port: int | None) -> None:
    """The file of this member tells the others this port."""
    address = {"connect_address": f"127.0.0.1:{port}"}
    rewrite(cluster, name, lambda options: options["postgresql"].update(address))
    hang_up(cluster, name)


def test_each_finding_on_a_cluster_that_runs_is_seen_and_gone_when_it_is_mended(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(ttl=5.0)
    cluster.start_all()
    primary = cluster.wait_until_whole()
    standby, other = (name for name in cluster.nodes if name != primary)
    well = partial(is_well, cluster, standby)
    sick = partial(is_found, cluster, standby)
    cluster.wait_for(well, LIMIT_S, "nothing is wrong")

    edit(cluster, standby, "--pg", "synchronous_commit=local")
    cluster.wait_for(
        lambda: sick("settings", "synchronous_commit is local", "warning"), LIMIT_S, "a setting"
    )
    edit(cluster, standby, "--pg", "synchronous_commit=null")
    cluster.wait_for(well, LIMIT_S, "the settings are as they were")

    cluster.query(primary, "ALTER ROLE replicator PASSWORD 'another'")
    cluster.wait_for(lambda: sick("logins", "does not let this node stream"), LIMIT_S, "a login")
    cluster.query(primary, f"ALTER ROLE replicator PASSWORD '{PASSWORD}' NOREPLICATION")
    cluster.wait_for(lambda: sick("roles", "replicator lacks: replication"), LIMIT_S, "a role")
    cluster.query(primary, "ALTER ROLE replicator REPLICATION")
    cluster.query(primary, "ALTER ROLE rewinder PASSWORD 'another'")
    cluster.wait_for(
        lambda: sick("logins", "does not let this node be rewound", "warning"), LIMIT_S, "a rewind"
    )
    cluster.query(primary, f"ALTER ROLE rewinder PASSWORD '{PASSWORD}'")
    cluster.wait_for(well, LIMIT_S, "they may log in again")

    announce(cluster, standby, cluster.nodes[other].postgres_port)
    cluster.wait_for(lambda: sick("address", "leads to another server"), LIMIT_S, "an address")
    announce(cluster, standby, cluster.nodes[standby].postgres_port)
    cluster.wait_for(well, LIMIT_S, "the address is its own again")

    with frozen(cluster, other):
        cluster.wait_for(lambda: sick("guardian", ""), LIMIT_S, "its guardian")
    cluster.wait_for(well, 2 * LIMIT_S, "it answers again")

    edit(cluster, standby, "-s", "profile=slow", "-s", "ttl=6", "-s", "fence_budget=0.3")
    cluster.wait_for(
        lambda: sick("agent-restart-pending", "Raft timers", "warning"), LIMIT_S, "its timers"
    )
    cluster.kill(other)
    cluster.wait_for(lambda: sick("agent", "no answer"), LIMIT_S, "a node that is gone")
    for port in ("raft", "http", "postgres"):
        assert sick("links", f"{other}'s {port} port"), port
