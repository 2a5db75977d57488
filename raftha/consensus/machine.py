"""The replicated state machine: what a committed command does (PURE).

`Machine.apply` is total and deterministic: equal states and equal commands give equal states on
every replica, whatever the clock says and whatever the bytes hold. It never raises for what a
client sent; a command that cannot be carried out is `Refused` with a reason.

Revisions: a command that changed entries or leases raises the revision by exactly one, and all its
writes carry that number. Sessions and barriers change none.

Leases: a key put with a lease goes when the lease is revoked or expires. Removing or rewriting such
a key only detaches it: a lease lives until it is revoked or expires, even with no key left.

Sessions: for each voter the machine knows one session, its floor, and the results above the floor.
A number that already has a result gets the same result; a number at or below the floor, or of
another session, is `Superseded` and does nothing, now and for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from raftha.consensus.commands import Expire, LogCommand, OpenSession, SessionId
from raftha.consensus.limits import size_of
from raftha.model.ids import Revision
from raftha.model.store import (
    Barrier,
    Cause,
    Changed,
    Entry,
    Event,
    Gone,
    Grant,
    Guard,
    Key,
    KeyAbsent,
    KeyAt,
    KeyCreatedAt,
    Lease,
    LeaseAt,
    LeaseId,
    Put,
    Refresh,
    Remove,
    Revoke,
    Transact,
    Write,
)


class Happened(Struct, frozen=True):
    """Carried out; the store stood at `revision` right after."""

    revision: Revision


class Refused(Struct, frozen=True):
    """Not carried out: a guard did not hold, or the command makes no sense."""

    reason: str


class Superseded(Struct, frozen=True):
    """Not carried out by this copy: its session is over or has given the number up."""


Result = Happened | Refused | Superseded


class Applied(Struct, frozen=True, kw_only=True):
    """What one command did. `renewed` names the leases that it granted or renewed."""

    result: Result
    events: tuple[Event, ...] = ()
    renewed: tuple[tuple[LeaseId, Revision], ...] = ()


class Session(Struct, kw_only=True):
    """The state of one voter's session; `results` holds answers above `floor` by number."""

    id: SessionId
    floor: int = 0
    results: dict[int, Happened | Refused] = field(default_factory=dict)


class _Draft(Struct):
    """The changes of one command before it is certain that all of them can be made."""

    revision: Revision
    entries: dict[Key, Entry | None] = field(default_factory=dict)
    leases: dict[LeaseId, Lease] = field(default_factory=dict)


_NOTHING_YET: Final = Revision(0)


