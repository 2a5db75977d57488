"""The lease is held by the healthy only: what costs a primary its lease, and what must not.

Each fault of the first kind is found within `primary_health_timeout`, the server is fenced with the
end of its lease, and another node takes over. None of the second kind changes anything.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

import psutil
import psycopg2
import pytest

from raftha.cli.exits import Exit
from tests.faults.disks import DiskCluster
from tests.faults.stage import (
    ALLOWANCE_S,
    FOUND_S,
    HEALTH_S,
    HELD_BACK,
    LEASE_S,
    PROMISED_S,
)
from tests.integration import processes
from tests.integration.harness import PASSWORD
from tests.integration.node_support import raftha
from tests.integration.scene import (
    NewCluster,
    Probe,
    Scene,
    await_line,
    first,
    postmaster_pid,
    report,
    sync_standbys,
    under_load,
)
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

Conclude = Callable[..., Counts]
LASTS_S: Final = 3 * HEALTH_S
"""How long a fault lasts that must change nothing."""

WRITE_MUCH: Final = (
    "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1 << 20))"
    " FROM generate_series(1, 400)"
)
"""More WAL than any of the disks holds."""


def await_loss(scene: Scene, words: str, since: float) -> str:
    """The primary is found unfit with these words, fenced, and replaced; by whom."""
    cluster, old = scene.cluster, scene.primary
    line = await_line(cluster, old, HELD_BACK, FOUND_S + LEASE_S, since)
    assert words in line.words
    assert line.at - since <= FOUND_S, f"found out after {line.at - since:.2f} s"
    await_line(cluster, old, "guardian killed the server", LEASE_S + 2, since)
    return scene.await_successor()


@contextmanager
def nothing_happens(scene: Scene) -> Iterator[None]:
    """What happens in here costs nobody a lease, a server or a place in the history."""
    cluster, primary = scene.cluster, scene.primary
    server, history = postmaster_pid(cluster, primary), report(cluster)["history"]
    since = time.time()
    yield
    assert cluster.primary() == primary
    assert postmaster_pid(cluster, primary) == server
    assert report(cluster)["history"] == history
    assert first(cluster, primary, HELD_BACK, since) is None


def test_a_hung_postmaster_costs_the_lease(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    scene = under_load(new_cluster, probe, ttl=LEASE_S)
    frozen = processes.postmaster(scene.cluster.nodes[scene.primary].pgdata)
    assert frozen is not None

    since = time.time()
    frozen.send_signal(signal.SIGSTOP)
    scene.cluster.wait_for(lambda: processes.is_stopped(frozen), 2, "it stands still")
    await_loss(scene, "last fit to serve", since)

    assert not frozen.is_running()
    conclude(scene, gap_s=PROMISED_S + HEALTH_S + ALLOWANCE_S)


def test_a_data_directory_that_is_renamed_away_costs_the_lease(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    scene = under_load(new_cluster, probe, ttl=LEASE_S)
    pgdata = scene.cluster.nodes[scene.primary].pgdata
    server = psutil.Process(postmaster_pid(scene.cluster, scene.primary))
    away = pgdata.with_name("pgdata.away")

    pgdata.rename(away)
    scene.cluster.wait_for(lambda: not server.is_running(), FOUND_S, "the server is stopped")
    scene.await_successor()
    assert not processes.of_postgres(away), "something of it is left"

    conclude(scene, gap_s=PROMISED_S + HEALTH_S + ALLOWANCE_S)
    assert away.exists(), "what was renamed is not ours"


@pytest.mark.smoke
def test_a_full_disk_costs_the_lease(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    """WAL and data on one disk; the open segment still takes what the prober writes."""
    scene = under_load(new_cluster, probe, kind=DiskCluster, ttl=LEASE_S)
    cluster = scene.cluster
    assert isinstance(cluster, DiskCluster)

    since = time.time()
    cluster.fill(scene.primary, "disk")
    await_loss(scene, "No space left on device", since)
    cluster.assert_full(scene.primary, "disk")
    cluster.empty(scene.primary, "disk")

    conclude(scene, gap_s=PROMISED_S + HEALTH_S + ALLOWANCE_S)


def test_a_full_disk_that_ends_the_server_costs_the_lease(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    """The next segment cannot be made: PostgreSQL panics, and again at each start in place."""
    scene = under_load(new_cluster, probe, kind=DiskCluster, ttl=LEASE_S)
    cluster = scene.cluster
    assert isinstance(cluster, DiskCluster)

    cluster.fill(scene.primary, "disk")
    server = psutil.Process(postmaster_pid(cluster, scene.primary))
    with pytest.raises(psycopg2.Error):
        cluster.query(scene.primary, WRITE_MUCH)
    cluster.wait_for(lambda: not server.is_running(), 2, "the server panicked")
    scene.await_successor()
    cluster.assert_full(scene.primary, "disk", spare=16)
    cluster.empty(scene.primary, "disk")

    conclude(scene, gap_s=PROMISED_S + HEALTH_S + ALLOWANCE_S)


def test_a_read_only_disk_costs_the_lease(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    scene = under_load(new_cluster, probe, kind=DiskCluster, ttl=LEASE_S)
    cluster = scene.cluster
    assert isinstance(cluster, DiskCluster)

    since = time.time()
    cluster.make_read_only(scene.primary)
    await_loss(scene, "Read-only file system", since)
    cluster.make_writable(scene.primary)

    conclude(scene, gap_s=PROMISED_S + HEALTH_S + ALLOWANCE_S)


def with_separate_wal(new_cluster: NewCluster, probe: Probe) -> tuple[Scene, DiskCluster]:
    """The primary has its WAL on a disk of its own."""
    cluster = new_cluster(kind=DiskCluster, ttl=LEASE_S)
    cluster.start_all()
    name = cluster.wait_until_whole()
    assert cluster.stop(name) == 0
    cluster.separate_wal(name)
    cluster.start(name)
    leader = cluster.wait_until_whole()
    if leader != name:
        words = ("--candidate", name, "--yes", "--url", cluster.url(leader))
        done = raftha("switchover", *words)
        assert done.returncode == Exit.DONE, done.stdout
    assert cluster.wait_until_whole() == name
    scene = Scene(cluster, probe(cluster), name)
    scene.wait_for_writes()
    return scene, cluster


def test_a_full_pg_wal_costs_the_lease(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    scene, cluster = with_separate_wal(new_cluster, probe)

    since = time.time()
    cluster.fill(scene.primary, "wal")
    await_loss(scene, "No space left on device", since)
    cluster.assert_full(scene.primary, "wal")
    cluster.empty(scene.primary, "wal")

    conclude(scene, gap_s=PROMISED_S + HEALTH_S + ALLOWANCE_S)


def test_a_full_disk_without_the_wal_is_no_reason(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    """Commits go on, so the primary serves on."""
    scene, cluster = with_separate_wal(new_cluster, probe)

    with nothing_happens(scene):
        cluster.fill(scene.primary, "disk")
        time.sleep(LASTS_S)
        cluster.assert_full(scene.primary, "disk")
        cluster.empty(scene.primary, "disk")

    conclude(scene, gap_s=2.0)


def test_exhausted_connections_are_no_reason(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    scene = under_load(new_cluster, probe, ttl=LEASE_S)
    cluster = scene.cluster
    cluster.query(scene.primary, f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
    where = {
        "host": "127.0.0.1",
        "port": cluster.nodes[scene.primary].postgres_port,
        "user": "app",
        "password": PASSWORD,
        "dbname": "postgres",
    }

    with nothing_happens(scene), ExitStack() as sessions:
        with suppress(psycopg2.OperationalError):
            while True:
                sessions.callback(psycopg2.connect(**where).close)
        time.sleep(LASTS_S)
        with pytest.raises(psycopg2.OperationalError, match="slots are reserved"):
            psycopg2.connect(**where)

    conclude(scene, gap_s=2.0)


def test_a_checkpoint_without_end_is_no_reason(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    scene = under_load(new_cluster, probe, ttl=LEASE_S)
    cluster = scene.cluster
    where = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    checkpointer = psutil.Process(cluster.query(scene.primary, where)[0][0])
    ended = threading.Event()
    session = cluster.connect(scene.primary)

    def ask() -> None:
        session.cursor().execute("CHECKPOINT")
        ended.set()

    with nothing_happens(scene):
        checkpointer.suspend()
        cluster.wait_for(lambda: processes.is_stopped(checkpointer), 2, "it stands still")
        asking = threading.Thread(target=ask, daemon=True)
        try:
            asking.start()
            time.sleep(LASTS_S)
            assert not ended.is_set(), "the checkpoint has ended"
        finally:
            checkpointer.resume()
        assert ended.wait(10)

    conclude(scene, gap_s=2.0)


def test_busy_processors_are_no_reason(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    scene = under_load(new_cluster, probe, ttl=LEASE_S)
    burn = (sys.executable, "-c", "while True: pass")
    with nothing_happens(scene), ExitStack() as burners:
        for _ in range(2 * (os.cpu_count() or 1)):
            burners.callback(burners.enter_context(subprocess.Popen(burn)).kill)
        began = psutil.cpu_times()
        time.sleep(2 * LASTS_S)
        idle = psutil.cpu_times().idle - began.idle
        assert idle < 0.1 * 2 * LASTS_S * (os.cpu_count() or 1), f"{idle:.1f} s were idle"

    conclude(scene, gap_s=2.0)


def test_a_synchronous_standby_that_hangs_is_no_reason(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    """Commits wait for it until it is let go; the primary stays."""
    scene = under_load(new_cluster, probe, ttl=LEASE_S, synchronous_mode="on")
    cluster = scene.cluster
    (synchronous,) = sync_standbys(cluster)

    with nothing_happens(scene):
        cluster.pause(synchronous)
        scene.wait_for_writes()
        assert sync_standbys(cluster) != [synchronous]
        time.sleep(LASTS_S)
        cluster.resume(synchronous)

    conclude(scene, gap_s=LEASE_S + ALLOWANCE_S)
