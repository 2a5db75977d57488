"""Faults of the primary and of standbys under write load: who serves then, and nothing is lost."""

from __future__ import annotations

import signal
import time

import psutil
import psycopg2
import pytest

from raftha.model.ids import Lsn
from tests.integration import processes
from tests.integration.harness import ClusterHarness
from tests.integration.processes import Part
from tests.integration.scene import (
    TTL_S,
    WRITABLE_LIMIT_S,
    NewCluster,
    Probe,
    await_line,
    first,
    postmaster_pid,
    report,
    server_log,
    sync_standbys,
    under_load,
)
from tests.integration.workload import TABLE, Outcome, writer_violations

pytestmark = pytest.mark.integration


@pytest.mark.smoke
def test_a_lost_primary_is_replaced_without_loss(new_cluster: NewCluster, probe: Probe) -> None:
    scene = under_load(new_cluster, probe)

    scene.cluster.kill(scene.primary)
    new = scene.await_successor()

    assert new in sync_standbys(scene.cluster) or report(scene.cluster)["leader"] == new
    assert scene.ledger.longest_gap_s() <= WRITABLE_LIMIT_S
    scene.cluster.start(scene.primary)
    scene.finish(at_least=50)
    assert scene.cluster.wait_for_primary() == new, "the old primary took the lead back"


def test_without_synchronous_mode_the_loss_is_bounded(
    new_cluster: NewCluster, probe: Probe
) -> None:
    allowed = 64 << 10
    scene = under_load(new_cluster, probe, synchronous_mode="off", maximum_lag_on_failover=allowed)
    cluster, ledger = scene.cluster, scene.ledger
    begin = written(cluster, scene.primary)
    time.sleep(TTL_S)
    of_one_ttl = begin.behind(written(cluster, scene.primary))

    killed = time.monotonic()
    cluster.kill(scene.primary)
    scene.await_successor()
    cluster.start(scene.primary)
    primary = cluster.wait_until_whole()
    scene.prober.stop()

    rows = {int(row[0]) for row in cluster.query(primary, f"SELECT id FROM {TABLE}")}
    attempts = ledger.attempts()
    lost = [a for a in attempts if a.outcome is Outcome.OK and a.id not in rows]
    assert rows <= {a.id for a in attempts}
    assert writer_violations(attempts) == []
    assert all(killed - TTL_S <= a.ended <= killed + TTL_S for a in lost), lost
    assert ledger.acknowledged(killed + TTL_S) >= 20
    record = report(cluster)["history"][-1]
    seen, switch = Lsn.parse(record["seen"]), Lsn.parse(record["switch"])
    assert switch.behind(seen) <= allowed, "promoted beyond what was told of its lag"
    # Nothing is undone, and nothing reported, where the successor had received everything.
    assert (record["lost_bytes"] or 0) <= allowed + 2 * of_one_ttl, record
    assert record["lost_bytes"] or not lost, "rows were lost, and nobody says so"


def written(cluster: ClusterHarness, name: str) -> Lsn:
    """How far a primary has written."""
    return Lsn.parse(cluster.query(name, "SELECT pg_current_wal_insert_lsn()")[0][0])


def test_a_killed_postmaster_costs_little(new_cluster: NewCluster, probe: Probe) -> None:
    scene = under_load(new_cluster, probe)
    before = postmaster_pid(scene.cluster, scene.primary)

    scene.cluster.kill_postgres(scene.primary)
    scene.wait_for_writes()

    assert scene.ledger.longest_gap_s() <= WRITABLE_LIMIT_S
    scene.finish(at_least=50)
    assert postmaster_pid(scene.cluster, scene.primary) != before
    # Closed, it waits for its synchronous standby: that must not be kept out with the clients.
    assert "rejects replication connection" not in server_log(scene.cluster, scene.primary)


