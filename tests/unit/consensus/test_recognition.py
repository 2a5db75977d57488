"""Two nodes that protect their links differently know it of each other, by real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from raftha.consensus.commands import WireError
from raftha.consensus.greeting import decode_hello, encode_hello
from raftha.consensus.handshake import _receive, _send
from raftha.consensus.recognition import (
    USES_CERTIFICATES,
    USES_NO_CERTIFICATES,
    expect_greeting,
    expect_tls,
)
from raftha.consensus.security import KeySecurity, PlainSecurity, Security, choose
from raftha.model.settings import Address, RaftConfig, TlsFiles
from tests.certificates import make_certificates
from tests.sim.clocks import FakeClock, TrueTime
from tests.unit.consensus.greetings import said


@pytest.fixture
def certificates(tmp_path: Path) -> Security:
    make_certificates(tmp_path, "n1")
    here = Address("127.0.0.1", 5000)
    files = TlsFiles(
        cafile=tmp_path / "ca.pem", certfile=tmp_path / "n1.pem", keyfile=tmp_path / "n1.key"
    )
    config = RaftConfig(
        self_addr=here, bind_addr=here, partner_addrs=(), data_dir=tmp_path, tls=files
    )
    return choose(config, "n1", FakeClock(TrueTime()))


def why(security: Security, connection: socket.socket, *, dialing: bool) -> str:
    """What one end says of the other."""
    with closing(connection):
        try:
            secured = security.secure(connection, dialing=dialing)
            if dialing:
                _send(secured, encode_hello(said()))
            security.hear(secured)
            decode_hello(_receive(secured))
        except (WireError, OSError) as error:
            return str(error)
    return ""


def ends() -> tuple[socket.socket, socket.socket]:
    """Over TCP, as nodes are."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        dialer = socket.create_connection(server.getsockname(), 5)
        acceptor, _ = server.accept()
    acceptor.settimeout(5)
    return dialer, acceptor


@pytest.mark.parametrize("other", [KeySecurity(b"k" * 32), PlainSecurity()])
@pytest.mark.parametrize("dials", ["certificates", "the other"])
def test_both_ends_say_what_the_other_side_uses(
    certificates: Security, other: Security, dials: str
) -> None:
    dialer, acceptor = ends()
    sides = (certificates, other) if dials == "certificates" else (other, certificates)
    with ThreadPoolExecutor(2) as pool:
        told = (
            pool.submit(why, sides[0], dialer, dialing=True),
            pool.submit(why, sides[1], acceptor, dialing=False),
        )
    words = {certificates: USES_NO_CERTIFICATES, other: USES_CERTIFICATES}
    assert [each.result() for each in told] == [words[side] for side in sides]


@pytest.mark.parametrize("length", [0x1503, 0x1603])
def test_a_greeting_of_any_length_is_no_tls(length: int) -> None:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        theirs.sendall(length.to_bytes(2, "big") + b"\xde\x00\x12")
        expect_greeting(ours)


@pytest.mark.parametrize("judge", [expect_greeting, expect_tls])
@pytest.mark.parametrize("noise", [b"", b"\x16", b"\x16\x03", b"GET / HTTP/1.1", b"\x16\x02\x01"])
def test_of_noise_nothing_is_said(judge: Callable[[socket.socket], None], noise: bytes) -> None:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        theirs.sendall(noise)
        theirs.shutdown(socket.SHUT_WR)
        judge(ours)
        theirs.settimeout(0.01)
        with pytest.raises(TimeoutError):
            theirs.recv(1)
