"""Before a race the old stream is cut for good, where PostgreSQL would have gone on with it too."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

import psutil
import pytest

from raftha.pg import conf
from tests.integration.harness import ClusterHarness
from tests.integration.processes import Part, called
from tests.integration.scene import NewCluster, Probe, first, report, sync_standbys, under_load

pytestmark = pytest.mark.integration


def told(cluster: ClusterHarness, name: str) -> Mapping[str, Any]:
    """What a member answers to another one that asks for its position."""
    status, body = cluster.get(name, "/peer")
    return body if status == 200 else {}


def upstream_on_disk(cluster: ClusterHarness, name: str) -> str:
    """What the server would follow if it were started now."""
    text = (cluster.nodes[name].pgdata / "postgresql.conf").read_text(encoding="utf-8")
    return conf.parse(text)["primary_conninfo"]


def receivers(cluster: ClusterHarness, name: str) -> list[psutil.Process]:
    """The processes that receive WAL on a node."""
    return called(cluster.processes(name, Part.POSTGRES), "walreceiver")


def test_a_standby_is_cut_though_its_replay_is_paused_and_follows_again_under_a_newer_epoch(
    new_cluster: NewCluster, probe: Probe
) -> None:
    """The primary's machine is frozen with all its connections open, and no standby may lead: one
    would have to replay first. All are cut until the same leader is back, and stay cut meanwhile
    though the agent is restarted."""
    patient = {"parameters": {"wal_receiver_timeout": "60s"}}
    scene = under_load(new_cluster, probe, postgresql=patient, synchronous_mode="on")
    cluster, primary = scene.cluster, scene.primary
    (synchronous,) = sync_standbys(cluster)
    (other,) = {node.name for node in cluster.members()} - {primary, synchronous}
    pause_state = "SELECT pg_catalog.pg_get_wal_replay_pause_state()"
    cluster.query(synchronous, "SELECT pg_catalog.pg_wal_replay_pause()")
    cluster.wait_for(
        lambda: cluster.query(synchronous, pause_state) == [("paused",)], 5, "the replay is paused"
    )
    assert receivers(cluster, synchronous)

    cluster.pause(primary)
    for name in (synchronous, other):
        cluster.wait_for(lambda name=name: told(cluster, name).get("pledged"), 10, f"{name} cuts")
        assert receivers(cluster, name) == []
        assert upstream_on_disk(cluster, name) == ""
    position = told(cluster, synchronous)["position"]
    cluster.kill_agent(synchronous)
    cluster.start(synchronous)
    cluster.wait_for(lambda: told(cluster, synchronous).get("pledged"), 10, "it still is cut")
    assert upstream_on_disk(cluster, synchronous) == ""
    assert receivers(cluster, synchronous) == []
    assert told(cluster, synchronous)["position"] == position

    cluster.resume(primary)
    assert cluster.wait_for_primary() == primary
    assert [record["leader"] for record in report(cluster)["history"]] == [primary, primary]
    cluster.query(synchronous, "SELECT pg_catalog.pg_wal_replay_resume()")
    scene.finish()


def test_a_standby_whose_receiver_does_not_end_is_restarted_and_then_leads(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, synchronous_mode="on")
    cluster = scene.cluster
    (synchronous,) = sync_standbys(cluster)
    (receiver,) = receivers(cluster, synchronous)

    receiver.send_signal(signal.SIGSTOP)
    cluster.kill(scene.primary)

    assert scene.await_successor() == synchronous
    assert first(cluster, synchronous, "act failed act=CutStream .*did not end within 0.3 s")
    assert first(cluster, synchronous, "did not end in 2 s, stopping the server")
    assert not receiver.is_running()
    cluster.start(scene.primary)
    scene.finish(at_least=40)
