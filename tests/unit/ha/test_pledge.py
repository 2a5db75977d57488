"""R17: only the position of a standby that has cut its old stream enters a race."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha import pledge
from raftha.ha.actions import AskPeers, Configure, CutStream, Stop, StopMode
from raftha.ha.decide import observe_memory
from raftha.ha.explain import cluster_problems
from raftha.ha.memory import Memory
from raftha.ha.plans import standby_plan
from raftha.ha.rules.election import ASK_UNPLEDGED_S, CUT_PATIENCE_S, PLEDGE_WAIT_S
from raftha.model.cluster import MemberRole
from raftha.model.ids import Epoch
from raftha.model.view import StreamCut, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import LOST
from tests.unit.ha.servers import EPOCH, N2, N3, PLEDGED, at

ALONE = standby_plan(b.followed(leader=None), b.identity(), None)
STILL = Memory(lost_since=at(-0.1), plan=standby_plan(b.followed(), b.identity(), b.member(N2)))
"""What a standby remembers whose leader's key has just gone."""


def test_before_its_position_counts_a_standby_cuts_its_old_stream() -> None:
    view = b.racing(cut=None, peers={}, server=pg.standby(receiver=pg.receiver(N2)))
    decision = b.decided(view, STILL)
    act = b.only(decision, CutStream)

    assert decision.rule == "elect-18"
    assert act.plan == ALONE == decision.memory.plan
    assert act.plan.upstream is None
    assert act.floor == Epoch(1, view.cluster.revision), "every leader so far is older"
    assert b.only(decision, AskPeers).names == (N2, N3), "the others are asked meanwhile"


def test_a_standby_that_may_not_lead_cuts_its_stream_too() -> None:
    """Its position still tells the others how much is known to be held."""
    view = b.racing(cut=None, cluster=b.followed(leader=None, sync=b.sync(N3, by=N2)))

    assert b.decided(view, STILL).rule == "elect-18"


@pytest.mark.parametrize(
    "cut",
    [
        pg.cut(process="76@1"),
        pg.cut(floor=Epoch(1, 39)),
        pg.cut(floor=EPOCH),
        pg.cut(floor=Epoch(0, 99)),
    ],
    ids=["of an earlier server", "before the last promotion", "at it", "before a recovery"],
)
def test_a_cut_of_the_past_does_not_count(cut: StreamCut) -> None:
    decision = b.decided(b.racing(cut=cut), LOST)

    assert decision.rule == "elect-18"
    assert b.only(decision, CutStream).floor == PLEDGED


def test_a_receiver_that_is_back_is_cut_again() -> None:
    view = b.racing(server=pg.standby(receiver=pg.receiver(N2)))

    assert b.only(b.decided(view, LOST), CutStream)


def test_a_position_that_was_asked_for_before_the_cut_is_read_again() -> None:
    view = b.racing(cut=pg.cut(at=at(-0.05)), server_seen=at(-0.06))
    decision = b.decided(view, LOST)

    assert decision.rule == "elect-18"
    assert b.acts(decision) == [], "it was cut; only the answer is waited for"
    assert b.decided(replace(view, server_seen=at(-0.05)), LOST).rule == "elect-70"


def test_an_upstream_that_was_configured_since_is_taken_out_again() -> None:
    assert b.only(b.decided(b.racing(), STILL), CutStream)


def test_a_server_whose_receiver_does_not_end_is_stopped() -> None:
    view = b.racing(cut=None, server=pg.standby(receiver=pg.receiver(N2)))
    first = b.decided(view, STILL).memory
    assert first.cutting_since == pg.T0

    early = replace(view, now=at(CUT_PATIENCE_S - 0.01))
    assert b.only(b.decided(early, first), CutStream)
    late = b.decided(replace(view, now=at(CUT_PATIENCE_S)), first)
    assert b.only(late, Stop).mode is StopMode.IMMEDIATE
    assert "stopping the server" in late.reason


@pytest.mark.parametrize(
    "more",
    [{"server": None}, {"cut": pg.cut()}, {"cluster": b.followed()}],
    ids=["the server was stopped", "it is cut", "there is a leader"],
)
def test_the_patience_with_a_receiver_begins_anew(more: dict[str, Any]) -> None:
    view = b.racing(**{"cut": None, **more})

    assert observe_memory(view, replace(LOST, cutting_since=at(-1))).cutting_since is None
    same = b.racing(cut=None)
    assert observe_memory(same, replace(LOST, cutting_since=at(-1))).cutting_since == at(-1)


