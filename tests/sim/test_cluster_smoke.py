"""A few seeds of the cluster world, and the proof that a seed is one history."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.sim.cluster.world import ClusterWorld

ROOT: Final = Path(__file__).parent.parent.parent
PRINT_HISTORY: Final = (
    "import sys; from tests.sim.cluster.world import ClusterWorld; "
    "world = ClusterWorld(int(sys.argv[1])); world.run(); print(world.fingerprint())"
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--cluster-seeds")))


def test_three_empty_machines_become_a_cluster_that_commits_rows() -> None:
    world = ClusterWorld(0, plan=[])
    assert world.run() == []
    assert len(world.promises.acknowledged) > 100
    assert world.promises.promotions == 0


def test_a_cluster_keeps_the_promises(seed: int) -> None:
    """More of them: `tests/run cluster`, `python -m tests.sim.soak --world cluster`."""
    repeat = f"python -m tests.sim.soak --world cluster --first {seed} --seeds 1"
    assert ClusterWorld(seed).run() == [], repeat


def test_a_seed_is_the_same_history_in_every_process() -> None:
    histories = [
        subprocess.run(
            [sys.executable, "-c", PRINT_HISTORY, "3"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert histories[0] == histories[1] != ""
