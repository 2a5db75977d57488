"""Watches: every change of the local replica, in order, none skipped, or `Compacted`.

The raft thread adds events and calls the notifiers; any thread polls. A notifier must only set a
flag or wake somebody: it runs on the raft thread.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final

from raftha.errors import Compacted
from raftha.model.ids import Revision
from raftha.model.store import Changed, Event, Key

KEPT_EVENTS: Final = 4096


class Watch:
    """One reader's place in the history. Made by `WatchHub.open`."""

    def __init__(
        self, hub: WatchHub, prefix: str, notify: Callable[[], None], after: Revision
    ) -> None:
        self._hub = hub
        self._after = after
        self.prefix = prefix
        self.notify = notify

    def poll(self) -> tuple[Event, ...]:
        """The events since the last call. Raises Compacted if some of them are not kept any more:
        read the store again and open a new watch."""
        events, self._after = self._hub.since(self._after, self.prefix)
        return events

    @property
    def complete_to(self) -> Revision:
        """Every event up to this revision was polled."""
        return self._after

    def close(self) -> None:
        """Stop being notified."""
        self._hub.close(self)


class WatchHub:
    """The bounded history of events, and who wants to hear of new ones."""

    def __init__(self, kept: int = KEPT_EVENTS) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._begin = Revision(0)
        self._end = Revision(0)
        self._watches: list[Watch] = []

    def open(self, prefix: str, notify: Callable[[], None], after: Revision | None) -> Watch:
        """Watch keys with this prefix, from the given revision or from now on."""
        with self._lock:
            watch = Watch(self, prefix, notify, self._end if after is None else after)
            self._watches.append(watch)
        return watch

    def close(self, watch: Watch) -> None:
        """Forget a watch; closing twice is harmless."""
        with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)

    def since(self, after: Revision, prefix: str) -> tuple[tuple[Event, ...], Revision]:
        """Events after a revision, and the revision up to which they are complete."""
        with self._lock:
            if after < self._begin:
                raise Compacted(
                    f"changes after revision {after} are kept only from {self._begin} on: "
                    "read the store again"
                )
            start = bisect_right(self._events, after, key=attrgetter("revision"))
            events = tuple(e for e in self._events[start:] if key_of(e).startswith(prefix))
            return events, max(self._end, after)

    def add(self, events: Sequence[Event], revision: Revision) -> None:
        """The store stands at `revision` now, and these events led there."""
        with self._lock:
            self._events.extend(events)
            self._end = revision
            surplus = len(self._events) - self._kept
            if surplus > 0:
                self._begin = self._events[surplus - 1].revision
                start = bisect_right(self._events, self._begin, key=attrgetter("revision"))
                del self._events[:start]
            woken = [watch for watch in self._watches if _concerns(watch, events)]
        for watch in woken:
            watch.notify()

    def stir(self) -> None:
        """No key changed, but the group itself did: everybody looks."""
        with self._lock:
            woken = list(self._watches)
        for watch in woken:
            watch.notify()

    def restart(self, revision: Revision) -> None:
        """A snapshot came in: what led to `revision` is not known."""
        with self._lock:
            self._events.clear()
            self._begin = self._end = revision
            woken = list(self._watches)
        for watch in woken:
            watch.notify()


def key_of(event: Event) -> Key:
    """The key that an event is about."""
    return event.entry.key if isinstance(event, Changed) else event.previous.key


def _concerns(watch: Watch, events: Sequence[Event]) -> bool:
    return any(key_of(event).startswith(watch.prefix) for event in events)
