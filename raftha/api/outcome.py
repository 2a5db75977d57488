"""Waits for the end of what a caller asked for, as the cluster tells it, and answers with it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Final, TypeVar

from raftha.api import codec
from raftha.api.reply import Reply
from raftha.clock import Clock
from raftha.instants import remaining
from raftha.model.report import MemberChange, OperationReport, OperationState, PauseChange
from raftha.model.restarting import ServerChange

WAIT_S: Final = 30.0
"""How long a caller that waits is kept; a hand-over takes about a second, a slow stop longer."""

_POLL_S: Final = 0.1
STATUS: Final = {
    OperationState.DONE: 200,
    OperationState.RUNNING: 202,
    OperationState.REFUSED: 412,
    OperationState.UNKNOWN: 503,
}

Told = TypeVar("Told", OperationReport, MemberChange, ServerChange)


def wait_for_end(
    accepted: Told,
    latest: Callable[[], Told | None],
    clock: Clock,
    stopping: Event,
    limit: float = WAIT_S,
) -> Told:
    """The last word on what was accepted; the newest known if the wait ends first, which `stopping`
    makes it do. `latest` may tell of something else, which is passed over."""
    deadline = clock.now().plus(limit)
    newest = accepted
    while newest.state is OperationState.RUNNING and remaining(deadline, clock.now()) > 0:
        if stopping.wait(_POLL_S):
            break
        found = latest()
        if found is not None and found.id == accepted.id:
            newest = found
    return newest


def answer(told: OperationReport | MemberChange | PauseChange | ServerChange) -> Reply:
    """200 done, 202 under way, 412 refused, 503 outcome not known; what is no success has its
    `reason`, as every refusal has."""
    status = STATUS[told.state]
    why = {"reason": told.message} if status >= 400 else {}
    return Reply(status=status, body={**codec.document(told), **why, "age_seconds": 0.0})
