"""What callbacks are told of a server, from one round to the next."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from raftha.ha.course import Course, follow
from raftha.model.hooks import Callback
from raftha.model.restarting import ServerWish, WishKind
from raftha.model.view import GuardianView, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg

STANDBY = b.following(guardian=pg.guardian(primary=False, process="7@1"))
NEXT = b.following(guardian=pg.guardian(primary=False, process="8@2"))
PROMOTED = b.view(guardian=pg.guardian(process="7@1"))
PRIMARY = b.view(guardian=pg.guardian(process="5@1"))
DOWN = b.following(guardian=pg.IDLE_GUARDIAN, server=None)
STARTING = replace(NEXT, server=None)
HUNG = replace(STANDBY, server=None)
GONE = replace(DOWN, guardian=GuardianView(alive=False))
WISHED = replace(
    STANDBY,
    wish=ServerWish(id="w-1", kind=WishKind.RESTART, process="7@1", until=pg.at(60.0)),
)


def told(*views: View) -> list[Any]:
    """What is told over these rounds; None for a round of which nothing is."""
    course, found = Course(), []
    for view in views:
        course, happened = follow(course, b.situation(view))
        found.append(happened)
    return found


def test_a_server_that_is_found_has_started_and_that_is_told_once() -> None:
    assert told(STANDBY, STANDBY) == [Callback.ON_START, None]


def test_the_end_is_told_before_the_next_server_answers() -> None:
    assert told(STANDBY, DOWN, DOWN, STARTING, NEXT) == [
        *(Callback.ON_START, Callback.ON_STOP),
        *(None, None, Callback.ON_START),
    ]


def test_a_restart_that_was_asked_for_is_one_thing() -> None:
    assert told(STANDBY, WISHED, DOWN, STARTING, NEXT)[1:] == [
        *(None, None, None),
        Callback.ON_RESTART,
    ]


def test_a_crash_after_a_wish_that_was_withdrawn_is_no_restart() -> None:
    assert told(WISHED, STANDBY, DOWN)[2] is Callback.ON_STOP


def test_a_promotion_changes_the_role_of_the_server_that_runs() -> None:
    assert told(STANDBY, PROMOTED, PROMOTED)[1:] == [Callback.ON_ROLE_CHANGE, None]


def test_a_former_primary_that_comes_back_as_a_standby_has_changed_its_role() -> None:
    assert told(PRIMARY, DOWN, STARTING, NEXT)[1:] == [
        *(Callback.ON_STOP, None),
        Callback.ON_ROLE_CHANGE,
    ]


def test_a_server_that_hangs_and_a_guardian_that_is_gone_prove_nothing() -> None:
    assert told(STANDBY, HUNG, GONE, STANDBY)[1:] == [None, None, None]
