"""Somebody else streams under the name of the synchronous standby (R21)."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raftha.model.postgres import Binaries
from tests.integration.harness import PASSWORD, STREAM_OF, ClusterHarness
from tests.integration.processes import Part
from tests.integration.scene import (
    NewCluster,
    Probe,
    await_line,
    report,
    sync_standbys,
    under_load,
)

pytestmark = pytest.mark.integration

UNDISTURBED_S = 1.5


@contextmanager
def streaming_as(
    name: str, cluster: ClusterHarness, primary: str, binaries: Binaries, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A tool that receives WAL and acknowledges it as if it were that standby."""
    port = cluster.nodes[primary].postgres_port
    login = f"host=127.0.0.1 port={port} user=replicator password={PASSWORD}"
    tool = subprocess.Popen(
        [
            str(binaries.bin_dir / "pg_receivewal"),
            *("--synchronous", "--no-loop", "-D", str(folder)),
            *("-d", f"{login} application_name='{name}'"),
        ]
    )
    try:
        yield tool
    finally:
        tool.kill()
        tool.wait()


def streams(cluster: ClusterHarness, primary: str, standby: str) -> list[tuple[str, int]]:
    """Name and process of whatever streams as that member."""
    found = cluster.query(
        primary,
        f"SELECT application_name, pid FROM pg_stat_replication WHERE {STREAM_OF} = '{standby}'"
        " AND state = 'streaming'",
    )
    return [(str(name), int(pid)) for name, pid in found]


def test_what_only_calls_itself_like_the_synchronous_standby_acknowledges_nothing(
    new_cluster: NewCluster, probe: Probe, binaries: Binaries, tmp_path: Path
) -> None:
    scene = under_load(new_cluster, probe, ttl=10.0, synchronous_mode="on")
    cluster, primary = scene.cluster, scene.primary
    (standby,) = sync_standbys(cluster)
    assert len(streams(cluster, primary, standby)) == 1

    with streaming_as(standby, cluster, primary, binaries, tmp_path):
        cluster.wait_for(
            lambda: len(streams(cluster, primary, standby)) == 2, 10, "the tool streams too"
        )
        told = f"a stream calls itself {standby}"
        cluster.wait_for(
            lambda: any(told in problem["what"] for problem in report(cluster)["problems"]),
            10,
            "somebody is told",
        )
        cluster.pause(standby, Part.POSTGRES)
        frozen = time.monotonic()
        time.sleep(UNDISTURBED_S)
        late = scene.ledger.acknowledged(frozen + UNDISTURBED_S / 3)
        assert sync_standbys(cluster) == [standby], "too late to tell"
        assert late == 0, f"{late} rows were acknowledged that {standby} does not hold"
        cluster.resume(standby)
        scene.wait_for_writes()
    scene.finish(at_least=40)


def test_of_two_streams_with_the_very_same_name_the_standbys_own_stays(
    new_cluster: NewCluster, probe: Probe, binaries: Binaries, tmp_path: Path
) -> None:
    scene = under_load(new_cluster, probe, synchronous_mode="on")
    cluster, primary = scene.cluster, scene.primary
    (standby,) = sync_standbys(cluster)
    (own,) = streams(cluster, primary, standby)
    assert own[0].startswith(f"{standby}@")

    with streaming_as(own[0], cluster, primary, binaries, tmp_path) as tool:
        await_line(cluster, primary, "streams of one name: the newest stays", 10)
        assert tool.wait(10) != 0
    assert streams(cluster, primary, standby) == [own]
    scene.finish()
