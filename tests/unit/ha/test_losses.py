"""What a promotion left behind comes into the history, once somebody knows it."""

from __future__ import annotations

import json
from typing import Any, Final

from msgspec.structs import replace

from raftha.ha.actions import Submit
from raftha.ha.keys import encode_history
from raftha.ha.losses import with_loss
from raftha.ha.memory import LeaderSeen
from raftha.model.cluster import Told
from raftha.model.ids import Epoch, MemberName, Revision, Timeline
from raftha.model.operation import Operation, OperationState, OperationStep, Step
from raftha.model.store import KeyAt, Put
from raftha.model.view import Diverged, JobKind, JobResult
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, N2, N3

LINE: Final = (
    b.record(1, epoch=Epoch(1, 20), leader=N1),
    b.record(2, epoch=pg.EPOCH, leader=N2, switch=pg.lsn(7000)),
)
UNDONE: Final = Diverged(timeline=Timeline(1), end=pg.lsn(7345))


def rejoined(diverged: Diverged | None, **more: Any) -> list[Submit]:
    """The writes to the history of a standby that has just come back."""
    done = JobResult(kind=JobKind.REJOIN, ended=pg.at(-0.1), diverged=diverged)
    given = {"cluster": b.followed(history=LINE), "finished": done, **more}
    view = b.following(**given)
    decision = b.decided(view, b.following_memory(view))
    return [a for a in decision.actions if isinstance(a, Submit) and a.intent == "history"]


def test_a_rejoined_server_says_how_much_it_undid() -> None:
    (write,) = rejoined(UNDONE)

    told = (LINE[0], replace(LINE[1], lost_bytes=345))
    assert write.command.guards == (KeyAt(KEYS.history, Revision(12)),)
    assert write.command.writes == (Put(KEYS.history, encode_history(told)),)
    assert rejoined(UNDONE, cluster=b.followed(history=told)) == []


def test_a_server_that_could_not_undo_it_yet_says_so_too() -> None:
    failed = JobResult(kind=JobKind.REJOIN, ended=pg.at(-0.1), error="cut off", diverged=UNDONE)
    assert len(rejoined(UNDONE, finished=failed)) == 1


def test_nothing_is_said_without_a_loss_or_while_a_write_is_open() -> None:
    assert rejoined(None) == []
    assert rejoined(UNDONE, pending=frozenset({"history"})) == []
    assert rejoined(replace(UNDONE, timeline=Timeline(9))) == []


def test_a_former_primary_that_has_nothing_to_undo_tells_that_nothing_is_lost() -> None:
    (write,) = rejoined(replace(UNDONE, end=pg.lsn(7000)))

    told = (LINE[0], replace(LINE[1], lost_bytes=0))
    assert write.command.writes == (Put(KEYS.history, encode_history(told)),)
    assert rejoined(replace(UNDONE, end=pg.lsn(7000)), cluster=b.followed(history=told)) == []


def test_the_server_that_held_most_counts() -> None:
    told = with_loss(LINE, UNDONE)

    assert with_loss(told, replace(UNDONE, end=pg.lsn(7100))) == told
    assert with_loss(told, replace(UNDONE, end=pg.lsn(8000)))[-1].lost_bytes == 1000


def test_of_two_switches_away_from_a_timeline_the_newest_counts() -> None:
    again = b.record(3, parent=Timeline(1), switch=pg.lsn(7200))

    assert [r.lost_bytes for r in with_loss((*LINE, again), UNDONE)] == [None, None, 145]


def test_a_timeline_that_nobody_went_on_from_is_left_by_the_next_promotion_beside_it() -> None:
    """Timeline 3 took writes and died unseen; 4 left timeline 2 where 3 had."""
    third = b.record(3, parent=Timeline(2), switch=pg.lsn(8000))
    fourth = b.record(4, parent=Timeline(2), switch=pg.lsn(8000))
    fifth = b.record(5, parent=Timeline(4), switch=pg.lsn(9500))
    undone = Diverged(timeline=Timeline(3), end=pg.lsn(9000))

    told = with_loss((*LINE, third, fourth, fifth), undone)

    assert [r.lost_bytes for r in told] == [None, None, None, 1000, None]
    assert with_loss((*LINE, third), undone) == (*LINE, third), "nobody has left it"


def test_a_record_that_names_itself_as_its_parent_holds_up_nobody() -> None:
    """No agent writes one; a decision that never ends would cost the lease."""
    odd = b.record(3, parent=Timeline(3), switch=pg.lsn(8000))
    undone = Diverged(timeline=Timeline(3), end=pg.lsn(9000))
    assert with_loss((*LINE, odd), undone) == (*LINE, odd)


def test_the_record_of_a_promotion_holds_what_the_leader_before_had_written() -> None:
    seen = LeaderSeen(
        revision=Revision(1), at=pg.at(-9), timeline=Timeline(1), position=pg.lsn(6000)
    )
    won = b.cluster(history=LINE[:1], sync=None, config=b.OFF)
    view = b.view(cluster=won, guardian=pg.STANDBY_GUARDIAN, server=pg.standby(5000))
    told = b.only(b.decided(view, b.Memory(leader_seen=seen)), Submit).command.writes[0].value
    other = b.Memory(leader_seen=replace(seen, timeline=Timeline(7)))

    assert b'"seen":"0/1770"' in told
    kept = Told(leader=N2, timeline=Timeline(1), position=pg.lsn(7000), revision=Revision(9))
    later = replace(view, cluster=replace(won, told=kept))
    assert b'"seen":"0/1B58"' in b.only(b.decided(later), Submit).command.writes[0].value
    untold = b.only(b.decided(view, other), Submit).command.writes[0].value
    assert b'"seen":null' in untold


def test_who_was_handed_over_to_knows_that_nothing_is_lost() -> None:
    def lost(step: OperationStep, candidate: MemberName) -> int | None:
        request = b.request(by=N2, to=candidate)
        operation = Operation(
            id=request.id,
            kind=request.kind,
            leader=N2,
            candidate=candidate,
            state=OperationState.RUNNING,
            message="",
            steps=(Step(step=step, by=N2),),
        )
        won = b.cluster(history=LINE[:1], request=request, operation=operation)
        view = b.view(cluster=won, guardian=pg.STANDBY_GUARDIAN, server=pg.standby(5000))
        (write,) = b.only(b.decided(view), Submit).command.writes
        found: int | None = json.loads(write.value)["records"][-1]["lost_bytes"]
        return found

    assert lost(OperationStep.STOPPED, N1) == 0
    assert lost(OperationStep.STOPPED, N3) is None, "another one was meant"
    assert lost(OperationStep.DRAINING, N1) is None, "it went before it had stopped"


def test_the_loss_is_told_in_words() -> None:
    record = b.record(2, switch=pg.lsn(5000))

    assert record.loss == ""
    assert replace(record, seen=pg.lsn(4000)).loss == ""
    assert replace(record, seen=pg.lsn(6000)).loss.startswith("at least 1000 bytes")
    assert replace(record, seen=pg.lsn(6000), lost_bytes=1500).loss.startswith("1500 bytes")
    assert replace(record, seen=pg.lsn(6000), lost_bytes=0).loss == ""
