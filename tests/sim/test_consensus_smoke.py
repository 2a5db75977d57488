"""A few seeds of the consensus world, and the proof that a seed is one history."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.world import World

ROOT = Path(__file__).parent.parent.parent
PRINT_HISTORY = (
    "import sys; from tests.sim.world import World; "
    "world = World(int(sys.argv[1])); world.run(); print(world.fingerprint())"
)


@pytest.mark.parametrize("seed", range(16))
def test_three_voters_keep_the_promises(seed: int) -> None:
    assert World(seed, 3).run() == []


@pytest.mark.parametrize("seed", range(4))
def test_five_voters_keep_the_promises(seed: int) -> None:
    assert World(seed, 5).run() == []


def test_a_seed_is_the_same_history_in_every_process() -> None:
    histories = [
        subprocess.run(
            [sys.executable, "-c", PRINT_HISTORY, "7"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert histories[0] == histories[1] != ""
