"""Who may speak on a link, and how frames are protected once that is settled.

Three ways, chosen by configuration: certificates (TLS 1.3, both sides), a shared key file (a
challenge in each direction, then a MAC on every frame), or nothing, which is accepted only when all
addresses are on the loopback interface. A key proves membership of the cluster, not which member. A
certificate must carry the node's name: host names and addresses in it count for nothing here, for
they move with machines, are shared behind one host, and are handed out by others.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from msgspec import Struct

from raftha.account import own_name
from raftha.clock import Clock
from raftha.consensus.certificates import CertificateError, names_in
from raftha.consensus.commands import WireError
from raftha.consensus.recognition import (
    USES_NO_CERTIFICATES,
    expect_greeting,
    expect_tls,
)
from raftha.consensus.renewal import Renewal
from raftha.consensus.wire import MAX_FRAME_BYTES
from raftha.errors import ConfigError, Problem
from raftha.model.settings import RaftConfig, TlsFiles

_LENGTH: Final = struct.Struct(">I")
_NUMBER: Final = struct.Struct(">Q")
_MAC_BYTES: Final = 16
_MIN_KEY_BYTES: Final = 16
DIALER: Final = b"dialer"
ACCEPTOR: Final = b"acceptor"


class Framing(Protocol):
    """Turns frames into bytes and back, for one direction each way of one link."""

    def wrap(self, frame: bytes) -> bytes:
        """The bytes that carry a frame."""

    def unwrap(self, buffer: bytearray) -> Iterator[bytes]:
        """Take whole frames off the front of a buffer. Raises WireError."""


class PlainFraming:
    """A length, then the frame: for TLS, and for the loopback interface."""

    def wrap(self, frame: bytes) -> bytes:
        return _LENGTH.pack(len(frame)) + frame

    def unwrap(self, buffer: bytearray) -> Iterator[bytes]:
        return _split(buffer)


class MacFraming:
    """Each frame carries a MAC over its number and content, with one key per direction."""

    def __init__(self, send_key: bytes, receive_key: bytes) -> None:
        self._send_key = send_key
        self._receive_key = receive_key
        self._sent = 0
        self._received = 0

    def wrap(self, frame: bytes) -> bytes:
        mac = _mac(self._send_key, _NUMBER.pack(self._sent) + frame)
        self._sent += 1
        return _LENGTH.pack(len(frame) + _MAC_BYTES) + mac + frame

    def unwrap(self, buffer: bytearray) -> Iterator[bytes]:
        for sealed in _split(buffer):
            frame = sealed[_MAC_BYTES:]
            expected = _mac(self._receive_key, _NUMBER.pack(self._received) + frame)
            if not hmac.compare_digest(expected, sealed[:_MAC_BYTES]):
                raise WireError("a frame with a wrong MAC")
            self._received += 1
            yield frame


class Named(Protocol):
    """Whoever says who it is."""

    @property
    def name(self) -> str: ...


class Security(Protocol):
    """One of the three ways."""

    def start(self) -> None:
        """Keep an eye on the files that it came from."""

    def refresh(self, files: TlsFiles | None = None) -> None:
        """Look at them again, soon; with `files`, those of TLS are these from now on. From any
        thread. Raises ConfigError if they cannot be used, and nothing has changed then."""

    def stop(self) -> None:
        """Look no more."""

    @property
    def problem(self) -> str | None:
        """What an operator should know of them. From any thread."""

    def secure(self, connection: socket.socket, *, dialing: bool) -> socket.socket:
        """Encrypt a fresh connection, or hand it back. Raises OSError."""

    def hear(self, connection: socket.socket) -> None:
        """Wait for the first word. Raises OSError, or WireError if it is not said in this way."""

    def proof(self, role: bytes, transcript: bytes) -> bytes:
        """What shows that this side knows the shared key."""

    def check_proof(self, proof: bytes, role: bytes, transcript: bytes) -> None:
        """Raises WireError if the other side does not know the key."""

    def check_identity(self, connection: socket.socket, speaker: Named) -> None:
        """Raises WireError if the connection does not belong to whom the speaker names."""

    def framing(self, role: bytes, transcript: bytes) -> Framing:
        """How frames travel from now on; `role` is this side's."""


class PlainSecurity:
    """No protection; loopback only."""

    @property
    def problem(self) -> str | None:
        return None

    def start(self) -> None:
        """Nothing runs."""

    def refresh(self, files: TlsFiles | None = None) -> None:
        """Nothing is read again."""

    def stop(self) -> None:
        """Nothing runs."""

    def secure(self, connection: socket.socket, *, dialing: bool) -> socket.socket:  # noqa: ARG002
        return connection

    def hear(self, connection: socket.socket) -> None:
        expect_greeting(connection)

    def proof(self, role: bytes, transcript: bytes) -> bytes:  # noqa: ARG002
        return b""

    def check_proof(self, proof: bytes, role: bytes, transcript: bytes) -> None:  # noqa: ARG002
        if proof:
            raise WireError("it uses a key file and this node does not: set raft.key_file on both")

    def check_identity(self, connection: socket.socket, speaker: Named) -> None:
        """Whoever can reach the loopback interface is trusted."""

    def framing(self, role: bytes, transcript: bytes) -> Framing:  # noqa: ARG002
        return PlainFraming()


