"""Which slots raftha has made on this server: a list beside the data directory.

PostgreSQL does not tell who made a slot, and one that somebody else made must never be dropped. So
a name stands here before its slot is made, and goes after it was dropped. A list that cannot be
read names none: then nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from raftha import files


class _Page(Struct):
    made: list[str]


_DECODER = msgspec.json.Decoder(_Page)


class SlotBook:
    """The list in one file. Not for use by two threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made: frozenset[str] | None = None

    def made(self) -> frozenset[str]:
        """The names of the slots that raftha made here."""
        if self._made is None:
            try:
                self._made = frozenset(_DECODER.decode(self._path.read_bytes()).made)
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
                self._made = frozenset()
        return self._made

    def write(self, names: Iterable[str]) -> None:
        """These are the slots that raftha made here. Raises OSError."""
        made = frozenset(names)
        if made != self.made():
            files.replace(self._path, msgspec.json.encode(_Page(sorted(made))))
            self._made = made
