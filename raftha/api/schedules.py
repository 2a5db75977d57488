"""What is to be done at a time of day: `scheduled_at` of a switchover, `schedule` of a restart, and
`DELETE` of either. The time must say its zone, and must not have passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from raftha.api.reply import Reply, refusal
from raftha.api.responder import Schedules
from raftha.errors import RafthaError
from raftha.model.ids import MemberName
from raftha.model.scheduling import LATEST, ScheduleAnswer, ScheduleState

PATHS: Final = ("/switchover", "/restart")
"""What `DELETE` takes off the schedule."""

_STATUS: Final = {
    ScheduleState.SCHEDULED: 202,
    ScheduleState.CANCELLED: 200,
    ScheduleState.ABSENT: 404,
    ScheduleState.TAKEN: 409,
    ScheduleState.REFUSED: 412,
    ScheduleState.UNKNOWN: 503,
}
_EXAMPLE: Final = "2031-05-17T03:00:00+02:00"


class BadTime(RafthaError):
    """A time at which nothing can be scheduled; `status` is the answer to whoever asks for it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def parse_time(text: str, wall: float) -> float:
    """Unix time of an ISO 8601 text, which lies behind `wall`. Raises BadTime."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadTime(422, f"{text!r} is no time as ISO 8601 has it, such as {_EXAMPLE}") from None
    if moment.tzinfo is None:
        raise BadTime(400, f"{text!r} has no time zone: add it, as in {_EXAMPLE}, or Z for UTC")
    try:
        due = moment.timestamp()
    except OverflowError:
        due = float("inf")
    if due > LATEST:
        raise BadTime(422, f"{text!r} is too far away")
    if due <= wall:
        now = datetime.fromtimestamp(wall, moment.tzinfo).isoformat(timespec="seconds")
        raise BadTime(422, f"{text!r} has passed: it is {now} by the clock of this machine")
    return due


def cancel(path: str, query: Mapping[str, str], schedules: Schedules) -> Reply:
    """Answer a DELETE: 200 done, 404 nothing there, 409 changed meanwhile, 412 it has begun, 503
    outcome not known. `/restart` means this node unless `name` says another."""
    if path == "/switchover":
        return answer(schedules.cancel_switchover())
    return answer(schedules.cancel_restart(MemberName(query.get("name", schedules.me))))


def answer(told: ScheduleAnswer) -> Reply:
    """202 scheduled, 200 cancelled; the others as above."""
    if told.state in (ScheduleState.SCHEDULED, ScheduleState.CANCELLED):
        body = {"message": told.message, "age_seconds": 0.0}
        return Reply(status=_STATUS[told.state], body=body)
    return refusal(_STATUS[told.state], told.message)
