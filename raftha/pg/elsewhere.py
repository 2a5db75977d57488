"""Parts of a data directory that lie elsewhere: tablespaces, and WAL on a disk of its own.

At the place of such a part something may lie already: the part of the directory that a copy is to
replace, or that of another node of this machine. So a copy fills directories of its own beside
those places. When it is complete each takes its place, if nothing lies there, and else stays.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from raftha import files

_SUFFIX: Final = ".raftha-"
_OURS: Final = re.compile(r"\.raftha-[^/]*\Z")


def beside(place: Path, attempt: str) -> Path:
    """The directory that a copy fills instead of `place`, which may be such a one itself."""
    plain = _plain(place)
    return plain.with_name(f"{plain.name}{_SUFFIX}{attempt}")


def links(directory: Path) -> tuple[Path, ...]:
    """The links of a data directory that lead to its parts elsewhere. Raises OSError."""
    tablespaces = directory / "pg_tblspc"
    found = sorted(tablespaces.iterdir()) if tablespaces.is_dir() else []
    return tuple(link for link in (directory / "pg_wal", *found) if link.is_symlink())


def settle(copy: Path, attempt: str) -> None:
    """Let the parts of a complete copy take their places where these are free. Raises OSError."""
    for link in links(copy):
        filled = Path(os.readlink(link))
        if not filled.name.endswith(_SUFFIX + attempt):
            continue
        place = _plain(filled)
        try:
            os.rename(filled, place)
        except OSError:
            continue  # in use, a mount point, or not ours to write: the copy is as good where it is
        files.sync_directory(place.parent)
        fresh = link.with_name(f"{link.name}{_SUFFIX}{attempt}")
        fresh.symlink_to(place)
        files.rename(fresh, link)


def listed(parts: Iterable[Path]) -> str:
    """The parts of a copy as lines of its marker."""
    return "".join(f"{part}\n" for part in parts)


def remove(marker: str) -> None:
    """Remove what the marker of a copy lists. Raises OSError.

    Only names that a copy makes for itself are removed, never a place.
    """
    for line in marker.splitlines():
        part = Path(line)
        if part.is_absolute() and _OURS.search(part.name) and part.is_dir():
            shutil.rmtree(part)


def _plain(place: Path) -> Path:
    return place.with_name(_OURS.sub("", place.name))
