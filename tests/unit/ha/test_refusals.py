"""An operator's failover in a cluster without a leader: what is refused, and what takes the place
of a request that came to nothing."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.agent.report import node_report, peer_report
from raftha.ha.explain import cluster_problems
from raftha.ha.operations import open_request
from raftha.ha.refusals import in_the_way, may_lack, refusal
from raftha.model.ids import MemberName, Revision
from raftha.model.operation import OperatorRequest, RequestKind
from raftha.model.settings import Tags
from raftha.model.store import KeyAbsent, KeyAt
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS, LOST
from tests.unit.ha.servers import N1, N2, N3

PAIR = b.sync(N1, N3, by=N2, quorum=1)
LACKS = (
    "it may lack acknowledged commits: 1 of n3 must have told that they hold no more, 0 have: n3 "
    "does not answer"
)


def failover(to: MemberName = N1, *, may_lose: bool = False) -> OperatorRequest:
    return replace(b.request(RequestKind.FAILOVER, by=None, to=to), may_lose=may_lose)


def without_leader(peers: Any, **more: Any) -> Any:
    """n1 and n3 are a quorum; n2, which led, is gone."""
    view = b.racing(cluster=b.followed(leader=None, sync=PAIR), peers=peers, **more)
    return b.situation(view, LOST)


def test_who_cannot_hear_enough_is_refused_and_an_accepted_loss_overrules_that() -> None:
    here = without_leader(pg.answers(silent=(N2, N3)))
    refused = f"n1 cannot take over: {LACKS}; raftha failover --allow-data-loss would overrule that"
    assert refusal(here, failover()) == refused
    assert refusal(here, failover(may_lose=True)) is None

    elsewhere = without_leader(pg.answers(pg.report(N3, lacking=LACKS), silent=(N2,)))
    told = refusal(elsewhere, failover(N3))
    assert told == refused.replace("n1 cannot", "n3 cannot")
    assert refusal(elsewhere, failover(N3, may_lose=True)) is None


def test_who_has_heard_enough_or_may_be_about_to_is_not_refused() -> None:
    for peers in (
        pg.answers(pg.report(N3), silent=(N2,)),
        pg.answers(pg.report(N3, pledged=None), silent=(N2,)),
        pg.answers(pg.report(N3, None), silent=(N2,)),
        {},
    ):
        assert refusal(without_leader(peers), failover()) is None
    ahead = refusal(without_leader(pg.answers(pg.report(N3, 5016), silent=(N2,))), failover())
    assert "n3 is 16 bytes ahead" in (ahead or "")


def test_peers_are_told_what_a_member_may_lack() -> None:
    s = without_leader(pg.answers(silent=(N2, N3)))
    node = node_report(s, b.decided(s.view, LOST), "demo")
    report = peer_report(s, node, s.view.guardian, s.view.server, pg.at(0.1))
    assert (report.obstacle, report.lacking) == (None, LACKS)
    tagged = without_leader(pg.answers(silent=(N2, N3)), me=b.identity(tags=Tags(nofailover=True)))
    assert may_lack(tagged) is None, "something else stands against it"


def test_with_a_leader_nobody_has_to_have_heard_anything() -> None:
    view = b.following(cluster=b.followed(sync=PAIR), peers=pg.answers(silent=(N2, N3)))
    assert may_lack(b.situation(view)) is None


@pytest.mark.parametrize(
    ("leader", "waited_s", "free"),
    [(None, 5.0, True), (None, 4.9, False), (b.leader(N2), 60.0, False)],
)
def test_a_request_has_a_ttl_and_then_gives_way_where_nobody_leads(
    leader: Any, waited_s: float, free: bool
) -> None:
    cluster = b.followed(leader=leader, request=failover())
    memory = replace(LOST, request_since=pg.at(-waited_s))
    told = in_the_way(b.situation(b.racing(cluster=cluster), memory))
    assert told == (None if free else "a failover is under way already")


def test_a_request_that_came_to_nothing_is_replaced_unless_somebody_leads_by_now() -> None:
    cluster = b.followed(leader=None, request=failover())
    guards = open_request(KEYS, cluster, failover(N3), N1).guards
    assert KeyAt(KEYS.failover, Revision(55)) in guards
    assert KeyAbsent(KEYS.leader) in guards
    assert KeyAbsent(KEYS.leader) not in open_request(KEYS, b.vacant(), failover(N3), N1).guards


@pytest.mark.parametrize("tags", [Tags(nofailover=True), Tags(failover_priority=0), Tags()])
def test_no_failover_is_proposed_to_members_that_their_tags_bar(tags: Tags) -> None:
    known = {N2: b.member(N2, tags=tags), N3: b.member(N3, tags=Tags(nostream=True))}
    cluster = b.vacant(members=b.members(*known.values()))
    reports = (pg.report(N2), pg.report(N3))
    remedies = {
        each: cluster_problems(cluster, b.raft(), pg.answers(*reports[each:]))[-1].remedy
        for each in (0, 1)
    }
    assert "take the tag out of the file of one of n3, and `raftha reload` it" in remedies[1]
    is_barred = not tags.may_lead
    assert ("one of n2, n3" in remedies[0]) is is_barred
    assert ("`raftha failover --candidate`" in remedies[0]) is not is_barred
