"""Run many seeds: `python -m tests.sim.soak --world consensus --first 0 --seeds 100`.

Prints each violation with its seed and the line that repeats it; exits 1 if there was any.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.sim.consensus_world import World


def main() -> int:
    """Parse the command line and run the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", choices=["consensus"], default="consensus")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--size", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=60.0)
    options = parser.parse_args()
    started = time.monotonic()
    failed = ran = acked = renewals = takeovers = stops = 0
    for seed in range(options.first, options.first + options.seeds):
        if time.monotonic() - started > options.minutes * 60:
            break
        world = World(seed, options.size)
        violations = world.run()
        ran += 1
        acked += len(world.acked)
        renewals += world.renewals
        takeovers += world.takeovers
        stops += world.fail_stops
        if violations:
            failed += 1
            repeat = f"--world consensus --size {options.size} --first {seed} --seeds 1"
            print(f"seed {seed}: {violations}\n  python -m tests.sim.soak {repeat}", flush=True)
    print(
        f"{ran} seeds of {options.size} nodes in {time.monotonic() - started:.0f} s: "
        f"{failed} with violations; {acked} writes acknowledged, {renewals} lease renewals, "
        f"{takeovers} takeovers, {stops} stops on a failing disk"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
