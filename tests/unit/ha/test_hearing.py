"""The race in quorum mode: who has heard enough to know that it holds every acknowledged commit."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import AcquireLeader, AskPeers
from raftha.ha.decide import observe_memory
from raftha.ha.hearing import unheard
from raftha.ha.table import Decision
from raftha.model.ids import MemberName, Revision, Timeline
from raftha.model.operation import RequestKind
from raftha.model.view import PeerAnswer
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import LOST
from tests.unit.ha.servers import N1, N2, N3

N4 = MemberName("n4")
PAIR = b.sync(N1, N3, by=N2, quorum=1)
OLD = replace(LOST, lost_since=pg.at(-60))
"""So long without a leader that nobody is left the key for any longer."""


def raced(*, sync: Any = PAIR, memory: Any = LOST, **more: Any) -> Decision:
    cluster = b.followed(leader=None, sync=sync, **more.pop("cluster", {}))
    return b.decided(b.racing(cluster=cluster, **more), memory)


def test_one_that_has_heard_the_other_races() -> None:
    assert b.only(raced(peers=pg.answers(pg.report(N3), silent=(N2,))), AcquireLeader)
    behind = pg.answers(pg.report(N3, 4000), silent=(N2,))
    assert b.only(raced(peers=behind), AcquireLeader)


def test_one_that_has_not_heard_the_other_waits_and_asks_again() -> None:
    decision = raced(peers=pg.answers(silent=(N2, N3), ago=0.49), memory=OLD)

    assert decision.rule == "elect-68"
    assert decision.reason == (
        "n1 may lack acknowledged commits: 1 of n3 must have told that they hold no more, "
        "0 have: n3 does not answer"
    )
    late = raced(peers=pg.answers(silent=(N2, N3), ago=0.5), memory=OLD)
    assert b.only(late, AskPeers).names == (N2, N3)


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (pg.report(N3, 5016), "n3 is 16 bytes ahead"),
        (pg.report(N3, 5016, obstacle="replay is paused"), "n3 is 16 bytes ahead"),
        (pg.report(N3, 5016, wants_lead=False), "n3 is 16 bytes ahead"),
        (pg.report(N3, pledged=None), "n3 has not cut its old stream yet"),
        (pg.report(N3, from_backup=True), "n3 has a data directory that a program made"),
        (pg.report(N3, None), "n3 does not know its WAL position"),
        (pg.report(N3, 10, timeline=None), "n3 does not know its WAL position"),
        (pg.report(N3, 10, timeline=Timeline(2)), "on timeline 2, which this node does not hold"),
    ],
)
def test_who_may_hold_more_is_never_overtaken(report: Any, why: str) -> None:
    """Even if it never takes the key itself, and however long it has been gone."""
    decision = raced(peers=pg.answers(report, silent=(N2,)), memory=OLD)

    assert decision.rule == "elect-68"
    assert why in decision.reason


def test_an_accepted_loss_needs_nobody_to_be_heard() -> None:
    asked = replace(b.request(RequestKind.FAILOVER, by=None, to=N1), may_lose=True)
    silent = {"peers": pg.answers(silent=(N2, N3)), "memory": OLD}
    assert b.only(raced(cluster={"request": asked}, **silent), AcquireLeader)
    other = raced(cluster={"request": replace(asked, candidate=N3)}, **silent)
    assert other.rule == "elect-68"


def test_the_old_leader_needs_to_hear_nobody() -> None:
    alone = pg.answers(silent=(N2, N3))

    assert b.only(raced(sync=b.sync(N2, N3, by=N1, quorum=1), peers=alone), AcquireLeader)


def test_without_a_quorum_each_standby_of_the_set_holds_everything() -> None:
    alone = pg.answers(silent=(N2, N3))

    assert b.only(raced(sync=b.sync(N1, N3, by=N2), peers=alone), AcquireLeader)


def test_who_is_not_in_the_set_counts_for_nobody() -> None:
    """n2 was the leader; what it says now, after a fall back to a copy, proves nothing."""
    told = pg.answers(pg.report(N2), silent=(N3,))

    assert raced(peers=told, memory=OLD).rule == "elect-68"


def test_as_many_are_needed_as_the_set_says() -> None:
    four = b.members() | {N4: b.member(N4)}
    three = b.sync(N1, N3, N4, by=N2, quorum=1)
    one_ahead = pg.answers(pg.report(N3, 9000, wants_lead=False), pg.report(N4), silent=(N2,))
    given: dict[str, Any] = {"cluster": {"members": four}, "peers": one_ahead, "memory": OLD}
    assert b.only(raced(sync=three, **given), AcquireLeader)

    both = raced(sync=replace(three, quorum=2), **given)
    assert both.rule == "elect-68"
    assert "2 of n3, n4 must have told that they hold no more, 1 have" in both.reason


def test_one_on_an_older_timeline_of_the_same_line_holds_no_more() -> None:
    line = (b.record(1), b.record(2, switch=pg.lsn(4000)))
    older = pg.answers(pg.report(N3, 4000, timeline=Timeline(1)), silent=(N2,))
    given: dict[str, Any] = {
        "cluster": {"history": line, "timeline": Timeline(2)},
        "server": pg.standby(timeline=Timeline(2)),
    }
    assert b.only(raced(peers=older, **given), AcquireLeader)

    beyond = pg.answers(pg.report(N3, 4001, timeline=Timeline(1)), silent=(N2,))
    assert raced(peers=beyond, memory=OLD, **given).rule == "elect-68"


def test_what_was_told_before_the_leader_was_gone_does_not_count() -> None:
    """It may have acknowledged more since, with that standby alone."""
    early = {N3: PeerAnswer(asked=pg.at(-0.6), report=pg.report(N3))}

    view = b.racing(cluster=b.followed(leader=None, sync=PAIR), peers=early)
    assert "n3 was not asked yet" in (unheard(b.situation(view, LOST)) or "")
    assert "AcquireLeader" not in b.acts(raced(peers={**early, **pg.answers(silent=(N2,))}))


def test_another_vacancy_begins_with_each_leader_that_was_there_meanwhile() -> None:
    """This node was asleep: a leader came and went without its seeing it. What n3 told before that
    is worth nothing, for the commits of that leader may be on n3 alone."""
    told = pg.answers(pg.report(N3), silent=(N2,))
    slept = replace(LOST, lost_at=Revision(12))
    decision = raced(peers=told, memory=slept)

    assert decision.rule == "elect-30"
    assert decision.memory.lost_since == pg.T0
    assert b.only(decision, AskPeers).names == (N2, N3)


def test_a_vacancy_lasts_as_long_as_the_status_key_stays() -> None:
    assert observe_memory(b.racing(), LOST).lost_since == LOST.lost_since
