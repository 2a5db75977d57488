"""Repeated losses of the primary slow down; wished changes do not, and peace ends it."""

from __future__ import annotations

from typing import Any, Final

import pytest
from msgspec.structs import replace

from raftha.ha.actions import Submit
from raftha.ha.backoff import STOPPED, pause, strikes_after
from raftha.ha.explain import problems
from raftha.ha.memory import LeaderSeen, Memory
from raftha.ha.rules.election import AHEAD_TTLS, PREFERRED_WAIT_S
from raftha.instants import Seconds
from raftha.model.cluster import Cluster
from raftha.model.ids import Epoch, Revision, Timeline
from raftha.model.operation import RequestKind
from raftha.model.report import Level, PeerReport
from raftha.model.settings import Tags
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import N1, N2

TTL: Final = b.ON.ttl


def lost(strikes: int, **more: Any) -> Cluster:
    """n2 led, and the primary was lost so often before."""
    record = b.record(leader=N2, strikes=strikes)
    return b.followed(**{"leader": None, "history": (record,), **more})


def racing(strikes: int, *, since: float, **more: Any) -> str:
    """The rule by which n1 decides so long after the key was lost."""
    view = b.racing(cluster=lost(strikes, **more), peers=pg.answers(silent=(N2, pg.N3)))
    return b.decided(view, replace(b.LOST, lost_since=pg.at(-since))).rule


@pytest.mark.parametrize(
    ("strikes", "ttls"), [(0, 0), (1, 0), (2, 0), (3, 0.5), (4, 1), (5, 2), (6, 2), (99, 2)]
)
def test_three_losses_are_answered_at_once_and_the_others_after_growing_pauses(
    strikes: int, ttls: float
) -> None:
    assert pause(b.situation(b.view(cluster=lost(strikes)))) == ttls * TTL
    assert racing(strikes, since=ttls * TTL + 0.2) == "elect-70"
    if ttls:
        assert racing(strikes, since=ttls * TTL - 0.2) == "elect-65"


@pytest.mark.parametrize(
    ("better", "rule", "waited_s"),
    [
        (pg.report(pg.N3, 5016), "elect-60", AHEAD_TTLS * TTL),
        (pg.report(pg.N3), "elect-62", PREFERRED_WAIT_S),
    ],
    ids=["ahead", "preferred"],
)
def test_who_should_lead_is_waited_for_beyond_the_pause_that_all_make(
    better: PeerReport, rule: str, waited_s: float
) -> None:
    tags = Tags(failover_priority=2)
    members = b.members(b.member(N2), b.member(pg.N3, tags=tags))
    peers = pg.answers(better, silent=(N2,))
    view = b.racing(cluster=lost(5, members=members), peers=peers)

    def decided(since: float) -> str:
        return b.decided(view, replace(b.LOST, lost_since=pg.at(-since))).rule

    assert decided(2 * TTL + waited_s - 0.1) == rule
    assert decided(2 * TTL + waited_s + 0.1) == "elect-70"


def test_a_cluster_without_a_history_does_not_pause() -> None:
    assert pause(b.situation(b.view(cluster=b.unborn()))) == 0


@pytest.mark.parametrize("kind", list(RequestKind))
def test_what_an_operator_asks_for_is_not_delayed(kind: RequestKind) -> None:
    asked = b.request(kind, by=N2, to=N1)

    assert racing(9, since=0.2, request=asked) == "elect-70"


def promotion(cluster: Cluster) -> int:
    """The strikes in the record of a promotion that n1 makes in this cluster."""
    return strikes_after(b.situation(b.view(cluster=cluster)))


def test_a_loss_is_counted_and_what_was_wished_is_not() -> None:
    assert promotion(lost(3)) == 4
    assert promotion(lost(3, history=())) == 1
    asked = b.request(RequestKind.SWITCHOVER, by=N2, to=N1)
    assert promotion(lost(3, request=asked)) == 3
    stopped = b.record(leader=N2, strikes=3, ended=STOPPED)
    assert promotion(lost(3, history=(stopped,))) == 3
    failed = b.record(leader=N2, strikes=3, ended="PostgreSQL did not start in 3 tries")
    assert promotion(lost(3, history=(failed,))) == 4