def racing_with(position: int, **more: Any) -> View:
    """n3 told a position that may still grow."""
    told = pg.report(N3, position, **{"pledged": None, **more})
    return b.racing(peers=pg.answers(told, ago=ASK_UNPLEDGED_S + 0.01, silent=(N2,)))


def test_a_standby_that_may_still_cut_its_stream_is_waited_for_and_asked_again() -> None:
    """A version that knows no pledge answers the same, and is not waited for any longer."""
    waited = replace(LOST, lost_since=at(0.01 - PLEDGE_WAIT_S))
    decision = b.decided(racing_with(4000), waited)

    assert decision.rule == "elect-30"
    assert "waiting for n3 to cut the old stream" in decision.reason
    assert b.only(decision, AskPeers).names == (N3,)
    over = replace(waited, lost_since=at(-PLEDGE_WAIT_S))
    assert b.decided(racing_with(4000), over).rule == "elect-70"


@pytest.mark.parametrize(
    "more",
    [
        {"obstacle": "replay is paused"},
        {"wants_lead": False},
        {"role": MemberRole.NONE},
        {"role": MemberRole.PRIMARY},
        {"pledged": PLEDGED},
    ],
    ids=str,
)
def test_nobody_else_is_waited_for_to_cut_a_stream(more: dict[str, Any]) -> None:
    waited = replace(LOST, lost_since=at(-0.2))

    assert b.decided(racing_with(4000, **more), waited).rule == "elect-70"


@pytest.mark.parametrize("floor", [None, EPOCH], ids=["none", "of the leader before"])
def test_a_position_that_may_still_grow_does_not_count(floor: Epoch | None) -> None:
    """The first sight of it may be old, and what is left of the old stream would make it grow."""
    assert b.decided(racing_with(9000, pledged=PLEDGED), LOST).rule == "elect-60"
    assert b.decided(racing_with(9000, pledged=floor), LOST).rule == "elect-70"


def test_the_same_leader_is_followed_again_under_a_newer_epoch() -> None:
    """All had cut their streams, and nobody won: none stays cut."""
    again = b.followed(leader=b.leader(N2, epoch=Epoch(1, 61)))
    decision = b.decided(b.following(cluster=again, cut=pg.cut(), server=pg.standby()), LOST)
    plan = b.only(decision, Configure).plan

    assert decision.rule == "follow-60"
    assert plan == standby_plan(again, b.identity(), again.members[N2])
    assert plan.upstream is not None


def test_an_agent_that_has_not_caught_up_follows_nobody() -> None:
    """What its replica shows may be the leader whose stream the agent before it has cut."""
    stale = b.following(caught_up=False, server=pg.standby())
    decision = b.decided(stale, Memory())
    assert (decision.rule, b.acts(decision)) == ("boot-12", [])

    decision = b.decided(replace(stale, caught_up=True), Memory())
    assert b.only(decision, Configure)


def test_a_leader_that_was_restarted_does_not_wait_to_catch_up() -> None:
    view = b.view(caught_up=False)

    assert b.decided(view, b.leading_memory(view)).rule == "lead-40"


def test_whose_position_does_not_count_is_told() -> None:
    answers = pg.answers(pg.report(N2), pg.report(N3, pledged=None))
    (notice,) = cluster_problems(b.followed(leader=None), b.raft(), answers)

    assert notice.what.endswith("n3: it has not cut its old stream yet")


def test_a_position_is_told_with_its_floor_only_once_the_stream_is_cut() -> None:
    cut, server, seen = pg.cut(), pg.standby(), at(-0.1)
    streams = pg.standby(receiver=pg.receiver(N2))

    assert pledge.pledged(cut, "77@1", server, seen) == PLEDGED
    assert pledge.pledged(cut, "77@1", streams, seen) is None
    assert pledge.pledged(cut, "77@1", server, at(-0.3)) is None
    assert pledge.pledged(cut, "77@1", server, None) is None
    assert pledge.pledged(cut, "78@1", server, seen) is None
    assert pledge.pledged(cut, "77@1", None, seen) is None
    assert pledge.pledged(None, "77@1", server, seen) is None
