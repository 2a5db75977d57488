"""A cluster under write load, and the three checks that every test of a fault ends with.

The set test and the single writer are the ledger's; the quiet cluster is here: whoever led still
leads, no server was restarted, no history was written, everybody streams.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from raftha.cli.exits import Exit
from tests.integration import processes
from tests.integration.harness import ClusterHarness
from tests.integration.workload import Counts, Ledger, WriteProber

TTL_S: Final = 2.0
WRITABLE_LIMIT_S: Final = 15.0
"""Of every outage here: far above what the product promises, for machines that are slow and shared.
The figures themselves are measured by `tests.bench.failover`."""

QUIET_S: Final = 1.0
_LINE: Final = re.compile(r"(?P<time>\d{4}-\S+Z) (?P<level>[A-Z]+) (?P<logger>\S+): (?P<words>.*)")

NewCluster = Callable[..., ClusterHarness]
Probe = Callable[[ClusterHarness], WriteProber]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a node's log; `at` is in seconds of `time.time()`."""

    at: float
    level: str
    logger: str
    words: str


@dataclass(frozen=True, slots=True)
class Scene:
    """A whole cluster and the prober that writes to it."""

    cluster: ClusterHarness
    prober: WriteProber
    primary: str

    @property
    def ledger(self) -> Ledger:
        return self.prober.ledger

    def wait_for_writes(self, rows: int = 20, timeout_s: float = WRITABLE_LIMIT_S) -> None:
        """So many rows are acknowledged from now on."""
        since = time.monotonic()
        self.cluster.wait_for(
            lambda: self.ledger.acknowledged(since) >= rows, timeout_s, f"{rows} rows more"
        )

    def await_successor(self) -> str:
        """The name of another primary, which takes writes."""
        name = self.cluster.wait_for_primary(WRITABLE_LIMIT_S, other_than=self.primary)
        self.wait_for_writes()
        return name

    def finish(self, at_least: int = 30, *, may_lose: bool = False) -> Counts:
        """The three checks. Raises AssertionError."""
        self.cluster.wait_until_whole()
        self.wait_for_writes(10)
        self.prober.stop()
        primary = check_quiet(self.cluster)
        session = self.cluster.connect(primary)
        try:
            return self.ledger.check(session, at_least, may_lose=may_lose)
        finally:
            session.close()


def under_load(new_cluster: NewCluster, probe: Probe, **options: Any) -> Scene:
    """A new whole cluster that has taken its first rows."""
    cluster = new_cluster(**{"ttl": TTL_S, **options})
    cluster.start_all()
    primary = cluster.wait_until_whole()
    wait_for_sync(cluster)
    scene = Scene(cluster, probe(cluster), primary)
    scene.wait_for_writes()
    return scene


def report(cluster: ClusterHarness) -> Mapping[str, Any]:
    """All that one node tells of the cluster; empty when nobody answers."""
    document = cluster.status() or {}
    found: Mapping[str, Any] = document.get("report", {})
    return found


def sync_standbys(cluster: ClusterHarness) -> list[str]:
    """Whom the store names as holding every acknowledged commit."""
    return list(report(cluster).get("sync_standbys", []))


def wait_for_sync(cluster: ClusterHarness) -> None:
    """The synchronous set is as it will stay, with all members up: all standbys in a quorum, one by
    name, or none in asynchronous mode."""
    wanted = {"off": 0, "on": 1, "quorum": len(cluster.members()) - 1}

    def settled() -> bool:
        found = report(cluster)
        count = len(found.get("sync_standbys", []))
        return count == wanted.get(found.get("synchronous_mode", ""), -1)

    cluster.wait_for(settled, WRITABLE_LIMIT_S, "the synchronous standbys in the store")


def check_quiet(cluster: ClusterHarness) -> str:
    """Nothing changes for a while; the primary's name. Raises AssertionError."""
    primary = cluster.wait_until_whole()
    wait_for_sync(cluster)
    before = _outline(cluster)
    time.sleep(QUIET_S)
    after = _outline(cluster)
    assert before == after, f"the cluster is not quiet: {before} became {after}"
    assert cluster.wait_until_whole(QUIET_S) == primary
    return primary


def _outline(cluster: ClusterHarness) -> dict[str, Any]:
    found = report(cluster)
    postmasters = {node.name: processes.postmaster(node.pgdata) for node in cluster.members()}
    return {
        "primary": cluster.primary(),
        "history": found.get("history"),
        "sync": found.get("sync_standbys"),
        "postmasters": {name: item and item.pid for name, item in postmasters.items()},
    }


def postmaster_pid(cluster: ClusterHarness, name: str) -> int:
    """Of a server that runs."""
    found = processes.postmaster(cluster.nodes[name].pgdata)
    assert found is not None, f"{name} has no postmaster"
    return found.pid


def log_of(cluster: ClusterHarness, name: str, since: float = 0.0) -> list[Line]:
    """The lines of a node's log from an instant of `time.time()` on, which its clock shares."""
    text = cluster.nodes[name].log.read_text(encoding="utf-8", errors="replace")
    matches = filter(None, map(_LINE.fullmatch, text.splitlines()))
    lines = (
        Line(
            at=datetime.fromisoformat(match["time"].replace("Z", "+00:00")).timestamp(),
            level=match["level"],
            logger=match["logger"],
            words=match["words"],
        )
        for match in matches
    )
    return [line for line in lines if line.at >= since]


def first(cluster: ClusterHarness, name: str, pattern: str, since: float = 0.0) -> Line | None:
    """The first line of a node's log whose words match somewhere."""
    return next((li for li in log_of(cluster, name, since) if re.search(pattern, li.words)), None)


def await_line(
    cluster: ClusterHarness, name: str, pattern: str, timeout_s: float, since: float = 0.0
) -> Line:
    """Wait for such a line."""
    cluster.wait_for(
        lambda: first(cluster, name, pattern, since), timeout_s, f"{name} logs {pattern!r}"
    )
    found = first(cluster, name, pattern, since)
    assert found is not None
    return found


def server_log(cluster: ClusterHarness, name: str) -> str:
    """What PostgreSQL itself logged on a node."""
    path = cluster.nodes[name].folder / "raft" / "run" / "postgresql.log"
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def raftha(cluster: ClusterHarness, code: Exit, *words: str) -> str:
    """What a command says, which ends so."""
    node = cluster.nodes["n1"]
    done = subprocess.run(
        [sys.executable, "-m", "raftha", *words, "-c", str(node.file)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr
