"""How long things take with the default settings, on real PostgreSQL: medians of several runs.

    python -m tests.bench.failover [--runs 5] [--profile lan|fast] [--major 16] [--more] [--long]
                                   [--synchronous-mode quorum|on|off]
                                   [--only start,idle,node] [--record FILE]

Not a test: nothing is asserted but that the cluster works, that no two servers acknowledged at a
time, and that no acknowledged row was lost but in asynchronous mode. Run it on a quiet machine, as
a user whom PostgreSQL accepts; the load average is printed with the figures. The nodes run a copy
of the program whose byte code was made beforehand, as an installation has it. With a record, what
is in it already is not measured again: a run that was broken off goes on, and the table is that of
all runs.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg2

import raftha
from raftha.model.postgres import Binaries
from raftha.pg import versions
from tests.bench.outages import LIMIT_S, OUTAGES, Figures, Group, Outage, measure
from tests.integration.harness import ClusterHarness
from tests.integration.processes import Part
from tests.integration.scene import wait_for_sync
from tests.integration.workload import create_table

IDLE_S: Final = 30.0
PROFILES: Final[dict[str, dict[str, Any]]] = {
    "lan": {"profile": "lan", "ttl": 5, "loop_wait": 1.0},
    "fast": {"profile": "fast", "ttl": 2, "loop_wait": 0.5},
}
ROWS: Final = {
    group: ("start", "idle") * (group is Group.USUAL)
    + tuple(outage.key for outage in OUTAGES if outage.group is group)
    for group in Group
}
EVERY_ROW: Final = tuple(row for group in Group for row in ROWS[group])
MODES: Final = ("quorum", "on", "off")


@dataclass(slots=True)
class Record:
    """The figures of one profile and major so far, by row and label; kept in a file if there is
    one. `runs` counts the clusters that each row was measured on."""

    setting: str
    file: Path | None = None
    figures: Figures = field(default_factory=lambda: defaultdict(list))
    runs: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def read(self) -> None:
        """Take in what earlier runs with the same setting left."""
        if self.file is None or not self.file.exists():
            return
        for line in self.file.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["setting"] == self.setting:
                self._take(entry["row"], entry["figures"])

    def add(self, row: str, figures: Figures) -> None:
        """One more run of a row, written down before the next begins."""
        self._take(row, figures)
        if self.file is not None:
            entry = {"setting": self.setting, "row": row, "figures": figures}
            with self.file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(entry) + "\n")

    def _take(self, row: str, figures: Figures) -> None:
        self.runs[row] += 1
        for label, values in figures.items():
            self.figures[label] += values


def main() -> int:
    arguments = arguments_of(argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]))
    found = [b for b in versions.find_all() if arguments.major in (None, b.major)]
    if not found:
        print("no PostgreSQL of that major is here", file=sys.stderr)
        return 2
    binaries = max(found, key=lambda item: item.major)
    load = os.getloadavg()
    settings = PROFILES[arguments.profile] | {"synchronous_mode": arguments.synchronous_mode}
    record = Record(
        f"PostgreSQL {binaries.version}, profile {arguments.profile},"
        f" synchronous_mode {arguments.synchronous_mode}",
        arguments.record,
    )
    record.read()
    with tempfile.TemporaryDirectory(prefix="rb.") as program:
        install(Path(program))
        for number in range(arguments.runs):
            rows = [row for row in arguments.rows if record.runs[row] <= number]
            if rows:
                print(f"run {number + 1} of {arguments.runs}: {', '.join(rows)}", flush=True)
                one_run(binaries, settings, rows, record)
    print(table(record, settings, load))
    return 0


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What was asked for; `rows` are the keys of the rows to measure."""
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="lan")
    parser.add_argument("--major", type=int, help="default: the newest that is found")
    parser.add_argument("--synchronous-mode", choices=MODES, default="quorum")
    parser.add_argument("--more", action="store_true", help="with the restarts")
    parser.add_argument("--long", action="store_true", help="with the faults that last a minute")
    parser.add_argument("--only", help=f"rows, separated by commas: {', '.join(EVERY_ROW)}")
    parser.add_argument("--record", type=Path, help="a file that keeps the figures of each run")
    arguments = parser.parse_args()
    asked = {Group.USUAL: True, Group.MORE: arguments.more, Group.LONG: arguments.long}
    arguments.rows = [row for group in Group if asked[group] for row in ROWS[group]]
    if arguments.only:
        arguments.rows = arguments.only.split(",")
    if unknown := set(arguments.rows) - set(EVERY_ROW):
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    return arguments


