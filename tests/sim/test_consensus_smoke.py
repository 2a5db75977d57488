"""A few seeds of the consensus world, and the proof that a seed is one history."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from raftha.model.settings import TIMINGS, Profile, RaftTimings
from tests.sim.plan import Fault, Strike, Victim
from tests.sim.world import World

ROOT = Path(__file__).parent.parent.parent
PRINT_HISTORY = (
    "import sys; from tests.sim.world import World; "
    "world = World(int(sys.argv[1])); world.run(); print(world.fingerprint())"
)


BATCH: Final = 5


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each few seeds, so that processes can share them."""
    if "first_seed" in metafunc.fixturenames:
        count = metafunc.config.getoption("--seeds")
        metafunc.parametrize("first_seed", range(0, count, BATCH))


def test_voters_keep_the_promises(first_seed: int) -> None:
    """3 to 7 voters, mostly 3; what each seed draws is printed by `tests.sim.soak`."""
    failed = {}
    for seed in range(first_seed, first_seed + BATCH):
        if violations := World(seed).run():
            failed[f"python -m tests.sim.soak --first {seed} --seeds 1"] = violations
    assert failed == {}


@pytest.mark.parametrize("size", [3, 4, 5, 6, 7])
def test_every_size_keeps_the_promises(size: int) -> None:
    assert World(1000 + size, size).run() == []


def test_an_operator_who_heeds_a_refusal_gets_the_replacement() -> None:
    """A machine that was replaced came back with an empty directory, and is in touch first."""
    world = World(311893, 3)
    assert world.run() == []
    assert world.operator.refused > 0


def test_a_second_disk_is_struck_only_when_the_first_voter_has_its_seat_again() -> None:
    """A majority that loses its memory at once is no fault that a Raft group can survive."""
    strikes = [
        Strike(at=at, fault=Fault.DAMAGE, victim=victim, pick=0, lasts=0.1, strength=0.5)
        for at, victim in ((10.0, Victim.FOLLOWER), (10.05, Victim.RAFT_LEADER))
    ]
    assert World(0, 3, plan=strikes).run() == []


def test_no_disk_is_struck_beside_an_older_copy_that_nobody_has_met() -> None:
    """It was cut off at once, and the next strike on a disk came before it could be told."""
    assert World(326327, 3).run() == []


@pytest.mark.parametrize("seed", range(4))
def test_voters_with_the_timers_of_different_profiles_keep_the_promises(seed: int) -> None:
    """As while agents are restarted one after the other, with faults of every kind beside it."""
    world = World(2000 + seed, 3)
    profiles = (Profile.FAST, Profile.LAN, Profile.WAN)
    order = profiles[seed % 3 :] + profiles[: seed % 3]
    world.timings = {name: TIMINGS[each] for name, each in zip("abc", order, strict=True)}
    assert world.run() == []


@pytest.mark.parametrize("seed", range(5))
def test_a_holder_that_is_slewed_slower_and_then_suspended_outlives_no_lease(seed: int) -> None:
    """Alone with its last renewal, awake for most of the ttl on a clock that loses a tenth, and
    then asleep for the rest: neither of the kernel's clocks saw all of the time (R6)."""
    holder = partial(Strike, victim=Victim.HOLDER, pick=0, strength=0.0)
    strikes = [
        holder(at=8.0, fault=Fault.SLEW, lasts=30.0),
        holder(at=12.0, fault=Fault.ISOLATE, lasts=8.0),
        holder(at=14.2, fault=Fault.SUSPEND, lasts=0.4),
        holder(at=22.0, fault=Fault.SLEW, lasts=30.0),
        holder(at=26.0, fault=Fault.ISOLATE, lasts=8.0),
        holder(at=28.0, fault=Fault.SUSPEND, lasts=0.5),
    ]
    assert World(seed, 3, plan=strikes).run() == []


def test_a_follower_whose_links_flap_for_ten_minutes_changes_no_term(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They break once a second and carry nothing for half of it, longer than the follower waits for
    its raft leader. The others write on, and it follows each time."""
    caplog.set_level(logging.CRITICAL)
    world = World(2, 3, plan=[])
    assert world.traits.timings == RaftTimings()
    world._leisure = (5.0, 10.0)  # clients that act seldom: what counts is time
    for host in world.hosts.values():
        world.start(host)
    begun = world.time.now + 8.0
    world.schedule.run_until(begun)
    (leader,) = world.log.leaders.values()
    flapping = next(name for name in world.hosts if name != leader)
    others = [name for name in world.hosts if name != flapping]
    links = [*product(others, [flapping]), *product([flapping], others)]

    def flap() -> None:
        for other in others:
            world.wires.disconnect(flapping, other)
        world.wires.stall(links)
        world.schedule.after(0.5, partial(world.wires.release, links))

    for second in range(600):
        world.schedule.after(second, flap)
    world.schedule.run_until(begun + 300.0)
    halfway = len(world.records.acknowledged)
    world.schedule.run_until(begun + 602.0)

    assert world.log.leaders == {1: leader}
    assert len(world.records.acknowledged) > halfway + 10
    assert len(set(world._applied().values())) == 1
    assert world.verdicts.violations == []


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