class KeySecurity(PlainSecurity):
    """A key that all voters share."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.sha256(b"raftha key file" + key).digest()

    def proof(self, role: bytes, transcript: bytes) -> bytes:
        return hmac.digest(self._key, b"proof of " + role + transcript, "sha256")

    def check_proof(self, proof: bytes, role: bytes, transcript: bytes) -> None:
        if not hmac.compare_digest(proof, self.proof(role, transcript)):
            raise WireError("its raft.key_file is not the same as ours")

    def framing(self, role: bytes, transcript: bytes) -> Framing:
        keys = {
            sender: hmac.digest(self._key, b"frames of " + sender + transcript, "sha256")
            for sender in (DIALER, ACCEPTOR)
        }
        other = ACCEPTOR if role == DIALER else DIALER
        return MacFraming(keys[role], keys[other])


class TlsSecurity(PlainSecurity):
    """TLS 1.3 with a certificate on both sides, from one private authority."""

    def __init__(self, renewal: Renewal) -> None:
        self._renewal = renewal

    def start(self) -> None:
        self._renewal.start()

    def refresh(self, files: TlsFiles | None = None) -> None:
        if files is not None:
            with _in_words():
                self._renewal.take(files)
        self._renewal.look_now()

    def stop(self) -> None:
        self._renewal.stop()

    @property
    def problem(self) -> str | None:
        return self._renewal.problem

    def secure(self, connection: socket.socket, *, dialing: bool) -> socket.socket:
        credentials = self._renewal.credentials
        if not dialing:
            expect_tls(connection)
            return credentials.server.wrap_socket(connection, server_side=True)
        try:
            return credentials.client.wrap_socket(connection)
        except ssl.SSLError as error:
            if error.reason == "WRONG_VERSION_NUMBER":
                raise WireError(USES_NO_CERTIFICATES) from error
            raise

    def hear(self, connection: socket.socket) -> None:
        """TLS has heard it."""

    def check_identity(self, connection: socket.socket, speaker: Named) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        names = names_in(connection.getpeercert() or {})
        if speaker.name.casefold() not in names:
            raise WireError(
                f"its certificate names {', '.join(sorted(names)) or 'nobody'}, not "
                f"{speaker.name}: a certificate must carry the node's name"
            )


def choose(config: RaftConfig, name: str, clock: Clock) -> Security:
    """The way that the configuration asks for; `name` is this node's. Raises ConfigError."""
    if config.tls is not None:
        renewal = Renewal(config.tls, name, clock)
        with _in_words():
            renewal.load()
        return TlsSecurity(renewal)
    if config.key_file is not None:
        return KeySecurity(_read_key(config))
    addresses = (config.self_addr, config.bind_addr, *config.partner_addrs)
    open_hosts = sorted({a.host for a in addresses if not _is_loopback(a.host)})
    if open_hosts:
        raise _refused(f"{', '.join(open_hosts)}: needs raft.key_file or certificates")
    return PlainSecurity()


class Transcript(Struct, frozen=True):
    """What both sides said first: proofs and keys depend on it, so nothing can be replayed."""

    dialer: bytes
    acceptor: bytes

    def digest(self) -> bytes:
        """A hash of both hellos."""
        first = hashlib.sha256(self.dialer).digest()
        return hashlib.sha256(first + hashlib.sha256(self.acceptor).digest()).digest()


def _read_key(config: RaftConfig) -> bytes:
    assert config.key_file is not None
    try:
        key = config.key_file.read_bytes().strip()
    except OSError as error:
        remedy = "copy it from a node of the cluster; for a new cluster: openssl rand -hex 32"
        if isinstance(error, PermissionError):
            remedy = f"give it to the user that raftha runs as: chown {own_name()}"
        what = f"the key file {config.key_file} cannot be read: {error.strerror}"
        raise _refused(what, remedy) from error
    if len(key) < _MIN_KEY_BYTES:
        raise _refused(
            f"the key file {config.key_file} holds {len(key)} bytes, {_MIN_KEY_BYTES} are needed",
            "make one with `openssl rand -hex 32`",
        )
    return key


@contextmanager
def _in_words() -> Iterator[None]:
    """Raises ConfigError for what the certificates lack."""
    try:
        yield
    except (CertificateError, OSError) as error:
        raise _refused(f"the certificates cannot be used: {error}") from error


def _refused(what: str, remedy: str = "") -> ConfigError:
    return ConfigError([Problem("raft", what, remedy)])


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(buffer: bytearray) -> Iterator[bytes]:
    while len(buffer) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer)
        if length > MAX_FRAME_BYTES:
            raise WireError(f"a frame of {length} bytes")
        end = _LENGTH.size + length
        if len(buffer) < end:
            return
        frame = bytes(buffer[_LENGTH.size : end])
        del buffer[:end]
        yield frame


def _mac(key: bytes, data: bytes) -> bytes:
    """BLAKE2b with a key (RFC 7693): a third of the time that HMAC-SHA256 takes."""
    return hashlib.blake2b(data, key=key, digest_size=_MAC_BYTES).digest()
