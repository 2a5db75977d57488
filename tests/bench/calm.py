"""Whether a busy machine is taken for a broken one: three nodes under pgbench at full speed, beside
processes that do nothing but compute; every change of the leader or of the timeline is a failover
that nobody needed.

    python -m tests.bench.calm [--minutes 30] [--profile lan|fast] [--burners 2] [--major 16]

A line each minute, a summary in the end; exit code 1 if there was a failover. Run it as a user whom
PostgreSQL accepts.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from raftha.model.postgres import Binaries
from raftha.pg import versions
from tests.bench.failover import PROFILES, install
from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.scene import log_of, report, wait_for_sync

SCALE: Final = 10
"""Of pgbench: 150 MiB of rows."""
CLIENTS: Final = 16
LOOK_EVERY_S: Final = 1.0
LIMIT_S: Final = 120.0
_TPS: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_LOST: Final = re.compile(r"fence|lease.*(lost|expired|gave|held back)|stopping the primary", re.I)


@dataclass(slots=True)
class Watched:
    """What was seen so far. `left_s` are the seconds left of the lease at each look."""

    leaders: list[str] = field(default_factory=list)
    terms: set[int] = field(default_factory=set)
    left_s: list[float] = field(default_factory=list)
    silent: int = 0

    def look(self, cluster: ClusterHarness) -> None:
        """Ask any node; one that does not answer in 2 s counts as silent."""
        status = report(cluster)
        if not status:
            self.silent += 1
            return
        self.terms.add(status["raft_term"])
        if isinstance(left := status.get("lease_remaining_seconds"), float | int):
            self.left_s.append(left)
        leader = status.get("leader")
        if leader is not None and self.leaders[-1:] != [leader]:
            self.leaders.append(leader)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="lan")
    parser.add_argument("--burners", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--major", type=int, help="default: the newest that is found")
    arguments = parser.parse_args()
    found = [
        binaries
        for binaries in versions.find_all()
        if arguments.major in (None, binaries.major) and (binaries.bin_dir / "pgbench").exists()
    ]
    if not found:
        print("no PostgreSQL of that major with pgbench is here", file=sys.stderr)
        return 2
    binaries = max(found, key=lambda item: item.major)
    with tempfile.TemporaryDirectory(prefix="rb.") as program:
        install(Path(program))
        with (
            tempfile.TemporaryDirectory(prefix="rb.") as folder,
            ClusterHarness(Path(folder), binaries, **PROFILES[arguments.profile]) as cluster,
        ):
            cluster.start_all()
            primary = cluster.wait_until_whole(LIMIT_S)
            wait_for_sync(cluster)
            return watch(cluster, primary, binaries, arguments)


def watch(
    cluster: ClusterHarness, primary: str, binaries: Binaries, arguments: argparse.Namespace
) -> int:
    """Load it, look at it, and say what was seen; the exit code."""
    seconds = arguments.minutes * 60
    pgbench = bench_command(cluster, primary, binaries)
    subprocess.run([*pgbench, "-i", "-q", "-s", str(SCALE)], check=True, stderr=subprocess.DEVNULL)
    watched, since = Watched(), time.time()
    load = [*pgbench, "-n", "-c", str(CLIENTS), "-j", "2", "-T", str(round(seconds))]
    bench = subprocess.Popen(load, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = time.monotonic()
    with burning(arguments.burners):
        while bench.poll() is None:
            time.sleep(LOOK_EVERY_S)
            watched.look(cluster)
            if time.monotonic() - said >= 60:
                said = time.monotonic()
                print(line(watched, since), flush=True)
    output = bench.communicate()[0]
    rate = _TPS.search(output)
    history = report(cluster).get("history", [])
    failovers = max(0, len(history) - 1)
    print(line(watched, since))
    print(f"pgbench: {rate[1] + ' transactions/s' if rate else output.strip()[-500:]}")
    print(
        f"PostgreSQL {binaries.version}, profile {arguments.profile}, {arguments.burners} burners"
    )
    for name in cluster.nodes:
        for entry in log_of(cluster, name, since):
            if _LOST.search(entry.words):
                print(f"{name}: {entry.words[:160]}")
    print(f"failovers: {failovers}")
    return 1 if failovers or bench.returncode != 0 else 0


def bench_command(cluster: ClusterHarness, primary: str, binaries: Binaries) -> Sequence[str]:
    os.environ["PGPASSWORD"] = PASSWORD
    port = str(cluster.nodes[primary].postgres_port)
    program = str(binaries.bin_dir / "pgbench")
    return [program, "-h", "127.0.0.1", "-p", port, "-U", "postgres", "postgres"]


@contextmanager
def burning(count: int) -> Iterator[None]:
    """Processes that take whatever processor time they can get."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.send_signal(signal.SIGKILL)
            burner.wait()


def line(watched: Watched, since: float) -> str:
    left = watched.left_s or [float("nan")]
    return (
        f"after {(time.time() - since) / 60:4.1f} min: leaders {', '.join(watched.leaders)}; raft "
        f"terms {sorted(watched.terms)}; left of the lease {min(left):.2f} s at least, "
        f"{statistics.median(left):.2f} s in the median; {watched.silent} looks without an answer; "
        f"load average {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
