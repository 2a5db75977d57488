"""Reading /proc: which processes make up a PostgreSQL instance, and whether any is left.

Nothing here waits for a file system but /proc: the links are read, never followed, so that a hung
disk under the data directory cannot delay a fence. What cannot be read for want of file handles or
memory is not taken for gone: then everything here raises OSError.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from raftha.guardian.typed import Final, NamedTuple

DEAD_STATES: Final = "ZX"
"""Zombie and dead: no code of such a process will ever run again."""

SERVER_COMM: Final = "postgres"
"""The kernel's name of every process of a server; its title may change, this does not."""


GONE_OR_ANOTHERS: Final = (FileNotFoundError, ProcessLookupError, PermissionError)
"""What the kernel says of a process that has ended, or belongs to another user."""


class Process(NamedTuple):
    """A line of /proc/PID/stat. `started` is in clock ticks after boot: with it a pid is unique."""

    pid: int
    parent: int
    state: str
    started: int
    comm: str

    @property
    def is_alive(self) -> bool:
        return self.state not in DEAD_STATES


class Instance(NamedTuple):
    """How the processes of a server are told from those of others.

    `root` is the process whose descendants all belong to it (the guardian) but `apart`, a child of
    it that is no server; `pgdata` the resolved path, `executable` the resolved server binary or
    None before the first start.
    """

    root: int
    pgdata: str
    executable: str | None
    apart: int | None = None


def parse_stat(text: str) -> Process:
    """Read /proc/PID/stat. The command stands in parentheses and may contain any byte."""
    pid, _, rest = text.partition(" (")
    comm, _, fields = rest.rpartition(") ")
    words = fields.split()
    return Process(int(pid), int(words[1]), words[0], int(words[19]), comm)


def read_process(pid: int) -> Process | None:
    """The process with this number, or None if there is none. Raises OSError."""
    content = _read(f"/proc/{pid}/stat")
    return parse_stat(content) if content else None


def all_processes() -> list[Process]:
    """Every process that this user can see. Raises OSError."""
    found = (read_process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in found if process is not None]


def descendants(root: int, processes: list[Process]) -> set[int]:
    """The numbers of all children of `root`, their children, and so on."""
    children: dict[int, list[int]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            if pid not in found:
                found.add(pid)
                waiting.append(pid)
    return found


def living(instance: Instance) -> list[Process]:
    """Every live process of the instance: the guardian's own tree, and strays of an earlier one.

    A stray counts only if it runs a server binary *in* the data directory: the shell of a person
    who stands there does not. Raises OSError.
    """
    processes = all_processes()
    tree = descendants(instance.root, processes)
    return [
        process
        for process in processes
        if process.is_alive
        and process.pid != instance.apart
        and (process.pid in tree or is_stray(instance, process))
    ]


def is_stray(instance: Instance, process: Process) -> bool:
    """Whether this is a server process in the data directory, whoever its parent is. Raises
    OSError."""
    if process.pid == instance.root:
        return False
    if _link(f"/proc/{process.pid}/cwd") != instance.pgdata:
        return False
    if process.comm == SERVER_COMM:
        return True
    executable = _link(f"/proc/{process.pid}/exe")
    return executable is not None and executable == instance.executable


def attached(segments: Iterable[str], *, creator: int | None, segment: int | None) -> int:
    """Attachments to shared memory of the instance, from the lines of /proc/sysvipc/shm.

    A segment counts if the postmaster `creator` made it or if its id is `segment`. Below the
    heading there may be thousands, left by programs that died: they are not held in memory.
    """
    total = 0
    for line in segments:
        words = line.split(maxsplit=7)
        if len(words) < 7 or not words[6].isdigit():
            continue
        is_ours = int(words[4]) == creator or int(words[1]) == segment
        total += int(words[6]) if is_ours else 0
    return total


def shared_memory_attachments(*, creator: int | None, segment: int | None) -> int:
    """`attached` for this host; 0 where the kernel has no System V shared memory. Raises OSError
    where it cannot be read."""
    try:
        with open("/proc/sysvipc/shm", encoding="ascii") as segments:
            return attached(segments, creator=creator, segment=segment)
    except FileNotFoundError:
        return 0


def _read(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return (file.read() or b"").decode("utf-8", "replace")
    except GONE_OR_ANOTHERS:
        return ""


def _link(path: str) -> str | None:
    try:
        return os.readlink(path).removesuffix(" (deleted)")
    except GONE_OR_ANOTHERS:
        return None
