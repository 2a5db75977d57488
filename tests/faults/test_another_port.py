"""A node's file names another port for PostgreSQL: the server that runs keeps its own, also beside
an agent that is started anew, and has the new one once both were stopped and started."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from raftha.cli.exits import Exit
from tests.integration.harness import ClusterHarness
from tests.integration.node_support import Options, rewrite
from tests.integration.scene import (
    NewCluster,
    check_quiet,
    postmaster_pid,
    raftha,
    report,
    wait_for_sync,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

LIMIT_S: Final = 30.0
FURTHER: Final = 5000
"""How far the new ports are from the old."""


def test_another_port_waits_until_the_server_was_stopped(new_cluster: NewCluster) -> None:
    cluster = new_cluster(ttl=5.0)
    cluster.start_all()
    primary = cluster.wait_until_whole(120)
    wait_for_sync(cluster)
    standby = next(node.name for node in cluster.members() if node.name != primary)
    for name in (standby, primary):
        move(cluster, name)
        before = postmaster_pid(cluster, name)
        cluster.kill_agent(name)
        cluster.start(name)
        cluster.wait_for(lambda name=name: is_told(cluster, name), LIMIT_S, "what waits")
        assert cluster.wait_until_whole(LIMIT_S) == primary
        assert postmaster_pid(cluster, name) == before, "its server was restarted"
        assert address(cluster, name) == f"127.0.0.1:{cluster.nodes[name].postgres_port}"
    told = raftha(cluster, Exit.DONE, "status")
    assert "systemctl stop raftha" in " ".join(told.split())

    cluster.stop(standby)
    node = cluster.nodes[standby]
    assert node.postgres_port is not None
    cluster.nodes[standby] = replace(node, postgres_port=node.postgres_port + FURTHER)
    cluster.start(standby)
    cluster.wait_until_whole(LIMIT_S)
    assert address(cluster, standby) == f"127.0.0.1:{cluster.nodes[standby].postgres_port}"
    assert cluster.query(standby, "SELECT pg_is_in_recovery()") == [(True,)]
    assert not is_told(cluster, standby)
    assert check_quiet(cluster) == primary


def move(cluster: ClusterHarness, name: str) -> None:
    port = cluster.nodes[name].postgres_port
    assert port is not None
    place = f"127.0.0.1:{port + FURTHER}"

    def change(options: Options) -> None:
        options["postgresql"] |= {"listen": place, "connect_address": place}

    rewrite(cluster, name, change)


def address(cluster: ClusterHarness, name: str) -> str:
    """Where everybody is told that this server is."""
    (found,) = (each["address"] for each in report(cluster)["members"] if each["name"] == name)
    return str(found)


def is_told(cluster: ClusterHarness, name: str) -> bool:
    code, body = cluster.get(name, "/patroni")
    return code == 200 and "postgresql.listen" in body.get("pending_agent_restart", [])
