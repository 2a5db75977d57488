"""A switchover and restarts at a time of day, on one cluster under load."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from raftha.cli.exits import Exit
from tests.integration import processes
from tests.integration.harness import ClusterHarness
from tests.integration.scene import (
    NewCluster,
    Probe,
    postmaster_pid,
    raftha,
    report,
    sync_standbys,
    under_load,
    wait_for_sync,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

AHEAD_S = 15.0
TTL_S = 15.0
"""Long enough for an agent that was killed to come back to its lease, on a shared machine."""
LIMIT_S = 30.0


def ahead(seconds: float) -> str:
    """A time of day, as an operator types it."""
    return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat()


def is_another(cluster: ClusterHarness, name: str, pid: int) -> bool:
    """Another server than that one runs."""
    found = processes.postmaster(cluster.nodes[name].pgdata)
    return found is not None and found.pid != pid


def scheduled(cluster: ClusterHarness) -> bool:
    found = report(cluster)
    return bool(found["scheduled_switchover"] or found["scheduled_restarts"])


def test_what_is_scheduled_happens_at_its_time_whoever_stops_meanwhile(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, ttl=TTL_S)
    cluster, old = scene.cluster, scene.primary
    wait_for_sync(cluster)
    (heir,) = sync_standbys(cluster)[:1]

    # The agents of the primary and of the raft leader go and come back before the time.
    due = time.monotonic() + AHEAD_S
    raftha(
        cluster,
        Exit.DONE,
        "switchover",
        "--candidate",
        heir,
        "--yes",
        "--scheduled",
        ahead(AHEAD_S),
    )
    assert cluster.primary() == old
    for name in {old, str(report(cluster)["raft_leader"])}:
        cluster.kill_agent(name)
        cluster.start(name)
    cluster.wait_for(lambda: cluster.primary() == heir, AHEAD_S + LIMIT_S, "the heir leads")
    assert time.monotonic() >= due, "it came before its time"
    cluster.wait_for(lambda: not scheduled(cluster), LIMIT_S, "it is off the schedule")
    assert report(cluster)["history"][-1]["reason"].startswith("switchover")

    restart_everybody(cluster, heir)
    flush_and_drop(cluster, old)
    scene.finish()


def restart_everybody(cluster: ClusterHarness, heir: str) -> None:
    """One after another; the leader comes last and keeps the key."""
    cluster.wait_until_whole(LIMIT_S)
    wait_for_sync(cluster)
    before = {node.name: postmaster_pid(cluster, node.name) for node in cluster.members()}
    timeline = report(cluster)["history"][-1]["timeline"]
    raftha(cluster, Exit.DONE, "restart", "--yes", "--scheduled", ahead(3))
    cluster.wait_for(
        lambda: all(is_another(cluster, name, pid) for name, pid in before.items()),
        2 * LIMIT_S,
        "everybody was restarted",
    )
    cluster.wait_for(lambda: not scheduled(cluster), LIMIT_S, "they are off the schedule")
    assert cluster.wait_for_primary(LIMIT_S) == heir
    assert report(cluster)["history"][-1]["timeline"] == timeline, "nobody had to take over"


def flush_and_drop(cluster: ClusterHarness, old: str) -> None:
    """What was flushed does not happen, and what does not apply is told."""
    raftha(cluster, Exit.DONE, "switchover", "--candidate", old, "--yes", "--scheduled", ahead(600))
    assert "scheduled: switchover" in raftha(cluster, Exit.DONE, "status")
    raftha(cluster, Exit.DONE, "flush", "switchover", "--yes")
    assert not scheduled(cluster)
    raftha(cluster, Exit.DONE, "switchover", "--candidate", old, "--yes", "--scheduled", ahead(600))
    raftha(cluster, Exit.DONE, "switchover", "--candidate", old, "--yes")
    cluster.wait_for(
        lambda: f"{old} leads now" in raftha(cluster, Exit.DONE, "status"), LIMIT_S, "it is told"
    )
    raftha(cluster, Exit.DONE, "flush", "switchover", "--yes")
