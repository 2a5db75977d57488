"""What was kept beside the data directory: directories that were replaced, WAL that was undone.

Their content never changes, so each is measured once. Measuring may take long, and nothing waits
for it: it belongs to a thread of its own.
"""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from raftha.model.postgres import Kept

_PERIOD: Final = 5.0  # seconds between two looks at the names
_KINDS: Final = ("diverged", "failed")


class KeptCopies:
    """`look` belongs to one thread; `publish` gets what was found, when that changed."""

    def __init__(self, data_dir: Path, publish: Callable[[tuple[Kept, ...]], None]) -> None:
        self._data_dir = data_dir
        self._publish = publish
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
        self._publish(tuple(self._known.values()))


def _size(folder: Path) -> int:
    """Bytes in the files below a folder; what cannot be read counts for nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue  # removed while it is measured
    return total
