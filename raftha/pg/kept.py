"""What was kept beside the data directory: directories that were replaced, WAL that was undone.

Their content never changes, so each is measured once. Nothing is removed unless the user's file
sets a limit. Measuring may take long, and nothing waits
for it: it belongs to a thread of its own.
"""

from __future__ import annotations

import glob
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from raftha.logs import event
from raftha.model.postgres import Kept
from raftha.pg import elsewhere

LOG = logging.getLogger(__name__)

_PERIOD: Final = 5.0  # seconds between two looks at the names
_KINDS: Final = ("diverged", "failed", "replaced")


class KeptCopies:
    """`look` belongs to one thread; `publish` gets what was found, when that changed. Of the WAL
    that rewinds undid no more than `wal_limit` bytes are kept, the newest of it in any case."""

    def __init__(
        self,
        data_dir: Path,
        publish: Callable[[tuple[Kept, ...]], None],
        wal_limit: int | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._publish = publish
        self._wal_limit = wal_limit
        self._known: dict[Path, Kept] = {}

    def run(self, ended: threading.Event) -> None:
        """Look until the agent ends."""
        self.look()
        while not ended.wait(_PERIOD):
            self.look()

    def look(self) -> None:
        """Measure what is new, forget what is gone. What cannot be looked at is next time."""
        name = glob.escape(self._data_dir.name)
        try:
            paths = sorted(
                path for kind in _KINDS for path in self._data_dir.parent.glob(f"{name}.{kind}-*")
            )
        except OSError:
            return
        if paths == list(self._known):
            return
        self._known = {p: self._known.get(p) or Kept(path=p, size_bytes=_size(p)) for p in paths}
        for old in self._excess():
            event(LOG, logging.WARNING, "undone WAL removed", path=old.path, bytes=old.size_bytes)
            shutil.rmtree(old.path, ignore_errors=True)
            del self._known[old.path]
        self._publish(tuple(self._known.values()))

    def _excess(self) -> list[Kept]:
        """The oldest undone WAL, as much of it as is above the limit; the stamps sort by time."""
        prefix = f"{self._data_dir.name}.diverged-wal-"
        found = [kept for path, kept in self._known.items() if path.name.startswith(prefix)]
        total, limit = sum(kept.size_bytes for kept in found), self._wal_limit
        excess = []
        for kept in found[:-1]:
            if limit is None or total <= limit:
                break
            excess.append(kept)
            total -= kept.size_bytes
        return excess


def _size(folder: Path) -> int:
    """Bytes in the files below a folder, and in its parts that lie elsewhere; what cannot be read
    counts for nothing."""
    try:
        parts = elsewhere.links(folder)
    except OSError:
        parts = ()
    return sum(map(_bytes_below, (folder, *parts)))


def _bytes_below(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue  # removed while it is measured
    return total
