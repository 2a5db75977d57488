"""What an operator wants done at a time of day: a switchover, or the restart of a server.

This is the one thing that a clock of the day decides, and no safety rests on it: when its time has
come it is judged, and done, as if it were asked for at that moment.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from raftha.model.ids import MemberName, Revision

SWITCHOVER_LASTS_S: Final = 60.0
RESTART_LASTS_S: Final = 300.0
"""What could not begin so long after its time is dropped. A restart may have to wait for those of
other members, which are done one after another."""


LATEST: Final = 2.5e11
"""Unix time in the year 9892: a time that can be written in every zone."""
UnixTime = Annotated[float, Meta(ge=0, le=LATEST)]


class ScheduledSwitchover(Struct, frozen=True, kw_only=True):
    """The key `scheduled/switchover`. `due` is Unix time; `refused` says why it will not happen,
    and is empty while its time has not come."""

    id: str
    due: UnixTime
    leader: MemberName
    candidate: MemberName | None = None
    refused: str = ""
    revision: Revision = Revision(0)


class ScheduledRestart(Struct, frozen=True, kw_only=True):
    """The key `scheduled/restart/<member>`. The conditions are those of a restart that is asked for
    at once. `process` is the server that was there when it began: once another one serves, it is
    done."""

    due: UnixTime
    member: MemberName
    role: str | None = None
    postgres_version: str | None = None
    restart_pending: bool = False
    process: str = ""
    refused: str = ""
    revision: Revision = Revision(0)


class ScheduleState(StrEnum):
    """What became of a word about a schedule. All but SCHEDULED, CANCELLED and UNKNOWN have changed
    nothing."""

    SCHEDULED = "scheduled"
    CANCELLED = "cancelled"
    ABSENT = "absent"
    """There is nothing to cancel."""
    TAKEN = "taken"
    """Another one is scheduled, or somebody else was faster."""
    REFUSED = "refused"
    UNKNOWN = "unknown"


class ScheduleAnswer(Struct, frozen=True, kw_only=True):
    """What became of it, in words too."""

    state: ScheduleState
    message: str
