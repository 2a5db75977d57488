"""Copies that are cut short in the midst: by the loss of their source, by a full disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

import psutil
import pytest

from tests.faults.disks import DiskCluster
from tests.faults.stage import ALLOWANCE_S, LEASE_S, PROMISED_S
from tests.integration.node_support import raftha
from tests.integration.processes import runs
from tests.integration.scene import (
    NewCluster,
    Probe,
    Scene,
    await_line,
    first,
    log_of,
    report,
    sync_standbys,
    under_load,
    wait_for_sync,
)
from tests.integration.test_rejoin import beside, copiers
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

COPY_BEGINS = "job started kind=pg_basebackup"
FULL = "No space left on device"
SPARE_MB = 30
"""Less than a copy takes, and enough for most of it."""

BIG = "CREATE TABLE public.big AS SELECT repeat('x', 2000) FROM generate_series(1, 20000)"


def lose(scene: Scene, _heir: str) -> None:
    scene.cluster.kill(scene.primary)


def hand_over(scene: Scene, heir: str) -> None:
    file = scene.cluster.nodes[heir].file
    done = raftha("switchover", "-c", file, "--yes", "--candidate", heir)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("depose", [lose, hand_over], ids=["lost", "handed-over"])
def test_a_copy_whose_source_is_deposed_is_given_up_for_one_of_the_successor(
    new_cluster: NewCluster,
    probe: Probe,
    conclude: Callable[..., Counts],
    depose: Callable[[Scene, str], None],
) -> None:
    """The program that copies is suspended in the midst of it, so that the copy is cut at that
    moment and does not end by itself."""
    scene = under_load(new_cluster, probe, ttl=LEASE_S, synchronous_mode="on")
    cluster, primary = scene.cluster, scene.primary
    cluster.query(primary, BIG)
    (heir,) = sync_standbys(cluster)
    (copying,) = cluster.nodes.keys() - {primary, heir}
    cluster.kill(copying)
    shutil.rmtree(cluster.nodes[copying].pgdata)
    wait_for_sync(cluster)
    since = time.time()
    cluster.start(copying)
    half: list[psutil.Process] = []

    def suspended() -> bool:
        half[:] = copiers(cluster, copying)
        for program in half:
            program.suspend()
        return bool(half)

    cluster.wait_for(suspended, 30, "a copy is being made")
    (folder,) = beside(cluster, copying, "pgdata.new-*[0-9]")
    depose(scene, heir)

    assert scene.await_successor() == heir
    await_line(cluster, copying, f"cloning from {heir}", 30, since)
    started = first(cluster, copying, "server started", since)
    again = first(cluster, copying, f"cloning from {heir}", since)
    assert again is not None
    assert started is None or started.at > again.at, "half a copy was started"
    assert not any(map(runs, half))
    if not cluster.runs(primary):
        cluster.start(primary)

    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S)
    assert not folder.exists()
    assert beside(cluster, copying, "pgdata.[dfn]*") == []
    assert cluster.query(copying, "SELECT count(*) FROM public.big") == [(20000,)]


def test_a_copy_that_fills_its_disk_is_made_again_once_there_is_space(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts]
) -> None:
    """Of the half one nothing is started, and what it took of the disk is free again."""
    scene = under_load(new_cluster, probe, kind=DiskCluster, ttl=LEASE_S, synchronous_mode="on")
    cluster = scene.cluster
    assert isinstance(cluster, DiskCluster)
    cluster.query(scene.primary, BIG)
    (copying,) = cluster.nodes.keys() - {scene.primary, *sync_standbys(cluster)}
    cluster.kill(copying)
    shutil.rmtree(cluster.seen(copying, cluster.nodes[copying].pgdata))
    cluster.fill(copying, "disk", SPARE_MB)
    since = time.time()
    cluster.start(copying)

    def told() -> str:
        problems = report(cluster).get("problems", [])
        return next((p["remedy"] for p in problems if FULL in p["what"]), "")

    cluster.wait_for(told, 60, "the full disk in the status")
    assert told() == "free space on that disk, or give it more: it is tried again by itself"
    screen = raftha("status", "--url", cluster.url(scene.primary)).stdout
    assert FULL in screen
    assert first(cluster, copying, "job ended kind=pg_basebackup .*No space left", since)
    cluster.wait_for(lambda: copies_again(cluster, copying, since), 60, "it is tried again")
    assert first(cluster, copying, "server started", since) is None, "half a copy was started"
    assert not cluster.seen(copying, cluster.nodes[copying].pgdata).exists()

    cluster.empty(copying, "disk")
    done = await_line(cluster, copying, "job ended kind=pg_basebackup error=None", 60, since)
    cluster.wait_until_whole(60)
    started = first(cluster, copying, "server started", since)
    assert started is not None
    assert started.at >= done.at
    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S)
    disk = cluster.seen(copying, cluster.nodes[copying].folder / "disk")
    assert list(disk.glob("pgdata.new*")) == [], "half a copy was left"
    assert cluster.query(copying, "SELECT count(*) FROM public.big") == [(20000,)]


def copies_again(cluster: DiskCluster, name: str, since: float) -> bool:
    """At least a second copy was begun."""
    begun = [line for line in log_of(cluster, name, since) if COPY_BEGINS in line.words]
    return len(begun) > 1