def test_the_count_goes_into_the_record_of_the_promotion() -> None:
    before = b.record(1, epoch=b.OLD, leader=N2, strikes=1)
    view = b.view(cluster=b.won(history=(before,)), guardian=pg.STANDBY_GUARDIAN)
    decision = b.decided(replace(view, server=pg.standby(), directory=pg.STANDBY_DIRECTORY))

    written = next(a.command for a in decision.actions if isinstance(a, Submit)).writes[0]
    assert b'"strikes":2' in written.value


def peaceful(seconds: float, **more: Any) -> list[str]:
    view = b.view(cluster=b.cluster(history=(b.record(strikes=2),), **more))
    memory = b.leading_memory(view, serving_since=pg.at(-seconds))
    return b.acts(b.decided(view, memory))


def test_peace_counts_for_a_primary_that_took_its_key_again_after_a_maintenance_pause() -> None:
    """No record is of its epoch, for it was promoted under the one before."""
    later = Epoch(1, 59)
    leader = b.leader(epoch=later, revision=Revision(later.revision))
    cluster = b.cluster(history=(b.record(strikes=2),), leader=leader)
    view = b.view(cluster=cluster, lease=b.lease(epoch=later))
    memory = b.leading_memory(view, serving_since=pg.at(-10 * TTL - 0.1))

    assert b.acts(b.decided(view, memory)) == ["history"]


def test_after_ten_ttls_of_service_the_strikes_are_forgotten() -> None:
    assert peaceful(10 * TTL - 0.1) == []
    assert peaceful(10 * TTL + 0.1) == ["history"]
    slow = replace(b.ON, ttl=Seconds(30.0))
    assert peaceful(299.0, config=slow) == []
    assert peaceful(301.0, config=slow) == ["history"]


def test_a_quiet_cluster_writes_nothing_about_it() -> None:
    view = b.view()
    memory = b.leading_memory(view, serving_since=pg.at(-900))

    assert b.acts(b.decided(view, memory)) == []


@pytest.mark.parametrize(
    "interrupted",
    [
        b.view(lease=None, guardian=replace(pg.guardian(), armed=True)),
        b.view(server=None),
        b.view(server=pg.standby()),
    ],
    ids=["without the lease", "crashed", "a standby"],
)
def test_peace_begins_anew_once_a_primary_did_not_serve(interrupted: View) -> None:
    serving = b.leading_memory(b.view(), serving_since=pg.at(-900))
    assert b.decided(b.view(), serving).memory.serving_since == pg.at(-900)
    assert b.decided(interrupted, serving).memory.serving_since is None
    assert b.decided(b.view(), Memory()).memory.serving_since == pg.T0


def test_that_it_slows_down_is_told_by_whoever_leads_or_would() -> None:
    (told,) = problems(b.situation(b.view(cluster=b.cluster(history=(b.record(strikes=4),)))))
    assert told.level is Level.WARNING
    assert "lost 4 times in a row, without 50 s of peace" in told.what
    assert "waits 5 s" in told.what
    assert problems(b.situation(b.racing(cluster=lost(3))))
    follows = b.followed(history=(b.record(leader=N2, strikes=9),))
    assert problems(b.situation(b.following(cluster=follows))) == ()
    assert problems(b.situation(b.racing(cluster=lost(2)))) == ()


def test_why_a_leader_gave_its_key_back_is_told_by_the_next() -> None:
    ended = b.record(leader=N2, ended="PostgreSQL did not start in 3 tries")
    view = b.racing(cluster=lost(0, history=(ended,)), peers=pg.answers(silent=(N2, pg.N3)))
    seen = LeaderSeen(revision=Revision(50), at=pg.at(-9), timeline=Timeline(1))
    raced = b.decided(view, replace(b.LOST, leader_seen=seen)).memory.race

    assert raced.startswith("n2 gave the leader key back: PostgreSQL did not start in 3 tries;")
