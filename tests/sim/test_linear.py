"""The search for an order says yes to what can have happened one by one, and no to the rest."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from tests.sim.linear import Kind, Operation, Seen, is_linearizable


def create(value: int, start: float, end: float, seen: Seen = Seen.DONE) -> Operation:
    return Operation(Kind.CREATE, start, value=value, seen=seen, returned=end)


def change(
    expected: int, value: int, start: float, end: float, seen: Seen = Seen.DONE
) -> Operation:
    return Operation(
        Kind.COMPARE_AND_SET, start, expected=expected, value=value, seen=seen, returned=end
    )


def delete(expected: int, start: float, end: float, seen: Seen = Seen.DONE) -> Operation:
    return Operation(Kind.DELETE, start, expected=expected, seen=seen, returned=end)


def read(value: int | None, start: float, end: float) -> Operation:
    return Operation(Kind.READ, start, value=value, seen=Seen.DONE, returned=end)


def maybe(operation: Operation) -> Operation:
    return replace(operation, seen=Seen.MAYBE, returned=float("inf"))


GOOD: dict[str, list[Operation]] = {
    "nothing happened": [],
    "one after the other": [create(1, 0, 1), change(1, 2, 2, 3), read(2, 4, 5), delete(2, 6, 7)],
    "a read during a write sees either": [create(1, 0, 9), read(None, 1, 2), read(1, 3, 4)],
    "an unknown write is seen late": [maybe(create(1, 0, 1)), read(None, 2, 3), read(1, 8, 9)],
    "an unknown write never happens": [maybe(create(1, 0, 1)), create(2, 2, 3), read(2, 4, 5)],
    "the second creation is refused": [create(1, 0, 1), create(2, 2, 3, Seen.REFUSED)],
    "a refused compare": [create(1, 0, 1), change(7, 2, 2, 3, Seen.REFUSED), read(1, 4, 5)],
    "a key comes again": [create(1, 0, 1), delete(1, 2, 3), create(2, 4, 5), read(2, 6, 7)],
    "overlapping writes in the other order": [
        create(1, 0, 1),
        change(2, 3, 2, 6),
        change(1, 2, 3, 5),
        read(3, 7, 8),
    ],
    "a refusal that another key explains": [
        create(1, 0, 1),
        replace(change(1, 2, 2, 3, Seen.REFUSED), guarded=True),
        read(1, 4, 5),
    ],
}
BAD: dict[str, list[Operation]] = {
    "a lost write": [create(1, 0, 1), read(None, 2, 3)],
    "a value from nowhere": [read(5, 0, 1)],
    "two creations": [create(1, 0, 1), create(2, 2, 3)],
    "two winners of one compare": [create(1, 0, 1), change(1, 2, 2, 5), change(1, 3, 2, 5)],
    "a refused write is seen": [create(1, 0, 1), change(1, 2, 2, 3, Seen.REFUSED), read(2, 4, 5)],
    "a refusal without a reason": [create(1, 0, 1, Seen.REFUSED)],
    "reads go back": [create(1, 0, 9), read(1, 1, 2), read(None, 3, 4)],
    "an unknown write comes and goes": [
        maybe(create(1, 0, 1)),
        read(1, 2, 3),
        read(None, 4, 5),
    ],
    "a read from before its write": [read(1, 0, 1), create(1, 2, 3)],
    "a compare on what was overwritten": [
        create(1, 0, 1),
        change(1, 2, 2, 3),
        delete(1, 4, 5),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_an_order_is_found(name: str) -> None:
    assert is_linearizable(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_there_is_no_order(name: str) -> None:
    assert not is_linearizable(BAD[name])


def drawn_history(seed: int) -> list[Operation]:
    """120 operations of 5 clients on a true register, each done somewhere between its call and its
    answer; one in 20 gets none."""
    random = Random(seed)
    history: list[Operation] = []
    pending: list[tuple[float, Operation]] = []
    for client in range(5):
        now = random.random()
        for number in range(24):
            done, returned = now + random.random(), now + 1 + random.random()
            operation = Operation(random.choice(list(Kind)), now, value=100 * client + number + 1)
            operation.returned = returned
            pending.append((done, operation))
            now = returned + random.random() * 0.2
    value: int | None = None
    for _, operation in sorted(pending, key=lambda item: item[0]):
        stale = random.random() < 0.2
        operation.expected = -7 if stale or value is None else value
        operation.seen, value = _carry_out(operation, value)
        history.append(maybe(operation) if random.random() < 0.05 else operation)
    return history


def _carry_out(operation: Operation, value: int | None) -> tuple[Seen, int | None]:
    match operation.kind:
        case Kind.READ:
            operation.value = value
            return Seen.DONE, value
        case Kind.CREATE:
            return (Seen.DONE, operation.value) if value is None else (Seen.REFUSED, value)
        case _:
            if value != operation.expected:
                return Seen.REFUSED, value
            return Seen.DONE, None if operation.kind is Kind.DELETE else operation.value


@pytest.mark.parametrize("seed", range(50))
def test_what_a_register_did_is_linearizable_and_what_it_did_not_is_not(seed: int) -> None:
    """50 histories of 120 operations by 5 clients; then each with one read that is a lie."""
    history = drawn_history(seed)
    assert len(history) == 120
    assert is_linearizable(history)

    end = max(operation.called for operation in history) + 10
    assert not is_linearizable([*history, read(-1, end, end + 1)])
