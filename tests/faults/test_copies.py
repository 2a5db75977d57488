"""The member that a copy is made from is no primary any more before the copy ends.

The program that copies is suspended in the midst of it, so that the copy is cut at that moment and
does not end by itself.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

import psutil
import pytest

from tests.faults.stage import ALLOWANCE_S, LEASE_S, PROMISED_S
from tests.integration.node_support import raftha
from tests.integration.processes import runs
from tests.integration.scene import (
    NewCluster,
    Probe,
    Scene,
    await_line,
    first,
    sync_standbys,
    under_load,
    wait_for_sync,
)
from tests.integration.test_rejoin import beside, copiers
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

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
