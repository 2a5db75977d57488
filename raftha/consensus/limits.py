"""What a command may look like at all, and what it adds to the store, checked before it gets into
the log (PURE).

The size of the store is limited here, and not where a committed command is applied. There, replicas
of two releases that know different limits would come to different states. So a refusal for want of
room is the word of a node that did not let the command in, and everything in the log counts.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Container, Mapping
from typing import Final, Protocol, assert_never

from raftha.consensus.commands import MAX_KEY_BYTES, MAX_TTL, MAX_VALUE_BYTES, Body
from raftha.model.store import (
    MAX_STATE_BYTES,
    Command,
    Entry,
    Grant,
    Key,
    KeyCreatedAt,
    Lease,
    LeaseAt,
    Put,
    Refresh,
    Remove,
    Transact,
    Write,
)

RESERVE_BYTES: Final = MAX_STATE_BYTES
"""How much more the store may hold of what a failover needs: what a leader writes under its epoch,
and new values of keys that are there."""
_EACH_BYTES: Final = 128
"""What a key or a lease costs beyond its bytes, so that a great many small ones count too."""
_LARGEST_GROWTH: Final = 1 << 20
"""More than any one command can add: 32 KiB hold fewer than 2000 keys."""


def fault(command: Command) -> str | None:
    """Why a command can never be accepted (size or shape); None if it can."""
    match command:
        case Transact():
            return _fault_of_transact(command)
        case Refresh():
            return _fault_of_ttl(command.ttl) or _fault_of_value(command.note)
        case _:
            return None


def _fault_of_transact(command: Transact) -> str | None:
    named = {guard.key for guard in command.guards if not isinstance(guard, LeaseAt)}
    for write in command.writes:
        reason = _fault_of_write(write)
        if reason is not None:
            return reason
        if not isinstance(write, Grant) and write.key not in named:
            return f"key {write.key!r} is written, but no guard names it"
    return None


def _fault_of_write(write: Write) -> str | None:
    match write:
        case Put():
            return _fault_of_key(write.key) or _fault_of_value(write.value)
        case Remove():
            return _fault_of_key(write.key)
        case Grant():
            return (
                _fault_of_key(write.lease)
                or _fault_of_key(write.holder)
                or _fault_of_ttl(write.ttl)
                or _fault_of_value(write.note)
            )
        case _:
            assert_never(write)


def _fault_of_key(text: str) -> str | None:
    size = len(text.encode())
    return None if 0 < size <= MAX_KEY_BYTES else f"a name of {size} bytes: 1 to {MAX_KEY_BYTES}"


def _fault_of_value(value: bytes) -> str | None:
    size = len(value)
    return (
        None if size <= MAX_VALUE_BYTES else f"a value of {size} bytes: at most {MAX_VALUE_BYTES}"
    )


def _fault_of_ttl(ttl: float) -> str | None:
    fits = math.isfinite(ttl) and 0 < ttl <= MAX_TTL
    return None if fits else f"a ttl of {ttl} s: above 0, at most {MAX_TTL:.0f}"


# The size of the whole.


class Sized(Protocol):
    """What is known of a store: its entries, and its size as `size_of` counts."""

    @property
    def entries(self) -> Mapping[Key, Entry]: ...
    @property
    def size_bytes(self) -> int: ...


def size_of(item: Entry | Lease) -> int:
    """What a key with its value, or a lease, counts for."""
    if isinstance(item, Entry):
        return _EACH_BYTES + len(item.key) + len(item.value) + len(item.lease or "")
    return _EACH_BYTES + len(item.id) + len(item.holder) + len(item.note)


def most_added(body: Body) -> int:
    """What a command can add to any store at most."""
    return sum(map(_size_written, body.writes)) if isinstance(body, Transact) else 0


def lack_of_room(store: Sized, body: Body, under_way: int) -> str | None:
    """Why a command is not to get into the log: with what is under way already the store would
    become too large. What ends or renews a lease, grants one, or makes the store no larger never
    lacks room; a new key that no epoch fences is the first to do."""
    held = store.size_bytes + under_way
    if held + _LARGEST_GROWTH <= MAX_STATE_BYTES or not isinstance(body, Transact):
        return None
    growth = _growth(body, store.entries)
    if growth <= 0 or any(isinstance(write, Grant) for write in body.writes):
        return None
    allowed = MAX_STATE_BYTES
    if _is_fenced(body) or _makes_no_key(body, store.entries):
        allowed += RESERVE_BYTES
    if held + growth <= allowed:
        return None
    return (
        f"refused: the store holds {held} of {MAX_STATE_BYTES} bytes, and this would add {growth}; "
        "raftha store list shows what fills it, and what is removed makes room"
    )


class Account:
    """What a raft leader has let into its log in this term and not applied yet, in bytes."""

    def __init__(self) -> None:
        self._term = 0
        self._entered: deque[tuple[int, int]] = deque()
        self.under_way = 0

    def settle(self, term: int, applied_index: int) -> None:
        """Forget what was applied, and what belongs to an earlier term."""
        if term != self._term:
            self._term = term
            self._entered.clear()
            self.under_way = 0
        while self._entered and self._entered[0][0] <= applied_index:
            self.under_way -= self._entered.popleft()[1]

    def took(self, index: int, size: int) -> None:
        """A command that may add so much stands in the log there."""
        if size:
            self._entered.append((index, size))
            self.under_way += size


def _is_fenced(command: Transact) -> bool:
    return any(isinstance(guard, KeyCreatedAt) for guard in command.guards)


def _makes_no_key(command: Transact, present: Container[Key]) -> bool:
    return all(write.key in present for write in command.writes if isinstance(write, Put))


def _growth(command: Transact, entries: Mapping[Key, Entry]) -> int:
    """What a command adds if it is applied to these entries."""
    written = {write.key: write for write in command.writes if not isinstance(write, Grant)}
    replaced = sum(size_of(entries[key]) for key in written if key in entries)
    granted = sum(_size_written(write) for write in command.writes if isinstance(write, Grant))
    return granted + sum(map(_size_written, written.values())) - replaced


def _size_written(write: Write) -> int:
    match write:
        case Put():
            return _EACH_BYTES + len(write.key) + len(write.value) + len(write.lease or "")
        case Grant():
            return _EACH_BYTES + len(write.lease) + len(write.holder) + len(write.note)
        case Remove():
            return 0
        case _:
            assert_never(write)
