"""What a node says of itself on a new link, and the words with which one is turned away (PURE)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Struct

from raftha.consensus import configuration
from raftha.consensus.commands import UNDECODABLE, WireError
from raftha.consensus.configuration import Configuration, Seat

PROTOCOL: Final = 4
_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]


class OtherProtocol(WireError):
    """The hello of another release: only its number can be read."""


class Hello(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each side of a new link says of itself, before anything else.

    `api_url` is where it answers over HTTP. `partners` are the addresses of its file, which name
    the voters until a configuration does. `voters` is the configuration that its log ends with
    (empty: none), from `voters_index`; it is `voters_settled` if this node knows it as committed.
    `is_new` says that this incarnation never was a voter. `term`, `has_voted` (in that term), and
    index and term of the last entry are what its disk holds; `process` differs after each start.
    """

    protocol: int
    scope: str
    address: str
    to: str
    name: str
    incarnation: str
    process: str
    witness: bool
    api_url: str
    partners: list[str]
    is_new: bool
    term: _Count
    has_voted: bool
    last_index: _Count
    last_term: _Count
    voters: bytes
    voters_index: _Count
    voters_settled: bool
    nonce: bytes

    @property
    def seat(self) -> Seat:
        """The seat that this node has or would have."""
        return Seat(self.address, self.name, self.incarnation, self.witness)

    @property
    def configuration(self) -> Configuration | None:
        """The voters that it knows; None before a birth. Raises WireError, or NewerFormat."""
        return configuration.decode(self.voters)


class _Version(msgspec.Struct):
    protocol: int


_HELLO: Final = msgspec.msgpack.Decoder(Hello)
_VERSION: Final = msgspec.msgpack.Decoder(_Version)


def encode_hello(hello: Hello) -> bytes:
    """The bytes of a hello."""
    return msgspec.msgpack.encode(hello)


def encode_protocol() -> bytes:
    """What a node of another protocol is answered: it reads which one is spoken here."""
    return msgspec.msgpack.encode(_Version(PROTOCOL))


def decode_hello(data: bytes) -> Hello:
    """Read a hello. Raises WireError, OtherProtocol for one of another release."""
    try:
        spoken = _VERSION.decode(data).protocol
        if spoken != PROTOCOL:
            raise OtherProtocol(
                f"it speaks protocol {spoken}, this node {PROTOCOL}: "
                "run the same release of raftha on both"
            )
        hello = _HELLO.decode(data)
    except UNDECODABLE as error:
        raise WireError("not a hello of raftha") from error
    return hello


class Grounds(StrEnum):
    """Why a node is turned away, as far as that node has to act on it."""

    OTHER = "other"
    """Something that an operator has to look at."""
    REMOVED = "removed"
    """It is no voter any more. It stays away until somebody admits it anew."""
    REPLACED = "replaced"
    """Another Raft directory has its seat: this one is void."""
    ROLLED_BACK = "rolled back"
    """It holds less than it once said it held: it must not vote from this directory."""
    RECOVERED = "recovered"
    """The cluster was recovered without it: this directory tells of a past that is over."""

    @property
    def voids_directory(self) -> bool:
        """Whether the node has to put its Raft directory aside and begin with a new one."""
        return self in (Grounds.REPLACED, Grounds.ROLLED_BACK, Grounds.RECOVERED)


class Refusal(Struct, frozen=True):
    """Why a node is not let in, in words for its operator and for ours."""

    why: str
    grounds: Grounds = Grounds.OTHER


def encode_verdict(refusal: Refusal | None) -> bytes:
    """What the other side is told; empty if it is let in."""
    return b"" if refusal is None else f"{refusal.grounds}\n{refusal.why}".encode()


def decode_verdict(words: bytes) -> Refusal | None:
    """Read a verdict on this node; unknown grounds are read as words only."""
    if not words:
        return None
    grounds, _, why = words.decode(errors="replace").partition("\n")
    known = grounds in set(Grounds)
    said = f"it refuses this node, of which it says: {why}"
    return Refusal(said, Grounds(grounds) if known else Grounds.OTHER)
