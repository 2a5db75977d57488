"""Puts a Raft directory aside that must not be voted from: damaged, or known to hold too little.

Its files are renamed, never deleted, and the node begins anew beside them. The reason is written
first, so that a process which dies half-way cannot leave a part that looks like the whole: the next
start goes on where it ended.
"""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import Final

from raftha.files import replace, sync_directory

VOID_NAME: Final = "raft.void"
ASIDE_PREFIX: Final = "raft-void-"


def condemn(directory: Path, reason: str) -> None:
    """From now on, durably, nothing in this directory counts. Raises OSError."""
    replace(directory / VOID_NAME, reason.encode())


def is_condemned(directory: Path) -> bool:
    """Whether the files are still to be put aside."""
    return (directory / VOID_NAME).exists()


def put_aside(directory: Path, file_name: str) -> tuple[Path, str]:
    """Move the SQLite file and what belongs to it out of the way, the reason last. Returns where it
    is now, and the reason. Raises OSError."""
    reason = (directory / VOID_NAME).read_text(encoding="utf-8", errors="replace")
    files = sorted(directory.glob(f"{file_name}*"))
    aside = _open_folder(directory, files)
    for path in files:
        os.rename(path, aside / path.name)
    sync_directory(aside)
    sync_directory(directory)
    os.rename(directory / VOID_NAME, aside / VOID_NAME)
    sync_directory(aside)
    sync_directory(directory)
    return aside, reason


def _open_folder(directory: Path, files: list[Path]) -> Path:
    """The folder that an interrupted move began, or a new one."""
    for number in count(1):
        folder = directory / f"{ASIDE_PREFIX}{number}"
        if not any((folder / name).exists() for name in (VOID_NAME, *(f.name for f in files))):
            folder.mkdir(mode=0o700, exist_ok=True)
            return folder
    raise AssertionError("count ends")
