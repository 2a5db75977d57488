"""The first words on a new connection: who is there, may it come in, how do frames travel.

dialer: hello; acceptor: hello, proof; dialer: proof, verdict; acceptor: verdict. A verdict is
empty, or says why the other side is not let in: for the node itself, and in words that both
operators can read. A hello of another protocol is answered with the number of the own one. A
visitor (`visiting.py`) says its word in place of a hello and gets a nonce, the proof and the
verdict. Runs on a thread of its own with a time limit on the socket; never on the raft thread.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

from msgspec import Struct

from raftha.consensus.commands import WireError
from raftha.consensus.greeting import (
    Hello,
    OtherProtocol,
    Refusal,
    decode_hello,
    decode_verdict,
    encode_hello,
    encode_protocol,
    encode_verdict,
)
from raftha.consensus.members import Registry
from raftha.consensus.security import ACCEPTOR, DIALER, Framing, Security, Transcript
from raftha.consensus.visiting import Visitors, decode_visit, is_visit
from raftha.errors import RafthaError

_LENGTH: Final = struct.Struct(">H")
_MAX_BYTES: Final = 32 * 1024
_MAX_PIECES: Final = 16
_NONCE_BYTES: Final = 16


class Refused(RafthaError):
    """One side does not let the other in."""

    def __init__(self, peer: str, reason: str) -> None:
        super().__init__(f"{peer}: {reason}")
        self.peer = peer
        self.reason = reason


class Established(Struct, frozen=True, kw_only=True):
    """A connection with a checked identity at its other end."""

    connection: socket.socket
    hello: Hello
    framing: Framing


class Handshake(Struct, frozen=True, kw_only=True):
    """How this node greets others."""

    registry: Registry
    security: Security
    visitors: Visitors

    def dial(self, connection: socket.socket, peer: str) -> Established:
        """Greet the peer that was dialled. Raises OSError, WireError, Refused."""
        secured = self.security.secure(connection, dialing=True)
        own = encode_hello(self.registry.hello(to=peer))
        _send(secured, own)
        self.security.hear(secured)
        theirs = _receive(secured)
        hello = decode_hello(theirs)
        transcript = Transcript(own, theirs).digest()
        try:
            self.security.check_proof(_receive(secured), ACCEPTOR, transcript)
            self.security.check_identity(secured, hello)
            reason = self.registry.refusal(hello)
            if reason is None and hello.address != peer:
                reason = Refusal(f"{hello.address} answers at {peer}")
        except WireError as error:
            reason = Refusal(str(error))
        _send(secured, self.security.proof(DIALER, transcript))
        _send(secured, encode_verdict(reason))
        if reason is not None:
            raise Refused(peer, reason.why)
        self._heed(peer, decode_verdict(_receive(secured)))
        framing = self.security.framing(DIALER, transcript)
        return Established(connection=secured, hello=hello, framing=framing)

    def accept(self, connection: socket.socket) -> Established | None:
        """Greet whoever came; None for a visitor who has been heard and goes again. Raises OSError,
        WireError, Refused."""
        secured = self.security.secure(connection, dialing=False)
        self.security.hear(secured)
        theirs = _receive(secured)
        if is_visit(theirs):
            self._hear(secured, theirs)
            return None
        try:
            hello = decode_hello(theirs)
        except OtherProtocol:
            _send(secured, encode_protocol())
            raise
        own = encode_hello(self.registry.hello(to=hello.address))
        transcript = Transcript(theirs, own).digest()
        _send(secured, own)
        _send(secured, self.security.proof(ACCEPTOR, transcript))
        proof = _receive(secured)
        verdict = decode_verdict(_receive(secured))
        try:
            self.security.check_proof(proof, DIALER, transcript)
            self.security.check_identity(secured, hello)
        except WireError as error:
            raise Refused(hello.address, str(error)) from None
        self._heed(hello.address, verdict)
        reason = self.registry.refusal(hello)
        _send(secured, encode_verdict(reason))
        if reason is not None:
            raise Refused(hello.address, reason.why)
        framing = self.security.framing(ACCEPTOR, transcript)
        return Established(connection=secured, hello=hello, framing=framing)

    def hear(self, connection: socket.socket) -> None:
        """As `accept`, for who is no voter and shows nothing of itself: visitors alone are let in.
        Raises OSError, WireError, Refused."""
        secured = self.security.secure(connection, dialing=False)
        theirs = _receive(secured)
        if not is_visit(theirs):
            raise WireError("it came to join a Raft group, and none runs here")
        self._hear(secured, theirs)

    def _hear(self, secured: socket.socket, theirs: bytes) -> None:
        """Let a visitor show its credentials and hear its word."""
        visitor = decode_visit(theirs)
        own = os.urandom(_NONCE_BYTES)
        transcript = Transcript(theirs, own).digest()
        _send(secured, own)
        _send(secured, self.security.proof(ACCEPTOR, transcript))
        proof = _receive(secured)
        here = self.registry.hello(to=visitor.to)
        who = "a stranger"  # what it calls itself is not for our log
        try:
            self.security.check_proof(proof, DIALER, transcript)
            self.security.check_identity(secured, visitor)
            who = visitor.name
            if (visitor.scope, visitor.to) != (here.scope, here.address):
                raise WireError(f"it speaks to {visitor.to} of the cluster {visitor.scope}")
            why = self.visitors.hear(visitor.name, visitor.word)
        except WireError as error:
            why = str(error)
        _send(secured, encode_verdict(None if why is None else Refusal(why)))
        secured.close()
        if why is not None:
            raise Refused("", f"a word of {who} was not taken: {why}")

    def _heed(self, peer: str, verdict: Refusal | None) -> None:
        """Take note of what a peer, whose identity is checked, holds against this node."""
        if verdict is not None:
            self.registry.judged(peer, verdict)
            raise Refused(peer, verdict.why)


def leave_word(connection: socket.socket, security: Security, said: bytes) -> str | None:
    """Say the bytes of a visit to the voter that was dialled; why its word is not taken, None if it
    is. Raises OSError, or WireError if the other side lacks the credentials of a voter."""
    secured = security.secure(connection, dialing=True)
    _send(secured, said)
    transcript = Transcript(said, _receive(secured)).digest()
    security.check_proof(_receive(secured), ACCEPTOR, transcript)
    _send(secured, security.proof(DIALER, transcript))
    verdict = _receive(secured).decode(errors="replace")
    return verdict.partition("\n")[2] or None if verdict else None


def _send(connection: socket.socket, words: bytes) -> None:
    words = words[:_MAX_BYTES]
    connection.sendall(_LENGTH.pack(len(words)) + words)


def _receive(connection: socket.socket) -> bytes:
    (length,) = _LENGTH.unpack(_receive_exactly(connection, _LENGTH.size))
    if length > _MAX_BYTES:
        raise WireError(f"more than {_MAX_BYTES} bytes of greeting")
    return _receive_exactly(connection, length)


def _receive_exactly(connection: socket.socket, count: int) -> bytes:
    """Read so many bytes, in a few pieces at most: whoever drips them holds up a greeting."""
    received = bytearray()
    for _ in range(_MAX_PIECES):
        if len(received) == count:
            return bytes(received)
        part = connection.recv(count - len(received))
        if not part:
            raise WireError("it hung up during the greeting")
        received += part
    if len(received) < count:
        raise WireError("it dripped its greeting")
    return bytes(received)
