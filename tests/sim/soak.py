"""Run many seeds: `python -m tests.sim.soak --world consensus --first 0 --seeds 100 --jobs 2`.

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

from tests.sim.world import LIVENESS_S, SAFETY_S, World

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
    counts: Counter[str] = field(default_factory=Counter)


class Totals(Struct):
    """What became of all seeds so far."""

    started: float = field(default_factory=time.monotonic)
    ran: int = 0
    failed: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, report: Report) -> None:
        """Count one more seed."""
        self.ran += 1
        self.failed += bool(report.violations)
        self.counts.update(report.counts)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    def __str__(self) -> str:
        each = f"{SAFETY_S + LIVENESS_S:.0f} virtual seconds"
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return (
            f"{self.ran} seeds of {each} in {self.seconds:.0f} s: "
            f"{self.failed} with violations; {counts}"
        )


def run_seed(seed: int, size: int | None = None) -> Report:
    """Run one seed to its end."""
    gc.collect()  # Between seeds alone: in one it would find little, and look often.
    gc.disable()
    world = World(seed, size)
    report = Report(seed, world.traits.size, world.run())
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


def reports(seeds: Iterable[int], size: int | None, jobs: int) -> Iterator[Report]:
    """One report a seed, in order; `jobs` processes share the work."""
    run = partial(run_seed, size=size)
    if jobs == 1:
        yield from map(run, seeds)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(run, seeds, chunksize=4)


def print_violation(report: Report) -> None:
    """Everything that helps to find the cause, and how to see it again."""
    print(f"seed {report.seed}, {report.size} voters:")
    for title, lines in (("plan", report.plan), ("last events", report.recent)):
        print(f"  {title}:", *lines, sep="\n    ")
    for violation in report.violations:
        print(f"  VIOLATION {violation}")
    repeat = f"--world consensus --size {report.size} --first {report.seed} --seeds 1"
    print(f"  python -m tests.sim.soak {repeat}", flush=True)


def main() -> int:
    """Parse the command line and run the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", choices=["consensus"], default="consensus")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--size", type=int, help="voters; drawn from the seed if not given")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no seed after this")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the seeds")
    options = parser.parse_args()
    totals = Totals()
    seeds = range(options.first, options.first + options.seeds)
    for report in reports(seeds, options.size, options.jobs):
        totals.add(report)
        if report.violations:
            print_violation(report)
        if totals.ran % SAY_EVERY == 0:
            print(f"so far {totals}", flush=True)
        if totals.seconds > options.minutes * 60:
            break
    print(totals)
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
