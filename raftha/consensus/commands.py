"""What the Raft log holds: commands with their session, and their encoding (PURE).

A command of a client carries (session, seq, floor). The session names one process of one voter;
`seq` numbers its commands; nothing at or below `floor` waits for an answer any more. The state
machine uses the three to make a repeated command harmless without ever looking at a clock.

The encoding is strict msgpack. Bytes that do not decode are a `WireError`, and every replica treats
them alike; a format newer than this program is `NewerFormat`, which must stop the process, because
going on without the command would make this replica differ from the others.
"""

from __future__ import annotations

import math
from typing import Annotated, Final, assert_never

import msgspec
from msgspec import Struct

from raftha.errors import RafthaError
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.store import (
    Barrier,
    Command,
    Grant,
    Guard,
    Key,
    KeyAbsent,
    KeyAt,
    KeyCreatedAt,
    LeaseAt,
    LeaseId,
    Put,
    Refresh,
    Remove,
    Revoke,
    Transact,
    Write,
)

FORMAT: Final = 1
REGULAR: Final = b"\x00"
"""The first byte of a log entry that holds a command; the library's own kinds are above."""
MAX_KEY_BYTES: Final = 256
MAX_VALUE_BYTES: Final = 16 * 1024
MAX_COMMAND_BYTES: Final = 32 * 1024
MAX_TTL: Final = 86400.0
UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What the decoder raises for foreign bytes; ValueError stands for text that is not UTF-8."""


class WireError(RafthaError):
    """Bytes from a peer, a disk or the log are not what they should be."""


class NewerFormat(RafthaError):
    """The log holds a command that only a newer release understands: upgrade this node."""


class SessionId(Struct, frozen=True, kw_only=True):
    """One process of one voter: `boot` counts the starts on one Raft directory. The random `nonce`
    tells two processes apart that a directory put back from a copy gave the same number."""

    voter: str
    incarnation: str
    boot: int
    nonce: int = 0


class OpenSession(Struct, frozen=True):
    """Begin the session of the command that carries this; older ones of the voter end."""


class Expire(Struct, frozen=True):
    """End a lease that nobody renewed since `expect`; any replica may propose it."""

    lease: LeaseId
    expect: Revision


Body = Command | OpenSession | Expire


class LogCommand(Struct, frozen=True, kw_only=True):
    """A command as it stands in the log. Only `Expire` comes without a session."""

    body: Body
    session: SessionId | None = None
    seq: int = 0
    floor: int = 0


_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
_KeyText = Annotated[str, msgspec.Meta(max_length=MAX_KEY_BYTES)]
_ValueBytes = Annotated[bytes, msgspec.Meta(max_length=MAX_VALUE_BYTES)]
_Ttl = Annotated[float, msgspec.Meta(gt=0, le=MAX_TTL)]


class _Part(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Every struct here is an array on the wire: short, and without room for surplus fields."""


class _Absent(_Part, tag="absent", frozen=True):
    key: _KeyText


class _At(_Part, tag="at", frozen=True):
    key: _KeyText
    revision: _Count


class _CreatedAt(_Part, tag="created", frozen=True):
    key: _KeyText
    revision: _Count


class _LeaseAt(_Part, tag="lease", frozen=True):
    lease: _KeyText
    revision: _Count


class _Put(_Part, tag="put", frozen=True):
    key: _KeyText
    value: _ValueBytes
    lease: _KeyText | None


class _Remove(_Part, tag="remove", frozen=True):
    key: _KeyText


class _Grant(_Part, tag="grant", frozen=True):
    lease: _KeyText
    holder: _KeyText
    ttl: _Ttl
    note: _ValueBytes


class _Transact(_Part, tag="transact", frozen=True):
    guards: list[_Absent | _At | _CreatedAt | _LeaseAt]
    writes: list[_Put | _Remove | _Grant]


class _Refresh(_Part, tag="refresh", frozen=True):
    lease: _KeyText
    expect: _Count
    ttl: _Ttl
    note: _ValueBytes


class _Revoke(_Part, tag="revoke", frozen=True):
    lease: _KeyText
    expect: _Count


class _Barrier(_Part, tag="barrier", frozen=True):
    pass


class _Open(_Part, tag="open", frozen=True):
    pass


class _Expire(_Part, tag="expire", frozen=True):
    lease: _KeyText
    expect: _Count


class _Session(_Part, frozen=True):
    voter: _KeyText
    incarnation: _KeyText
    boot: _Count
    nonce: _Count


class _Envelope(_Part, frozen=True):
    format: int
    session: _Session | None
    seq: _Count
    floor: _Count
    body: _Transact | _Refresh | _Revoke | _Barrier | _Open | _Expire


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Envelope)
_HEADER: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])


