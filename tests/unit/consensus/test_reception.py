"""Strangers on real sockets who connect and say nothing: only so many, only for so long."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from queue import SimpleQueue

import pytest

from raftha.consensus.reception import MAX_SILENT, Reception
from raftha.instants import Seconds
from raftha.model.settings import Address
from tests.sim.fakes import FakeClock, TrueTime

SOON_S = 5.0
PATIENCE_S = 2.0
BEYOND = 20


class House:
    """A reception whose clock stands still until it is told to move."""

    def __init__(self) -> None:
        self.time = TrueTime()
        self.greeted: SimpleQueue[bytes] = SimpleQueue()
        self._port = free_port()
        self._reception = Reception(
            bind=Address("127.0.0.1", self._port),
            clock=FakeClock(self.time),
            patience=Seconds(PATIENCE_S),
            greet=self._greet,
            report=lambda _problem: None,
        )
        self._guests = ExitStack()
        self._thread = threading.Thread(target=self._reception.run, daemon=True)

    def __enter__(self) -> House:
        self._reception.open()
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._reception.close()
        self._thread.join(SOON_S)
        self._guests.close()

    def guest(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port), SOON_S)
        return self._guests.enter_context(made)

    def _greet(self, connection: socket.socket) -> None:
        with connection:
            self.greeted.put(connection.recv(10))


@pytest.fixture
def house() -> Iterator[House]:
    with House() as made:
        yield made


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def is_here(guest: socket.socket) -> bool:
    guest.setblocking(False)
    try:
        return guest.recv(1) != b""
    except BlockingIOError:
        return True


def test_of_those_who_say_nothing_the_eldest_makes_room_for_the_next(house: House) -> None:
    guests = [house.guest() for _ in range(MAX_SILENT + BEYOND)]

    for eldest in guests[:BEYOND]:
        assert eldest.recv(1) == b""
    assert all(is_here(guest) for guest in guests[BEYOND:])

    guests[-1].sendall(b"one of them")
    assert house.greeted.get(timeout=SOON_S) == b"one of the"
    house.guest().sendall(b"another")
    assert house.greeted.get(timeout=SOON_S) == b"another"


def test_who_says_nothing_for_too_long_is_sent_away(house: House) -> None:
    early = house.guest()
    house.guest().sendall(b"so early is in")
    house.greeted.get(timeout=SOON_S)
    house.time.now += PATIENCE_S / 2
    late = house.guest()
    house.guest().sendall(b"and late")
    house.greeted.get(timeout=SOON_S)
    house.time.now += PATIENCE_S / 2

    assert early.recv(1) == b""
    assert is_here(late)
    house.time.now += PATIENCE_S / 2
    late.settimeout(SOON_S)
    assert late.recv(1) == b""
