"""Keeps the last decisions in memory, to be read when something went wrong."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from raftha.ha.actions import Action
from raftha.ha.table import Decision
from raftha.instants import Instant
from raftha.model.view import View

KEPT = 200


class Recorded(Struct, frozen=True, kw_only=True):
    """A decision that did something, or the first of a run of equal ones."""

    at: Instant
    rule: str
    reason: str
    actions: tuple[Action, ...]


class Recorder:
    """A ring of the last `KEPT` decisions; equal ones in a row count once."""

    def __init__(self) -> None:
        self._ring: deque[Recorded] = deque(maxlen=KEPT)

    def record(self, view: View, decision: Decision) -> None:
        """Take a decision in."""
        last = self._ring[-1] if self._ring else None
        is_same = last is not None and (last.rule, last.reason) == (decision.rule, decision.reason)
        if is_same and not decision.actions:
            return
        self._ring.append(
            Recorded(
                at=view.now, rule=decision.rule, reason=decision.reason, actions=decision.actions
            )
        )

    def recent(self) -> tuple[Recorded, ...]:
        """Oldest first."""
        return tuple(self._ring)
