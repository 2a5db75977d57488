"""Reads single documents of the store, and collects what could not be read. PURE."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from raftha.ha.keys import FORMAT
from raftha.model.store import Entry, Key, Snapshot


class UnreadableError(ValueError):
    """A stored document has a shape that this version does not know."""


def _decode(value: bytes, newest: int) -> dict[str, Any]:
    document = msgspec.json.decode(value)
    if not isinstance(document, dict):
        raise UnreadableError("not an object")
    if (version := document.get("format_version")) not in range(FORMAT, newest + 1):
        raise UnreadableError(f"format version {version!r}, known: up to {newest}")
    return document


T = TypeVar("T")


class Reader:
    """Reads the entries of one snapshot and collects what could not be read."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.problems: list[str] = []
        self.unreadable: set[Key] = set()

    def read(self, key: Key, newest: int = FORMAT) -> tuple[Entry, dict[str, Any]] | None:
        entry = self.snapshot.entries.get(key)
        if entry is None:
            return None
        try:
            return entry, _decode(entry.value, newest)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self.refuse(key, str(error))
            return None

    def refuse(self, key: Key, why: str) -> None:
        """Note that this key cannot be read."""
        self.problems.append(f"the key {key} cannot be read: {why}")
        self.unreadable.add(key)

    def convert(self, key: Key, document: Any, kind: type[T]) -> T | None:
        try:
            return msgspec.convert(document, kind)
        except msgspec.ValidationError as error:
            self.refuse(key, str(error))
            return None


def typed(reader: Reader, key: Key, kind: type[T], newest: int = FORMAT) -> tuple[Entry, T] | None:
    """The entry under a key and what it holds; None if it is absent, or cannot be read."""
    found = reader.read(key, newest)
    if found is None:
        return None
    value = reader.convert(key, found[1], kind)
    return None if value is None else (found[0], value)
