"""postmaster.pid: what a server left in its data directory for the next one to find.

Read or removed only while no primary is guarded: the disk may hang.
"""

from __future__ import annotations

import os

from raftha.guardian.typed import Final

NAME: Final = "postmaster.pid"
SEGMENT_LINE: Final = 7
"""The line with key and id of the shared memory segment; written soon after the start."""


def segment(pgdata: str) -> int | None:
    """The id of the shared memory that the file names; None if there is none."""
    try:
        with open(os.path.join(pgdata, NAME), encoding="utf-8", errors="replace") as file:
            return segment_in(file.read())
    except OSError:
        return None


def segment_in(content: str) -> int | None:
    """The id in the file's content; None while it is not written."""
    lines = content.splitlines()
    words = lines[SEGMENT_LINE - 1].split() if len(lines) >= SEGMENT_LINE else []
    is_complete = len(words) == 2 and words[1].isdigit()
    return int(words[1]) if is_complete else None


def remove(pgdata: str, dead: set[int]) -> None:
    """Remove the file if its server is among the dead: another process may get the number soon."""
    path = os.path.join(pgdata, NAME)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            owner = int(file.readline())
        if owner in dead:
            os.unlink(path)
    except (OSError, ValueError):
        return  # the server removed it itself
