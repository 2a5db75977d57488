"""Tells a node that protects its links in another way by the first bytes that it says, and lets it
know in turn: both would see a connection that breaks, without the cause.

A greeting of ours begins with its length and a map of MessagePack; what TLS says, with its kind and
version. The third byte tells them apart, whatever the length.
"""

from __future__ import annotations

import socket
from typing import Final

from raftha.consensus.commands import WireError

USES_CERTIFICATES: Final = "it uses certificates, and this node a key file or nothing"
USES_NO_CERTIFICATES: Final = "it uses a key file or nothing, and this node certificates"

_LOOK_BYTES: Final = 3
_TLS_MAJOR: Final = 3
_HANDSHAKE: Final = 0x16
_ALERT: Final = 0x15
_LATEST_MINOR: Final = 4
_MAPS: Final = (*range(0x80, 0x90), 0xDE)
_REFUSAL_IN_TLS: Final = bytes((_ALERT, _TLS_MAJOR, 3, 0, 2, 2, 70))
"""A fatal alert about the version (RFC 8446, section 6)."""
_REFUSAL_OF_OURS: Final = b"\x00\x05\x80raft"


def expect_greeting(connection: socket.socket) -> None:
    """Wait for the first bytes and leave them there. Raises WireError if they are TLS, OSError."""
    first = connection.recv(_LOOK_BYTES, socket.MSG_PEEK)
    if len(first) < _LOOK_BYTES or first[1] != _TLS_MAJOR or first[2] > _LATEST_MINOR:
        return
    if first[0] == _HANDSHAKE:
        connection.sendall(_REFUSAL_OF_OURS)
    if first[0] in (_HANDSHAKE, _ALERT):
        raise WireError(USES_CERTIFICATES)


def expect_tls(connection: socket.socket) -> None:
    """As `expect_greeting`, where a greeting of ours is what raises."""
    first = connection.recv(_LOOK_BYTES, socket.MSG_PEEK)
    if len(first) == _LOOK_BYTES and first[2] in _MAPS:
        connection.sendall(_REFUSAL_IN_TLS)
        raise WireError(USES_NO_CERTIFICATES)