def install(folder: Path) -> None:
    """Put the compiled program where the nodes find it first. Compiling it anew in each process
    would double the time that three nodes on two processors take to start."""
    source = Path(raftha.__file__).parent
    target = folder / source.name
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(target, quiet=1)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


def one_run(binaries: Binaries, settings: dict[str, Any], rows: list[str], record: Record) -> None:
    """A new cluster of each kind that is needed, then one outage of each kind on it."""
    wanted = [outage for outage in OUTAGES if outage.key in rows]
    for kind in dict.fromkeys([ClusterHarness, *(outage.kind for outage in wanted)]):
        outages = [outage for outage in wanted if outage.kind is kind]
        others = {"start", "idle"} & set(rows) if kind is ClusterHarness else set()
        if outages or others:
            with (
                tempfile.TemporaryDirectory(prefix="rb.") as folder,
                kind(Path(folder), binaries, **settings) as cluster,
            ):
                measure_all(cluster, others, outages, record)


def measure_all(
    cluster: ClusterHarness, others: set[str], outages: list[Outage], record: Record
) -> None:
    """Its start, how it idles, then its outages."""
    started = measure_start(cluster)
    if "start" in others:
        record.add("start", started)
    wait_for_sync(cluster)
    if "idle" in others:
        record.add("idle", measure_idle(cluster))
    for outage in outages:
        record.add(outage.key, outage.figures(measure(cluster, outage.fault)))


def measure_start(cluster: ClusterHarness) -> Figures:
    """From the start of three empty nodes, in seconds."""
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
    committed = time.monotonic() - begun
    cluster.wait_until_whole(LIMIT_S)
    return {
        "start: to the first committed row": [committed],
        "start: to both standbys streaming": [time.monotonic() - begun],
    }


def measure_idle(cluster: ClusterHarness) -> Figures:
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
    figures: Figures = defaultdict(list)
    for name, found in parts.items():
        role = "the primary" if name == primary else "a standby"
        if bodies[name]["raft"]["role"] == "leader":
            role += " and raft leader"
        spent = (cpu_seconds(found) - before[name]) * 60 / IDLE_S
        memory = sum(process.memory_info().rss for process in found) / 2**20
        figures[f"idle: CPU s/min, {role}"].append(spent)
        figures[f"idle: RSS in MiB, {role}"].append(memory)
    return figures


def cpu_seconds(found: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in found)


def table(record: Record, settings: dict[str, Any], load: tuple[float, float, float]) -> str:
    """The medians, with the extremes beside them."""
    words = ", ".join(f"{item:.2f}" for item in load)
    lines = [
        "",
        f"{record.setting}, {os.cpu_count()} processors, load average before: {words}",
        f"settings: ttl {settings['ttl']} s, loop_wait {settings['loop_wait']} s, three nodes",
        "",
        f"{'':62} {'median':>8} {'least':>8} {'most':>8}  runs",
    ]
    for label, values in record.figures.items():
        lines.append(
            f"{label:62} {statistics.median(values):8.2f} {min(values):8.2f} {max(values):8.2f}"
            f"  {len(values)}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (AssertionError, psycopg2.Error) as problem:
        sys.exit(f"the benchmark could not be completed: {problem}")
