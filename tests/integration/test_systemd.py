"""The units in `examples/systemd`: systemd can read them, and what they run holds together.

Where systemd does not run as the first process, the commands of the units are run by hand, with the
paths of a test's node, and the tree of processes is what the units promise.
"""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from raftha.guardian.client import PROGRAM
from tests.integration.harness import ClusterHarness, Node
from tests.integration.node_support import hang_up
from tests.integration.scene import NewCluster, await_line, postmaster_pid

pytestmark = pytest.mark.integration

UNITS = Path(__file__).parent.parent.parent / "examples" / "systemd"


def unit(name: str) -> str:
    return (UNITS / f"{name}.service").read_text()


def command(text: str, key: str) -> list[str]:
    """The words of a command in a unit."""
    found = re.search(rf"^{key}=((?:.*\\\n)*.*)$", text, re.MULTILINE)
    assert found is not None, key
    return shlex.split(found[1].replace("\\\n", " "))


def for_node(words: list[str], node: Node) -> list[str]:
    """The same, for a node of a test."""
    run = f"{node.folder}/raft/run"
    paths = {
        "/opt/raftha/bin/python": sys.executable,
        "/opt/raftha/lib/python3.11/site-packages/raftha/guardian/__main__.py": str(PROGRAM),
        "/var/lib/postgresql/raftha": str(node.pgdata),
        "/var/lib/raftha/run": run,
        "/var/lib/raftha/run/guardian.sock": f"{run}/guardian.sock",
        "/var/lib/raftha/run/guardian.log": f"{run}/guardian.log",
    }
    return [paths.get(word, word) for word in words]


@pytest.fixture
def guarded(new_cluster: NewCluster) -> Iterator[tuple[ClusterHarness, subprocess.Popen[bytes]]]:
    """A lone node whose guardian was started as its unit says, before the agent."""
    cluster = new_cluster(nodes=1, ttl=10.0)
    node = cluster.nodes["n1"]
    node.folder.mkdir(mode=0o700, exist_ok=True)
    text = unit("raftha-guardian")
    subprocess.run(for_node(command(text, "ExecStartPre"), node), check=True)
    guardian = subprocess.Popen(for_node(command(text, "ExecStart"), node))
    try:
        cluster.start_all()
        cluster.wait_for_primary(30)
        yield cluster, guardian
    finally:
        guardian.terminate()
        guardian.wait(10)


def test_the_agent_can_be_exchanged_and_stopped_while_its_guardian_is_a_unit_of_its_own(
    guarded: tuple[ClusterHarness, subprocess.Popen[bytes]],
) -> None:
    cluster, guardian = guarded
    server = postmaster_pid(cluster, "n1")
    assert psutil.Process(server).ppid() == guardian.pid, "another guardian started it"

    cluster.kill_agent("n1")  # as RestartKillSignal says
    cluster.start("n1")
    await_line(cluster, "n1", "renewing its lease", 10)
    cluster.wait_for_primary(10)
    assert postmaster_pid(cluster, "n1") == server, "PostgreSQL was restarted"

    assert cluster.stop("n1") == 0
    assert guardian.wait(10) == 0, "an orderly stop ends the guardian, which is started again"
    assert not psutil.pid_exists(server)


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    for name in ("raftha", "raftha-guardian"):
        text = unit(name).replace("/opt/raftha/bin/python", sys.executable)
        text = text.replace("/usr/local/bin/raftha", sys.executable)
        (tmp_path / f"{name}.service").write_text(text)
    done = subprocess.run(
        [verify, "verify", *map(str, sorted(tmp_path.glob("*.service")))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "raftha" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_the_agent_tells_the_service_manager_how_it_is(new_cluster: NewCluster) -> None:
    """One node of three, so without a majority: it is ready all the same. The name lies outside of
    the file system, as systemd's own does in a user session."""
    cluster = new_cluster(nodes=3)
    name = f"raftha-test-{cluster.nodes['n1'].rest_port}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(10.0)
        cluster.start("n1", {"NOTIFY_SOCKET": f"@{name}"})
        first = listener.recv(4096).decode()
        assert first.startswith("READY=1\nSTATUS=none, "), first
        assert cluster.get("n1", "/liveness")[0] == 200, "ready, and not to be asked"

        hang_up(cluster, "n1")
        said = _until(listener, "READY=1\n")
        reloading = re.search(r"RELOADING=1\nMONOTONIC_USEC=(\d+)\n", said)
        assert reloading is not None, said
        assert 0 <= time.monotonic_ns() // 1000 - int(reloading[1]) < 10_000_000

        assert cluster.stop("n1") == 0
        assert "STOPPING=1\n" in _until(listener, "STOPPING=1\n")


def _until(listener: socket.socket, last: str) -> str:
    """All that is said, until somebody says that."""
    said = ""
    while last not in said:
        said += listener.recv(4096).decode()
    return said
