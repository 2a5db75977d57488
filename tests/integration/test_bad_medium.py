"""Disks that no voter may stand on: in memory, read-only, or full. Refused at once, nothing made.

Each disk is a real one, mounted in a user namespace that only the node sees.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.integration.harness import ClusterHarness
from tests.integration.node_support import raftha, rewrite

pytestmark = pytest.mark.integration

NewCluster = Callable[..., ClusterHarness]
UNSHARE = (
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "--pid",
    "--mount-proc",
    "--kill-child",
)
"""Its own mounts; whatever is started in there ends with it."""


@pytest.fixture
def witness(new_cluster: NewCluster) -> ClusterHarness:
    """A group of one witness, not started; its Raft directory is there and empty."""
    allowed = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False)
    if allowed.returncode != 0:
        pytest.skip("this kernel gives no user namespaces to an ordinary user")
    cluster = new_cluster(nodes=0, witnesses=1)
    raft(cluster).mkdir(parents=True)
    return cluster


def raft(cluster: ClusterHarness) -> Path:
    return cluster.nodes["w1"].folder / "raft"


def started_on(cluster: ClusterHarness, mount: str, allow_tmpfs: bool) -> tuple[int, str]:
    """Start the witness with `mount` done before; its exit code and what it said. That it made
    nothing is checked."""
    rewrite(cluster, "w1", lambda o: o["raft"].update(allow_tmpfs=allow_tmpfs))
    script = f'{mount}\n"$@" || code=$?\nls -A {raft(cluster)}\nexit $code'
    agent = (sys.executable, "-m", "raftha", "witness", str(cluster.nodes["w1"].file))
    done = subprocess.run(
        [*UNSHARE, "sh", "-ec", script, "sh", *agent],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout == "", "something was made"
    return done.returncode, done.stderr


def test_a_directory_in_memory_is_refused(witness: ClusterHarness) -> None:
    directory = raft(witness)
    code, said = started_on(witness, f"mount -t tmpfs none {directory}", allow_tmpfs=False)
    assert code == 2, said
    assert f"raft.data_dir: {directory} lies on tmpfs" in said
    assert "forget its votes" in said
    assert "choose a directory on a disk" in said


def test_a_full_disk_is_refused_with_what_is_needed(witness: ClusterHarness) -> None:
    directory = raft(witness)
    mount = f"mount -t tmpfs -o size=20m none {directory}"
    code, said = started_on(witness, mount, allow_tmpfs=True)
    assert code == 2, said
    assert f"20 MiB are free where {directory} lies, 64 MiB are needed to start" in said


def test_a_disk_that_fills_up_stops_the_voter_loudly(witness: ClusterHarness) -> None:
    """A linearizable read is a log entry: the first that finds the disk below the floor ends it."""
    directory = raft(witness)
    node = witness.nodes["w1"]
    rewrite(witness, "w1", lambda o: o["raft"].update(allow_tmpfs=True))
    # As the first process of its namespace the agent would be started again.
    mount = f'mount -t tmpfs -o size=80m none {directory}\n"$@" || exit $?'
    with subprocess.Popen(
        [*UNSHARE, "sh", "-ec", mount, "sh", sys.executable, "-m", "raftha", "witness", node.file],
        stderr=subprocess.PIPE,
        text=True,
    ) as agent:
        try:
            where = ("--url", f"http://127.0.0.1:{node.rest_port}")
            ask = partial(raftha, "store", "list", *where)
            witness.wait_for(lambda: ask().returncode == 0, 10, "w1 votes")
            (inside,) = psutil.Process(agent.pid).children()
            filler = Path(f"/proc/{inside.pid}/root{directory}/filler")
            filler.write_bytes(bytes(68 << 20))
            status = ask()  # the read that finds it out
            witness.wait_for(lambda: agent.poll() is not None, 5, f"w1 stops: {status.stdout}")
        finally:
            agent.kill()
        assert agent.stderr is not None
        said = agent.stderr.read()
    assert agent.returncode == 70, said
    assert f"MiB are free where {directory} lies, below the floor of 16 MiB" in said
    assert "this node votes no more rather than fill the disk" in said


def test_a_read_only_disk_is_refused(witness: ClusterHarness) -> None:
    directory = raft(witness)
    code, said = started_on(witness, f"mount -t tmpfs -o ro none {directory}", allow_tmpfs=True)
    assert code == 2, said
    assert f"{directory} lies on a read-only file system" in said


def test_a_directory_of_somebody_else_is_refused_and_left_alone(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=0, witnesses=1)
    folder = raft(cluster)
    folder.mkdir(parents=True)
    folder.chmod(0o500)
    try:
        cluster.start("w1")
        cluster.wait_for(lambda: not cluster.runs("w1"), 10, "w1 refuses to start")
        said = cluster.nodes["w1"].log.read_text()
        assert cluster.stop("w1") == 2, said
        assert f"raft.data_dir: {folder} cannot be read and written by user " in said
        assert f"{folder})" in said, "the remedy names the directory"
        assert list(folder.iterdir()) == []
    finally:
        folder.chmod(0o700)
