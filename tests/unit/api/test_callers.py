"""Who is let in: slow and silent clients, addresses, certificates, reading without a password."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from raftha.api.allowlist import FRESH_S, Allowlist, Names
from raftha.api.client import Refused, Unreachable
from raftha.api.patience import PATIENCE_S
from raftha.api.server import MOST_QUIET, THREADS
from raftha.api.tls import LOOK_S, Fresh
from raftha.model.settings import Address, RestConfig, VerifyClient
from tests.certificates import make_certificates
from tests.unit.api.fake_cluster import cluster_report
from tests.unit.api.fake_responder import (
    FakeResponder,
    peer_report,
    rest_config,
    running,
    tls_files,
)
from tests.unit.api.test_api_server import AUTH, WISH, client, serving
from tests.unit.exhaustion import no_handle
from tests.unit.ha.servers import FakeClock


@contextmanager
def crowd(address: Address, size: int, words: bytes) -> Iterator[list[socket.socket]]:
    """So many clients, each of which says the beginning of a request."""
    with ExitStack() as stack:
        clients = []
        for _ in range(size):
            one = stack.enter_context(socket.create_connection((address.host, address.port), 5))
            one.settimeout(2)
            one.sendall(words)
            clients.append(one)
        yield clients


@pytest.mark.parametrize(
    "words", [b"", b"G", b"POST /pause HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"]
)
def test_clients_that_do_not_go_on_keep_nobody_out(words: bytes) -> None:
    """Four times as many as there are workers; without a limit each holds one for 5 s."""
    with serving(FakeResponder()) as address, crowd(address, 4 * THREADS, words):
        began = os.times().elapsed
        assert client(address).peer() == peer_report()
        assert os.times().elapsed - began < 3.0


def test_a_client_that_has_not_begun_yet_takes_no_worker() -> None:
    with serving(FakeResponder()) as address, crowd(address, 4 * THREADS, b"") as silent:
        assert client(address).peer() == peer_report()
        silent[0].sendall(b"GET /patroni HTTP/1.0\r\n\r\n")
        assert silent[0].recv(15) == b"HTTP/1.1 200 OK"


def test_without_a_file_handle_whoever_knocks_waits_and_costs_next_to_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "raftha.api.server")
    pause = threading.Event()
    with serving(FakeResponder()) as address, socket.socket() as guest:
        guest.settimeout(5)
        with no_handle():
            guest.connect((address.host, address.port))
            guest.sendall(b"GET /patroni HTTP/1.0\r\n\r\n")
            pause.wait(0.3)
            turns = len(caplog.records)
        assert 0 < turns < 10
        assert guest.recv(15) == b"HTTP/1.1 200 OK"


def test_slow_clients_of_tls_keep_nobody_out(tmp_path: Path) -> None:
    make_certificates(tmp_path, "node")
    files = tls_files(tmp_path, "node")
    with (
        serving(FakeResponder(), rest_config(tls=files)) as address,
        crowd(address, 2 * THREADS, b"\x16\x03\x01"),
    ):
        assert client(address, "https", tls=files).peer() == peer_report()


def test_a_slow_client_is_left_alone_while_there_are_workers() -> None:
    with serving(FakeResponder()) as address, crowd(address, 2, b"GET /pat") as slow:
        began = os.times().elapsed
        while os.times().elapsed - began < 2 * PATIENCE_S:
            assert client(address).peer() == peer_report()
        slow[0].sendall(b"roni HTTP/1.0\r\n\r\n")
        assert slow[0].recv(15) == b"HTTP/1.1 200 OK"


def test_of_too_many_silent_clients_the_oldest_goes() -> None:
    with serving(FakeResponder()) as address, crowd(address, MOST_QUIET + 1, b"") as silent:
        assert silent[0].recv(1) == b""
        assert client(address).peer() == peer_report()
        silent[-1].sendall(b"GET /patroni HTTP/1.0\r\n\r\n")
        assert silent[-1].recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("config", "is_allowed"),
    [
        (rest_config(allowlist=("10.0.0.0/24",)), False),
        (rest_config(allowlist=("10.0.0.0/24", "127.0.0.0/8")), True),
        (rest_config(allowlist_include_members=True), False),
    ],
)
def test_changes_are_accepted_from_listed_addresses_alone(
    config: RestConfig, is_allowed: bool
) -> None:
    responder = FakeResponder()
    with serving(responder, config) as address:
        assert client(address).cluster() == cluster_report()
        if is_allowed:
            assert client(address).operate(WISH) == running()
            return
        with pytest.raises(Refused, match=r"not accepted from 127\.0\.0\.1") as caught:
            client(address).operate(WISH)
        assert caught.value.status == 403
        assert responder.requests == []
        responder.known_hosts = ("127.0.0.1",)
        if config.allowlist_include_members:
            assert client(address).operate(WISH) == running()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.77", True),
        ("::ffff:10.0.0.77", True),
        ("10.0.1.1", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("fe80::1%eth0", True),
        ("", False),
    ],
)
def test_an_address_is_compared_with_networks_and_names(address: str, expected: bool) -> None:
    names = Names(FakeClock(), {"admin": frozenset({"192.0.2.7"})}.__getitem__)
    allowlist = Allowlist(("10.0.0.0/24", "fe80::1", "admin"), tuple, names)

    assert allowlist.admits(address) is expected


def test_a_name_is_looked_up_once_a_minute_and_a_hung_look_holds_nobody_up() -> None:
    clock, asked, hung = FakeClock(), [], threading.Event()

    def resolve(name: str) -> frozenset[str]:
        asked.append(name)
        if len(asked) == 2:
            hung.wait(5)
        return frozenset({"192.0.2.7"})

    names = Names(clock, resolve)
    assert names.addresses("admin") == names.addresses("admin") == {"192.0.2.7"}
    assert asked == ["admin"]
    clock.advance(FRESH_S + 1)
    assert names.addresses("admin") == {"192.0.2.7"}
    hung.set()


def test_reading_can_ask_for_the_password_too() -> None:
    with serving(FakeResponder(), rest_config(authentication=AUTH, authenticate_reads=True)) as at:
        for path in ("/primary", "/metrics", "/patroni", "/cluster"):
            assert client(at).get(path).status == 401
            assert client(at, auth=AUTH).get(path).status == 200
        assert client(at, auth=AUTH).peer() == peer_report()


@pytest.mark.parametrize("verify", [VerifyClient.OPTIONAL, VerifyClient.REQUIRED])
def test_everybody_shows_a_certificate_where_that_is_required(
    verify: VerifyClient, tmp_path: Path
) -> None:
    make_certificates(tmp_path, "node")
    files = tls_files(tmp_path, "node")
    with serving(FakeResponder(), rest_config(tls=files, verify_client=verify)) as address:
        assert client(address, "https", tls=files).operate(WISH) == running()
        stranger = client(address, "https", verify=False)
        if verify is VerifyClient.OPTIONAL:
            assert stranger.peer() == peer_report()
            return
        with pytest.raises(Unreachable):
            stranger.peer()


def test_a_new_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    make_certificates(tmp_path, "node")
    files, clock = tls_files(tmp_path, "node"), FakeClock()
    fresh = Fresh(files, VerifyClient.NONE, clock)
    first = fresh.context()
    assert _served_by(first, tmp_path) == _written(tmp_path)

    clock.advance(LOOK_S)
    assert fresh.context() is first
    make_certificates(tmp_path, "node")
    assert fresh.context() is first
    clock.advance(LOOK_S)
    second = fresh.context()
    assert _served_by(second, tmp_path) == _written(tmp_path)

    files.keyfile.write_text("broken")
    clock.advance(LOOK_S)
    assert fresh.context() is second


def _written(folder: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert((folder / "node.pem").read_text())


def _served_by(context: ssl.SSLContext, folder: Path) -> bytes | None:
    """The certificate that a client sees."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    asking = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    seen = asking.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    for _ in range(4):
        for end in (seen, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return seen.getpeercert(binary_form=True)
