"""Whom a node dials: those of its file and those whom the log names, and nobody who has gone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import cast

import pytest
from msgspec.structs import replace

from raftha.clock import SystemClock
from raftha.consensus.dialing import Dialer
from raftha.consensus.greeting import Grounds, Refusal
from raftha.consensus.handshake import Established, Handshake, Refused
from raftha.consensus.members import Registry
from raftha.instants import Seconds
from raftha.model.settings import Address, RaftTimings
from tests.unit.consensus.greetings import OWN
from tests.unit.exhaustion import no_handle, no_thread

QUICK = RaftTimings(redial_period=Seconds(0.02), dead_after=Seconds(0.02))
SOON_S = 5.0
QUIET_S = 0.1


class Deaf:
    """Gets on with nobody; `greeted` are the guests that it heard."""

    def __init__(self) -> None:
        self.greeted = threading.Event()

    def dial(self, _connection: socket.socket, peer: str) -> Established:
        raise Refused(peer, "not today")

    def accept(self, _connection: socket.socket) -> Established:
        self.greeted.set()
        raise Refused("", "not today")


@dataclass
class Ear:
    """Somewhere to dial to: hears who comes."""

    listening: socket.socket

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.listening.getsockname()[1])

    def is_dialled(self, within_s: float) -> bool:
        self.listening.settimeout(within_s)
        try:
            connection, _ = self.listening.accept()
        except TimeoutError:
            return False
        connection.close()
        return True

    def falls_silent(self) -> bool:
        """What was under way may still come."""
        return any(not self.is_dialled(QUIET_S) for _ in range(20))


@pytest.fixture
def ear() -> Iterator[Ear]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Ear(listening)


def free_address() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return Address("127.0.0.1", taken.getsockname()[1])


@pytest.fixture
def registry() -> Registry:
    return Registry(OWN, {})


@pytest.fixture
def deaf() -> Deaf:
    return Deaf()


@pytest.fixture
def home() -> Address:
    return free_address()


@contextmanager
def dialing(
    registry: Registry,
    *,
    home: Address | None = None,
    peers: tuple[Address, ...] = (),
    deaf: Deaf | None = None,
    timings: RaftTimings = QUICK,
) -> Iterator[Dialer]:
    dialer = Dialer(
        handshake=cast(Handshake, deaf or Deaf()),
        registry=registry,
        timings=timings,
        clock=SystemClock(),
        own="127.0.0.1:99999",
        bind=home or free_address(),
        peers=peers,
        is_linked=lambda _peer: False,
        arrived=lambda _established: None,
    )
    dialer.open()
    try:
        yield dialer
    finally:
        dialer.close()


@pytest.fixture
def dialer(registry: Registry, deaf: Deaf, home: Address) -> Iterator[Dialer]:
    with dialing(registry, home=home, deaf=deaf) as made:
        yield made


def test_who_is_known_is_dialled_until_it_is_known_no_more(dialer: Dialer, ear: Ear) -> None:
    dialer.know({str(ear.address): ear.address})
    assert ear.is_dialled(SOON_S)
    assert ear.is_dialled(SOON_S)

    dialer.know({})
    assert ear.falls_silent()

    dialer.know({str(ear.address): ear.address})
    assert ear.is_dialled(SOON_S)


def test_who_stands_in_the_file_is_dialled_whatever_the_log_says(
    registry: Registry, ear: Ear
) -> None:
    with dialing(registry, peers=(ear.address,)) as dialer:
        dialer.know({})
        assert ear.is_dialled(SOON_S)
        assert ear.is_dialled(SOON_S)


def test_a_host_that_never_answers_a_dial_is_given_up_in_time(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """Its queue is full, so its kernel drops whoever comes, as a firewall does: ours would try on
    for two minutes, and a link that heals meanwhile would wait for that."""
    timings = replace(QUICK, connect_timeout=Seconds(0.1))
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = Address(*full.getsockname())
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        stack.enter_context(dialing(registry, peers=(address,), timings=timings))
        deadline = time.monotonic() + SOON_S
        while "cannot connect" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)

    assert f"{address}: cannot connect: timed out" in caplog.text


def test_a_node_that_is_out_for_good_asks_now_and_then_only(
    dialer: Dialer, registry: Registry, ear: Ear
) -> None:
    dialer.know({str(ear.address): ear.address})
    assert ear.is_dialled(SOON_S)

    registry.judged("b:1", Refusal("removed", Grounds.REMOVED))
    assert ear.falls_silent()


def test_whom_no_thread_can_dial_is_dialled_when_it_is_named_again(
    dialer: Dialer, ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    peers = {str(ear.address): ear.address}
    with no_thread():
        dialer.know(peers)
    assert "cannot be dialled: no thread can be had" in caplog.text

    dialer.know(peers)
    assert ear.is_dialled(SOON_S)


@pytest.mark.parametrize("want", [no_thread, no_handle])
def test_a_guest_that_cannot_be_greeted_is_sent_away_and_the_next_one_is_greeted(
    dialer: Dialer, deaf: Deaf, home: Address, want: Callable[[], AbstractContextManager[None]]
) -> None:
    with socket.create_connection((home.host, home.port)) as guest:
        guest.settimeout(SOON_S)
        while not dialer._reception._silent:
            deaf.greeted.wait(0.01)
        with want():
            guest.sendall(b"hello")
            with suppress(ConnectionResetError):
                assert guest.recv(1) == b""
    assert not deaf.greeted.is_set()

    with socket.create_connection((home.host, home.port)) as guest:
        guest.sendall(b"hello")
        assert deaf.greeted.wait(SOON_S)
