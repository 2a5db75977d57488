"""A member that is removed or replaced: nothing rests on it any more, and what it left goes."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import CancelJob, Configure, DropSlots, EnsureSlots, Stop, Submit
from raftha.ha.candidates import obstacle
from raftha.ha.keys import encode_sync
from raftha.ha.parting import objection
from raftha.ha.plans import names_for
from raftha.ha.refusals import refusal
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName, Revision
from raftha.model.membership import MemberVerb, MemberWish, WishState, key_of, writing
from raftha.model.scheduling import ScheduledRestart
from raftha.model.store import KeyAt, KeyCreatedAt, Put, RaftStatus, Remove
from raftha.model.view import JobKind, JobView, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, N2, N3

FENCE = KeyCreatedAt(KEYS.leader, Revision(pg.EPOCH.revision))


def wish(
    name: MemberName = N3,
    verb: MemberVerb = MemberVerb.REMOVE,
    state: WishState = WishState.UNSEATED,
    *,
    released: bool = True,
) -> MemberWish:
    return MemberWish(
        id="w",
        verb=verb,
        name=name,
        address="",
        state=state,
        released=released,
        message="…",
        revision=Revision(58),
    )


def wished(*wishes: MemberWish, **more: Any) -> Cluster:
    return b.cluster(wishes={w.name: w for w in wishes}, **more)


def leading(cluster: Cluster, **more: Any) -> View:
    slots = more.pop("slots", ("n2", "n3"))
    return b.view(cluster=cluster, server=pg.primary(slots=slots, **more))


# Nothing rests on it.


@pytest.mark.parametrize("verb", [MemberVerb.REMOVE, MemberVerb.REPLACE])
@pytest.mark.parametrize("state", [WishState.ASKED, WishState.UNSEATED])
def test_who_is_to_go_leaves_the_synchronous_set_at_once(
    verb: MemberVerb, state: WishState
) -> None:
    view = leading(wished(wish(N2, verb, state)))
    decision = b.decided(view, b.leading_memory(view))

    assert b.acts(decision) == ["sync"], "first out of the store, then out of the setting"
    put = next(w for w in b.only(decision, Submit).command.writes if isinstance(w, Put))
    assert put.value == encode_sync(N1, ())


@pytest.mark.parametrize("ended", [WishState.DONE, WishState.REFUSED])
def test_a_wish_that_has_ended_keeps_nobody_out(ended: WishState) -> None:
    view = leading(wished(wish(N2, state=ended)))

    assert b.acts(b.decided(view, b.leading_memory(view))) == []


def test_who_is_to_go_is_not_taken_in_instead_of_another() -> None:
    view = leading(wished(wish(N3, state=WishState.ASKED), sync=b.sync()))
    view = replace(view, server=replace(pg.primary(), synchronous_standby_names=""))
    decision = b.decided(view, b.leading_memory(view, ""))

    assert b.only(decision, Configure).plan.synchronous_standby_names == names_for(N2)


def test_who_is_to_go_does_not_run_for_the_lead() -> None:
    cluster = b.followed(leader=None, wishes={N1: wish(N1, state=WishState.ASKED)})

    found = obstacle(b.situation(b.racing(cluster=cluster)))
    assert found is not None
    assert "removes it" in found


def test_who_alone_holds_every_commit_may_lead_until_it_is_released() -> None:
    asked = wish(N1, state=WishState.ASKED, released=False)
    cluster = b.followed(leader=None, wishes={N1: asked})

    assert obstacle(b.situation(b.racing(cluster=cluster))) is None


def test_it_is_released_once_no_commit_waits_for_it() -> None:
    asked = wish(N3, state=WishState.ASKED, released=False)
    view = leading(wished(asked))
    command = b.only(b.decided(view, b.leading_memory(view)), Submit).command

    assert view.cluster.sync is not None
    assert set(command.guards) == {
        FENCE,
        KeyAt(key_of("demo", N3), Revision(58)),
        KeyAt(KEYS.sync, view.cluster.sync.revision),
    }
    assert command.writes == (writing("demo", replace(asked, released=True)),)


@pytest.mark.parametrize("named", ["store", "setting"])
def test_it_is_not_released_while_a_commit_may_wait_for_it(named: str) -> None:
    asked = wish(N2, state=WishState.ASKED, released=False)
    cluster = wished(asked, sync=b.sync(N2) if named == "store" else b.sync())
    setting = names_for(N2) if named == "setting" else ""
    view = leading(cluster, synchronous_standby_names=setting)

    assert "parting" not in b.acts(b.decided(view, b.leading_memory(view)))


def test_nobody_hands_over_to_who_is_to_go() -> None:
    view = b.view(cluster=wished(wish(N2, state=WishState.ASKED)), peers=pg.answers(pg.report(N2)))

    reason = refusal(b.situation(view), b.request(to=N2))
    assert reason is not None
    assert "being removed" in reason


def without_vote(name: MemberName) -> RaftStatus:
    """The group of all but this one."""
    voters = tuple(voter for voter in b.raft().voters if voter.name != name)
    return replace(b.raft(), voters=voters)


def test_who_has_no_vote_yet_does_not_run_for_the_lead() -> None:
    found = obstacle(b.situation(b.racing(raft=without_vote(N1))))
    assert found is not None
    assert "no vote" in found


def test_nobody_hands_over_to_who_has_no_vote_yet() -> None:
    view = b.view(raft=without_vote(N2), peers=pg.answers(pg.report(N2)))

    reason = refusal(b.situation(view), b.request(to=N2))
    assert reason is not None
    assert "no vote" in reason


def test_a_standby_with_a_vote_is_preferred_to_one_without() -> None:
    """The other could not take over."""
    view = leading(b.cluster(sync=b.sync()), synchronous_standby_names="")
    decision = b.decided(replace(view, raft=without_vote(N3)), b.leading_memory(view, ""))

    assert b.only(decision, Configure).plan.synchronous_standby_names == names_for(N2)


# What it left.


def test_the_slot_of_a_removed_member_goes_before_its_key() -> None:
    view = leading(wished(wish()))
    decision = b.decided(view, b.leading_memory(view))

    assert b.acts(decision) == ["DropSlots"]
    assert b.only(decision, DropSlots).names == ("n3",)


def test_its_key_goes_with_the_end_of_the_wish() -> None:
    cluster = wished(wish(), slots=("n2",))
    view = leading(cluster, slots=("n2",))
    decision = b.decided(view, b.leading_memory(view))

    command = b.only(decision, Submit).command
    assert cluster.sync is not None
    assert set(command.guards) == {
        FENCE,
        KeyAt(key_of("demo", N3), Revision(58)),
        KeyAt(KEYS.member(N3), cluster.members[N3].revision),
        KeyAt(KEYS.sync, cluster.sync.revision),
    }
    ended = wish().became(WishState.DONE, "n3 is removed; …")
    assert command.writes == (writing("demo", ended), Remove(KEYS.member(N3)))


def test_what_was_scheduled_for_it_goes_with_it() -> None:
    plan = ScheduledRestart(due=2e9, member=N3, revision=Revision(59))
    view = leading(wished(wish(), slots=("n2",), scheduled_restarts={N3: plan}), slots=("n2",))
    command = b.only(b.decided(view, b.leading_memory(view)), Submit).command

    assert Remove(KEYS.scheduled_restart_of(N3)) in command.writes
    assert KeyAt(KEYS.scheduled_restart_of(N3), Revision(59)) in command.guards


def test_the_slot_of_a_removed_member_is_not_made_anew() -> None:
    view = leading(wished(wish(), slots=("n2",)), slots=("n2",))

    actions = b.decided(view, b.leading_memory(view)).actions
    assert not [a for a in actions if isinstance(a, EnsureSlots)]


def test_a_removed_witness_leaves_nothing_but_the_wish() -> None:
    view = leading(wished(wish(MemberName("w1"))))
    decision = b.decided(view, b.leading_memory(view))

    (write,) = b.only(decision, Submit).command.writes
    assert isinstance(write, Put)
    assert write.key == key_of("demo", "w1")


@pytest.mark.parametrize("asked", [wish(state=WishState.ASKED), wish(state=WishState.REFUSED)])
def test_nothing_is_cleared_away_of_who_has_a_vote(asked: MemberWish) -> None:
    view = leading(wished(asked))

    assert b.acts(b.decided(view, b.leading_memory(view))) == []


def test_nothing_is_cleared_away_while_commits_wait_for_it() -> None:
    """Out of the store, and still in the setting of the server."""
    cluster = wished(wish(N2), sync=b.sync())
    view = leading(cluster, synchronous_standby_names=names_for(N2))
    decision = b.decided(view, b.leading_memory(view))

    assert "DropSlots" not in b.acts(decision)


def test_a_slot_that_another_member_uses_stays() -> None:
    shared = b.member(N2, slot="n3")
    view = leading(wished(wish(), members=b.members(shared), slots=("n3",)), slots=("n3",))
    decision = b.decided(view, b.leading_memory(view))

    assert b.acts(decision) == ["parting"]


# The removed node itself.


def test_a_node_that_was_removed_stops_its_server_and_says_so() -> None:
    view = b.following(raft=replace(b.raft(majority=False), barred="it refuses this node: n1 …"))
    decision = b.decided(view)

    assert decision.rule == "safety-60"
    assert b.only(decision, Stop)
    assert "it refuses this node: n1 …" in decision.reason


def test_a_node_that_was_removed_begins_nothing() -> None:
    cloning = JobView(kind=JobKind.CLONE, started=pg.at(-1))
    view = b.following(
        raft=replace(b.raft(), barred="…"), guardian=pg.IDLE_GUARDIAN, server=None, job=cloning
    )
    decision = b.decided(view)

    assert decision.rule == "safety-60"
    assert b.only(decision, CancelJob)


def test_a_lease_is_not_cut_short_by_a_word_of_a_peer() -> None:
    view = b.view(raft=replace(b.raft(), barred="…"))

    assert b.decided(view, b.leading_memory(view)).rule == "lead-40"


# What is refused.


def test_the_primary_is_neither_removed_nor_replaced() -> None:
    for verb in (MemberVerb.REMOVE, MemberVerb.REPLACE):
        words = objection(b.cluster(), verb, N1)
        assert words is not None
        assert "switchover" in words
    assert objection(b.cluster(), MemberVerb.REMOVE, N2) is None


def test_without_a_leader_those_who_hold_every_commit_stay() -> None:
    for name in (N1, N2):
        words = objection(b.vacant(), MemberVerb.REMOVE, name)
        assert words is not None
        assert "n1 and n2" in words
    assert objection(b.vacant(), MemberVerb.REMOVE, N3) is None
    assert objection(b.vacant(), MemberVerb.ADD, N1) is None
