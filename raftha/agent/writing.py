"""Writes an operator's word into the store, and says what became of it."""

from __future__ import annotations

from typing import Protocol

from raftha.errors import CompareFailed, OutcomeUnknown, StoreUnavailable
from raftha.instants import Seconds
from raftha.model.operation import OperationState, Outcome
from raftha.model.store import Command, Committed, RaftStatus, Snapshot


class Store(Protocol):
    """The part of the key store that is used for it."""

    def execute(self, command: Command, *, timeout: Seconds) -> Committed: ...

    def peek(self) -> Snapshot: ...

    def status(self) -> RaftStatus: ...


def written(store: Store, command: Command, timeout: Seconds, *, passed: str) -> Outcome:
    """DONE, without words, says that it is committed. `passed` is what to say where somebody else
    was quicker. Never raises for what a store answers."""
    try:
        return tried(store, command, timeout)
    except CompareFailed:
        return Outcome(state=OperationState.REFUSED, message=passed)


def tried(store: Store, command: Command, timeout: Seconds) -> Outcome:
    """The same, for who has more to say where somebody else was quicker. Raises CompareFailed."""
    try:
        store.execute(command, timeout=timeout)
    except StoreUnavailable as error:
        return Outcome(state=OperationState.REFUSED, message=f"the store refused: {error}")
    except OutcomeUnknown as error:
        return Outcome(state=OperationState.UNKNOWN, message=f"the answer was lost: {error}")
    return Outcome(state=OperationState.DONE, message="")