class Machine:
    """The state: entries, leases, sessions. The mappings are read by others, written only here.

    `size_bytes` is the size of entries and leases. It is counted, not stored, and decides nothing
    here: what it would refuse was refused before it got into the log (`limits.py`)."""

    __slots__ = ("entries", "generation", "leases", "revision", "sessions", "size_bytes")

    def __init__(
        self,
        *,
        revision: Revision = _NOTHING_YET,
        generation: int = 0,
        entries: Mapping[Key, Entry] | None = None,
        leases: Mapping[LeaseId, Lease] | None = None,
        sessions: Mapping[str, Session] | None = None,
    ) -> None:
        self.revision = revision
        self.generation = generation
        self.entries: dict[Key, Entry] = dict(entries or {})
        self.leases: dict[LeaseId, Lease] = dict(leases or {})
        self.sessions: dict[str, Session] = dict(sessions or {})
        self.size_bytes = sum(map(size_of, self.entries.values()))
        self.size_bytes += sum(map(size_of, self.leases.values()))

    def apply(self, command: LogCommand) -> Applied:
        """Carry out one committed command."""
        if isinstance(command.body, OpenSession):
            return self._open(command.session)
        if command.session is None:
            return self._perform(command)
        session = self.sessions.get(command.session.voter)
        if session is None or session.id != command.session:
            return Applied(result=Superseded())
        known = session.results.get(command.seq)
        if known is not None:
            return Applied(result=known)
        if command.seq <= max(session.floor, command.floor):
            return Applied(result=Superseded())
        self._raise_floor(session, command.floor)
        applied = self._perform(command)
        if not isinstance(applied.result, Superseded):
            session.results[command.seq] = applied.result
        return applied

    def result_of(self, session: SessionId, seq: int) -> Result | None:
        """The kept answer to a command; None if it has not been carried out so far."""
        record = self.sessions.get(session.voter)
        if record is None or record.id != session:
            return Superseded()
        return record.results.get(seq)

    def _open(self, wanted: SessionId | None) -> Applied:
        if wanted is None:
            return Applied(result=Refused("a session without a name"))
        present = self.sessions.get(wanted.voter)
        if present is not None and present.id == wanted:
            return Applied(result=Happened(self.revision))
        if present is not None and _is_older(wanted, present.id):
            return Applied(result=Superseded())
        self.sessions[wanted.voter] = Session(id=wanted)
        return Applied(result=Happened(self.revision))

    def _raise_floor(self, session: Session, floor: int) -> None:
        if floor <= session.floor:
            return
        session.floor = floor
        session.results = {seq: kept for seq, kept in session.results.items() if seq > floor}

    def _perform(self, command: LogCommand) -> Applied:
        body = command.body
        match body:
            case Transact():
                return self._transact(body)
            case Refresh():
                return self._refresh(body)
            case Revoke():
                return self._end_lease(body.lease, body.expect, Cause.REVOKED)
            case Expire():
                return self._end_lease(body.lease, body.expect, Cause.EXPIRED)
            case Barrier():
                return Applied(result=Happened(self.revision))
            case OpenSession():
                return self._open(command.session)
            case _:
                assert_never(body)

    def _transact(self, command: Transact) -> Applied:
        for guard in command.guards:
            reason = self._broken(guard)
            if reason is not None:
                return Applied(result=Refused(reason))
        guarded = {guard.key for guard in command.guards if not isinstance(guard, LeaseAt)}
        draft = _Draft(Revision(self.revision + 1))
        for write in command.writes:
            reason = self._draft(draft, write, guarded)
            if reason is not None:
                return Applied(result=Refused(reason))
        return self._commit(draft)

    def _broken(self, guard: Guard) -> str | None:
        match guard:
            case KeyAbsent():
                return f"key {guard.key!r} exists" if guard.key in self.entries else None
            case KeyAt():
                entry = self.entries.get(guard.key)
                found = None if entry is None else entry.mod_revision
                return _differs(f"key {guard.key!r}", "written", guard.mod_revision, found)
            case KeyCreatedAt():
                entry = self.entries.get(guard.key)
                found = None if entry is None else entry.create_revision
                return _differs(f"key {guard.key!r}", "created", guard.create_revision, found)
            case LeaseAt():
                lease = self.leases.get(guard.lease)
                found = None if lease is None else lease.revision
                return _differs(f"lease {guard.lease!r}", "renewed", guard.revision, found)
            case _:
                assert_never(guard)

    def _draft(self, draft: _Draft, write: Write, guarded: set[Key]) -> str | None:
        match write:
            case Put():
                return self._draft_put(draft, write, guarded)
            case Remove():
                if write.key not in guarded:
                    return f"key {write.key!r} is removed, but no guard names it"
                draft.entries[write.key] = None
                return None
            case Grant():
                if write.lease in self.leases or write.lease in draft.leases:
                    return f"lease {write.lease!r} is in use"
                draft.leases[write.lease] = Lease(
                    id=write.lease,
                    holder=write.holder,
                    ttl=write.ttl,
                    revision=draft.revision,
                    note=write.note,
                )
                return None
            case _:
                assert_never(write)

    def _draft_put(self, draft: _Draft, write: Put, guarded: set[Key]) -> str | None:
        if write.key not in guarded:
            return f"key {write.key!r} is written, but no guard names it"
        lease = write.lease
        if lease is not None and lease not in self.leases and lease not in draft.leases:
            return f"lease {lease!r} does not exist"
        if write.key in draft.entries:
            previous = draft.entries[write.key]
        else:
            previous = self.entries.get(write.key)
        draft.entries[write.key] = Entry(
            key=write.key,
            value=write.value,
            create_revision=draft.revision if previous is None else previous.create_revision,
            mod_revision=draft.revision,
            lease=lease,
        )
        return None

    def _commit(self, draft: _Draft) -> Applied:
        events: list[Event] = []
        for key, entry in draft.entries.items():
            previous = self.entries.get(key)
            if previous is not None:
                self.size_bytes -= size_of(previous)
            if entry is not None:
                self.size_bytes += size_of(entry)
                events.append(Changed(draft.revision, entry))
                self.entries[key] = entry
            elif previous is not None:
                events.append(Gone(draft.revision, previous, Cause.DELETED))
                del self.entries[key]
        if events or draft.leases:
            self.revision = draft.revision
        self.leases.update(draft.leases)
        self.size_bytes += sum(map(size_of, draft.leases.values()))
        return Applied(
            result=Happened(self.revision),
            events=tuple(events),
            renewed=tuple((lease, draft.revision) for lease in draft.leases),
        )

    def _refresh(self, command: Refresh) -> Applied:
        lease = self.leases.get(command.lease)
        found = None if lease is None else lease.revision
        reason = _differs(f"lease {command.lease!r}", "renewed", command.expect, found)
        if lease is None or reason is not None:
            return Applied(result=Refused(reason or "no such lease"))
        self.revision = Revision(self.revision + 1)
        self.leases[command.lease] = replace(
            lease, ttl=command.ttl, note=command.note, revision=self.revision
        )
        self.size_bytes += len(command.note) - len(lease.note)
        return Applied(result=Happened(self.revision), renewed=((command.lease, self.revision),))

    def _end_lease(self, lease_id: LeaseId, expect: Revision, cause: Cause) -> Applied:
        lease = self.leases.get(lease_id)
        found = None if lease is None else lease.revision
        reason = _differs(f"lease {lease_id!r}", "renewed", expect, found)
        if reason is not None:
            return Applied(result=Refused(reason))
        self.revision = Revision(self.revision + 1)
        self.size_bytes -= size_of(self.leases.pop(lease_id))
        # In an order of their own: that of the dictionary is another one after a snapshot.
        found_keys = [entry.key for entry in self.entries.values() if entry.lease == lease_id]
        attached = [self.entries[key] for key in sorted(found_keys)]
        for entry in attached:
            del self.entries[entry.key]
            self.size_bytes -= size_of(entry)
        events = tuple(Gone(self.revision, entry, cause) for entry in attached)
        return Applied(result=Happened(self.revision), events=events)


def _is_older(wanted: SessionId, present: SessionId) -> bool:
    return wanted.incarnation == present.incarnation and wanted.boot < present.boot


def _differs(what: str, verb: str, expected: int, found: int | None) -> str | None:
    if found is None:
        return f"{what} does not exist"
    if found != expected:
        return f"{what} was {verb} at revision {found}, not {expected}"
    return None
