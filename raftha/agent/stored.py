"""Shows the key store to people who debug. Read only; called from the threads of the API."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Protocol

from raftha.clock import Clock
from raftha.consensus.watch import Watch
from raftha.instants import Seconds, longest
from raftha.model.ids import MemberName, Revision
from raftha.model.store import Cause, Changed, Entry, Event, Lease, RaftStatus, Snapshot
from raftha.model.stored import (
    Encoding,
    EventKind,
    StoredEntry,
    StoredEvent,
    StoredLease,
    StoreEvents,
    StoreReport,
)

_CAUSES = {
    Cause.DELETED: EventKind.DELETED,
    Cause.EXPIRED: EventKind.EXPIRED,
    Cause.REVOKED: EventKind.REVOKED,
}


class ReadableStore(Protocol):
    """The part of the key store that is shown."""

    def peek(self) -> Snapshot: ...

    def read(self, prefix: str = "", *, timeout: Seconds) -> Snapshot: ...

    def status(self) -> RaftStatus: ...

    def watch(
        self, prefix: str, notify: Callable[[], None], after: Revision | None = None
    ) -> Watch: ...


class StoreReader:
    """What one node tells of the store. `below` is the prefix of this cluster's keys, which a name
    that does not begin with a slash is taken to lie under."""

    def __init__(
        self,
        *,
        name: MemberName,
        below: str,
        store: ReadableStore,
        clock: Clock,
        timeout: Callable[[], Seconds],
    ) -> None:
        self._name = name
        self._below = below
        self._store = store
        self._clock = clock
        self._timeout = timeout

    def read(self, prefix: str, *, local: bool) -> StoreReport:
        """The keys with this prefix: the replica as it is, or behind a committed barrier, which may
        raise StoreUnavailable or OutcomeUnknown."""
        prefix = self._whole(prefix)
        snapshot = self._store.peek() if local else self._store.read(timeout=self._timeout())
        age = longest(snapshot.taken, self._clock.now()) if local else Seconds(0.0)
        found = [entry for key, entry in sorted(snapshot.entries.items()) if key.startswith(prefix)]
        leases = [snapshot.leases[name] for name in sorted(snapshot.leases)]
        return StoreReport(
            answered_by=self._name,
            prefix=prefix,
            revision=snapshot.revision,
            generation=snapshot.generation,
            linearizable=not local,
            majority=self._store.status().majority,
            age_seconds=age,
            entries=tuple(_entry(entry) for entry in found),
            leases=tuple(_lease(lease) for lease in leases),
        )

    def events(self, prefix: str, after: int) -> StoreEvents:
        """What this replica has seen change after a revision. Raises Compacted."""
        prefix = self._whole(prefix)
        watch = self._store.watch(prefix, lambda: None, Revision(after))
        try:
            events = watch.poll()
            revision = watch.complete_to
        finally:
            watch.close()
        return StoreEvents(
            answered_by=self._name,
            prefix=prefix,
            revision=revision,
            generation=self._store.peek().generation,
            events=tuple(_event(event) for event in events),
        )

    def _whole(self, prefix: str) -> str:
        return prefix if prefix.startswith("/") else self._below + prefix


def _entry(entry: Entry) -> StoredEntry:
    value, encoding = _text(entry.value)
    return StoredEntry(
        key=entry.key,
        value=value,
        encoding=encoding,
        create_revision=entry.create_revision,
        mod_revision=entry.mod_revision,
        lease=entry.lease,
    )


def _lease(lease: Lease) -> StoredLease:
    note, encoding = _text(lease.note)
    return StoredLease(
        id=lease.id,
        holder=lease.holder,
        ttl=lease.ttl,
        revision=lease.revision,
        note=note,
        encoding=encoding,
    )


def _event(event: Event) -> StoredEvent:
    if isinstance(event, Changed):
        entry = event.entry
        is_new = entry.create_revision == event.revision
        kind = EventKind.CREATED if is_new else EventKind.WRITTEN
        return StoredEvent(revision=event.revision, kind=kind, entry=_entry(entry))
    kind = _CAUSES[event.cause]
    return StoredEvent(revision=event.revision, kind=kind, entry=_entry(event.previous))


def _text(value: bytes) -> tuple[str, Encoding]:
    try:
        return value.decode("utf-8"), Encoding.UTF8
    except UnicodeDecodeError:
        return b64encode(value).decode("ascii"), Encoding.BASE64
