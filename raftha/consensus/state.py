"""The state machine as bytes, for snapshots, and its hash, for comparing replicas (PURE).

The encoding is canonical: equal states give equal bytes, so the hash of the bytes is the hash of
the state. A checksum over the whole guards against a damaged disk or a cut stream. It stands at the
end, so that a long snapshot can be made, and written, piece by piece.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Annotated, Final

import msgspec

from raftha.consensus.commands import UNDECODABLE, NewerFormat, SessionId, WireError
from raftha.consensus.machine import Happened, Machine, Refused, Session
from raftha.model.ids import Revision
from raftha.model.store import Entry, Key, Lease, LeaseId

FORMAT: Final = 1
_MAGIC: Final = b"RHS3"
_MAGIC_OF_ALL: Final = b"RHS"
_CHECKSUM_BYTES: Final = 4
_LENGTH_BYTES: Final = 4
_HEAD_AT: Final = len(_MAGIC) + _LENGTH_BYTES

_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]


class OtherFormat(WireError):
    """A snapshot that another release wrote: it may well be whole, and is not ours to read."""


class LogEntry(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One entry of the Raft log, as it lies on disk and travels."""

    command: bytes
    index: _Count
    term: _Count


class Head(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Where in the log a snapshot stands: the two entries that a log continues from, and the set
    of voters in force there (as a log entry; empty before the birth of the cluster)."""

    previous: LogEntry
    last: LogEntry
    voters: bytes


class Image(msgspec.Struct, frozen=True):
    """A snapshot: the state after the last entry that its head names."""

    head: Head
    state: bytes


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
    entries: list[Entry]
    leases: list[Lease]
    sessions: list[_Session]


_ENCODER: Final = msgspec.msgpack.Encoder()
_STATE: Final = msgspec.msgpack.Decoder(_State)
_HEAD: Final = msgspec.msgpack.Decoder(Head)


def dump(machine: Machine) -> bytes:
    """The whole state, canonical."""
    return b"".join(pieces(machine))


def pieces(machine: Machine) -> Iterator[bytes]:
    """What `dump` returns, in small pieces that are made one by one. All of them show the state as
    it is now, whatever happens to the machine meanwhile: entries and leases are never changed in
    place, sessions are packed at once."""
    numbers = (FORMAT, machine.generation, machine.revision)
    sessions = [_pack_session(machine.sessions[voter]) for voter in sorted(machine.sessions)]
    return _pieces(numbers, dict(machine.entries), dict(machine.leases), sessions)


def _pieces(
    numbers: tuple[int, ...],
    entries: dict[Key, Entry],
    leases: dict[LeaseId, Lease],
    sessions: list[_Session],
) -> Iterator[bytes]:
    """A `_State`, field by field."""
    encode = _ENCODER.encode
    yield _array_of(len(_State.__struct_fields__)) + b"".join(map(encode, numbers))
    yield _array_of(len(entries))
    for key in sorted(entries):
        yield encode(entries[key])
    yield _array_of(len(leases))
    for lease_id in sorted(leases):
        yield encode(leases[lease_id])
    yield encode(sessions)


def _array_of(count: int) -> bytes:
    """How an array of so many elements begins (the specification of msgpack, "array format")."""
    if count < 16:
        return bytes((0x90 | count,))
    if count < 2**16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def restore(data: bytes) -> Machine:
    """The machine that `dump` described. Raises WireError, or NewerFormat."""
    try:
        state = _STATE.decode(data)
    except UNDECODABLE as error:
        raise WireError(f"not a state of the key store: {error}") from None
    if state.format > FORMAT:
        raise NewerFormat(f"a snapshot of format {state.format}: upgrade raftha on this node")
    return Machine(
        revision=Revision(state.revision),
        generation=state.generation,
        entries={entry.key: entry for entry in state.entries},
        leases={lease.id: lease for lease in state.leases},
        sessions={packed.voter: _unpack_session(packed) for packed in state.sessions},
    )


def digest(machine: Machine) -> str:
    """A hash that is equal on two replicas exactly if their states are."""
    return hashlib.blake2b(dump(machine), digest_size=16).hexdigest()


def seal(image: Image) -> bytes:
    """A snapshot with its checksum, as it is stored and sent."""
    return b"".join(sealing(image.head, (image.state,)))


def sealing(head: Head, state: Iterable[bytes]) -> Iterator[bytes]:
    """What `seal` returns, piece by piece, from the pieces of the state."""
    packed = _ENCODER.encode(head)
    checksum = 0
    for piece in (_MAGIC, len(packed).to_bytes(_LENGTH_BYTES, "big"), packed):
        checksum = zlib.crc32(piece, checksum)
        yield piece
    for piece in state:
        checksum = zlib.crc32(piece, checksum)
        yield piece
    yield checksum.to_bytes(_CHECKSUM_BYTES, "big")


def unseal(data: bytes) -> Image:
    """Check and read a sealed snapshot. Raises WireError, OtherFormat among them."""
    if data[: len(_MAGIC)] != _MAGIC:
        if data.startswith(_MAGIC_OF_ALL):
            raise OtherFormat(
                f"a snapshot of format {bytes(data[3:4])!r}, this release reads {_MAGIC[3:]!r}: "
                "use the release of raftha that wrote it"
            )
        raise WireError("not a snapshot")
    body = memoryview(data)[:-_CHECKSUM_BYTES]
    if data[len(body) :] != zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big"):
        raise WireError("a snapshot with a wrong checksum")
    state_at = _HEAD_AT + int.from_bytes(body[len(_MAGIC) : _HEAD_AT], "big")
    try:
        head = _HEAD.decode(body[_HEAD_AT:state_at])
    except UNDECODABLE as error:
        raise WireError(f"not a snapshot: {error}") from None
    if head.last.index != head.previous.index + 1:
        raise WireError("a snapshot whose two log entries do not follow one another")
    return Image(head, bytes(body[state_at:]))


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
