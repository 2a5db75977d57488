"""A maintenance pause as the other members see it, and what operators may ask for."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import (
    AcquireLeader,
)
from raftha.ha.explain import cluster_problems
from raftha.ha.operations import open_request
from raftha.ha.parting import objection
from raftha.ha.pausing import is_another_machine
from raftha.ha.refusals import refusal
from raftha.model.cluster import Disarmed
from raftha.model.ids import Revision, Timeline
from raftha.model.membership import MemberVerb
from raftha.model.operation import OperatorRequest, RequestKind
from raftha.model.store import KeyAbsent, KeyAt, Remove
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS, LOST
from tests.unit.ha.paused import (
    entry,
    leading,
    others,
    with_entry,
)
from tests.unit.ha.servers import N1, N2, N3


def test_nobody_is_promoted_while_another_is_disarmed() -> None:
    decision = b.decided(others(entry(N2)), LOST)

    assert decision.rule == "elect-15"
    assert "AcquireLeader" not in b.acts(decision)
    assert "--fenced n2" in decision.reason


def test_an_entry_that_cannot_be_read_counts() -> None:
    unread = Disarmed(name=N2, revision=Revision(57))

    assert b.decided(others(unread), LOST).rule == "elect-15"


def test_a_claim_names_everybody_as_not_disarmed() -> None:
    """An entry that is not seen here yet makes it fail."""
    acquire = b.only(b.decided(others(), LOST), AcquireLeader)

    wanted = {KeyAbsent(KEYS.disarmed_of(name)) for name in b.NAMES}
    assert wanted <= set(acquire.command.guards)


def test_nobody_is_promoted_by_itself_in_a_pause() -> None:
    assert b.decided(others(paused=True), LOST).rule == "elect-17"
    chosen = b.request(RequestKind.FAILOVER, by=None, to=N3)
    assert b.decided(others(paused=True, request=chosen), LOST).rule == "elect-17"


def test_whom_an_operator_names_is_promoted_in_a_pause() -> None:
    chosen = b.request(RequestKind.FAILOVER, by=None, to=N1)
    decision = b.decided(others(paused=True, request=chosen), LOST)

    assert decision.rule == "elect-70"
    guards = b.only(decision, AcquireLeader).command.guards
    assert KeyAt(KEYS.failover, chosen.revision) in guards, "only for this request"


def test_a_diverged_standby_is_neither_stopped_nor_pointed_at_the_leader_in_a_pause() -> None:
    history = (b.record(leader=N2), b.record(2, switch=pg.lsn(4000), leader=N2))
    cluster = with_entry(b.followed(history=history, timeline=Timeline(2)))
    decision = b.decided(b.following(cluster=replace(cluster, leader=b.leader(N2))))

    assert "Stop" not in b.acts(decision)
    assert "Configure" not in b.acts(decision)


# What operators ask for.


def asking(view: View, **more: Any) -> str | None:
    given: dict[str, Any] = {
        "id": "op1",
        "kind": RequestKind.FAILOVER,
        "leader": None,
        "candidate": N1,
        "revision": Revision(0),
    }
    return refusal(b.situation(view), OperatorRequest(**{**given, **more}))


def test_a_failover_is_refused_while_another_is_disarmed() -> None:
    reason = asking(others(entry(N2)))

    assert reason is not None
    assert "--fenced n2" in reason
    assert asking(others(entry(N2)), fenced=N2) is None
    assert "n3" in str(asking(others(entry(N2), entry(N3)), fenced=N2)), "each must be named"


def test_a_paused_cluster_hands_over_to_a_named_candidate_only() -> None:
    view = leading(entry(), peers=pg.answers(pg.report(N2), pg.report(N3)))

    assert asking(view, leader=N1, candidate=None) == "the cluster is paused: name the candidate"
    assert asking(view, leader=N1, candidate=N2) is None


def test_a_machine_that_shows_signs_of_life_is_not_taken_for_off() -> None:
    alive = pg.answers(pg.report(N2, primary_alive=True), pg.report(N3))
    view = replace(others(entry(N2)), peers=alive)

    assert "is not off" in str(asking(view, fenced=N2))
    assert "holds the leader key" in str(asking(leading(entry()), candidate=N2, fenced=N1))
    assert "leave --fenced out" in str(asking(others(), fenced=N2))
    assert "cannot take over" in str(asking(others(entry()), fenced=N1))


def test_the_entry_goes_with_the_request_or_neither_happens() -> None:
    request = replace(b.request(RequestKind.FAILOVER, by=None, to=N1), fenced=N2)
    command = open_request(KEYS, others(entry(N2)).cluster, request, N1)

    key = KEYS.disarmed_of(N2)
    assert {KeyAt(key, Revision(57)), KeyAbsent(KEYS.leader), KeyAbsent(KEYS.failover)} <= set(
        command.guards
    )
    assert Remove(key) in command.writes


def test_the_history_tells_of_the_word_that_was_given() -> None:
    request = replace(b.request(RequestKind.FAILOVER, by=None, to=N1), fenced=N2)
    decision = b.decided(others(request=request), LOST)

    assert "an operator said that n2 is off" in decision.memory.race


@pytest.mark.parametrize("verb", [MemberVerb.REMOVE, MemberVerb.REPLACE])
def test_a_member_whose_primary_may_run_is_not_removed(verb: MemberVerb) -> None:
    cluster = others(entry(N2)).cluster

    assert "--fenced n2" in str(objection(cluster, verb, N2))
    assert objection(others().cluster, verb, N3) is None


def notices(view: View) -> str:
    found = cluster_problems(view.cluster, view.raft, {})
    return " ".join(f"{notice.subject}: {notice.what}; {notice.remedy}" for notice in found)


def test_the_status_reminds_of_a_pause() -> None:
    assert "MAINTENANCE PAUSE" in notices(leading(entry()))
    assert "raftha resume" in notices(leading(entry()))
    assert "PAUSE" not in notices(leading(paused=False))


def test_the_status_names_whose_primary_nobody_can_vouch_for() -> None:
    told = notices(others(entry(N2)))

    assert "n2: its primary may run without a deadline" in told
    assert "raftha failover --candidate NAME --fenced n2" in told
    assert "--fenced" not in notices(leading(entry())), "while it leads there is nothing to do"


def test_a_machine_that_took_the_name_of_the_lost_one_proves_nothing() -> None:
    """Its answers do not keep an operator from saying that the lost one is off."""
    view = others(entry(N2, incarnation="directory-of-the-lost"))
    voters = tuple(
        replace(voter, incarnation="directory-n2") if voter.name == N2 else voter
        for voter in view.raft.voters
    )
    newer = replace(view, raft=replace(view.raft, voters=voters))

    assert is_another_machine(b.situation(newer), N2)
    assert not is_another_machine(b.situation(view), N2), "what is not known proves nothing"
    assert not is_another_machine(b.situation(others(entry(N1))), N1)
