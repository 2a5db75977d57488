"""Messages between voters, and their encoding (PURE).

The Raft library speaks flat dictionaries; on the wire there are strict structs instead, one per
kind of message, with a bounded size. What does not decode is a `WireError`, and the link that it
came over is closed; nothing is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec

from raftha.consensus.commands import MAX_COMMAND_BYTES, UNDECODABLE, WireError
from raftha.consensus.state import LogEntry

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
MAX_REMAINING_S: Final = 86400.0
CHUNK_BYTES: Final = 256 * 1024
"""Size of one part of a snapshot."""

_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
_Name = Annotated[str, msgspec.Meta(max_length=300)]
_Payload = Annotated[bytes, msgspec.Meta(max_length=MAX_COMMAND_BYTES)]


class _Message(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A message is an array of its kind's name and its fields."""


class Append(_Message, tag="append", frozen=True):
    """Entries that follow (`prev_index`, `prev_term`); none of them is a heartbeat."""

    term: _Count
    commit: _Count
    prev_index: _Count
    prev_term: _Count
    entries: list[LogEntry]


class Chunk(_Message, tag="chunk", frozen=True):
    """A part of a sealed snapshot."""

    term: _Count
    data: bytes
    first: bool
    last: bool


class Progress(_Message, tag="progress", frozen=True):
    """What a follower holds, or (reset) from where it needs entries; valid in `term` only."""

    term: _Count
    next_index: _Count
    reset: bool
    success: bool


class AskVote(_Message, tag="ask", frozen=True):
    """`to` is the incarnation whose vote would be counted; empty where no voter is bound yet."""

    term: _Count
    last_index: _Count
    last_term: _Count
    to: _Name


class Vote(_Message, tag="vote", frozen=True):
    term: _Count


class Canvass(_Message, tag="canvass", frozen=True):
    """Would you vote for me? Changes no term anywhere. `to` as in `AskVote`."""

    term: _Count
    round: _Count
    last_index: _Count
    last_term: _Count
    to: _Name


class Support(_Message, tag="support", frozen=True):
    term: _Count
    round: _Count
    granted: bool


class Stale(_Message, tag="stale", frozen=True):
    """Your term is over; this is mine."""

    term: _Count


class Forward(_Message, tag="forward", frozen=True):
    """A command for the raft leader, useless once `remaining` seconds have passed."""

    payload: _Payload
    remaining: Annotated[float, msgspec.Meta(ge=0, le=MAX_REMAINING_S)]


Message = Append | Chunk | Progress | AskVote | Vote | Canvass | Support | Stale | Forward

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(
    Append | Chunk | Progress | AskVote | Vote | Canvass | Support | Stale | Forward
)


def encode(message: Message) -> bytes:
    """The bytes of one message."""
    return _ENCODER.encode(message)


def decode(data: bytes) -> Message:
    """Read one message. Raises WireError."""
    if len(data) > MAX_FRAME_BYTES:
        raise WireError(f"a message of {len(data)} bytes")
    try:
        message: Message = _DECODER.decode(data)
    except UNDECODABLE as error:
        raise WireError(f"not a message: {error}") from None
    return message


def from_library(message: Mapping[str, Any]) -> Message | None:
    """The struct for a dictionary that the library wants to send; None for kinds not in use. The
    library does not know whom it asks for a vote: `to` is added to its own words."""
    pack = _PACKERS.get(message["type"])
    return None if pack is None else pack(message)


def to_library(message: Message) -> dict[str, Any]:
    """The dictionary that the library's handler expects for a message it knows."""
    match message:
        case Append():
            entries = [(entry.command, entry.index, entry.term) for entry in message.entries]
            return {
                "type": "append_entries",
                "term": message.term,
                "commit_index": message.commit,
                "entries": entries,
                "prevLogIdx": message.prev_index,
                "prevLogTerm": message.prev_term,
            }
        case Progress():
            return {
                "type": "next_node_idx",
                "next_node_idx": message.next_index,
                "reset": message.reset,
                "success": message.success,
            }
        case AskVote():
            return {
                "type": "request_vote",
                "term": message.term,
                "last_log_index": message.last_index,
                "last_log_term": message.last_term,
            }
        case Vote():
            return {"type": "response_vote", "term": message.term}
        case _:
            raise WireError(f"{type(message).__name__} is no message of the library")


def _pack_append(message: Mapping[str, Any]) -> Message | None:
    if "prevLogIdx" in message:
        return Append(
            message["term"],
            message["commit_index"],
            message["prevLogIdx"],
            message["prevLogTerm"],
            [LogEntry(command, index, term) for command, index, term in message["entries"]],
        )
    if message["serialized"] is None:
        return None
    data, first, last = message["serialized"]
    return Chunk(message["term"], data, first, last)


def _pack_ask(message: Mapping[str, Any]) -> Message | None:
    index, term = message["last_log_index"], message["last_log_term"]
    return AskVote(message["term"], index, term, message["to"])


def _pack_vote(message: Mapping[str, Any]) -> Message | None:
    return Vote(message["term"])


_PACKERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Message | None]]] = {
    "append_entries": _pack_append,
    "request_vote": _pack_ask,
    "response_vote": _pack_vote,
}
