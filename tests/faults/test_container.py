"""Agents that are the first process of a container: each in a namespace of processes of its own."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Final

import psutil
import pytest

from raftha.cli.exits import Exit
from tests.faults.spaces import UNSHARE, is_allowed
from tests.integration.harness import KILL_LIMIT_S, STOP_LIMIT_S, ClusterHarness
from tests.integration.node_support import rewrite
from tests.integration.processes import Part
from tests.integration.scene import (
    NewCluster,
    Probe,
    await_line,
    postmaster_pid,
    raftha,
    server_log,
    under_load,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

TTL_S: Final = 10.0
"""Time enough for the next agent, also on a machine that has other things to do."""

APART: Final = ("--pid", "--fork", "--kill-child", "--mount-proc")


class Contained(ClusterHarness):
    """Each agent is process 1 of a namespace; with it everything in there goes."""

    def write_files(self) -> None:
        if not is_allowed(*APART):
            pytest.skip("this kernel gives no namespace of processes to an ordinary user")
        super().write_files()

    def surroundings(self, _name: str) -> Sequence[str]:
        return (*UNSHARE, *APART)

    def processes(self, name: str, part: Part) -> list[psutil.Process]:
        """The agent is the child of process 1 that runs the same program."""
        if part is not Part.AGENT:
            return super().processes(name, part)
        if not self.runs(name):
            return []
        first = self.first(name)
        return [child for child in first.children() if child.cmdline() == first.cmdline()]

    def first(self, name: str) -> psutil.Process:
        """Process 1 of a node's namespace."""
        (place,) = super().processes(name, Part.AGENT)
        (first,) = place.children()
        return first

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        place = self._agents[name]
        self.first(name).send_signal(number)
        try:
            return place.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{name} did not stop\n{self.tail(name)}") from None

    def kill(self, name: str) -> None:
        """With process 1, which goes with what made the place, all others go."""
        if self.runs(name):
            self._agents[name].kill()
            self._agents[name].wait(KILL_LIMIT_S)
        super().kill(name)


def ended_in_order(cluster: ClusterHarness, name: str) -> bool:
    """The last that the server said is that it has shut down, and nothing is left of the node."""
    left = [each for part in Part for each in cluster.processes(name, part)]
    last = server_log(cluster, name).strip().splitlines()[-1]
    return not left and "database system is shut down" in last


def test_process_1_reaps_passes_signals_on_and_ends_last(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, kind=Contained, ttl=TTL_S)
    cluster, primary = scene.cluster, scene.primary
    assert isinstance(cluster, Contained)
    server = postmaster_pid(cluster, primary)
    begun = time.time()

    (agent,) = cluster.processes(primary, Part.AGENT)
    agent.kill()
    await_line(cluster, primary, "renewing its lease", TTL_S, begun)
    assert cluster.processes(primary, Part.AGENT) not in ([], [agent])
    scene.wait_for_writes()
    assert postmaster_pid(cluster, primary) == server, "PostgreSQL was restarted"

    other = next(name for name in cluster.nodes if name != primary)
    (guardian,) = cluster.processes(other, Part.GUARDIAN)
    assert guardian.parent() == cluster.first(other)
    guardian.kill()
    cluster.wait_for(lambda: not guardian.is_running(), KILL_LIMIT_S, "process 1 reaps")
    cluster.wait_until_whole()

    rewrite(cluster, other, lambda options: options["log"].update(level="INFO"))
    cluster.first(other).send_signal(signal.SIGHUP)
    await_line(cluster, other, "changed option=log.level", KILL_LIMIT_S, begun)

    assert cluster.stop(primary) == 0
    assert ended_in_order(cluster, primary)
    scene.await_successor()
    cluster.start(primary)
    scene.finish()


def test_in_a_pause_too_the_server_is_stopped_before_everything_ends(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(kind=Contained, nodes=1)
    cluster.start_all()
    cluster.wait_for_primary()
    raftha(cluster, Exit.DONE, "pause", "--wait")

    assert cluster.stop("n1") == 0
    assert ended_in_order(cluster, "n1")


def test_process_1_ends_with_an_agent_that_cannot_start(new_cluster: NewCluster) -> None:
    cluster = new_cluster(kind=Contained, nodes=1)
    rewrite(cluster, "n1", lambda options: options.pop("raft"))
    cluster.start("n1")
    cluster.wait_for(lambda: not cluster.runs("n1"), STOP_LIMIT_S, "the container ends")
    assert "ended with 2" in cluster.tail("n1")