def encode(command: LogCommand) -> bytes:
    """The bytes of a command for the log."""
    session = command.session
    return _ENCODER.encode(
        _Envelope(
            FORMAT,
            None
            if session is None
            else _Session(session.voter, session.incarnation, session.boot, session.nonce),
            command.seq,
            command.floor,
            _pack_body(command.body),
        )
    )


def decode(data: bytes) -> LogCommand:
    """Read a command from the log. Raises WireError, or NewerFormat."""
    try:
        envelope = _DECODER.decode(data)
    except UNDECODABLE as error:
        _refuse_newer(data)
        raise WireError(f"not a command: {error}") from None
    if envelope.format != FORMAT:
        _refuse_newer(data)
        raise WireError(f"unknown command format {envelope.format}")
    session = envelope.session
    return LogCommand(
        session=None
        if session is None
        else SessionId(
            voter=session.voter,
            incarnation=session.incarnation,
            boot=session.boot,
            nonce=session.nonce,
        ),
        seq=envelope.seq,
        floor=envelope.floor,
        body=_unpack_body(envelope.body),
    )


def _refuse_newer(data: bytes) -> None:
    try:
        fields = _HEADER.decode(data)
        number = msgspec.msgpack.decode(fields[0], type=int) if fields else 0
    except UNDECODABLE:
        return
    if number > FORMAT:
        raise NewerFormat(
            f"the Raft log holds commands of format {number}, this release knows {FORMAT}: "
            "upgrade raftha on this node"
        )


def _pack_body(
    body: Body,
) -> _Transact | _Refresh | _Revoke | _Barrier | _Open | _Expire:
    match body:
        case Transact():
            guards = [_pack_guard(guard) for guard in body.guards]
            return _Transact(guards, [_pack_write(write) for write in body.writes])
        case Refresh():
            return _Refresh(body.lease, body.expect, body.ttl, body.note)
        case Revoke():
            return _Revoke(body.lease, body.expect)
        case Barrier():
            return _Barrier()
        case OpenSession():
            return _Open()
        case Expire():
            return _Expire(body.lease, body.expect)
        case _:
            assert_never(body)


def _pack_guard(guard: Guard) -> _Absent | _At | _CreatedAt | _LeaseAt:
    match guard:
        case KeyAbsent():
            return _Absent(guard.key)
        case KeyAt():
            return _At(guard.key, guard.mod_revision)
        case KeyCreatedAt():
            return _CreatedAt(guard.key, guard.create_revision)
        case LeaseAt():
            return _LeaseAt(guard.lease, guard.revision)
        case _:
            assert_never(guard)


def _pack_write(write: Write) -> _Put | _Remove | _Grant:
    match write:
        case Put():
            return _Put(write.key, write.value, write.lease)
        case Remove():
            return _Remove(write.key)
        case Grant():
            return _Grant(write.lease, write.holder, write.ttl, write.note)
        case _:
            assert_never(write)


def _unpack_body(
    body: _Transact | _Refresh | _Revoke | _Barrier | _Open | _Expire,
) -> Body:
    match body:
        case _Transact():
            guards = tuple(_unpack_guard(guard) for guard in body.guards)
            return Transact(guards, tuple(_unpack_write(write) for write in body.writes))
        case _Refresh():
            lease, expect = LeaseId(body.lease), Revision(body.expect)
            return Refresh(lease, expect, _finite(body.ttl), body.note)
        case _Revoke():
            return Revoke(LeaseId(body.lease), Revision(body.expect))
        case _Barrier():
            return Barrier()
        case _Open():
            return OpenSession()
        case _Expire():
            return Expire(LeaseId(body.lease), Revision(body.expect))
        case _:
            assert_never(body)


def _unpack_guard(guard: _Absent | _At | _CreatedAt | _LeaseAt) -> Guard:
    match guard:
        case _Absent():
            return KeyAbsent(Key(guard.key))
        case _At():
            return KeyAt(Key(guard.key), Revision(guard.revision))
        case _CreatedAt():
            return KeyCreatedAt(Key(guard.key), Revision(guard.revision))
        case _LeaseAt():
            return LeaseAt(LeaseId(guard.lease), Revision(guard.revision))
        case _:
            assert_never(guard)


def _unpack_write(write: _Put | _Remove | _Grant) -> Write:
    match write:
        case _Put():
            lease = None if write.lease is None else LeaseId(write.lease)
            return Put(Key(write.key), write.value, lease)
        case _Remove():
            return Remove(Key(write.key))
        case _Grant():
            return Grant(LeaseId(write.lease), write.holder, _finite(write.ttl), write.note)
        case _:
            assert_never(write)


def _finite(ttl: float) -> Seconds:
    if not math.isfinite(ttl):
        raise WireError(f"a ttl of {ttl}")
    return Seconds(ttl)
