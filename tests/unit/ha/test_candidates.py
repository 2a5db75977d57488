"""Who may take over and why not, and what an operator is told."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.json import decode
from msgspec.structs import replace

from raftha.ha.candidates import diverged, lacking, obstacle, switch_point
from raftha.ha.memory import LeaderSeen, Memory
from raftha.ha.refusals import refusal
from raftha.ha.rules.election import claim
from raftha.model.ids import Epoch, Lsn, MemberName, Revision, Timeline
from raftha.model.operation import OperatorRequest, RequestKind
from raftha.model.postgres import ReplayPause
from raftha.model.settings import DynamicConfig, SynchronousMode, Tags
from raftha.model.store import Put, Transact
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import LOST
from tests.unit.ha.servers import N1, N2, N3

LATER = Epoch(1, 44)
TWICE = (b.record(1), b.record(2, epoch=LATER, leader=N2), b.record(3, epoch=Epoch(1, 50)))
"""Timeline 2 left 1 at 5000, timeline 3 left 2 at 10000."""


def why_not(view: View, memory: Memory = LOST) -> str | None:
    return obstacle(b.situation(view, memory))


def test_a_healthy_standby_of_the_set_may_lead() -> None:
    assert why_not(b.racing()) is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"me": b.identity(tags=Tags(nofailover=True))}, "its tags forbid it"),
        ({"me": b.identity(tags=Tags(failover_priority=0))}, "its tags forbid it"),
        ({"stopping": True}, "it is being stopped"),
        ({"raft": b.raft(majority=False)}, "no majority of the voters is in touch"),
        ({"server": None}, "PostgreSQL is not running"),
        ({"server": pg.standby(replay_pause=ReplayPause.PAUSED)}, "replay is paused"),
        ({"server": pg.standby(None)}, "its WAL position is unknown"),
    ],
)
def test_what_stands_against_a_promotion(more: dict[str, Any], words: str) -> None:
    found = why_not(b.racing(**more))

    assert found is not None
    assert words in found


@pytest.mark.parametrize("by", [N1, N2], ids=["the old primary", "a standby"])
def test_who_was_put_back_from_an_older_copy_does_not_lead(by: MemberName) -> None:
    """Neither a standby of the set nor the old primary, and both hold everything by the store."""

    def told(position: int) -> str | None:
        sync = replace(b.sync(N1 if by == N2 else N2, by=by), floor=Lsn(5000))
        server = pg.standby(position)
        return why_not(b.racing(cluster=b.followed(leader=None, sync=sync), server=server))

    assert told(5000) is None
    why = told(4999) or ""
    assert why.startswith("its WAL ends at 0/1387 and went to 0/1388 before")
    assert "older copy" in why


@pytest.mark.parametrize("by", [N1, N2], ids=["the old primary", "a standby"])
def test_who_was_copied_from_a_backup_does_not_lead_before_it_has_followed(by: MemberName) -> None:
    """Its WAL goes as far as that of the set once did, and not as far as what it acknowledged."""

    def told(**more: Any) -> str | None:
        copied = replace(pg.STANDBY_DIRECTORY, from_backup=True)
        sync = replace(b.sync(N1 if by == N2 else N2, by=by), floor=Lsn(4000))
        cluster = b.followed(leader=None, **{"sync": sync, **more})
        return why_not(b.racing(cluster=cluster, directory=copied))

    assert "older backup" in (told() or "")
    asked = replace(b.request(RequestKind.FAILOVER, by=None, to=N1), may_lose=True)
    assert told(request=asked) is None
    assert told(sync=None) is None


def test_an_operator_may_accept_an_older_copy() -> None:
    request = replace(b.request(RequestKind.FAILOVER, by=None, to=N1), may_lose=True)
    sync = replace(b.sync(N1, by=N2), floor=Lsn(9000))
    view = b.racing(cluster=b.followed(leader=None, sync=sync, request=request))

    assert why_not(view) is None
    assert sync_of(claim(b.situation(view, LOST))) == {"leader": "n1", "sync_standby": []}


def test_what_the_winner_was_judged_by_holds_for_the_next_one() -> None:
    sync = replace(b.sync(N1, by=N2), floor=Lsn(5000))
    view = b.racing(cluster=b.followed(leader=None, sync=sync))

    assert sync_of(claim(b.situation(view, LOST)))["floor"] == "0/1388"


def sync_of(command: Transact) -> dict[str, Any]:
    (put,) = [w for w in command.writes if isinstance(w, Put) and w.key == b.KEYS.sync]
    document = decode(put.value)
    del document["format_version"]
    return document


def test_who_has_just_handed_over_lets_the_others_go_first() -> None:
    view = b.racing(cluster=b.followed(leader=None, request=b.request(by=N1)))

    assert why_not(view) == "it has just handed the leader key over"
    assert why_not(view, Memory(lost_since=pg.at(-5.0))) is None


def test_a_member_that_backs_off_says_so_to_its_peers() -> None:
    pausing = Memory(lost_since=pg.at(-0.5), retry_at=pg.at(3.0), failed="the promotion was cut")

    assert why_not(b.racing(), pausing) is not None
    assert why_not(b.racing(), Memory(lost_since=pg.at(-0.5), retry_at=pg.at(-0.1))) is None


def test_the_old_leader_holds_all_that_it_acknowledged() -> None:
    assert why_not(b.racing(cluster=b.followed(leader=None, sync=b.sync(N3, by=N1)))) is None


def bounded(position: int, bound: int, mode: SynchronousMode = SynchronousMode.OFF) -> str | None:
    config = DynamicConfig(synchronous_mode=mode, maximum_lag_on_failover=bound)
    sync = None if mode is SynchronousMode.OFF else b.sync(N1, by=N2)
    cluster = b.followed(leader=None, sync=sync, config=config)
    seen = LeaderSeen(
        revision=Revision(50), at=pg.at(-1), timeline=Timeline(1), position=pg.lsn(5000)
    )
    memory = Memory(lost_since=pg.at(-0.5), leader_seen=seen)
    return why_not(b.racing(cluster=cluster, server=pg.standby(position)), memory)


def test_the_bound_of_loss() -> None:
    assert bounded(4990, bound=10) is None
    assert bounded(4989, bound=10) == (
        "it is 11 bytes behind what the last leader told, more than maximum_lag_on_failover allows"
    )
    assert bounded(4989, bound=10, mode=SynchronousMode.ON) is None


def test_the_bound_is_not_known_before_a_leader_was_seen() -> None:
    cluster = b.followed(leader=None, sync=None, config=b.OFF)

    assert why_not(b.racing(cluster=cluster, server=pg.standby(0))) is None


@pytest.mark.parametrize(
    ("timeline", "position", "expected"),
    [
        (3, 99_999, False),  # on the line
        (2, 10_000, False),  # a beginning of it, to the last byte
        (2, 10_001, True),
        (1, 5_000, False),  # two switches back
        (1, 5_001, True),
        (4, 1, True),  # nobody promised that one
    ],
)
def test_divergence_follows_the_chain_of_switches(
    timeline: int, position: int, expected: bool
) -> None:
    cluster = b.followed(
        leader=b.leader(N2, epoch=Epoch(1, 50)), history=TWICE, timeline=Timeline(3)
    )
    s = b.situation(b.following(cluster=cluster))

    assert diverged(s, Timeline(timeline), pg.lsn(position)) is expected


def test_the_line_is_the_one_that_the_leader_is_about_to_write() -> None:
    """Its record is committed before `status` can say so."""
    cluster = b.followed(leader=b.leader(N2, epoch=LATER), history=TWICE[:2], timeline=Timeline(1))

    assert diverged(b.situation(b.following(cluster=cluster)), Timeline(1), pg.lsn(5001))


def test_a_promotion_that_never_happened_excludes_nobody() -> None:
    cluster = b.followed(leader=None, history=TWICE[:2], timeline=Timeline(1))

    assert not diverged(b.situation(b.racing(cluster=cluster)), Timeline(1), pg.lsn(5001))


def test_a_primary_that_died_before_it_published_its_timeline_may_lead_again() -> None:
    """It alone is in the set, so if it may not lead then nobody ever will."""
    cluster = b.followed(leader=None, history=TWICE[:2], timeline=Timeline(1), sync=b.sync(by=N1))
    returned = pg.standby(6000, timeline=Timeline(2))

    assert why_not(b.racing(cluster=cluster, server=returned)) is None


def test_switch_points() -> None:
    assert switch_point(TWICE, Timeline(3), Timeline(1)) == Lsn(5000)
    assert switch_point(TWICE, Timeline(3), Timeline(2)) == Lsn(10000)
    assert switch_point(TWICE, Timeline(2), Timeline(3)) is None
    assert switch_point((), Timeline(2), Timeline(1)) is None
    loop = (b.record(2, parent=Timeline(3)), b.record(3, parent=Timeline(2)))
    assert switch_point(loop, Timeline(3), Timeline(9)) is None


def refused(request: OperatorRequest, **more: Any) -> str | None:
    peers = pg.answers(pg.report(N2), pg.report(N3))
    return refusal(b.situation(b.view(**{"peers": peers, **more})), request)


def test_a_request_that_can_be_done() -> None:
    assert refused(b.request()) is None
    assert refused(b.request(to=N2)) is None


def test_each_refusal_has_its_reason() -> None:
    assert refused(b.request(), raft=b.raft(majority=False)) == (
        "no majority of the voters is in touch: nothing can be changed safely"
    )
    assert refused(b.request(by=N2)) == "n2 is not the leader: n1 holds the leader key"
    assert refused(b.request(by=None), cluster=b.vacant()) == (
        "there is no leader to switch over from: use failover --candidate"
    )
    failover = b.request(RequestKind.FAILOVER, by=None)
    assert refused(failover, cluster=b.vacant()) == "name a candidate"
    assert refused(b.request(to=N1)) == "n1 is the leader already"
    strange = b.request(to=MemberName("n9"))
    assert refused(strange) == "n9 is not a member of this cluster (members: n1, n2, n3)"


def test_a_candidate_is_refused_for_its_own_reasons() -> None:
    tagged = b.cluster(members=b.members(b.member(N2, tags=Tags(nofailover=True))))
    assert "n2 may not lead" in (refused(b.request(to=N2), cluster=tagged) or "")
    silent = pg.answers(pg.report(N3), silent=(N2,))
    assert refused(b.request(to=N2), peers=silent) == "n2 does not answer"
    unknown = pg.answers(pg.report(N2, None))
    assert "no known WAL position" in (refused(b.request(to=N2), peers=unknown) or "")
    behind = pg.answers(pg.report(N2, 5000))
    ahead = pg.primary(written=pg.lsn(5000 + 1048577))
    lag = refused(b.request(to=N2), peers=behind, server=ahead)
    assert lag == "n2 lags 1048577 bytes behind the primary, more than maximum_lag_on_failover"
    other = pg.answers(pg.report(N2, timeline=Timeline(2)))
    assert refused(b.request(to=N2), peers=other) == "n2 is on timeline 2, the primary on 1"


def test_without_anybody_to_take_over_every_reason_is_told() -> None:
    reason = refused(b.request(), peers=pg.answers(silent=(N2, N3)))

    assert reason == "no member can take over: n2 does not answer; n3 does not answer"


def test_a_failover_to_somebody_who_cannot_lead_is_refused() -> None:
    unfit = pg.answers(pg.report(N2, obstacle="only n1, n3 provably holds it"), pg.report(N3))
    failover = b.request(RequestKind.FAILOVER, by=None, to=N2)

    assert "only n1, n3" in (refused(failover, cluster=b.vacant(), peers=unfit) or "")


WITHOUT = b.sync(N2, by=N3)
"""A set without the node here."""


def alone(to: MemberName = N1, *, may_lose: bool = True, **more: Any) -> View:
    """It is asked to lead, and may lack what the set holds."""
    asked = replace(b.request(RequestKind.FAILOVER, by=None, to=to), may_lose=may_lose)
    return b.racing(cluster=b.followed(leader=None, sync=WITHOUT, request=asked), **more)


def test_an_accepted_loss_overrules_what_the_candidate_may_lack() -> None:
    assert why_not(alone()) is None
    for view in (alone(may_lose=False), alone(to=N2)):
        why = why_not(view)
        assert why == "every acknowledged commit is provably held by n3 and n2 alone"
        assert lacking(b.situation(view, LOST)) == why


def test_an_accepted_loss_overrules_nothing_else() -> None:
    tagged = alone(me=b.identity(tags=Tags(nofailover=True)))
    assert "its tags forbid it" in (why_not(tagged) or "")
    assert lacking(b.situation(tagged, LOST)) is None
    assert "its WAL position is unknown" in (why_not(alone(server=pg.standby(None))) or "")


def test_a_loss_is_accepted_only_where_nobody_leads_and_nothing_else_stands_against_it() -> None:
    asked = replace(b.request(RequestKind.FAILOVER, by=None, to=N2), may_lose=True)
    lacks = pg.answers(pg.report(N2, obstacle="n1 alone holds all", lacking="n1 alone holds all"))
    tired = pg.answers(pg.report(N2, obstacle="it is tired"))

    assert refused(asked, cluster=b.vacant(), peers=lacks) is None
    assert refused(asked, cluster=b.vacant(), peers=tired) == "n2 cannot take over: it is tired"
    assert "n1 leads: nothing has to be lost" in (refused(asked) or "")
    plain = refused(replace(asked, may_lose=False), cluster=b.vacant(), peers=lacks)
    assert plain is not None
    assert plain.endswith("raftha failover --allow-data-loss would overrule that")
