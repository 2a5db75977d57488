"""What one peer may send in a second, and that the others do not notice one which sends more."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest

from raftha.consensus.flow import Budget
from raftha.consensus.reception import Greetings
from raftha.consensus.security import PlainFraming
from raftha.consensus.transport import _READ_AT_ONCE, _Link


def test_a_budget_is_spent_and_earned_back() -> None:
    budget = Budget.full(100, now=5.0)
    budget.spend(100, 5.0)
    assert budget.solvent_at() == 5.0
    budget.spend(50, 5.0)
    assert budget.solvent_at() == pytest.approx(5.5)
    budget.spend(0, 5.75)
    assert budget.left == pytest.approx(25)
    budget.spend(0, 100.0)
    assert budget.left == 100


@pytest.fixture
def ends() -> Iterator[tuple[_Link, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * 1024 * 1024)
    far.setblocking(False)
    with closing(near), closing(far):
        yield _Link("b:1", near, PlainFraming(), now=0.0), far


def send_all_that_fits(far: socket.socket, part: bytes) -> int:
    sent = 0
    try:
        while True:
            sent += far.send(part)
    except BlockingIOError:
        return sent


def test_a_peer_that_sends_too_many_frames_rests_until_it_may_go_on(
    ends: tuple[_Link, socket.socket],
) -> None:
    link, far = ends
    pings = struct.pack(">I", 0) * 4000
    taken = 0
    for _ in range(100):
        send_all_that_fits(far, pings)
        taken += len(link.read(now=1.0))
        if link.reads_from > 1.0:
            break

    assert taken >= 10_000
    assert link.reads_from == pytest.approx(1.0 + (taken - 10_000) / 10_000)


def test_one_round_takes_only_so_much_of_a_link(ends: tuple[_Link, socket.socket]) -> None:
    link, far = ends
    frame = PlainFraming().wrap(b"x" * 100_000)
    sent = send_all_that_fits(far, frame * 8)
    if sent < 2 * _READ_AT_ONCE:
        pytest.skip(f"this kernel holds only {sent} bytes of a socket pair")

    assert sum(map(len, link.read(now=1.0))) <= _READ_AT_ONCE + 65536


def test_whoever_is_greeted_longest_makes_room() -> None:
    greetings = Greetings(capacity=2)
    pairs = [socket.socketpair() for _ in range(3)]
    for ours, _ in pairs:
        ours.settimeout(1.0)
    places = [greetings.enter(ours) for ours, _ in pairs]

    assert pairs[0][0].recv(1) == b""
    pairs[1][1].sendall(b"a")
    assert pairs[1][0].recv(1) == b"a"
    for place in places:
        greetings.leave(place)
    for pair in pairs:
        for end in pair:
            end.close()
