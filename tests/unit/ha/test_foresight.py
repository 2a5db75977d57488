"""What is asked before a lease ends, and whom nobody waits for after that."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import AskPeers
from raftha.ha.memory import LeaderSeen, Memory
from raftha.model.ids import MemberName, Revision
from raftha.model.view import GuardianView, PeerAnswer, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import LOST
from tests.unit.ha.servers import N2, N3

RENEWED = Revision(50)


def watching(view: View, renewed: float) -> Memory:
    """A standby that last saw a renewal of n2 then."""
    leader = view.cluster.leader
    revision = RENEWED if leader is None else leader.lease.revision
    seen = LeaderSeen(revision=revision, at=pg.at(renewed), name=N2)
    return replace(b.following_memory(view), leader_seen=seen)


def asked(view: View, renewed: float) -> list[tuple[MemberName, ...]]:
    actions = b.decided(view, watching(view, renewed)).actions
    return [action.names for action in actions if isinstance(action, AskPeers)]


@pytest.mark.parametrize(("renewed", "is_asked"), [(-1.9, False), (-2.1, True)])
def test_a_leader_whose_renewal_is_missed_is_asked(renewed: float, is_asked: bool) -> None:
    assert asked(b.following(peers={}), renewed) == ([(N2,)] if is_asked else [])


@pytest.mark.parametrize(("ago", "is_asked"), [(0.4, False), (0.6, True)])
def test_it_is_asked_again_after_a_moment(ago: float, is_asked: bool) -> None:
    before = pg.answers(silent=(N2,), ago=ago)

    assert asked(b.following(peers=before), -3.0) == ([(N2,)] if is_asked else [])


@pytest.mark.parametrize(
    "more",
    [
        {"raft": b.raft(majority=False)},
        {"guardian": GuardianView(alive=False)},
        {"stopping": True},
    ],
    ids=["no majority", "no guardian", "stopping"],
)
def test_whoever_could_not_race_does_not_ask(more: dict[str, Any]) -> None:
    assert asked(b.following(peers={}, **more), -3.0) == []


def test_the_leader_asks_nobody() -> None:
    view = b.view(peers={})
    seen = LeaderSeen(revision=RENEWED, at=pg.at(-3.0), name=pg.N1)
    memory = replace(b.leading_memory(view), leader_seen=seen)

    assert "AskPeers" not in b.acts(b.decided(view, memory))


def vacant(renewed: float, answers: dict[MemberName, PeerAnswer]) -> str:
    """The rule that decides while the key is gone, with answers that came before that."""
    seen = LeaderSeen(revision=RENEWED, at=pg.at(renewed), name=N2)
    return b.decided(b.racing(peers=answers), replace(LOST, leader_seen=seen)).rule


EARLY = {"ago": 0.8}
"""Before the key was gone, which is half a second ago."""


def test_a_leader_that_was_silent_before_its_lease_ended_holds_nobody_up() -> None:
    told = {**pg.answers(silent=(N2,), **EARLY), **pg.answers(pg.report(N3))}

    assert vacant(-5.0, told) == "elect-70"
    assert vacant(-0.7, told) == "elect-30", "it has renewed since"


def test_a_leader_that_answered_then_is_waited_for() -> None:
    told = {**pg.answers(pg.report(N2), **EARLY), **pg.answers(pg.report(N3))}

    assert vacant(-5.0, told) == "elect-30"


def test_another_member_is_waited_for_though_it_was_silent() -> None:
    told = {**pg.answers(silent=(N3,), **EARLY), **pg.answers(silent=(N2,))}

    assert vacant(-5.0, told) == "elect-30"


def test_while_nobody_waits_for_it_the_vanished_leader_is_asked_all_the_same() -> None:
    seen = LeaderSeen(revision=RENEWED, at=pg.at(-5.0), name=N2)
    view = b.racing(peers=pg.answers(silent=(N2, N3), **EARLY))

    decision = b.decided(view, replace(LOST, leader_seen=seen))
    assert b.only(decision, AskPeers).names == (N2, N3)


def test_who_leads_is_noted_with_its_renewal() -> None:
    memory = b.decided(b.following()).memory

    assert memory.leader_seen is not None
    assert memory.leader_seen.name == N2
