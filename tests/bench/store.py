"""The key store's figures: three real processes, fsync on, beside etcd's if that is installed.

    python -m tests.bench.store [--links key|tls] [--kills 20] [--folder DIR] [--no-etcd]

Not a test: nothing is asserted but that every write is committed. raftha's client is the process of
the raft leader itself, as the agent is; etcd's speaks JSON over HTTP to its raft leader, as Patroni
does. The two are asked in turns, batch by batch, so that a busy machine is busy for both. Run it on
a quiet one, with DIR on the disk that matters.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import psutil

from tests.bench.etcd import EtcdCluster, is_installed
from tests.certificates import make_certificates
from tests.integration.voters import WITNESS, Voters, certificate_options

BATCHES: Final = 20
BATCH: Final = 250
WARM_UP: Final = 200
FLIGHTS: Final = 5
FLIGHT: Final = 3000
WIDTH: Final = 100
VALUE_BYTES: Final = 100
IDLE_S: Final = 30.0
BEAT_PAUSE_S: Final = 0.002
LIMIT_S: Final = 30.0

Row = tuple[str, str, str | None]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--links", choices=("key", "tls"), default="key")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="default: the temporary directory")
    parser.add_argument("--no-etcd", action="store_true")
    arguments = parser.parse_args()
    load = os.getloadavg()
    with_etcd = is_installed() and not arguments.no_etcd
    rows: list[Row] = []
    rows += measure_writes(arguments.folder, arguments.links, with_etcd=with_etcd)
    rows += measure_elections(
        arguments.folder, arguments.links, arguments.kills, with_etcd=with_etcd
    )
    rows += measure_idle(arguments.folder, arguments.links, with_etcd=with_etcd)
    print(table(rows, arguments.links, load))
    return 0


def scratch(folder: Path | None) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="rb.", dir=folder)


def voters(folder: Path, links: str) -> Voters:
    """Three nodes whose links are secured in this way."""
    if links == "key":
        (folder / "key").write_text("k" * 40)
        return Voters(folder, raft={"key_file": str(folder / "key")})
    made = Voters(folder)
    make_certificates(folder, *made.nodes)
    for node in made.nodes.values():
        node.configure(certificate_options(folder, node.name))
    return made


# Writes, one after the other and many at once.


def measure_writes(parent: Path | None, links: str, *, with_etcd: bool) -> list[Row]:
    with scratch(parent) as name, ExitStack() as stack:
        folder = Path(name)
        group = stack.enter_context(voters(folder, links))
        leader = group.start_all()
        follower = next(each for each in group.nodes if each != leader)
        ours: dict[str, list[float]] = {leader: [], follower: []}
        theirs: list[float] = []
        etcd = stack.enter_context(EtcdCluster(folder)) if with_etcd else None
        for count in (WARM_UP, *[BATCH] * BATCHES):
            for asked, taken in ours.items():
                found = group.ask(asked, "sequential", count=count, size=VALUE_BYTES)
                taken += found if count == BATCH else []
            if etcd is not None:
                found = etcd.sequential(etcd.wait_until_whole(), count, VALUE_BYTES)
                theirs += found if count == BATCH else []
        flights, foreign = [], []
        for _ in range(FLIGHTS):
            options = {"count": FLIGHT, "width": WIDTH, "size": VALUE_BYTES}
            flights.append(FLIGHT / group.ask(leader, "flight", **options))
            if etcd is not None:
                foreign.append(FLIGHT / etcd.flight(etcd.wait_until_whole(), **options))
    return [
        *sequential_rows("at the raft leader", ours[leader], theirs),
        *sequential_rows("at a follower", ours[follower], []),
        rate_row(f"{WIDTH} under way, writes a second", flights, foreign),
    ]


def sequential_rows(where: str, ours: Sequence[float], theirs: Sequence[float]) -> list[Row]:
    return [
        milliseconds_row(f"one after the other {where}, p50 ms", 0.50, ours, theirs),
        milliseconds_row(f"one after the other {where}, p99 ms", 0.99, ours, theirs),
        rate_row(
            f"one after the other {where}, writes a second",
            [len(ours) / sum(ours)],
            [len(theirs) / sum(theirs)] if theirs else [],
        ),
    ]


def milliseconds_row(
    what: str, share: float, ours: Sequence[float], theirs: Sequence[float]
) -> Row:
    def quantile(taken: Sequence[float]) -> str:
        return f"{sorted(taken)[int(len(taken) * share)] * 1e3:.2f}"

    return what, quantile(ours), quantile(theirs) if theirs else None


def rate_row(what: str, ours: Sequence[float], theirs: Sequence[float]) -> Row:
    return (
        what,
        f"{statistics.median(ours):.0f}",
        (f"{statistics.median(theirs):.0f}" if theirs else None),
    )


# The raft leader is killed.


def measure_elections(parent: Path | None, links: str, kills: int, *, with_etcd: bool) -> list[Row]:
    with scratch(parent) as name, voters(Path(name), links) as group:
        ours = [gap_of_raftha(group) for _ in range(kills)]
    theirs: list[float] = []
    if with_etcd:
        with scratch(parent) as name, EtcdCluster(Path(name)) as etcd:
            theirs = [gap_of_etcd(etcd) for _ in range(kills)]
    return [
        (
            f"raft leader killed, first commit, median of {kills}, s",
            *spread(statistics.median, ours, theirs),
        ),
        (f"raft leader killed, first commit, longest of {kills}, s", *spread(max, ours, theirs)),
    ]


def spread(of: Any, ours: Sequence[float], theirs: Sequence[float]) -> tuple[str, str | None]:
    return f"{of(ours):.2f}", f"{of(theirs):.2f}" if theirs else None


def gap_of_raftha(group: Voters) -> float:
    """From the kill to the first commit of a write that began after it, at any survivor."""
    stopped = [name for name, node in group.nodes.items() if not node.runs]
    group.start(*stopped)
    leader = group.wait_until_whole()
    others = [name for name in group.nodes if name != leader]
    for name in others:
        group.ask(name, "beat", key=f"beat/{name}", pause=BEAT_PAUSE_S)
    group.wait_for(lambda: all(group.ask(o, "beats", after=0) for o in others), LIMIT_S, "beats")
    killed = time.monotonic()
    group.kill(leader)

    def after() -> list[float]:
        seen = [beat for name in others for beat in group.ask(name, "beats", after=0)]
        return [ended for begun, ended in seen if begun > killed]

    group.wait_for(after, LIMIT_S, "a commit after the kill")
    first = min(after())
    for name in others:
        group.ask(name, "end beat")
    return first - killed


def gap_of_etcd(etcd: EtcdCluster) -> float:
    for name in etcd.stopped():
        etcd.start(name)
    leader = etcd.wait_until_whole()
    others = [name for name in etcd.servers if name != leader]
    killed = time.monotonic()
    etcd.kill(leader)
    etcd.first_write(others)
    return time.monotonic() - killed


# Nothing happens.


def measure_idle(parent: Path | None, links: str, *, with_etcd: bool) -> list[Row]:
    """What three witnesses of the product cost, each voter on its own."""
    with scratch(parent) as name, voters(Path(name), links) as group:
        group.start(program=WITNESS)
        group.wait_for(lambda: all(group.ready(n) for n in group.nodes), LIMIT_S, "a raft leader")
        time.sleep(3.0)
        ours = idle_cost(group.pids())
    theirs: list[tuple[float, float]] = []
    if with_etcd:
        with scratch(parent) as name, EtcdCluster(Path(name)) as etcd:
            time.sleep(3.0)
            theirs = idle_cost(etcd.pids())
    return [
        (
            f"idle, CPU s a minute, {word} voter",
            f"{ours[at][0]:.2f}",
            f"{theirs[at][0]:.2f}" if theirs else None,
        )
        for word, at in (("cheapest", 0), ("dearest (the raft leader)", -1))
    ] + [
        (
            "idle, memory of a witness, MiB",
            f"{max(o[1] for o in ours):.0f}",
            f"{max(t[1] for t in theirs):.0f}" if theirs else None,
        )
    ]


def idle_cost(pids: Mapping[str, int]) -> list[tuple[float, float]]:
    """(CPU seconds a minute, RSS in MiB) of each process, the cheapest first."""
    found = [psutil.Process(pid) for pid in pids.values()]
    before = [cpu_seconds(process) for process in found]
    time.sleep(IDLE_S)
    spent = [(cpu_seconds(p) - b) * 60 / IDLE_S for p, b in zip(found, before, strict=True)]
    memory = [process.memory_info().rss / 2**20 for process in found]
    return sorted(zip(spent, memory, strict=True))


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def table(rows: Sequence[Row], links: str, load: tuple[float, float, float]) -> str:
    words = ", ".join(f"{item:.2f}" for item in load)
    lines = [
        f"links: {links}, {os.cpu_count()} processors, load average before: {words}",
        "",
        f"| {'':58} | {'raftha':>8} | {'etcd':>8} | ratio |",
        f"|{'-' * 60}|{'-' * 10}|{'-' * 10}|-------|",
    ]
    for what, ours, theirs in rows:
        ratio = f"{float(ours) / float(theirs):.2f}" if theirs and float(theirs) else ""
        lines.append(f"| {what:58} | {ours:>8} | {theirs or '':>8} | {ratio:>5} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
