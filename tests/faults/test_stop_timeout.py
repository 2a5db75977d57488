"""A primary that does not come to an end when it is stopped: `primary_stop_timeout` bounds it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

import psutil
import pytest

from tests.faults.stage import ALLOWANCE_S
from tests.integration.scene import NewCluster, Probe, under_load
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

LONG_S: Final = 20.0
LIMIT_S: Final = 2.0
HEIR_S: Final = 2.0
"""How long whoever stops looks for a standby that holds its last record."""


def test_a_session_that_does_not_end_holds_up_a_stop_no_longer_than_is_set(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts]
) -> None:
    """A frozen session: a stop in good order waits for it, until the lease is lost for the server's
    silence where nothing is set; with this ttl that takes longer than the harness waits."""
    scene = under_load(new_cluster, probe, ttl=LONG_S, primary_stop_timeout=LIMIT_S)
    with closing(scene.cluster.connect(scene.primary)) as session:
        backend = psutil.Process(session.info.backend_pid)
        backend.suspend()
        begun = time.monotonic()
        scene.cluster.stop(scene.primary)  # the harness waits for its end, 20 s at most
        took = time.monotonic() - begun
    assert LIMIT_S < took < LIMIT_S + HEIR_S + ALLOWANCE_S
    assert not backend.is_running()
    scene.await_successor()
    scene.cluster.start(scene.primary)

    conclude(scene, gap_s=LIMIT_S + HEIR_S + ALLOWANCE_S)
