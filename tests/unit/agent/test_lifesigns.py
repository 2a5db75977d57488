"""What counts as a sign of life: a connection that is accepted, by whatever is there."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from raftha.agent.lifesigns import LifeSign, Place, Suspect, look
from raftha.instants import Seconds
from raftha.model.settings import Address

SHORT = Seconds(0.1)


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    """A socket with an address, at which nobody listens yet."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held


def place(held: socket.socket, what: str = "Raft at") -> Place:
    return Place(what=what, address=Address(*held.getsockname()))


def test_a_stopped_process_is_alive_and_a_machine_that_refuses_is_up(bound: socket.socket) -> None:
    """Nobody accepts here: the kernel does, as it does for a process that was stopped."""
    suspect = Suspect(name="n2", places=(place(bound),))
    (refused,) = look((suspect,), SHORT)
    bound.listen(1)
    (alive,) = look((suspect,), SHORT)

    at = f"Raft at 127.0.0.1:{bound.getsockname()[1]}"
    assert refused == LifeSign(name="n2", refusing=(at,))
    assert not refused.is_alive
    assert "its machine answers" in str(refused)
    assert alive == LifeSign(name="n2", answering=(at,))
    assert alive.is_alive
    assert str(alive) == f"n2 answers: {at}"


def test_one_address_that_answers_is_enough(bound: socket.socket) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        places = (place(bound), place(other, "PostgreSQL at"))
        signs = look((Suspect(name="n2", places=places), Suspect(name="n3", places=())), SHORT)
    assert [sign.is_alive for sign in signs] == [True, False]
    assert "PostgreSQL at" in str(signs[0])
    assert str(signs[1]) == "n3: no answer"


def test_silence_and_a_name_that_cannot_be_resolved_are_no_answer(bound: socket.socket) -> None:
    bound.listen(0)
    with socket.create_connection(bound.getsockname()):  # it fills the queue of the listener
        places = (place(bound), Place(what="HTTP at", address=Address("256.0.0.1", 1)))
        assert look((Suspect(name="n2", places=places),), SHORT) == (LifeSign(name="n2"),)
