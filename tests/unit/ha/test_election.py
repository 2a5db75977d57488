"""The race for a free leader key."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import AcquireLeader, AskPeers, Start
from raftha.ha.keys import encode_status, encode_sync
from raftha.ha.memory import LeaderSeen, Memory
from raftha.ha.plans import standby_plan
from raftha.ha.table import Decision
from raftha.model.ids import Revision, Timeline
from raftha.model.operation import RequestKind
from raftha.model.report import PeerReport
from raftha.model.settings import Tags
from raftha.model.store import Grant, KeyAbsent, KeyAt, Put
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS, LOST
from tests.unit.ha.servers import N1, N2, N3


def test_a_server_that_is_down_starts_as_a_standby_without_upstream() -> None:
    view = b.racing(guardian=pg.IDLE_GUARDIAN, server=None)
    decision = b.decided(view, LOST)
    start = b.only(decision, Start)

    assert decision.rule == "elect-10"
    assert start.epoch is None
    assert start.plan.upstream is None
    assert start.plan.synchronous_standby_names == "raftha_nobody"


def test_an_empty_node_waits_for_a_leader_to_clone_from() -> None:
    view = b.racing(guardian=pg.IDLE_GUARDIAN, server=None, directory=pg.EMPTY)

    assert b.acts(b.decided(view, LOST)) == []


def test_whoever_may_not_lead_says_why() -> None:
    view = b.racing(me=b.identity(tags=Tags(nofailover=True)))
    decision = b.decided(view, LOST)

    assert decision.rule == "elect-20"
    assert "nofailover" in decision.reason
    assert "AcquireLeader" not in b.acts(decision)


def test_who_is_not_in_the_synchronous_set_does_not_race() -> None:
    view = b.racing(cluster=b.followed(leader=None, sync=b.sync(N3, by=N2)))
    decision = b.decided(view, LOST)

    assert decision.rule == "elect-20"
    assert "provably held by n2 and n3 alone" in decision.reason


def test_everybody_is_asked_the_vanished_primary_too() -> None:
    decision = b.decided(b.racing(peers={}), LOST)

    assert decision.rule == "elect-30"
    assert b.only(decision, AskPeers).names == (N2, N3)


def test_an_answer_from_before_the_key_lapsed_does_not_count() -> None:
    view = b.racing(peers=pg.answers(pg.report(N3), pg.report(N2), ago=0.6))

    assert b.decided(view, LOST).rule == "elect-30"


def test_a_member_that_does_not_answer_holds_nobody_up() -> None:
    view = b.racing(peers=pg.answers(silent=(N2, N3)))

    assert b.decided(view, LOST).rule == "elect-70"


def test_a_live_primary_delays_the_race() -> None:
    alive = pg.answers(pg.report(N2, primary_alive=True), pg.report(N3))
    decision = b.decided(b.racing(peers=alive), LOST)

    assert decision.rule == "elect-40"
    assert decision.memory.live_primary_since == pg.T0
    assert "5.0 s more" in decision.reason


def test_a_live_primary_delays_the_race_by_one_ttl_at_most() -> None:
    alive = pg.answers(pg.report(N2, primary_alive=True), pg.report(N3))
    waited = replace(LOST, lost_since=pg.at(-6), live_primary_since=pg.at(-5))

    assert b.decided(b.racing(peers=alive), waited).rule == "elect-70"
    not_yet = replace(waited, live_primary_since=pg.at(-4.9))
    assert b.decided(b.racing(peers=alive), not_yet).rule == "elect-40"


def test_the_candidate_goes_first_also_where_nobody_has_led_for_long() -> None:
    """A choice by hand is made for such a cluster; the time counts from when it was made."""
    asked = b.request(RequestKind.FAILOVER, by=None, to=N3)
    view = b.racing(cluster=b.followed(leader=None, request=asked))
    long_ago = replace(b.LOST, lost_since=pg.at(-60.0), request_seen=asked.id)

    fresh = b.decided(view, replace(long_ago, request_since=pg.at(-0.5)))
    assert fresh.rule == "elect-50"
    stale = b.decided(view, replace(long_ago, request_since=pg.at(-5.0)))
    assert stale.rule != "elect-50", "who does not take it keeps nobody for ever"


def test_the_candidate_that_was_asked_for_goes_first() -> None:
    asked = b.request(RequestKind.SWITCHOVER, by=N2, to=N3)
    view = b.racing(cluster=b.followed(leader=None, request=asked))
    assert b.decided(view, LOST).rule == "elect-50"

    late = replace(LOST, lost_since=pg.at(-5.0), request_since=pg.at(-5.0), request_seen=asked.id)
    assert b.decided(view, late).rule == "elect-70"


def test_a_candidate_that_cannot_is_not_waited_for() -> None:
    asked = b.request(RequestKind.SWITCHOVER, by=N2, to=N3)
    cluster = b.followed(leader=None, request=asked)
    unfit = pg.answers(pg.report(N3, obstacle="replay is paused"), silent=(N2,))

    assert b.decided(b.racing(cluster=cluster, peers=unfit), LOST).rule == "elect-70"
    silent = pg.answers(silent=(N2, N3))
    assert b.decided(b.racing(cluster=cluster, peers=silent), LOST).rule == "elect-70"


def test_whoever_holds_more_goes_first() -> None:
    ahead = pg.answers(pg.report(N3, 5016), silent=(N2,))
    decision = b.decided(b.racing(peers=ahead), LOST)

    assert decision.rule == "elect-60"
    assert decision.reason == "leaving the leader key to n3: it is 16 bytes ahead"


def tied(mine: int, theirs: int, report: PeerReport, **more: Any) -> Decision:
    """n1 and n3 answered, with these priorities."""
    tags = {"tags": Tags(failover_priority=theirs)}
    members = b.members(b.member(N2), b.member(N3, **tags))
    cluster = b.followed(leader=None, members=members, **more)
    me = b.identity(tags=Tags(failover_priority=mine))
    return b.decided(b.racing(cluster=cluster, me=me, peers=pg.answers(report, silent=(N2,))), LOST)


@pytest.mark.parametrize(
    ("mine", "theirs", "report", "leaves"),
    [
        (1, 2, pg.report(N3), True),
        (1, 1, pg.report(N3), False),
        (2, 1, pg.report(N3), False),
        (1, 2, pg.report(N3, 4999), False),
        (1, 2, pg.report(N3, timeline=Timeline(2)), False),
        (1, 2, pg.report(N3, obstacle="it is tired"), False),
        (1, 2, pg.report(N3, wants_lead=False), False),
    ],
    ids=["higher", "equal", "lower", "behind", "elsewhere", "may not", "by its word"],
)
def test_of_those_that_hold_the_same_the_preferred_one_goes_first(
    mine: int, theirs: int, report: PeerReport, leaves: bool
) -> None:
    decision = tied(mine, theirs, report)
    assert (decision.rule == "elect-62") == leaves
    if leaves:
        words = "leaving the leader key to n3: its failover_priority is 2, the one here 1"
        assert decision.reason == words
        assert "AcquireLeader" not in b.acts(decision)


def preferring() -> View:
    """n3 holds the same as n1, and is preferred."""
    members = b.members(b.member(N2), b.member(N3, tags=Tags(failover_priority=9)))
    cluster = b.followed(leader=None, members=members)
    return b.racing(cluster=cluster, peers=pg.answers(pg.report(N3), silent=(N2,)))


def test_a_preferred_member_is_not_waited_for_long_nor_against_an_operator() -> None:
    view = preferring()
    assert b.decided(view, replace(LOST, lost_since=pg.at(-0.99))).rule == "elect-62"
    assert b.decided(view, replace(LOST, lost_since=pg.at(-1.01))).rule == "elect-70"
    request = b.request(RequestKind.FAILOVER, by=None, to=N1)
    assert tied(1, 9, pg.report(N3), request=request).rule == "elect-70"


def test_a_higher_timeline_holds_more() -> None:
    ahead = pg.answers(pg.report(N3, 10, timeline=Timeline(2)), silent=(N2,))

    assert b.decided(b.racing(peers=ahead), LOST).rule == "elect-60"


def test_whoever_may_not_lead_is_not_waited_for() -> None:
    unwilling = pg.answers(pg.report(N3, 9000, wants_lead=False), silent=(N2,))
    assert b.decided(b.racing(peers=unwilling), LOST).rule == "elect-70"
    unfit = pg.answers(pg.report(N3, 9000, obstacle="no"), silent=(N2,))
    assert b.decided(b.racing(peers=unfit), LOST).rule == "elect-70"
    unknown = pg.answers(pg.report(N3, None), silent=(N2,))
    assert b.decided(b.racing(peers=unknown), LOST).rule == "elect-70"


def test_the_claim_is_judged_by_what_eligibility_was_judged_by() -> None:
    decision = b.decided(b.racing(), LOST)
    acquire = b.only(decision, AcquireLeader)

    assert decision.rule == "elect-70"
    assert set(acquire.command.guards) == {
        KeyAbsent(KEYS.leader),
        KeyAt(KEYS.sync, Revision(41)),
        KeyAt(KEYS.config, Revision(11)),
        KeyAt(KEYS.status, Revision(13)),
        *(KeyAbsent(KEYS.disarmed_of(name)) for name in b.NAMES),
    }
    writes = acquire.command.writes
    assert Put(KEYS.sync, encode_sync(N1, ())) in writes
    assert Put(KEYS.status, encode_status((), Timeline(1), checkpointed=False)) in writes
    assert [(w.holder, w.ttl) for w in writes if isinstance(w, Grant)] == [(N1, 5.0)]


def test_a_race_leaves_its_grounds_for_the_history() -> None:
    seen = LeaderSeen(revision=Revision(40), at=b.at(-6.0))
    grounds = b.decided(b.racing(), replace(LOST, leader_seen=seen)).memory.race

    assert grounds == ("the lease of n2 ended; positions: n1 0/1388, n2 did not answer, n3 0/1388")


def test_after_a_full_stop_nothing_is_made_up_of_how_the_last_leader_ended() -> None:
    grounds = b.decided(b.racing(), LOST).memory.race

    assert grounds.startswith("nobody held the leader key, which n2 had last; positions: ")


@pytest.mark.parametrize(
    ("renewed", "watched", "who"),
    [
        (-2.7, -60.0, "n2 gave the leader key back"),
        (-2.8, -60.0, "the lease of n2 ended"),
        (-1.0, -5.4, "the lease of n2 ended"),
    ],
    ids=["its renewals came until now", "a renewal was missing", "this node came just before"],
)
def test_the_history_tells_an_orderly_stop_from_a_lease_that_ended(
    renewed: float, watched: float, who: str
) -> None:
    """The key is missing since 0.5 s ago; a renewal comes each 1 s and gets 1.25 s to commit."""
    seen = LeaderSeen(revision=Revision(40), at=b.at(renewed))
    memory = replace(LOST, leader_seen=seen, together_since=b.at(watched))

    assert b.decided(b.racing(), memory).memory.race.partition(";")[0] == who


def test_a_race_in_flight_is_not_run_again() -> None:
    decision = b.decided(b.racing(pending=frozenset({"leader"})), LOST)

    assert decision.rule == "elect-70"
    assert b.acts(decision) == []


def test_an_asynchronous_cluster_is_raced_for_without_a_set() -> None:
    cluster = b.followed(leader=None, sync=None, config=b.OFF)
    alone = replace(LOST, plan=standby_plan(cluster, b.identity(), None))
    command = b.only(b.decided(b.racing(cluster=cluster), alone), AcquireLeader).command

    assert KeyAbsent(KEYS.sync) in command.guards
    assert not any(isinstance(w, Put) and w.key == KEYS.sync for w in command.writes)


def test_nobody_races_while_somebody_leads() -> None:
    assert b.decided(b.following(), Memory()).rule.startswith("follow")
