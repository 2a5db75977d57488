"""A word left by somebody who is no voter now, but has the credentials of one.

A visitor comes where voters greet one another and shows the same: the key, or the certificate with
the name of the node for which it speaks. Its word is heard once, on the thread of that greeting,
and answered with nothing, or with why it is not taken. What the word means is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from raftha.consensus.commands import UNDECODABLE, WireError
from raftha.consensus.greeting import PROTOCOL

MAX_WORD_BYTES: Final = 4096

Listener = Callable[[str, bytes], str | None]
"""Takes the name of the node for which a visitor speaks, and its word; why it is not taken. Called
from any thread, and may take a while."""


class Visit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a visitor says first: of which cluster, for which node, to whom, and its word."""

    protocol: int
    visitor: bool
    scope: str
    name: str
    to: str
    word: Annotated[bytes, msgspec.Meta(max_length=MAX_WORD_BYTES)]
    nonce: bytes


class _First(msgspec.Struct):
    protocol: int
    visitor: bool = False


_VISIT: Final = msgspec.msgpack.Decoder(Visit)
_FIRST: Final = msgspec.msgpack.Decoder(_First)


class Visitors:
    """Who hears what visitors say: nobody, until `listener` is set."""

    def __init__(self) -> None:
        self.listener: Listener | None = None

    def hear(self, name: str, word: bytes) -> str | None:
        """Why the word is not taken; None if it is."""
        if self.listener is None:
            return "this node takes no word from visitors"
        return self.listener(name, word)


def visit(*, scope: str, name: str, to: str, word: bytes, nonce: bytes) -> bytes:
    """The bytes of a visit."""
    visitor = Visit(
        protocol=PROTOCOL, visitor=True, scope=scope, name=name, to=to, word=word, nonce=nonce
    )
    return msgspec.msgpack.encode(visitor)


def is_visit(data: bytes) -> bool:
    """Whether somebody comes to leave a word, in this release's way."""
    try:
        first = _FIRST.decode(data)
    except UNDECODABLE:
        return False
    return first.visitor and first.protocol == PROTOCOL


def decode_visit(data: bytes) -> Visit:
    """Read what a visitor says. Raises WireError."""
    try:
        return _VISIT.decode(data)
    except UNDECODABLE as error:
        raise WireError("not a visit") from error
