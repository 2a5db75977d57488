"""A primary that does not come to an end when it is stopped: `primary_stop_timeout` bounds it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import psutil
import pytest

from raftha.cli.exits import Exit
from tests.faults.stage import ALLOWANCE_S, LEASE_S
from tests.integration.scene import NewCluster, Probe, log_of, raftha, under_load
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

LONG_S: Final = 20.0
LIMIT_S: Final = 2.0
RECORD_S: Final = 1.0
"""How long what has outlived the shutdown record is left."""


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
    assert LIMIT_S < took < LONG_S / 2
    assert not backend.is_running()
    scene.await_successor()
    scene.cluster.start(scene.primary)

    conclude(scene, gap_s=LONG_S / 2)


def test_an_archiver_that_hangs_holds_up_a_switchover_for_a_second(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts], tmp_path: Path
) -> None:
    """The shutdown record is written and a standby has it, and the server does not end: the last
    segment is being archived. What is left of it is ended, and only then the key goes."""
    hangs = tmp_path / "hangs"
    parameters = {
        "archive_mode": "on",
        "archive_command": f"test ! -e {hangs} || sleep {LONG_S:g}",
    }
    scene = under_load(new_cluster, probe, ttl=LEASE_S, postgresql={"parameters": parameters})
    cluster, first = scene.cluster, scene.primary
    scene.wait_for_writes(40)
    hangs.touch()

    begun = time.monotonic()
    raftha(cluster, Exit.DONE, "switchover", "--yes")
    took = time.monotonic() - begun
    hangs.unlink()

    assert took < LONG_S / 2
    words = [line.words for line in log_of(cluster, first)]
    ended = next(i for i, each in enumerate(words) if "the record is written, ending what" in each)
    released = next(i for i, each in enumerate(words) if "handed over: releasing the key" in each)
    assert ended < released
    conclude(scene, gap_s=RECORD_S + ALLOWANCE_S)
