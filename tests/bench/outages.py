"""The faults whose outage is measured, and what clients of all servers saw of each."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.faults.links import Way
from tests.faults.nets import NetCluster
from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.processes import Part
from tests.integration.scene import report, sync_standbys, wait_for_sync
from tests.integration.workload import Counts, Ledger, WriteProber, open_session

PROBE_PERIOD_S: Final = 0.005
LIMIT_S: Final = 60.0
LONG_S: Final = 60.0
"""How long a frozen agent stays frozen, one that was killed is left dead, and a primary is cut off:
many times a ttl."""

SETTLE_S: Final = 5.0
"""How long it is watched after a fault that should cost nothing, and after a long one."""

ROWS_AROUND: Final = 100
"""Acknowledged before the fault, and again after it."""

Fault = Callable[[ClusterHarness, str], None]
Figures = dict[str, list[float]]
"""What was measured, by the words that the table has for it."""


class Group(StrEnum):
    """When a row is measured: always, with `--more`, with `--long`."""

    USUAL = "usual"
    MORE = "more"
    LONG = "long"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A row of the table. `fault` is handed the cluster and its primary. A row that needs another
    kind of cluster is measured on one of its own."""

    key: str
    label: str
    fault: Fault
    group: Group = Group.USUAL
    kind: type[ClusterHarness] = ClusterHarness

    def figures(self, counts: Counts) -> Figures:
        """What the table shows of a run; of a fault that lasts, for how long two servers took
        writes, and how many rows are lost."""
        found = {f"write gap: {self.label}": [counts.gap_s]}
        if self.group is Group.LONG:
            found[f"two writable servers, s: {self.label}"] = [counts.overlap_s]
            found[f"acknowledged rows lost: {self.label}"] = [float(counts.lost)]
        return found


def measure(cluster: ClusterHarness, fault: Fault) -> Counts:
    """What became of the rows that were offered to every server all the time. Raises AssertionError
    where two servers acknowledged at a time, and where an acknowledged row is lost but in
    asynchronous mode."""
    primary = cluster.wait_until_whole(LIMIT_S)
    wait_for_sync(cluster)
    ports = {node.name: node.postgres_port or 0 for node in cluster.members()}
    ledger = Ledger()
    prober = WriteProber(
        ledger,
        list(ports),
        lambda name: open_session("127.0.0.1", ports[name], "postgres", PASSWORD),
        PROBE_PERIOD_S,
    )
    cluster.query(primary, "TRUNCATE public.ledger")
    prober.start()
    try:
        cluster.wait_for(lambda: ledger.acknowledged() >= ROWS_AROUND, LIMIT_S, "rows")
        fault(cluster, primary)
        done = time.monotonic()
        cluster.wait_for(lambda: ledger.acknowledged(done) >= ROWS_AROUND, LIMIT_S, "rows again")
    finally:
        prober.stop()
    cluster.start_all()
    name = cluster.wait_until_whole(LIMIT_S)
    session = cluster.connect(name)
    try:
        return ledger.check(session, may_lose=report(cluster).get("synchronous_mode") == "off")
    finally:
        session.close()


def _switchover(cluster: ClusterHarness, primary: str) -> None:
    chosen = sync_standbys(cluster) or [n.name for n in cluster.members() if n.name != primary]
    subprocess.run(
        [
            *(sys.executable, "-m", "raftha", "switchover", "--yes"),
            *("-c", str(cluster.nodes[primary].file), "--candidate", chosen[0]),
        ],
        check=True,
        capture_output=True,
        timeout=LIMIT_S,
    )


def _kill_both(cluster: ClusterHarness, primary: str) -> None:
    """The guardian is left, with nothing to guard."""
    cluster.kill_agent(primary)
    cluster.kill_postgres(primary)


def _restart_agent(cluster: ClusterHarness, primary: str) -> None:
    cluster.kill_agent(primary)
    cluster.start(primary)
    time.sleep(SETTLE_S)


def _restart_everything(cluster: ClusterHarness, _primary: str) -> None:
    for node in cluster.members():
        cluster.kill(node.name)
    cluster.start_all()


def _lose_agent(cluster: ClusterHarness, primary: str) -> None:
    cluster.kill_agent(primary)
    time.sleep(LONG_S)


def _freeze_agent(cluster: ClusterHarness, primary: str) -> None:
    cluster.pause(primary, Part.AGENT)
    time.sleep(LONG_S)
    cluster.resume(primary)
    time.sleep(SETTLE_S)


def _cut_off(cluster: ClusterHarness, primary: str) -> None:
    assert isinstance(cluster, NetCluster), "a row of its own kind of cluster"
    cluster.part(primary, Way.BOTH)
    time.sleep(LONG_S)
    cluster.heal()
    time.sleep(SETTLE_S)


OUTAGES: Final = (
    Outage(key="switchover", label="switchover", fault=_switchover),
    Outage(
        key="postgres",
        label="SIGKILL of PostgreSQL alone",
        fault=lambda cluster, primary: cluster.kill_postgres(primary),
    ),
    Outage(key="receipt", label="SIGKILL of agent and PostgreSQL", fault=_kill_both),
    Outage(
        key="node",
        label="SIGKILL of agent, guardian and PostgreSQL",
        fault=lambda cluster, primary: cluster.kill(primary),
    ),
    Outage(
        key="agent-back",
        label="SIGKILL of the agent, started again at once",
        fault=_restart_agent,
        group=Group.MORE,
    ),
    Outage(
        key="everything",
        label="SIGKILL of all nodes, started again at once",
        fault=_restart_everything,
        group=Group.MORE,
    ),
    Outage(
        key="agent-lost",
        label="SIGKILL of the agent, left dead for 60 s",
        fault=_lose_agent,
        group=Group.LONG,
    ),
    Outage(
        key="agent-frozen",
        label="SIGSTOP of the agent for 60 s",
        fault=_freeze_agent,
        group=Group.LONG,
    ),
    Outage(
        key="cut-off",
        label="cut off from the others for 60 s",
        fault=_cut_off,
        group=Group.LONG,
        kind=NetCluster,
    ),
)
