"""Run many seeds: `python -m tests.sim.soak --world cluster --first 0 --seeds 100 --jobs 2`.

Prints each violation with its seed, its plan of faults, the last things that happened and the line
that repeats it; exits 1 if there was any.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from multiprocessing import get_context
from typing import Final

from msgspec import Struct, field

from tests.sim.cluster.world import ClusterWorld
from tests.sim.world import World

LAST_EVENTS: Final = 50
SAY_EVERY: Final = 500
"""Seeds between two lines that say how far a soak has come."""


class Report(Struct):
    """What became of one seed."""

    seed: int
    size: int
    violations: list[str]
    plan: list[str] = field(default_factory=list)
    recent: list[str] = field(default_factory=list)
    virtual_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)


class Totals(Struct):
    """What became of all seeds so far."""

    started: float = field(default_factory=time.monotonic)
    ran: int = 0
    virtual_s: float = 0.0
    failed: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, report: Report) -> None:
        """Count one more seed."""
        self.ran += 1
        self.virtual_s += report.virtual_s
        self.failed += bool(report.violations)
        self.counts.update(report.counts)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    def __str__(self) -> str:
        each = f"{self.virtual_s / max(1, self.ran):.0f} virtual seconds"
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return (
            f"{self.ran} seeds of {each} in {self.seconds:.0f} s: "
            f"{self.failed} with violations; {counts}"
        )


def run_seed(seed: int, kind: str = "consensus", size: int | None = None) -> Report:
    """Run one seed of a world to its end."""
    if not gc.get_freeze_count():
        gc.freeze()  # What was imported lives on: it need not be looked through after each seed.
    gc.collect()  # Between seeds alone: in one it would find little, and look often.
    gc.disable()
    return _run_cluster(seed) if kind == "cluster" else _run_consensus(seed, size)


def _run_cluster(seed: int) -> Report:
    world = ClusterWorld(seed)
    begun = world.time.now
    report = Report(seed, len(world.nodes), world.run())
    report.virtual_s = world.time.now - begun
    if report.violations:
        report.plan = [str(trouble) for trouble in world.plan]
        report.recent = [*world.verdicts.recent[-LAST_EVENTS:], world.state()]
    report.counts.update(world.counts)
    return report


def _run_consensus(seed: int, size: int | None) -> Report:
    world = World(seed, size)
    begun = world.time.now
    report = Report(seed, world.traits.size, world.run())
    report.virtual_s = world.time.now - begun
    if report.violations:
        report.plan = [str(strike) for strike in world.plan]
        report.recent = world.verdicts.recent[-LAST_EVENTS:]
    report.counts.update(
        {
            "writes acknowledged": len(world.records.acknowledged),
            "operations on shared keys": sum(map(len, world.records.histories.values())),
            "lease renewals": world.leases.renewals,
            "takeovers": world.leases.takeovers,
            "changes watched": world.watches.events,
            "watches compacted": world.watches.compacted,
            "voters that came or went": world.seats.steps,
            "wishes fulfilled": world.operator.done,
            "wishes refused": world.operator.refused,
            "faults": len(world.plan),
            "stops on a failing disk": world.fail_stops,
        }
    )
    return report


def reports(seeds: Iterable[int], kind: str, size: int | None, jobs: int) -> Iterator[Report]:
    """One report a seed, in order; `jobs` processes share the work."""
    run = partial(run_seed, kind=kind, size=size)
    if jobs == 1:
        yield from map(run, seeds)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(run, seeds, chunksize=4)


def print_violation(report: Report, kind: str) -> None:
    """Everything that helps to find the cause, and how to see it again."""
    print(f"seed {report.seed}, {report.size} voters:")
    for title, lines in (("plan", report.plan), ("last events", report.recent)):
        print(f"  {title}:", *lines, sep="\n    ")
    for violation in report.violations:
        print(f"  VIOLATION {violation}")
    size = f" --size {report.size}" if kind == "consensus" else ""
    repeat = f"--world {kind}{size} --first {report.seed} --seeds 1"
    print(f"  python -m tests.sim.soak {repeat}", flush=True)


def main() -> int:
    """Parse the command line and run the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", choices=["consensus", "cluster"], default="consensus")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument(
        "--size", type=int, help="voters of the consensus world; drawn from the seed if not given"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no seed after this")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the seeds")
    options = parser.parse_args()
    totals = Totals()
    seeds = range(options.first, options.first + options.seeds)
    for report in reports(seeds, options.world, options.size, options.jobs):
        totals.add(report)
        if report.violations:
            print_violation(report, options.world)
        if totals.ran % SAY_EVERY == 0:
            print(f"so far {totals}", flush=True)
        if totals.seconds > options.minutes * 60:
            break
    print(totals)
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
