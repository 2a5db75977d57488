"""What is told about the group of voters, each with what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raftha.ha.explain import SLOW_FSYNC_S, group_problems
from raftha.instants import Seconds
from raftha.model.store import FsyncTimes
from tests.unit.ha.builders import raft

MIB = 1 << 20


def test_a_healthy_group_has_no_problems() -> None:
    assert group_problems(replace(raft(), free_bytes=256 * MIB)) == ()


@pytest.mark.parametrize(("free", "told"), [(256 * MIB - 1, "255 MiB"), (20 * MIB, "20 MiB")])
def test_little_space_for_the_raft_directory_is_told_with_the_floor(free: int, told: str) -> None:
    (notice,) = group_problems(replace(raft(), free_bytes=free))
    assert notice.subject == "n1"
    assert notice.what == f"{told} are free on the disk of raft.data_dir"
    assert "below 16 MiB this node stops" in notice.remedy


def test_a_slow_disk_is_told_with_what_to_do() -> None:
    quick = FsyncTimes(last=Seconds(0.5), p99=Seconds(SLOW_FSYNC_S), longest=Seconds(0.5))
    assert group_problems(replace(raft(), fsync=quick)) == ()

    slow = FsyncTimes(last=Seconds(0.0), p99=Seconds(0.13), longest=Seconds(0.7))
    (notice,) = group_problems(replace(raft(), fsync=slow))
    assert "0.13 s" in notice.what
    assert "0.70 s" in notice.what
    assert "faster" in notice.remedy
