"""Random faults on real PostgreSQL, one after the other and two at a time, under a write load.

    python -m tests.faults.storm [--major 16] [--faults 100] [--seed 1] [--kind net|disk]
                                 [--synchronous-mode quorum|on|off]

Each fault strikes a member, the primary more often than not: processes killed or frozen alone and
together, an orderly stop, everything killed at once, a node that is killed while it rewinds or is
copied; with `net` its cables cut, both ways and one way; with `disk` its disk full. After half of
them the cluster is given the time to become whole, else the next one strikes while it heals. At the
end everything must be whole within `WHOLE_S` without a hand's help, no server may have acknowledged
beside another one, and no acknowledged row may be lost; with `off` what is lost must lie within the
bound, and the history must tell of as much (S7). Exits 1 and prints the faults if that does not
hold. Only processes are repeated by a seed, not their timing.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Final

import psutil

from raftha.model.settings import DynamicConfig
from raftha.pg import versions
from tests.faults.disks import DiskCluster, write_until_refused
from tests.faults.links import Way
from tests.faults.nets import NetCluster
from tests.faults.stage import LEASE_S
from tests.integration import processes
from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.losses import Bound, loss_violations
from tests.integration.processes import Part
from tests.integration.scene import Scene, report, wait_for_sync
from tests.integration.workload import TABLE, Ledger, WriteProber, create_table, open_session

WHOLE_S: Final = 120.0
"""From the end of a fault to a primary from which everybody streams, copies included."""

JOB_S: Final = 6.0
"""How long a node that comes back is watched for a rewind or a copy to be killed in."""

TOLD_S: Final = 10.0
"""Until the history tells what was undone, after that."""

JOBS: Final = ("pg_rewind", "pg_basebackup")


class RoomyCluster(DiskCluster):
    """Each change of the primary takes some files of WAL, which the slots keep for a while."""

    sizes_mb: ClassVar[Mapping[str, int]] = {"disk": 1500}


KINDS: Final[dict[str, type[ClusterHarness]]] = {"net": NetCluster, "disk": RoomyCluster}
Undo = Callable[[], None]
Strike = Callable[["Storm", str], Undo]


@dataclass(slots=True)
class Storm:
    """The cluster, what is drawn, and what has struck so far."""

    cluster: ClusterHarness
    draw: Random
    log: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    told: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """What the history said last of each timeline: the store keeps the newest of a storm alone."""

    def note(self, words: str) -> None:
        """One line, with the seconds since the start."""
        self.log.append(f"{time.monotonic() - self.begun:8.2f} {words}")
        print(self.log[-1], flush=True)

    def listen(self) -> None:
        """Keep what the history says now."""
        records = report(self.cluster).get("history", ())
        self.told.update({record["timeline"]: record for record in records})

    def victims(self, count: int) -> list[str]:
        """So many members; the primary leads the list in three of five draws."""
        names = [node.name for node in self.cluster.members()]
        self.draw.shuffle(names)
        if self.draw.random() < 0.6:
            primary = self.cluster.primary()
            names.sort(key=lambda name: name != primary)
        return names[:count]

    def parts(self) -> list[Part]:
        """One to three kinds of processes of a node."""
        return self.draw.sample(list(Part), self.draw.randint(1, 3))

    def found(self, name: str, parts: list[Part]) -> list[psutil.Process]:
        return [found for part in parts for found in self.cluster.processes(name, part)]


def kill(storm: Storm, name: str) -> Undo:
    parts = storm.parts()
    storm.note(f"{name}: SIGKILL of {', '.join(parts)}")
    processes.send_at_once(storm.found(name, parts), signal.SIGKILL)
    return lambda: None


def freeze(storm: Storm, name: str) -> Undo:
    parts = storm.parts()
    storm.note(f"{name}: SIGSTOP of {', '.join(parts)}")
    found = storm.found(name, parts)
    processes.send_at_once(found, signal.SIGSTOP)

    def thaw() -> None:
        processes.send(found, signal.SIGCONT)

    return thaw


def stop(storm: Storm, name: str) -> Undo:
    storm.note(f"{name}: stopped in order")
    if storm.cluster.runs(name):
        storm.cluster.stop(name)
    return lambda: None


def lose(storm: Storm, name: str) -> Undo:
    storm.note(f"{name}: all killed")
    storm.cluster.kill(name)
    return lambda: None


def lose_all(storm: Storm, _name: str) -> Undo:
    storm.note("all nodes: all killed")
    for node in storm.cluster.nodes:
        storm.cluster.kill(node)
    return lambda: None


def lose_at_work(storm: Storm, name: str) -> Undo:
    """Killed, and once more while it rewinds or is copied, if it is within a while."""
    storm.note(f"{name}: all killed, and again at work")
    storm.cluster.kill(name)
    time.sleep(storm.draw.uniform(0, LEASE_S + 2))
    storm.cluster.start(name)
    deadline = time.monotonic() + JOB_S
    while time.monotonic() < deadline:
        found = storm.cluster.processes(name, Part.POSTGRES)
        if any(Path(process.exe()).name in JOBS for process in found if process.is_running()):
            storm.note(f"{name}: at work, killed")
            storm.cluster.kill(name)
            break
        time.sleep(0.01)
    return lambda: None


def cut(storm: Storm, name: str) -> Undo:
    assert isinstance(storm.cluster, NetCluster)
    way = storm.draw.choice(list(Way))
    storm.note(f"{name}: cut off {way}")
    storm.cluster.part(name, way)
    return storm.cluster.heal


def fill(storm: Storm, name: str) -> Undo:
    assert isinstance(storm.cluster, DiskCluster)
    cluster, folder = storm.cluster, storm.cluster.nodes[name].folder / "disk"
    storm.note(f"{name}: disk full")
    with (cluster.seen(name, folder) / "filler").open("ab", buffering=0) as filler:
        for size in (1 << 20, 4096):
            write_until_refused(filler, bytes(size))
    return lambda: (cluster.seen(name, folder) / "filler").unlink(missing_ok=True)


STRIKES: Final[dict[str, tuple[Strike, ...]]] = {
    "net": (kill, kill, freeze, freeze, stop, lose, lose_all, lose_at_work, cut, cut, cut),
    "disk": (kill, freeze, stop, lose, lose_at_work, lose_at_work, fill, fill, fill),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--major", type=int, help="default: the newest that is found")
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=sorted(KINDS), default="net")
    parser.add_argument("--synchronous-mode", choices=("quorum", "on", "off"), default="quorum")
    asked = parser.parse_args()
    found = [b for b in versions.find_all() if asked.major in (None, b.major)]
    if not found:
        print("no PostgreSQL of that major is here", file=sys.stderr)
        return 2
    binaries = max(found, key=lambda item: item.major)
    print(f"PostgreSQL {binaries.version}, {asked}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="rs."))
    options = {"ttl": LEASE_S, "synchronous_mode": asked.synchronous_mode}
    with KINDS[asked.kind](folder, binaries, **options) as cluster:
        storm = Storm(cluster, Random(asked.seed))
        try:
            print(rage(storm, asked.faults, asked.kind, may_lose=asked.synchronous_mode == "off"))
        except AssertionError as problem:
            print(f"{problem}\nthe logs are kept in {folder}\n" + "\n".join(storm.log[-20:]))
            return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def rage(storm: Storm, faults: int, kind: str, *, may_lose: bool) -> str:
    """The whole storm; what was counted. Raises AssertionError."""
    cluster = storm.cluster
    cluster.start_all()
    primary = cluster.wait_until_whole()
    wait_for_sync(cluster)
    session = cluster.connect(primary)
    create_table(session)
    session.close()
    ports = {node.name: node.postgres_port or 0 for node in cluster.members()}
    prober = WriteProber(
        Ledger(),
        list(ports),
        lambda name: open_session("127.0.0.1", ports[name], "postgres", PASSWORD),
    )
    scene = Scene(cluster, prober, primary)
    prober.start()
    try:
        scene.wait_for_writes()
        struck = 0
        while struck < faults:
            struck += strike(storm, STRIKES[kind])
            if storm.draw.random() < 0.5:
                storm.note(f"whole after {heal(storm):.1f} s")
            else:
                time.sleep(storm.draw.uniform(0.0, LEASE_S))
        storm.note(f"whole after {heal(storm):.1f} s, and that is the end")
        counts = scene.finish(at_least=faults, may_lose=may_lose)
        if may_lose:
            check_loss(storm, scene)
    finally:
        prober.stop()
    return f"{struck} faults: {counts}"


def check_loss(storm: Storm, scene: Scene) -> None:
    """S7, once those who have undone something had the time to say so. Raises AssertionError."""
    attempts = scene.ledger.attempts()
    found = storm.cluster.query(storm.cluster.wait_for_primary(), f"SELECT id FROM {TABLE}")
    rows = {int(row[0]) for row in found}
    bound = Bound(lag_bytes=DynamicConfig().maximum_lag_on_failover, ttl_s=LEASE_S)

    def problems() -> list[str]:
        storm.listen()
        records = [storm.told[timeline] for timeline in sorted(storm.told)]
        return loss_violations(attempts, rows, records, bound)

    with suppress(AssertionError):
        storm.cluster.wait_for(lambda: not problems(), TOLD_S, "the loss is told")
    assert not problems(), "\n".join(problems())


def strike(storm: Storm, strikes: tuple[Strike, ...]) -> int:
    """One fault or two at a time, for up to two leases; how many."""
    undo, count = [], 1 + (storm.draw.random() < 0.3)
    try:
        for victim in storm.victims(count):
            undo.append(storm.draw.choice(strikes)(storm, victim))
            time.sleep(storm.draw.uniform(0.0, 0.5))
        time.sleep(storm.draw.uniform(0.1, 2 * LEASE_S))
    finally:
        for each in undo:
            each()
    storm.cluster.start_all()
    return count


def heal(storm: Storm) -> float:
    """Wait until the cluster is whole and somebody could take over; how long it took, in seconds.
    Then the evidence is removed, as an operator would: the disks are small."""
    begun, cluster = time.monotonic(), storm.cluster
    cluster.wait_until_whole(WHOLE_S)
    wait_for_sync(cluster)
    took = time.monotonic() - begun
    storm.listen()
    for node in cluster.members():
        seen = cluster.seen if isinstance(cluster, DiskCluster) else lambda _name, path: path
        pgdata = seen(node.name, node.pgdata)
        for kind in ("diverged", "replaced"):
            for kept in pgdata.parent.glob(f"{pgdata.name}.{kind}-*"):
                shutil.rmtree(kept, ignore_errors=True)
    return took


if __name__ == "__main__":
    sys.exit(main())
