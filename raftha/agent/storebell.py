"""Wakes the loop when the store changes, but for what its leader writes with each renewal.

Where no commit waits for a standby the leader keeps in a key how far it has written (`ha.telling`).
Nobody acts on that before the leader key is gone, which is news of its own; loops that were woken
by it would look several times a second on every node of a cluster that writes.
"""

from __future__ import annotations

from collections.abc import Callable

from raftha.consensus.store import KeyStore
from raftha.consensus.watch import Watch, key_of
from raftha.errors import Compacted
from raftha.ha.keys import Keys


class StoreBell:
    """`wake` is called on the raft thread, so it must only set a flag."""

    def __init__(self, store: KeyStore, keys: Keys, wake: Callable[[], None]) -> None:
        self._store = store
        self._keys = keys
        self._wake = wake
        self._watch: Watch | None = None

    def begin(self) -> None:
        """From now on."""
        self._watch = self._store.watch(self._keys.prefix, self._heard)

    def _heard(self) -> None:
        if self._watch is None or self._has_news(self._watch):
            self._wake()

    def _has_news(self, watch: Watch) -> bool:
        """A change in the group itself comes without an event."""
        try:
            events = watch.poll()
        except Compacted:
            watch.close()
            self.begin()
            return True
        return not events or any(key_of(event) != self._keys.position for event in events)
