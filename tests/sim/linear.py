"""Linearizability of what clients of one key saw (Wing and Gong's search, with Lowe's memo).

Keys are independent, so each history is searched alone. An operation without an answer may have
happened at any time after it was called, or never. The search takes, again and again, an operation
that no finished one strictly precedes, and goes back when the answers do not fit; a state (what is
done, what the key holds) that was left once is not entered again.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from math import inf

from msgspec import Struct


class Kind(Enum):
    """What a client asked of the key."""

    CREATE = "create"
    COMPARE_AND_SET = "compare and set"
    DELETE = "delete"
    READ = "read"


class Seen(Enum):
    """What the client was told. MAYBE: nothing, or that nobody knows."""

    DONE = "done"
    REFUSED = "refused"
    MAYBE = "maybe"


Value = int | None
"""Every value written is written once in a history; None is a key that does not exist."""


class Operation(Struct):
    """One operation on one key. `expected` is the value whose write the compare named, `value` what
    is written or, for a READ, what was seen. `guarded` means that the command named other keys too,
    so that a refusal says nothing of this one. Times in seconds of the world."""

    kind: Kind
    called: float
    expected: Value = None
    value: Value = None
    guarded: bool = False
    seen: Seen = Seen.MAYBE
    returned: float = inf


def is_linearizable(history: Sequence[Operation]) -> bool:
    """Whether the operations can have happened one after the other, each between its call and its
    answer, with exactly the answers that were given."""
    operations = sorted((op for op in history if _matters(op)), key=lambda op: op.called)
    required = sum(1 << i for i, op in enumerate(operations) if op.seen is not Seen.MAYBE)
    left_once: set[tuple[int, Value]] = set()
    stack: list[tuple[int, Value]] = [(0, None)]
    while stack:
        done, value = stack.pop()
        if done & required == required:
            return True
        if (done, value) in left_once:
            continue
        left_once.add((done, value))
        stack.extend(_successors(operations, done, value))
    return False


def _matters(operation: Operation) -> bool:
    """A read without an answer, and a refusal that other keys may explain, constrain nothing."""
    if operation.seen is Seen.MAYBE:
        return operation.kind is not Kind.READ
    return not (operation.seen is Seen.REFUSED and operation.guarded)


def _successors(
    operations: Sequence[Operation], done: int, value: Value
) -> list[tuple[int, Value]]:
    """Where one more operation can lead: those called before any open one has returned."""
    horizon = inf
    found = []
    for position, operation in enumerate(operations):
        if operation.called > horizon:
            break
        if done >> position & 1:
            continue
        horizon = min(horizon, operation.returned)
        follows, after = _effect(operation, value)
        if follows:
            found.append((done | 1 << position, after))
    found.reverse()
    return found


def _effect(operation: Operation, value: Value) -> tuple[bool, Value]:
    """Whether the answer fits a key that holds `value`, and what it holds then."""
    match operation.kind:
        case Kind.READ:
            return value == operation.value, value
        case Kind.CREATE:
            applies = value is None
        case _:
            applies = value is not None and value == operation.expected
    if operation.seen is Seen.REFUSED:
        return not applies, value
    after = None if operation.kind is Kind.DELETE else operation.value
    return applies, after
