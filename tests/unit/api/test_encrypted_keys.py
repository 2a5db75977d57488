"""A key with a password, and the ciphers of a listener: what works, what is said of the rest."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from raftha.api.client import Unreachable
from raftha.api.server import ApiServer
from raftha.api.tls import LOOK_S, Fresh, TlsError, client_context, server_context
from raftha.clock import SystemClock
from raftha.model.settings import (
    Address,
    Secret,
    TlsFiles,
    VerifyClient,
)
from tests.certificates import make_certificates
from tests.unit.api.fake_responder import FakeResponder, peer_report, rest_config, tls_files
from tests.unit.api.test_api_server import client, serving
from tests.unit.ha.servers import FakeClock

PASSWORD = Secret("geheim")
server = partial(server_context, verify=VerifyClient.NONE)


def encrypted(folder: Path, password: Secret = PASSWORD) -> TlsFiles:
    make_certificates(folder, "node", password=password.reveal())
    return replace(tls_files(folder, "node"), password=password)


def test_an_encrypted_key_serves_and_asks(tmp_path: Path) -> None:
    files = encrypted(tmp_path)
    config = rest_config(tls=files, verify_client=VerifyClient.REQUIRED)
    with serving(FakeResponder(), config) as address:
        assert client(address, "https", tls=files).peer() == peer_report()
        without = client(address, "https", tls=replace(files, password=None))
        with pytest.raises(Unreachable, match=r"node\.key is encrypted") as caught:
            without.peer()
        assert not caught.value.sent


@pytest.mark.parametrize("make", [server, partial(client_context, verify=True)])
def test_what_keeps_a_key_closed_is_told_with_the_file_and_what_to_do(
    make: Callable[[TlsFiles], object], tmp_path: Path
) -> None:
    def refusal(files: TlsFiles) -> str:
        with pytest.raises(TlsError) as caught:
            make(files)
        return str(caught.value)

    files = encrypted(tmp_path)
    for password in ("wrong", "x", "\u00fc", "long" * 500):
        words = refusal(replace(files, password=Secret(password)))
        assert f"keyfile_password does not open {files.keyfile}" in words
    words = refusal(replace(files, password=None))
    assert f"{files.keyfile} is encrypted and no password is given" in words
    make_certificates(tmp_path, "other")
    other = replace(files, certfile=tmp_path / "other.pem")
    assert "the key that of the certificate" in refusal(other)
    assert "none.pem cannot be read by" in refusal(replace(files, certfile=tmp_path / "none.pem"))


def test_a_password_for_a_key_that_needs_none_does_no_harm(tmp_path: Path) -> None:
    make_certificates(tmp_path, "node")
    server(replace(tls_files(tmp_path, "node"), password=PASSWORD))


def test_another_key_with_another_password_is_taken_over_and_a_wrong_one_changes_nothing(
    tmp_path: Path,
) -> None:
    files, clock = encrypted(tmp_path), FakeClock()
    fresh = Fresh(files, VerifyClient.NONE, clock)
    first = fresh.context()
    with pytest.raises(TlsError, match="does not open"):
        fresh.change(replace(files, password=Secret("wrong")), VerifyClient.NONE, "")
    assert fresh.context() is first

    other = encrypted(tmp_path, Secret("anders"))
    clock.advance(LOOK_S)
    assert fresh.context() is first, "the new key is closed until its password is known"
    fresh.change(other, VerifyClient.NONE, "")
    second = fresh.context()
    assert second is not first
    encrypted(tmp_path, Secret("anders"))
    clock.advance(LOOK_S)
    assert fresh.context() not in (first, second), "the next key with it is read by itself"


def test_a_running_server_takes_a_new_password_and_ciphers(tmp_path: Path) -> None:
    files = encrypted(tmp_path)
    config = rest_config(tls=files)
    api = ApiServer(config, FakeResponder(), SystemClock())
    address = api.start()
    try:
        assert cipher(address, tmp_path) is not None
        with pytest.raises(TlsError, match="does not open"):
            api.take(replace(config, tls=replace(files, password=Secret("wrong"))))
        with pytest.raises(TlsError, match="OpenSSL has none of 'nonsense'"):
            api.take(replace(config, ciphers="nonsense"))
        api.take(replace(config, ciphers="ECDHE+CHACHA20"))
        assert cipher(address, tmp_path) == "ECDHE-ECDSA-CHACHA20-POLY1305"
        assert cipher(address, tmp_path, "ECDHE+AESGCM") is None
    finally:
        api.stop()


def test_after_a_reload_that_does_not_say_otherwise_a_certificate_is_asked_for(
    tmp_path: Path,
) -> None:
    files = encrypted(tmp_path)
    config = rest_config(tls=files, verify_client=VerifyClient.REQUIRED)
    api = ApiServer(config, FakeResponder(), SystemClock())
    address = api.start()
    try:
        api.take(replace(config, ciphers="ECDHE+CHACHA20"))
        assert client(address, "https", tls=files).peer() == peer_report()
        with pytest.raises(Unreachable):
            client(address, "https", verify=False).peer()
    finally:
        api.stop()


def cipher(address: Address, folder: Path, mine: str = "ALL") -> str | None:
    """What a client of TLS 1.2 with these ciphers agrees on with the server; None for nothing."""
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(mine)
    try:
        with (
            socket.create_connection((address.host, address.port), 5) as bare,
            context.wrap_socket(bare, server_hostname="127.0.0.1") as link,
        ):
            found = link.cipher()
            return None if found is None else found[0]
    except (ssl.SSLError, ConnectionError):
        return None
