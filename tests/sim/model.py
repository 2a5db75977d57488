"""The key store as simply as it can be said: dictionaries with revisions, and one answer a number.

It shares no code with the product's state machine, only the words (commands, keys), and it forgets
nothing that it could forget. Property tests and the simulation compare the two command by command.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from msgspec import Struct, field

from raftha.consensus.commands import Body, Expire, LogCommand, OpenSession, SessionId
from raftha.consensus.machine import Happened, Refused, Result
from raftha.model.store import (
    Barrier,
    Cause,
    Changed,
    Event,
    Grant,
    Guard,
    KeyAbsent,
    KeyAt,
    KeyCreatedAt,
    LeaseAt,
    Put,
    Refresh,
    Remove,
    Revoke,
    Transact,
    Write,
)


class Verdict(Enum):
    """What became of a command."""

    HAPPENED = "happened"
    REFUSED = "refused"
    SUPERSEDED = "superseded"


class Answer(NamedTuple):
    """A verdict, and the revision right after for what happened."""

    verdict: Verdict
    revision: int | None = None


REFUSED: Final = Answer(Verdict.REFUSED)
SUPERSEDED: Final = Answer(Verdict.SUPERSEDED)


class Row(NamedTuple):
    """A key's value, the revisions of its creation and last write, and its lease."""

    value: bytes
    created: int
    modified: int
    lease: str | None


class Tenure(NamedTuple):
    """A lease."""

    holder: str
    ttl: float
    note: bytes
    revision: int


class Occurrence(NamedTuple):
    """A change that a watch must report: the value written, or the cause of the end."""

    revision: int
    key: str
    value: bytes | None
    cause: Cause | None


class _Session(Struct):
    id: SessionId
    floor: int = 0
    answers: dict[int, Answer] = field(default_factory=dict)


class Model:
    """A sequential key store."""

    def __init__(self) -> None:
        self.revision = 0
        self.keys: dict[str, Row] = {}
        self.leases: dict[str, Tenure] = {}
        self.sessions: dict[str, _Session] = {}
        self.history: list[Occurrence] = []

    def apply(self, command: LogCommand) -> Answer:
        """Carry out one command of the log."""
        if isinstance(command.body, OpenSession):
            return self._open(command.session)
        if command.session is None:
            return self._perform(command.body)
        session = self.sessions.get(command.session.voter)
        if session is None or session.id != command.session:
            return SUPERSEDED
        if command.seq > session.floor and command.seq in session.answers:
            return session.answers[command.seq]
        if command.seq <= max(session.floor, command.floor):
            return SUPERSEDED
        session.floor = max(session.floor, command.floor)
        session.answers[command.seq] = self._perform(command.body)
        return session.answers[command.seq]

    def _open(self, wanted: SessionId | None) -> Answer:
        if wanted is None:
            return REFUSED
        present = self.sessions.get(wanted.voter)
        if present is not None and present.id != wanted:
            same_directory = present.id.incarnation == wanted.incarnation
            if same_directory and wanted.boot < present.id.boot:
                return SUPERSEDED
        if present is None or present.id != wanted:
            self.sessions[wanted.voter] = _Session(wanted)
        return Answer(Verdict.HAPPENED, self.revision)

    def _perform(self, body: Body) -> Answer:
        match body:
            case Transact(guards, writes):
                return self._transact(guards, writes)
            case Refresh(lease, expect, ttl, note):
                known = self.leases.get(lease)
                if known is None or known.revision != expect:
                    return REFUSED
                self.revision += 1
                self.leases[lease] = Tenure(known.holder, ttl, note, self.revision)
            case Revoke(lease, expect):
                return self._end(lease, expect, Cause.REVOKED)
            case Expire(lease, expect):
                return self._end(lease, expect, Cause.EXPIRED)
            case Barrier():
                pass
            case OpenSession():
                return REFUSED
        return Answer(Verdict.HAPPENED, self.revision)

    def _end(self, lease: str, expect: int, cause: Cause) -> Answer:
        known = self.leases.get(lease)
        if known is None or known.revision != expect:
            return REFUSED
        self.revision += 1
        del self.leases[lease]
        for key in sorted(key for key, row in self.keys.items() if row.lease == lease):
            del self.keys[key]
            self.history.append(Occurrence(self.revision, key, None, cause))
        return Answer(Verdict.HAPPENED, self.revision)

    def _transact(self, guards: tuple[Guard, ...], writes: tuple[Write, ...]) -> Answer:
        if not all(self._holds(guard) for guard in guards):
            return REFUSED
        named = {guard.key for guard in guards if not isinstance(guard, LeaseAt)}
        keys, leases = dict(self.keys), dict(self.leases)
        revision = self.revision + 1
        touched: dict[str, None] = {}
        for write in writes:
            if not isinstance(write, Grant):
                touched[write.key] = None
            if not _write(keys, leases, write, named, revision):
                return REFUSED
        occurrences = [self._occurrence(key, keys, revision) for key in touched]
        changes = [occurrence for occurrence in occurrences if occurrence is not None]
        if changes or leases != self.leases:
            self.revision = revision
        self.keys, self.leases = keys, leases
        self.history += changes
        return Answer(Verdict.HAPPENED, self.revision)

    def _holds(self, guard: Guard) -> bool:
        match guard:
            case KeyAbsent(key):
                return key not in self.keys
            case KeyAt(key, revision):
                return key in self.keys and self.keys[key].modified == revision
            case KeyCreatedAt(key, revision):
                return key in self.keys and self.keys[key].created == revision
            case LeaseAt(lease, revision):
                return lease in self.leases and self.leases[lease].revision == revision

    def _occurrence(self, key: str, after: dict[str, Row], revision: int) -> Occurrence | None:
        if key in after:
            return Occurrence(revision, key, after[key].value, None)
        if key in self.keys:
            return Occurrence(revision, key, None, Cause.DELETED)
        return None


def _write(
    keys: dict[str, Row], leases: dict[str, Tenure], write: Write, named: set[str], revision: int
) -> bool:
    """Make one write of a command; False if it cannot be made."""
    match write:
        case Put(key, value, lease):
            if key not in named or (lease is not None and lease not in leases):
                return False
            created = keys[key].created if key in keys else revision
            keys[key] = Row(value, created, revision, lease)
        case Remove(key):
            if key not in named:
                return False
            keys.pop(key, None)
        case Grant(lease_id, holder, ttl, note):
            if lease_id in leases:
                return False
            leases[lease_id] = Tenure(holder, ttl, note, revision)
    return True


def answer_of(result: Result) -> Answer:
    """The product's result in the model's words."""
    match result:
        case Happened(revision):
            return Answer(Verdict.HAPPENED, revision)
        case Refused():
            return REFUSED
        case _:
            return SUPERSEDED


def occurrence_of(event: Event) -> Occurrence:
    """The product's event in the model's words."""
    if isinstance(event, Changed):
        return Occurrence(event.revision, event.entry.key, event.entry.value, None)
    return Occurrence(event.revision, event.previous.key, None, event.cause)
