"""What a large state costs those who write: three real processes, one of which is then given it.

    python -m tests.bench.snapshots [--keys 1280] [--size 16384] [--folder DIR]

Not a test: nothing is asserted. One client writes without a pause at the raft leader; printed is
the longest time between two of its commits, first while every voter makes a snapshot of the state
in place of its log, then while one with an emptied directory gets it. Run it on the disk that
matters.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from raftha.consensus.compaction import COMPACT_ENTRIES
from tests.bench.store import scratch, voters
from tests.integration.voters import Voters

BEAT_PAUSE_S: Final = 0.002
SMALL: Final = 100
NEARLY: Final = 300
LIMIT_S: Final = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keys", type=int, default=1280)
    parser.add_argument("--size", type=int, default=16384)
    parser.add_argument("--folder", type=Path, help="default: the temporary directory")
    arguments = parser.parse_args()
    with scratch(arguments.folder) as name, voters(Path(name), "key") as group:
        leader = group.start_all()
        group.ask(leader, "fill", keys=arguments.keys, size=arguments.size)
        left = COMPACT_ENTRIES - NEARLY - group.status(leader)["applied_index"] % COMPACT_ENTRIES
        if left > SMALL:
            group.ask(leader, "flight", count=left // SMALL * SMALL, width=SMALL, size=SMALL)
        print(f"{arguments.keys} values of {arguments.size} bytes, term {term(group, leader)}")
        report(group, leader, "every voter makes a snapshot", lambda: until_compacted(group))
        report(group, leader, "a voter gets it", lambda: give_to_a_newcomer(group, leader))
    return 0


def report(group: Voters, leader: str, what: str, act: Callable[[], object]) -> None:
    """Print the longest time between two commits while this is done."""
    group.ask(leader, "beat", key=f"beat of {what}", pause=BEAT_PAUSE_S)
    began = time.monotonic()
    act()
    took = time.monotonic() - began
    done = group.ask(leader, "end beat")
    gap = max(after[1] - before[1] for before, after in itertools.pairwise(done))
    fsync: dict[str, Any] = group.status(leader)["fsync"]
    print(
        f"{what}: {took:.1f} s, {len(done)} commits, longest gap {1000 * gap:.0f} ms, longest "
        f"sync {1000 * fsync['longest']:.0f} ms, term {term(group, leader)}"
    )


def until_compacted(group: Voters) -> None:
    """Wait until every log was long enough, and time enough for all parts has passed."""
    before = {name: size(group, name) for name in group.nodes}
    group.wait_for(
        lambda: all(size(group, name) > before[name] + 4 * SMALL for name in group.nodes),
        LIMIT_S,
        "every voter has applied enough for a snapshot",
    )
    time.sleep(10.0)  # a round for each part


def size(group: Voters, name: str) -> int:
    return int(group.status(name)["applied_index"])


def give_to_a_newcomer(group: Voters, leader: str) -> None:
    name = next(name for name in group.nodes if name != leader)
    group.kill(name)
    shutil.rmtree(group.nodes[name].data_dir)
    wanted = size(group, leader)
    group.start(name)
    group.wait_for(lambda: size(group, name) >= wanted, LIMIT_S, f"{name} has caught up")


def term(group: Voters, name: str) -> int:
    return int(group.status(name)["term"])


if __name__ == "__main__":
    sys.exit(main())
