"""The service manager hears each piece of news once, and also what could not be sent at first."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from raftha.agent.notify import ServiceManager
from raftha.clock import SystemClock
from raftha.instants import Instant


class StillClock(SystemClock):
    """A host that has been up for 100 s, and was suspended for 30 s of them."""

    def now(self) -> Instant:
        return Instant(100.0, 70.0, 30.0)


def listen(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    listener.setblocking(False)
    return listener


def heard(listener: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(listener.recv(4096).decode())
        except BlockingIOError:
            return messages


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with listen(str(tmp_path / "notify")) as found:
        yield found


def test_it_is_ready_with_the_first_words_and_news_is_told_once(listener: socket.socket) -> None:
    manager = ServiceManager(listener.getsockname(), StillClock())
    manager.tell("standby,\nstreaming: 1 s", gist="a")
    manager.tell("standby, streaming: 2 s", gist="a")
    manager.tell("primary, running: it serves", gist="b")
    assert heard(listener) == [
        "READY=1\nSTATUS=standby, streaming: 1 s\n",
        "STATUS=primary, running: it serves\n",
    ]


def test_a_reload_has_a_beginning_on_the_monotonic_clock_and_an_end(
    listener: socket.socket,
) -> None:
    manager = ServiceManager(listener.getsockname(), StillClock())
    manager.reloading()
    manager.reloaded()
    manager.stopping()
    assert heard(listener) == [
        "RELOADING=1\nMONOTONIC_USEC=70000000\n",
        "READY=1\n",
        "STOPPING=1\n",
    ]


def test_what_nobody_took_is_sent_with_what_comes_next(tmp_path: Path) -> None:
    path = str(tmp_path / "late")
    manager = ServiceManager(path, StillClock())
    manager.tell("waiting", gist="a")
    with listen(path) as listener:
        manager.tell("waiting", gist="a")
        manager.tell("waiting", gist="a")
        assert heard(listener) == ["READY=1\nSTATUS=waiting\n"]


def test_a_reload_that_nobody_heard_of_is_not_told_after_its_end(tmp_path: Path) -> None:
    path = str(tmp_path / "late")
    manager = ServiceManager(path, StillClock())
    manager.reloading()
    with listen(path) as listener:
        manager.reloaded()
        assert "RELOADING" not in heard(listener)[0]


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234"])
def test_without_a_socket_of_this_machine_nothing_happens(address: str | None) -> None:
    manager = ServiceManager(address, StillClock())
    manager.tell("words")
    manager.stopping()