def test_without_its_agent_a_primary_dies_by_the_deadline(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe)
    cluster, old = scene.cluster, scene.primary
    assert cluster.processes(old, Part.GUARDIAN), "no guardian to watch"

    killed = time.monotonic()
    cluster.kill_agent(old)
    cluster.wait_for(
        lambda: not cluster.processes(old, Part.POSTGRES), 2 * TTL_S, "the old primary is dead"
    )
    died = time.monotonic()
    scene.await_successor()

    took = [a for a in scene.ledger.attempts() if a.server == old and a.outcome is Outcome.OK]
    assert max(a.ended for a in took) >= killed, "it should have served until its deadline"
    assert max(a.ended for a in took) <= died
    cluster.start(old)
    scene.finish(at_least=50)


def test_a_guardian_with_nothing_left_to_guard_frees_the_leader_key_at_once(
    new_cluster: NewCluster, probe: Probe
) -> None:
    """Agent and PostgreSQL are killed, the machine lives: nobody waits for the lease to end."""
    scene = under_load(new_cluster, probe, ttl=20.0)
    cluster, old = scene.cluster, scene.primary
    cluster.kill_agent(old)
    cluster.kill_postgres(old)
    new = scene.await_successor()

    assert scene.ledger.longest_gap_s() <= WRITABLE_LIMIT_S, "somebody waited for the lease"
    reason = report(cluster)["history"][-1]["reason"]
    assert reason.startswith(f"the guardian of {old} told that its agent and its primary are gone")
    cluster.start(old)
    scene.finish(at_least=50)
    assert cluster.wait_for_primary() == new


def test_an_agent_that_comes_back_in_time_adopts_the_running_server(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, ttl=10.0)
    cluster = scene.cluster
    server = postmaster_pid(cluster, scene.primary)
    history = report(cluster)["history"]

    restarted = time.time()
    cluster.kill_agent(scene.primary)
    cluster.start(scene.primary)
    await_line(cluster, scene.primary, "leader lease held", 10, restarted)
    time.sleep(2.0)

    assert postmaster_pid(cluster, scene.primary) == server
    assert report(cluster)["history"] == history
    assert scene.ledger.longest_gap_s() <= 1.5, "an agent's restart must not interrupt anybody"
    scene.finish()
    assert postmaster_pid(cluster, scene.primary) == server


def test_a_restarted_primary_lets_nobody_in_before_its_standby_is_back_or_let_go(
    new_cluster: NewCluster, probe: Probe
) -> None:
    """What no standby ever acknowledged is not shown to anybody, though the agent that closed the
    gate is gone: without a majority the set stays as it is, and the frozen standby cannot come."""
    scene = under_load(new_cluster, probe, ttl=10.0, synchronous_mode="on")
    cluster, primary = scene.cluster, scene.primary
    (synchronous,) = sync_standbys(cluster)
    (other,) = {node.name for node in cluster.members()} - {primary, synchronous}
    before = postmaster_pid(cluster, primary)

    cluster.pause(synchronous)
    cluster.pause(other, Part.AGENT)
    crashed = time.time()
    cluster.kill_postgres(primary)
    await_line(cluster, primary, "server started role=primary", 5, crashed)
    cluster.wait_for(
        lambda: "rejects connection" in refusal_of(cluster, primary), 5, "the gate is closed"
    )
    assert postmaster_pid(cluster, primary) != before
    restarted = time.time()
    cluster.kill_agent(primary)
    cluster.start(primary)
    cluster.resume(other)
    cluster.wait_for(lambda: not refusal_of(cluster, primary), 15, "the gate opens")
    opened = time.time()

    shrunk = first(cluster, primary, "store write intent=sync .*Committed", restarted)
    assert shrunk is not None, "nobody was let go"
    assert shrunk.at <= opened, f"open {shrunk.at - opened:.2f} s before the standby was let go"
    cluster.resume(synchronous)
    scene.finish()
    assert cluster.wait_for_primary() == primary


