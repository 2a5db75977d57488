"""What waiting for standbys costs: pgbench on three nodes with each `synchronous_mode`, in turns.

    python -m tests.bench.commits [--rounds 3] [--seconds 10] [--major 16]

One client tells how long a transaction takes, sixteen tell how many there are in a second. All
nodes are on this machine and share its disk: a network would add its round trip to each commit.
Run it on a quiet machine, as a user whom PostgreSQL accepts. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from raftha.model.postgres import Binaries
from raftha.pg import versions
from tests.bench.calm import CLIENTS, LIMIT_S, PROFILES, SCALE, bench_command
from tests.bench.failover import install
from tests.integration.harness import ClusterHarness
from tests.integration.scene import report, sync_standbys

MODES: Final = {"off": 0, "on": 1, "quorum": 2}
"""And how many standbys the store names in each."""

_LATENCY: Final = re.compile(r"^latency average = ([0-9.]+) ms", re.MULTILINE)
_TPS: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)

Figures = dict[str, list[float]]
"""By mode: milliseconds of a transaction, or transactions in a second."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
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
    alone: Figures = defaultdict(list)
    together: Figures = defaultdict(list)
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="rb.") as program:
        install(Path(program))
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", flush=True)
            for mode in MODES:
                latency, rate = measure(mode, binaries, arguments.seconds)
                alone[mode].append(latency)
                together[mode].append(rate)
    print(table(alone, together, binaries, load))
    return 0


def measure(mode: str, binaries: Binaries, seconds: int) -> tuple[float, float]:
    """Milliseconds of a transaction of one client, and transactions in a second of many."""
    with (
        tempfile.TemporaryDirectory(prefix="rb.") as folder,
        ClusterHarness(Path(folder), binaries, synchronous_mode=mode, **PROFILES["lan"]) as cluster,
    ):
        cluster.start_all()
        primary = cluster.wait_until_whole(LIMIT_S)
        cluster.wait_for(lambda: len(sync_standbys(cluster)) == MODES[mode], LIMIT_S, "the set")
        if report(cluster)["synchronous_mode"] != mode:
            raise AssertionError(f"the cluster does not run in mode {mode}")
        pgbench = bench_command(cluster, primary, binaries)
        run([*pgbench, "-i", "-q", "-s", str(SCALE)])
        load = [*pgbench, "-n", "-N", "-T", str(seconds)]
        one = run([*load, "-c", "1"])
        many = run([*load, "-c", str(CLIENTS), "-j", "2"])
        return figure(_LATENCY, one), figure(_TPS, many)


def run(command: Sequence[str]) -> str:
    """What it printed. Raises CalledProcessError."""
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.stdout


def figure(pattern: re.Pattern[str], output: str) -> float:
    match = pattern.search(output)
    if match is None:
        raise AssertionError(f"pgbench printed no {pattern.pattern}: {output[-500:]}")
    return float(match[1])


def table(alone: Figures, together: Figures, binaries: Binaries, load: Sequence[float]) -> str:
    before = ", ".join(f"{value:.2f}" for value in load)
    lines = [
        f"\nPostgreSQL {binaries.version}, {os.cpu_count()} processors, load average before: "
        f"{before}",
        "medians (and all rounds); the ratio is to off\n",
        "synchronous_mode   one client, ms            16 clients, transactions/s",
    ]
    for mode in MODES:
        cells = []
        for figures in (alone, together):
            middle, base = statistics.median(figures[mode]), statistics.median(figures["off"])
            rounds = ", ".join(f"{value:.4g}" for value in figures[mode])
            cells.append(f"{middle:.4g} = {middle / base:.2f} ({rounds})")
        lines.append(f"{mode:<18} {cells[0]:<25} {cells[1]}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
