"""`KeyStore`: what the rest of the product sees of the consensus. Thread-safe.

Errors say whether a command happened: `CompareFailed` and `StoreUnavailable` mean no,
`OutcomeUnknown` means maybe. After a maybe, read, then decide.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import MappingProxyType
from typing import Final, assert_never

from msgspec.structs import replace

from raftha.clock import Clock
from raftha.consensus.proposals import Pending
from raftha.consensus.watch import Watch, WatchHub
from raftha.errors import CompareFailed, OutcomeUnknown, StoreUnavailable
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.store import (
    Barrier,
    Command,
    Committed,
    NotSent,
    Outcome,
    RaftStatus,
    Rejected,
    Snapshot,
    Unknown,
)

_GRACE: Final = Seconds(0.05)
"""How much longer than its timeout a blocked caller waits for the raft thread's own answer."""


class KeyStore:
    """The key store as one node offers it; made by `RaftNode`."""

    def __init__(
        self,
        *,
        clock: Clock,
        watches: WatchHub,
        wake: Callable[[], None],
        peek: Callable[[], Snapshot],
        status: Callable[[], RaftStatus],
    ) -> None:
        self._clock = clock
        self._watches = watches
        self._wake = wake
        self._peek = peek
        self._status = status
        self._inbox: deque[Pending] = deque()
        self._lock = threading.Lock()
        self._closed: str | None = None

    def submit(
        self, command: Command, *, timeout: Seconds, done: Callable[[Outcome], None]
    ) -> None:
        """Start a command. `done` is called exactly once, on the raft thread, within about
        `timeout`; it must neither block nor raise. A command is not handed over after its time."""
        self._enqueue(Pending(command, self._clock.now().plus(timeout), done))

    def execute(self, command: Command, *, timeout: Seconds) -> Committed:
        """Run a command and wait. Raises CompareFailed, StoreUnavailable or OutcomeUnknown."""
        answered = threading.Event()
        outcomes: list[Outcome] = []

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            answered.set()

        pending = Pending(command, self._clock.now().plus(timeout), done)
        self._enqueue(pending)
        if not answered.wait(timeout + _GRACE):
            pending.give_up("the raft thread did not answer in time")
            answered.wait()
        return _committed(outcomes[0])

    def read(self, prefix: str = "", *, timeout: Seconds) -> Snapshot:
        """Everything that was committed before this call, and perhaps more (linearizable)."""
        self.execute(Barrier(), timeout=timeout)
        snapshot = self.peek()
        if not prefix:
            return snapshot
        entries = {key: e for key, e in snapshot.entries.items() if key.startswith(prefix)}
        return replace(snapshot, entries=MappingProxyType(entries))

    def peek(self) -> Snapshot:
        """The local replica as it is; perhaps behind. Never waits."""
        return self._peek()

    def status(self) -> RaftStatus:
        """The Raft group as this node sees it. Never waits."""
        return self._status()

    def watch(
        self, prefix: str, notify: Callable[[], None], after: Revision | None = None
    ) -> Watch:
        """Follow the keys with this prefix, after a revision or from now on. `notify` runs on the
        raft thread and must only set a flag."""
        return self._watches.open(prefix, notify, after)

    def take(self) -> list[Pending]:
        """Commands submitted since the last call; for the raft thread."""
        taken: list[Pending] = []
        while self._inbox:
            taken.append(self._inbox.popleft())
        return taken

    def close(self, reason: str) -> None:
        """From now on every command is `NotSent`."""
        with self._lock:
            self._closed = reason
        for pending in self.take():
            pending.give_up(reason)

    def _enqueue(self, pending: Pending) -> None:
        with self._lock:
            closed = self._closed
            if closed is None:
                self._inbox.append(pending)
        if closed is not None:
            pending.settle(NotSent(closed))
            return
        self._wake()


def _committed(outcome: Outcome) -> Committed:
    match outcome:
        case Committed():
            return outcome
        case Rejected():
            raise CompareFailed(outcome.reason)
        case NotSent():
            raise StoreUnavailable(outcome.reason)
        case Unknown():
            raise OutcomeUnknown(outcome.reason)
        case _:
            assert_never(outcome)
