"""What becomes of the server here, from one round to the next, in the words of callbacks. PURE."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from raftha.ha.situation import Situation
from raftha.model.hooks import Callback

PRIMARY: Final = "primary"
REPLICA: Final = "replica"
"""Roles, as the programs of callbacks are told them."""


class Course(Struct, frozen=True, kw_only=True):
    """The server process that was last seen to answer, empty once its end was told, and its role.
    `restarting` says that an operator had asked for its restart when it was seen last."""

    process: str = ""
    role: str = ""
    restarting: bool = False


def follow(before: Course, s: Situation) -> tuple[Course, Callback | None]:
    """The course after this round, and what there is to tell of it."""
    guardian, server = s.view.guardian, s.server
    if not guardian.alive:
        return before, None  # it is about to be told by the next one
    process = guardian.process if guardian.running else ""
    if server is None or not process:
        return _without_answer(before, process)
    role = PRIMARY if server.is_primary else REPLICA
    now = Course(process=process, role=role, restarting=s.view.restart_wished)
    if before.role not in ("", role):
        return now, Callback.ON_ROLE_CHANGE
    if process == before.process:
        return now, None
    return now, Callback.ON_RESTART if before.restarting else Callback.ON_START


def _without_answer(before: Course, process: str) -> tuple[Course, Callback | None]:
    """A server that hangs is there; one that ended, with another perhaps starting, is not."""
    if not before.process or process == before.process:
        return before, None
    gone = Course(role=before.role, restarting=before.restarting)
    return gone, None if before.restarting else Callback.ON_STOP
