"""The key store for the tests of what is shown of it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from raftha.clock import SystemClock
from raftha.consensus.watch import Watch, WatchHub
from raftha.errors import RafthaError
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.store import (
    Cause,
    Changed,
    Entry,
    Event,
    Gone,
    Key,
    Lease,
    LeaseId,
    RaftRole,
    RaftStatus,
    Snapshot,
)


class FakeKeyStore:
    """A store in memory: `put` and `drop` are its commands, `failure` what a `read` raises."""

    def __init__(self) -> None:
        self.hub = WatchHub(kept=4)
        self.failure: RafthaError | None = None
        self.majority = True
        self._snapshot = Snapshot(revision=Revision(0), generation=1, taken=SystemClock().now())

    def put(self, key: str, value: bytes, lease: str | None = None) -> None:
        revision = Revision(self._snapshot.revision + 1)
        known = self._snapshot.entries.get(Key(key))
        entry = Entry(
            key=Key(key),
            value=value,
            create_revision=known.create_revision if known else revision,
            mod_revision=revision,
            lease=None if lease is None else LeaseId(lease),
        )
        entries = {**self._snapshot.entries, entry.key: entry}
        self._take(revision, entries, Changed(revision, entry))

    def drop(self, key: str, cause: Cause) -> None:
        revision = Revision(self._snapshot.revision + 1)
        entries = dict(self._snapshot.entries)
        previous = entries.pop(Key(key))
        self._take(revision, entries, Gone(revision, previous, cause))

    def lend(self, lease: Lease) -> None:
        self._snapshot = replace(self._snapshot, leases={lease.id: lease})

    def peek(self) -> Snapshot:
        return self._snapshot

    def read(self, prefix: str = "", *, timeout: Seconds) -> Snapshot:
        assert (prefix, timeout) == ("", 1.0)
        if self.failure is not None:
            raise self.failure
        return self._snapshot

    def status(self) -> RaftStatus:
        return RaftStatus(
            role=RaftRole.FOLLOWER,
            leader=None,
            term=4,
            commit_index=0,
            applied_index=0,
            majority=self.majority,
            voters=(),
        )

    def watch(
        self, prefix: str, notify: Callable[[], None], after: Revision | None = None
    ) -> Watch:
        return self.hub.open(prefix, notify, after)

    def _take(self, revision: Revision, entries: dict[Key, Entry], event: Event) -> None:
        self._snapshot = replace(self._snapshot, revision=revision, entries=entries)
        self.hub.add([event], revision)
