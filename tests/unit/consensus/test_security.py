"""Frames that were changed, repeated, reordered or turned back do not get through."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from pysyncobj import SyncObj

from raftha.consensus.audit import AUDITED, AUDITED_VERSION, LibraryMismatch, verify_library
from raftha.consensus.commands import WireError
from raftha.consensus.handshake import _receive
from raftha.consensus.security import (
    ACCEPTOR,
    DIALER,
    Framing,
    KeySecurity,
    PlainFraming,
    PlainSecurity,
    Security,
    choose,
)
from raftha.errors import ConfigError
from raftha.model.settings import Address, RaftConfig, TlsFiles
from tests.certificates import make_certificates
from tests.sim.clocks import FakeClock, TrueTime
from tests.unit.consensus.greetings import said

KEY = KeySecurity(b"k" * 32)


def pair(transcript: bytes = b"t") -> tuple[Framing, Framing]:
    return KEY.framing(DIALER, transcript), KEY.framing(ACCEPTOR, transcript)


def config(**changes: object) -> RaftConfig:
    here = Address("127.0.0.1", 5000)
    fields = {"self_addr": here, "bind_addr": here, "partner_addrs": (), "data_dir": Path("/x")}
    return RaftConfig(**{**fields, **changes})  # type: ignore[arg-type]


def chosen(config: RaftConfig) -> Security:
    return choose(config, "n1", FakeClock(TrueTime()))


def test_frames_arrive_whole_in_whatever_pieces_they_come() -> None:
    for left, right in (pair(), (PlainFraming(), PlainFraming())):
        sent = [b"", b"a", b"b" * 70000]
        carried = b"".join(left.wrap(frame) for frame in sent)
        buffer, received = bytearray(), []
        for at in range(0, len(carried), 1000):
            buffer += carried[at : at + 1000]
            received += list(right.unwrap(buffer))
        assert received == sent


@pytest.mark.parametrize("change", ["flip", "repeat", "swap", "reflect", "other link"])
def test_a_meddled_stream_is_refused(change: str) -> None:
    left, right = pair()
    first, second = left.wrap(b"one"), left.wrap(b"two")
    streams = {
        "flip": first[:-1] + b"X",
        "repeat": first + first,
        "swap": second + first,
        "reflect": right.wrap(b"one"),
        "other link": pair(b"another")[0].wrap(b"one"),
    }
    with pytest.raises(WireError, match="MAC"):
        list(right.unwrap(bytearray(streams[change])))


def test_a_proof_fits_one_role_one_transcript_and_one_key() -> None:
    proof = KEY.proof(DIALER, b"t")
    KEY.check_proof(proof, DIALER, b"t")
    for security, role, transcript in (
        (KEY, ACCEPTOR, b"t"),
        (KEY, DIALER, b"u"),
        (KeySecurity(b"z" * 32), DIALER, b"t"),
    ):
        with pytest.raises(WireError, match="key_file"):
            security.check_proof(proof, role, transcript)
    with pytest.raises(WireError, match="key_file on both"):
        PlainSecurity().check_proof(proof, DIALER, b"t")


def test_the_loopback_interface_needs_no_protection_and_a_network_does() -> None:
    assert isinstance(chosen(config()), PlainSecurity)
    for host in ("10.0.0.1", "db1", "0.0.0.0", "::"):
        with pytest.raises(ConfigError, match="or certificates"):
            chosen(config(bind_addr=Address(host, 1)))


def test_unusable_keys_and_certificates_are_named(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("abc\n")
    with pytest.raises(ConfigError, match="holds 3 bytes"):
        chosen(config(key_file=short))
    with pytest.raises(ConfigError, match=r"missing cannot be read: No such file .*\(copy it from"):
        chosen(config(key_file=tmp_path / "missing"))
    nothing = TlsFiles(cafile=short, certfile=short, keyfile=short)
    with pytest.raises(ConfigError, match="certificates cannot be used"):
        chosen(config(tls=nothing))


def test_another_text_of_the_library_is_refused() -> None:
    verify_library(SyncObj, AUDITED_VERSION)
    elsewhere_changed = "0" * 16
    verify_library(SyncObj, AUDITED_VERSION, audited_file=elsewhere_changed)
    with pytest.raises(LibraryMismatch, match="_onTick"):
        verify_library(
            SyncObj, AUDITED_VERSION, {**AUDITED, "_onTick": "0" * 16}, elsewhere_changed
        )
    with pytest.raises(LibraryMismatch, match=r"0\.3\.18"):
        verify_library(SyncObj, "0.3.18")


@pytest.mark.parametrize(("name", "is_taken"), [("n1", True), ("N1", True), ("127.0.0.1", False)])
def test_a_peer_is_who_its_certificate_names_not_where_it_is(
    tmp_path: Path, name: str, is_taken: bool
) -> None:
    """The certificate of n1 is good for 127.0.0.1 too, which any node of one host has."""
    make_certificates(tmp_path, "n1")
    files = TlsFiles(
        cafile=tmp_path / "ca.pem", certfile=tmp_path / "n1.pem", keyfile=tmp_path / "n1.key"
    )
    security = chosen(config(tls=files))
    left, right = socket.socketpair()
    with ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(security.secure, right, dialing=False)
        dialled = security.secure(left, dialing=True)
        ends = dialled, accepted.result()
    hello = said(address="127.0.0.1:1", to="127.0.0.1:2", name=name)
    with closing(ends[0]), closing(ends[1]):
        if is_taken:
            security.check_identity(dialled, hello)
        else:
            with pytest.raises(WireError, match=r"names n1, not 127\.0\.0\.1"):
                security.check_identity(dialled, hello)


class Dripping:
    """A connection whose other end says everything byte by byte."""

    def __init__(self, said: bytes) -> None:
        self.left = said
        self.reads = 0

    def recv(self, _count: int) -> bytes:
        self.reads += 1
        part, self.left = self.left[:1], self.left[1:]
        return part


def test_a_dripped_greeting_is_refused() -> None:
    """Whoever drips, or announces more than a greeting can be, is not listened to for long."""
    dripping = Dripping(b"\x00\x40" + b"x" * 64)
    with pytest.raises(WireError, match="dripped"):
        _receive(dripping)  # type: ignore[arg-type]
    assert dripping.reads < 20

    endless = Dripping(b"\xff\xff" + b"x" * 65535)
    with pytest.raises(WireError, match="more than 32768 bytes of greeting"):
        _receive(endless)  # type: ignore[arg-type]
    assert endless.reads == 2
