"""How long things take with the default settings, on real PostgreSQL: medians of several runs.

    python -m tests.bench.failover [--runs 5] [--major 16]

Not a test: nothing is asserted but that the cluster works. Run it on a quiet machine, as a user
whom PostgreSQL accepts; the load average is printed with the figures. The nodes run a copy of the
program whose byte code was made beforehand, as an installation has it.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil
import psycopg2

import raftha
from raftha.model.postgres import Binaries
from raftha.pg import versions
from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.processes import Part
from tests.integration.scene import sync_standbys, wait_for_sync
from tests.integration.workload import Ledger, WriteProber, create_table, open_session

PROBE_PERIOD_S: Final = 0.005
IDLE_S: Final = 30.0
LIMIT_S: Final = 60.0

Figures = dict[str, list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--major", type=int, help="default: the newest that is found")
    arguments = parser.parse_args()
    found = [b for b in versions.find_all() if arguments.major in (None, b.major)]
    if not found:
        print("no PostgreSQL of that major is here", file=sys.stderr)
        return 2
    binaries = max(found, key=lambda item: item.major)
    load = os.getloadavg()
    figures: Figures = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="rb.") as program:
        install(Path(program))
        for number in range(arguments.runs):
            print(f"run {number + 1} of {arguments.runs}", flush=True)
            with tempfile.TemporaryDirectory(prefix="rb.") as folder:
                one_run(Path(folder), binaries, figures)
    print(table(figures, binaries, load))
    return 0


def install(folder: Path) -> None:
    """Put the compiled program where the nodes find it first. Compiling it anew in each process
    would double the time that three nodes on two processors take to start."""
    source = Path(raftha.__file__).parent
    target = folder / source.name
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(target, quiet=1)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


def one_run(folder: Path, binaries: Binaries, figures: Figures) -> None:
    """A new cluster, then one outage of each kind on it."""
    defaults = {"profile": "lan", "ttl": 5, "loop_wait": 1.0}
    with ClusterHarness(folder, binaries, **defaults) as cluster:
        measure_start(cluster, figures)
        wait_for_sync(cluster)
        measure_idle(cluster, figures)
        for label, fault in (
            ("write gap: switchover", switchover),
            ("write gap: SIGKILL of PostgreSQL alone", kill_postgres),
            ("write gap: SIGKILL of agent and PostgreSQL", kill_both),
            ("write gap: SIGKILL of agent, guardian and PostgreSQL", kill_everything),
        ):
            figures[label].append(write_gap(cluster, fault))


def measure_start(cluster: ClusterHarness, figures: Figures) -> None:
    """From the start of three empty nodes."""
    begun = time.monotonic()
    cluster.start_all()

    def first_row() -> bool:
        name = cluster.primary()
        if name is None:
            return False
        session = cluster.connect(name)
        create_table(session)
        session.close()
        return True

    cluster.wait_for(first_row, LIMIT_S, "the first committed row")
    figures["start: to the first committed row"].append(time.monotonic() - begun)
    cluster.wait_until_whole(LIMIT_S)
    figures["start: to both standbys streaming"].append(time.monotonic() - begun)


def measure_idle(cluster: ClusterHarness, figures: Figures) -> None:
    """What agent and guardian of a node cost while nothing happens; who leads the Raft group has
    more to do."""
    parts = {
        node.name: [
            process
            for part in (Part.AGENT, Part.GUARDIAN)
            for process in cluster.processes(node.name, part)
        ]
        for node in cluster.members()
    }
    time.sleep(3.0)
    before = {name: cpu_seconds(found) for name, found in parts.items()}
    time.sleep(IDLE_S)
    primary = cluster.wait_for_primary()
    bodies = {name: cluster.get(name, "/patroni")[1] for name in parts}
    for name, found in parts.items():
        role = "the primary" if name == primary else "a standby"
        if bodies[name]["raft"]["role"] == "leader":
            role += " and raft leader"
        spent = (cpu_seconds(found) - before[name]) * 60 / IDLE_S
        figures[f"idle: CPU s/min, {role}"].append(spent)
        memory = sum(process.memory_info().rss for process in found) / 2**20
        figures[f"idle: RSS in MiB, {role}"].append(memory)


def cpu_seconds(found: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in found)


def write_gap(cluster: ClusterHarness, fault: Callable[[ClusterHarness, str], None]) -> float:
    """The longest time without an acknowledged row that clients of all servers saw."""
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
    cluster.wait_for(lambda: ledger.acknowledged() >= 100, LIMIT_S, "a hundred rows")
    fault(cluster, primary)
    done = time.monotonic()
    cluster.wait_for(lambda: ledger.acknowledged(done) >= 100, LIMIT_S, "a hundred rows again")
    prober.stop()
    cluster.start_all()
    return ledger.longest_gap_s()


def switchover(cluster: ClusterHarness, primary: str) -> None:
    candidate = sync_standbys(cluster)[0]
    subprocess.run(
        [
            *(sys.executable, "-m", "raftha", "switchover", "--yes"),
            *("-c", str(cluster.nodes[primary].file), "--candidate", candidate),
        ],
        check=True,
        capture_output=True,
        timeout=LIMIT_S,
    )


def kill_postgres(cluster: ClusterHarness, primary: str) -> None:
    cluster.kill_postgres(primary)


def kill_both(cluster: ClusterHarness, primary: str) -> None:
    """The guardian is left, with nothing to guard."""
    cluster.kill_agent(primary)
    cluster.kill_postgres(primary)


def kill_everything(cluster: ClusterHarness, primary: str) -> None:
    cluster.kill(primary)


def table(figures: Figures, binaries: Binaries, load: tuple[float, float, float]) -> str:
    """The medians, with the extremes beside them."""
    words = ", ".join(f"{item:.2f}" for item in load)
    lines = [
        "",
        f"PostgreSQL {binaries.version}, {os.cpu_count()} processors, load average before: {words}",
        "settings: profile lan, ttl 5 s, loop_wait 1 s, synchronous_mode on, three nodes",
        "",
        f"{'':58} {'median':>8} {'least':>8} {'most':>8}  runs",
    ]
    for label, values in figures.items():
        lines.append(
            f"{label:58} {statistics.median(values):8.2f} {min(values):8.2f} {max(values):8.2f}"
            f"  {len(values)}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (AssertionError, psycopg2.Error) as problem:
        sys.exit(f"the benchmark could not be completed: {problem}")