def refusal_of(cluster: ClusterHarness, name: str) -> str:
    """What the server says to a client that comes now; empty if it lets it in."""
    try:
        cluster.connect(name, timeout_s=1).close()
    except psycopg2.Error as error:
        return str(error)
    return ""


def test_without_its_guardian_a_primary_stops_and_the_agent_mends_it(
    new_cluster: NewCluster, probe: Probe
) -> None:
    """And nobody waits for the lease to end, for nothing is left that could live by it."""
    scene = under_load(new_cluster, probe, ttl=10.0)
    before = postmaster_pid(scene.cluster, scene.primary)

    scene.cluster.kill_guardian(scene.primary)
    scene.cluster.wait_for(
        lambda: not psutil.pid_exists(before), 5, "the server went with its guardian"
    )
    await_line(scene.cluster, scene.primary, "giving the leader key back at once", 8)
    scene.wait_for_writes()

    assert len(scene.cluster.processes(scene.primary, Part.GUARDIAN)) == 1
    scene.finish(at_least=50)
    assert postmaster_pid(scene.cluster, scene.primary) != before
    # Closed, it waits for its synchronous standby: that must not be kept out with the clients.
    assert "rejects replication connection" not in server_log(scene.cluster, scene.primary)


def test_an_agent_frozen_beyond_its_ttl_has_lost_and_follows_when_it_thaws(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe)

    scene.cluster.pause(scene.primary, Part.AGENT)
    new = scene.await_successor()
    scene.cluster.resume(scene.primary)

    scene.finish(at_least=50)
    assert scene.cluster.wait_for_primary() == new


def test_a_node_frozen_whole_writes_nothing_when_it_thaws(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe)

    scene.cluster.pause(scene.primary)
    new = scene.await_successor()
    scene.cluster.resume(scene.primary)

    scene.finish(at_least=50)
    assert scene.cluster.wait_for_primary() == new


def test_a_frozen_postmaster_is_found_out_though_its_sessions_commit(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe)
    frozen = processes.postmaster(scene.cluster.nodes[scene.primary].pgdata)
    assert frozen is not None

    frozen.send_signal(signal.SIGSTOP)
    scene.cluster.wait_for(lambda: processes.is_stopped(frozen), 5, "the postmaster stands still")
    with pytest.raises(psycopg2.Error):
        scene.cluster.connect(scene.primary, timeout_s=1)
    scene.cluster.wait_for(
        lambda: not frozen.is_running(), WRITABLE_LIMIT_S, "the frozen server is fenced"
    )
    scene.wait_for_writes()

    scene.finish(at_least=50)


def test_the_loss_of_a_standby_holds_commits_up_for_no_longer_than_a_ttl(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, synchronous_mode="on")
    cluster, primary = scene.cluster, scene.primary
    (synchronous,) = sync_standbys(cluster)
    server, history = postmaster_pid(cluster, primary), report(cluster)["history"]

    cluster.kill(synchronous)
    scene.wait_for_writes(40)
    assert sync_standbys(cluster) != [synchronous]
    assert scene.ledger.longest_gap_s() <= TTL_S + 2.0

    cluster.start(synchronous)
    scene.finish(at_least=70)
    assert postmaster_pid(cluster, primary) == server, "the primary was disturbed"
    assert report(cluster)["history"] == history


def test_the_loss_of_an_asynchronous_standby_is_not_noticed(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, synchronous_mode="on")
    cluster, primary = scene.cluster, scene.primary
    (synchronous,) = sync_standbys(cluster)
    (other,) = {node.name for node in cluster.members()} - {primary, synchronous}
    server = postmaster_pid(cluster, primary)

    cluster.kill(other)
    scene.wait_for_writes(40)
    assert scene.ledger.longest_gap_s() <= 1.5
    assert sync_standbys(cluster) == [synchronous]

    cluster.start(other)
    scene.finish(at_least=50)
    assert postmaster_pid(cluster, primary) == server
