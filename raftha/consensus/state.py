"""The state machine as bytes, for snapshots, and its hash, for comparing replicas (PURE).

The encoding is canonical: equal states give equal bytes, so the hash of the bytes is the hash of
the state. A checksum over the whole guards against a damaged disk or a cut stream.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Annotated, Final

import msgspec

from raftha.consensus.commands import UNDECODABLE, NewerFormat, SessionId, WireError
from raftha.consensus.machine import Happened, Machine, Refused, Session
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.store import Entry, Key, Lease, LeaseId

_FORMAT: Final = 1
_MAGIC: Final = b"RHS2"
_MAGIC_OF_ALL: Final = b"RHS"
_HEAD_BYTES: Final = len(_MAGIC) + 4

_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]


class LogEntry(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One entry of the Raft log, as it lies on disk and travels."""

    command: bytes
    index: _Count
    term: _Count


class Image(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A snapshot: the state after `last`, the two entries that a log continues from, and the set
    of voters in force there (as a log entry; empty before the birth of the cluster)."""

    previous: LogEntry
    last: LogEntry
    state: bytes
    voters: bytes


class _Entry(msgspec.Struct, array_like=True, frozen=True):
    key: str
    value: bytes
    create_revision: _Count
    mod_revision: _Count
    lease: str | None


class _Lease(msgspec.Struct, array_like=True, frozen=True):
    id: str
    holder: str
    ttl: float
    revision: _Count
    note: bytes


class _Session(msgspec.Struct, array_like=True, frozen=True):
    voter: str
    incarnation: str
    boot: _Count
    nonce: _Count
    floor: _Count
    happened: list[tuple[_Count, _Count]]
    refused: list[tuple[_Count, str]]


class _State(msgspec.Struct, array_like=True, frozen=True):
    format: int
    generation: _Count
    revision: _Count
    entries: list[_Entry]
    leases: list[_Lease]
    sessions: list[_Session]


_ENCODER: Final = msgspec.msgpack.Encoder()
_STATE: Final = msgspec.msgpack.Decoder(_State)
_IMAGE: Final = msgspec.msgpack.Decoder(Image)


def dump(machine: Machine) -> bytes:
    """The whole state, canonical."""
    entries = sorted(machine.entries.values(), key=lambda entry: entry.key)
    leases = sorted(machine.leases.values(), key=lambda lease: lease.id)
    sessions = sorted(machine.sessions.values(), key=lambda session: session.id.voter)
    return _ENCODER.encode(
        _State(
            _FORMAT,
            machine.generation,
            machine.revision,
            [_Entry(e.key, e.value, e.create_revision, e.mod_revision, e.lease) for e in entries],
            [_Lease(x.id, x.holder, x.ttl, x.revision, x.note) for x in leases],
            [_pack_session(session) for session in sessions],
        )
    )


def restore(data: bytes) -> Machine:
    """The machine that `dump` described. Raises WireError, or NewerFormat."""
    try:
        state = _STATE.decode(data)
    except UNDECODABLE as error:
        raise WireError(f"not a state of the key store: {error}") from None
    if state.format > _FORMAT:
        raise NewerFormat(f"a snapshot of format {state.format}: upgrade raftha on this node")
    return Machine(
        revision=Revision(state.revision),
        generation=state.generation,
        entries={Key(packed.key): _unpack_entry(packed) for packed in state.entries},
        leases={LeaseId(packed.id): _unpack_lease(packed) for packed in state.leases},
        sessions={packed.voter: _unpack_session(packed) for packed in state.sessions},
    )


def digest(machine: Machine) -> str:
    """A hash that is equal on two replicas exactly if their states are."""
    return hashlib.blake2b(dump(machine), digest_size=16).hexdigest()


def seal(image: Image) -> bytes:
    """A snapshot with its checksum, as it is stored and sent."""
    body = _ENCODER.encode(image)
    return _MAGIC + zlib.crc32(body).to_bytes(4, "big") + body


def unseal(data: bytes) -> Image:
    """Check and read a sealed snapshot. Raises WireError."""
    body = data[_HEAD_BYTES:]
    if data[: len(_MAGIC)] != _MAGIC:
        if data.startswith(_MAGIC_OF_ALL):
            raise WireError("a snapshot of another format: use the release of raftha that wrote it")
        raise WireError("not a snapshot")
    if data[len(_MAGIC) : _HEAD_BYTES] != zlib.crc32(body).to_bytes(4, "big"):
        raise WireError("a snapshot with a wrong checksum")
    try:
        image = _IMAGE.decode(body)
    except UNDECODABLE as error:
        raise WireError(f"not a snapshot: {error}") from None
    if image.last.index != image.previous.index + 1:
        raise WireError("a snapshot whose two log entries do not follow one another")
    return image


def _pack_session(session: Session) -> _Session:
    kept = sorted(session.results.items())
    return _Session(
        session.id.voter,
        session.id.incarnation,
        session.id.boot,
        session.id.nonce,
        session.floor,
        [(seq, result.revision) for seq, result in kept if isinstance(result, Happened)],
        [(seq, result.reason) for seq, result in kept if isinstance(result, Refused)],
    )


def _unpack_session(packed: _Session) -> Session:
    results: dict[int, Happened | Refused] = {}
    results.update((seq, Happened(Revision(revision))) for seq, revision in packed.happened)
    results.update((seq, Refused(reason)) for seq, reason in packed.refused)
    return Session(
        id=SessionId(
            voter=packed.voter,
            incarnation=packed.incarnation,
            boot=packed.boot,
            nonce=packed.nonce,
        ),
        floor=packed.floor,
        results=results,
    )


def _unpack_entry(packed: _Entry) -> Entry:
    return Entry(
        key=Key(packed.key),
        value=packed.value,
        create_revision=Revision(packed.create_revision),
        mod_revision=Revision(packed.mod_revision),
        lease=None if packed.lease is None else LeaseId(packed.lease),
    )


def _unpack_lease(packed: _Lease) -> Lease:
    return Lease(
        id=LeaseId(packed.id),
        holder=packed.holder,
        ttl=Seconds(packed.ttl),
        revision=Revision(packed.revision),
        note=packed.note,
    )
