"""How long health checks take while PostgreSQL hangs: checks at a steady rate, each on a connection
of its own as a balancer makes them, before and after the primary's server is stopped (SIGSTOP).

    python -m tests.bench.checks [--rate 100] [--seconds 10] [--major 16]

A line for each phase; exit code 1 if a check took longer than 100 ms in the median of its phase's
slowest hundredth, or had no answer. Run it as a user whom PostgreSQL accepts.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from raftha.pg import versions
from tests.integration.harness import ClusterHarness
from tests.integration.processes import Part
from tests.integration.scene import wait_for_sync

PATHS: Final = ("/primary", "/replica?lag=16MB", "/health", "/liveness", "/readiness")
LIMIT_S: Final = 0.1
TIMEOUT_S: Final = 2.0
CLIENTS: Final = 16


def check(port: int, path: str) -> float:
    """How long one check took, whatever its answer; infinity if there was none."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("OPTIONS", path)
        connection.getresponse().read()
    except OSError:
        return float("inf")
    finally:
        connection.close()
    return time.monotonic() - began


def checks(port: int, rate: float, seconds: float) -> list[float]:
    """So many checks a second, each begun at its time, whether those before have ended or not."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        began, running = time.monotonic(), []
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            running.append(pool.submit(check, port, PATHS[number % len(PATHS)]))
        return [one.result() for one in running]


def told(title: str, times: Sequence[float]) -> bool:
    """Print a phase; whether it was quick enough."""
    ordered = sorted(times)
    slowest = ordered[-max(1, len(ordered) // 100) :]
    print(
        f"{title:<16} {len(times)} checks, median {statistics.median(ordered) * 1000:.1f} ms,"
        f" 99 of 100 within {slowest[0] * 1000:.1f} ms, longest {ordered[-1] * 1000:.1f} ms",
        flush=True,
    )
    return statistics.median(slowest) <= LIMIT_S


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--major", type=int)
    chosen = parser.parse_args()
    binaries = versions.choose(None, chosen.major)
    with tempfile.TemporaryDirectory(prefix="rh.") as folder:
        # Half a ttl, in which the hang costs no lease yet, has room for the whole measurement.
        cluster = ClusterHarness(Path(folder), binaries, ttl=60.0, profile="lan")
        with cluster:
            cluster.start_all()
            primary = cluster.wait_until_whole()
            wait_for_sync(cluster)
            port = cluster.nodes[primary].rest_port
            good = told("PostgreSQL well", checks(port, chosen.rate, chosen.seconds))
            cluster.pause(primary, Part.POSTGRES)
            good &= told("PostgreSQL hung", checks(port, chosen.rate, chosen.seconds))
            cluster.resume(primary)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
