"""No file handle, or no thread and no process, is left for one process of a node.

A control group would do the same; here it is the limit of the process that is lowered while it
runs, so that everything it needs next is refused by the kernel. Once there is more again the node
is whole by itself. The guardian without a file handle is in `test_guardian_handles`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import psutil
import pytest

from tests.faults.limits import Limit, exhausted
from tests.faults.stage import ALLOWANCE_S, HEALTH_S, HELD_BACK, LEASE_S, PROMISED_S
from tests.integration import processes
from tests.integration.processes import Part
from tests.integration.scene import NewCluster, Probe, Scene, first, under_load
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

Conclude = Callable[..., Counts]
LASTS_S: Final = HEALTH_S + 2 * LEASE_S
WHY: Final = {Limit.HANDLES: "Too many open files", Limit.PROCESSES: "no thread can be had"}
each_limit = pytest.mark.parametrize("limit", list(Limit), ids=lambda limit: limit.name.lower())


def agent_of(scene: Scene, name: str) -> psutil.Process:
    (agent,) = scene.cluster.processes(name, Part.AGENT)
    return agent


@each_limit
def test_a_primary_whose_agent_gets_nothing_more_is_replaced(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude, limit: Limit
) -> None:
    scene = under_load(new_cluster, probe, ttl=LEASE_S)
    struck = time.time()

    with exhausted(agent_of(scene, scene.primary), limit):
        scene.await_successor()
        time.sleep(LASTS_S)
        assert scene.cluster.runs(scene.primary), "it should have waited"

    why = f"{HELD_BACK}.*{WHY[limit]}"
    assert first(scene.cluster, scene.primary, why, struck), f"it should say {why!r}"
    conclude(scene, gap_s=PROMISED_S + HEALTH_S + ALLOWANCE_S)


@each_limit
def test_a_standby_whose_agent_gets_nothing_more_disturbs_nobody(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude, limit: Limit
) -> None:
    scene = under_load(new_cluster, probe, ttl=LEASE_S)
    name = next(name for name in scene.cluster.nodes if name != scene.primary)

    with exhausted(agent_of(scene, name), limit):
        time.sleep(LASTS_S)
        assert scene.cluster.primary() == scene.primary
        assert scene.cluster.runs(name), "it should have waited"

    conclude(scene, gap_s=LEASE_S + ALLOWANCE_S)


def test_a_primary_that_can_start_no_session_is_replaced(
    new_cluster: NewCluster, probe: Probe, conclude: Conclude
) -> None:
    scene = under_load(new_cluster, probe, ttl=LEASE_S)
    server = processes.postmaster(scene.cluster.nodes[scene.primary].pgdata)
    assert server is not None
    struck = time.time()

    with exhausted(server, Limit.PROCESSES):
        scene.await_successor()
        time.sleep(LASTS_S)

    assert first(scene.cluster, scene.primary, HELD_BACK, struck), "it was not noticed"
    conclude(scene, gap_s=PROMISED_S + HEALTH_S + ALLOWANCE_S)
