"""What a command may look like at all, checked before it leaves this process (PURE)."""

from __future__ import annotations

import math
from typing import assert_never

from raftha.consensus.commands import MAX_KEY_BYTES, MAX_TTL, MAX_VALUE_BYTES
from raftha.model.store import Command, Grant, LeaseAt, Put, Refresh, Remove, Transact, Write


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
