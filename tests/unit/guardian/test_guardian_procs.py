"""Telling the processes of an instance from all others."""

from __future__ import annotations

import os

from raftha.guardian import lockfile, procs
from raftha.guardian.procs import Process

STAT = "71 (a) (b c) S 7 71 71 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 43210 99 0"
SHM = """\
       key      shmid perms                  size  cpid  lpid nattch   uid
   5432001          3   600                    56    41    99      6   101
        17          9   600                  4096    77    77      2   101
"""
LINES = SHM.splitlines()


def process(pid: int, parent: int, state: str = "S") -> Process:
    return Process(pid, parent, state, 1, "postgres")


def test_a_command_may_contain_parentheses_and_spaces() -> None:
    assert procs.parse_stat(STAT) == Process(71, 7, "S", 43210, "a) (b c")


def test_a_zombie_is_not_alive() -> None:
    assert process(1, 0).is_alive
    assert process(1, 0, "T").is_alive
    assert process(1, 0, "D").is_alive
    assert not process(1, 0, "Z").is_alive


def test_descendants_are_found_at_any_depth_and_nobody_else() -> None:
    table = [process(10, 1), process(11, 10), process(12, 11), process(20, 1), process(9, 12)]
    assert procs.descendants(10, table) == {11, 12, 9}
    assert procs.descendants(20, table) == set()


def test_this_process_is_seen_with_its_start_time() -> None:
    seen = procs.read_process(os.getpid())
    assert seen is not None
    assert seen.parent == os.getppid()
    assert seen in procs.all_processes() or seen.started > 0


def test_a_process_that_is_no_server_is_no_stray_wherever_it_stands() -> None:
    instance = procs.Instance(1, os.getcwd(), None)
    myself = procs.read_process(os.getpid())
    assert myself is not None
    assert not procs.is_stray(instance, myself)
    by_binary = instance._replace(executable=os.path.realpath("/proc/self/exe"))
    assert procs.is_stray(by_binary, myself)
    assert not procs.is_stray(by_binary._replace(pgdata="/elsewhere"), myself)
    assert not procs.is_stray(by_binary._replace(root=os.getpid()), myself)


def test_attachments_are_counted_by_creator_or_by_id() -> None:
    assert procs.attached(LINES, creator=41, segment=None) == 6
    assert procs.attached(LINES, creator=None, segment=9) == 2
    assert procs.attached(LINES, creator=41, segment=9) == 8
    assert procs.attached(LINES, creator=5, segment=5) == 0
    assert procs.attached((), creator=41, segment=9) == 0


def test_the_segment_is_read_from_line_seven() -> None:
    lines = ["41", "/data", "1700000000", "5432", "/tmp", "", "  5432001         3"]
    assert lockfile.segment_in("\n".join(lines)) == 3
    assert lockfile.segment_in("\n".join(lines[:6])) is None
    assert lockfile.segment_in("") is None
