"""A reload is not in force before the checkpointer has published it (R18)."""

from __future__ import annotations

import signal
import time

import pytest

from tests.integration.processes import Part, called, is_stopped
from tests.integration.scene import (
    TTL_S,
    NewCluster,
    Probe,
    first,
    sync_standbys,
    under_load,
)

pytestmark = pytest.mark.integration


def test_a_standby_that_commits_do_not_wait_for_yet_never_enters_the_set(
    new_cluster: NewCluster, probe: Probe
) -> None:
    """The primary is alone when its checkpointer stalls, then a standby comes back: the setting
    names it, PostgreSQL's views call it synchronous, and commits are acknowledged without it. So
    it must not be promoted for them."""
    scene = under_load(new_cluster, probe)
    cluster, primary = scene.cluster, scene.primary
    standbys = [node.name for node in cluster.members() if node.name != primary]
    for name in standbys:
        cluster.pause(name, Part.POSTGRES)
    scene.wait_for_writes()
    assert sync_standbys(cluster) == [], "the primary goes on alone"

    (checkpointer,) = called(cluster.processes(primary, Part.POSTGRES), "checkpointer")
    checkpointer.send_signal(signal.SIGSTOP)
    cluster.wait_for(lambda: is_stopped(checkpointer), 5, "the checkpointer stands still")
    back = standbys[0]
    cluster.resume(back)
    setting = "SELECT pg_catalog.current_setting('synchronous_standby_names')"
    cluster.wait_for(
        lambda: f'"{back}@' in cluster.query(primary, setting)[0][0], 15, f"{back} is named"
    )
    cluster.wait_for(
        lambda: first(cluster, primary, "asking for a checkpoint"), 10, "a checkpoint is asked for"
    )
    cluster.pause(back, Part.POSTGRES)
    acknowledged_from = time.monotonic()
    scene.wait_for_writes(5)
    assert scene.ledger.acknowledged(acknowledged_from) >= 5, "commits wait: the premise is gone"
    assert sync_standbys(cluster) == [], f"{back} counts for commits that it does not hold"

    cluster.kill(primary)
    cluster.resume(back)
    time.sleep(3 * TTL_S)
    assert cluster.primary() is None, "somebody leads without the acknowledged commits"
    for name in standbys[1:]:
        cluster.resume(name)
    cluster.start(primary)
    scene.finish(at_least=40)
