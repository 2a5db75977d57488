"""The hazards of votes, terms and members: H3, H9, H10, H13, H22 and H35 of `docs/consensus.md`.

Of each pair the first test shows what the released library does, the second what becomes of the
same schedule here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from raftha.consensus import wire
from raftha.consensus.members import Registry
from raftha.errors import StorageFailed
from raftha.model.settings import RaftTimings
from raftha.model.store import Committed
from tests.sim.fakes import Fatal
from tests.sim.group import Group
from tests.unit.consensus.greetings import OWN, PEER, said
from tests.unit.consensus.stock import WON, Peer, StockGroup, library_time

pytestmark = pytest.mark.usefixtures("quiet_library")


def led_by_a(names: str = "abc") -> Group:
    group = Group(names)
    group.elect("a")
    assert group.leads("a")
    return group


def test_h3_the_library_leads_on_in_a_term_that_it_could_not_store(tmp_path: Path) -> None:
    """Memory takes the higher term, the write fails, and the step down is skipped: two raft leaders
    in one term, and one entry of that term with two contents."""
    group = StockGroup(folder=tmp_path)
    group.elect("a")
    (tmp_path / "a.journal.meta.tmp").mkdir()  # every write of a's term and vote fails from now on
    group.campaign("b")
    group.deliver("b", "a")
    group.deliver("b", "c")
    group.deliver("c", "b")
    assert [type(error) for error in group.raised] == [IsADirectoryError]
    assert group.node("a").leads
    assert group.node("b").leads
    assert group.node("a").term == group.node("b").term

    group.isolate("b")
    first = group.create("a", "leader")
    group.round("a", "c")
    group.heal()
    group.cut = {("a", "b"), ("a", "c"), ("b", "a"), ("c", "a")}
    second = group.create("b", "leader")
    group.round("b", "c", 8)

    assert (first, second) == (WON, WON)


def test_h3_a_leader_that_cannot_store_a_term_stops() -> None:
    group = led_by_a()
    group.campaign("b")
    group.pass_time("a", 2e6)
    group.seats["a"].disk.full = True
    group.node("a")._core.engine.forget_leader()
    group.inject("b", "a", wire.Stale(group.term("b")))

    with pytest.raises(StorageFailed):
        group.deliver("b", "a")


def test_h3_two_raft_leaders_of_one_term_end_the_process() -> None:
    group = led_by_a()

    group.inject("b", "a", wire.Append(group.term("a"), 1, 1, 0, []))
    with pytest.raises(Fatal, match="two raft leaders in term 1"):
        group.deliver("b", "a")


def test_h9_the_library_votes_twice_when_it_keeps_no_journal() -> None:
    """Without a journal file a restarted voter has no vote: a term gets two raft leaders."""
    group = StockGroup()
    group.campaign("a")
    group.flying["a", "b"].clear()
    group.deliver("a", "c")
    group.deliver("c", "a")
    group.flying.clear()

    group.kill("c")
    group.start("c")
    group.campaign("b")
    group.deliver("b", "c")
    group.deliver("c", "b")

    assert group.node("a").leads
    assert group.node("b").leads
    assert group.node("a").term == group.node("b").term


def test_h9_a_vote_outlives_the_process() -> None:
    group = Group()
    group.campaign("a")
    group.network.flying["a", "b"].clear()
    group.deliver("a", "c")
    group.deliver("c", "a")
    assert group.leads("a")
    group.network.flying["a", "b"].clear()
    group.network.flying["a", "c"].clear()

    group.start("c", group.kill("c"))
    group.campaign("b")
    group.deliver("b", "c")
    group.deliver("c", "b")

    assert group.term("b") == group.term("a")
    assert not group.leads("b")


def test_h9_a_second_vote_in_a_term_ends_the_process() -> None:
    group = led_by_a()
    journal = group.node("b")._core._journal

    with pytest.raises(Fatal, match="a second vote in term 1: a, then c"):
        journal.setCurrentTerm(1, "c")
    with pytest.raises(Fatal, match="the term would fall from 1 to 0"):
        journal.setCurrentTerm(0, None)


def test_h10_the_library_lets_a_cut_off_leader_remove_everybody_else() -> None:
    """Changes of the members take effect when appended, and nothing keeps a second one waiting for
    the first: two majorities without a common voter."""
    group = StockGroup(dynamicMembershipChange=True)
    group.elect("a")
    group.isolate("a")
    for name in "bc":
        with library_time(lambda: group.now):
            group.node("a").removeNodeFromCluster(Peer(name))
        group.tick("a")
    first = group.create("a", "leader")
    group.tick("a", 2)
    group.elect("b", "bc")
    second = group.create("b", "leader")
    group.round("b", "c")

    assert (first, second) == (WON, WON)


def test_h10_the_log_changes_no_members_and_unpickles_nothing() -> None:
    group = led_by_a()
    last, term = group.log("b")[-1]
    forged = [wire.LogEntry(bytes([kind]) + b"cos\nabort\n(tR.", 0, 0) for kind in (2, 3)]
    entries = [wire.LogEntry(e.command, last + 1 + i, term) for i, e in enumerate(forged)]

    group.inject("a", "b", wire.Append(term, last + 2, last, term, entries))
    group.deliver("a", "b")
    group.step("b", 2)

    assert group.node("b")._core.engine.applied_index == last + 2
    assert {node.id for node in group.node("b")._core.engine.otherNodes} == {"a", "c"}


def test_h13_the_library_counts_a_voter_twice() -> None:
    """Two copies of one vote make a majority of three out of five."""
    group = StockGroup("abcde")
    group.campaign("a")
    vote = {"type": "response_vote", "term": 1}

    group.flying["b", "a"].extend([vote, vote])
    group.deliver("b", "a")

    assert group.node("a").leads


def test_h13_a_voter_counts_once() -> None:
    group = Group("abcde")
    group.campaign("a")

    for _ in range(4):
        group.inject("b", "a", wire.Vote(group.term("a")))
    group.deliver("b", "a")

    assert not group.leads("a")


def test_h22_in_the_library_a_paused_voter_deposes_a_healthy_leader() -> None:
    """It looks at its deadline before it reads the heartbeats that waited for it."""
    options = {"raftMinTimeout": 0.4, "raftMaxTimeout": 1.4, "connectionTimeout": 3.5}
    group = StockGroup(**options, appendEntriesPeriod=0.1)
    group.elect("a")
    for _ in range(30):
        group.now += 0.1
        group.round("a", "b", 1)
    assert len(group.flying["a", "c"]) >= 30

    group.tick("c")
    group.deliver("c", "a")

    assert not group.node("a").leads
    assert group.node("a").term == 2


def test_h22_a_paused_voter_does_not_depose_a_healthy_leader() -> None:
    group = Group(timings=RaftTimings())
    group.elect("a")
    for _ in range(30):
        for name in "ab":
            group.pass_time(name, 0.1)
        group.settle("ab", rounds=1)
    group.pass_time("c", 3.0)
    group.step("c")
    group.settle()

    assert group.leads("a")
    assert group.term("a") == group.term("c") == 1


def test_h22_a_voter_that_was_paused_reads_before_it_asks() -> None:
    """What waited for it is read in the same round; until then it does not even ask for support."""
    group = Group(timings=RaftTimings())
    group.elect("a")
    group.pass_time("c", 3.0)

    group.step("c")

    assert group.flying("c", "a") == group.flying("c", "b") == []


def test_h22_in_the_library_a_badly_connected_voter_deposes_a_healthy_leader() -> None:
    """There is no asking beforehand: a request with a higher term ends the present one, though the
    voters that get it hear their raft leader well."""
    group = StockGroup()
    group.elect("a")
    group.cut = {("a", "c"), ("c", "a")}
    group.campaign("c")
    group.deliver("c", "b")
    group.round("a", "b", 1)

    assert group.node("c").term == group.node("b").term == 2
    assert group.node("b").part("raftLeader") is None


def test_h22_a_voter_that_hears_the_leader_supports_nobody_else() -> None:
    group = Group(timings=RaftTimings())
    group.elect("a")
    group.network.disconnect("a", "c")
    for name in "abc":
        group.pass_time(name, 0.1)
    group.settle("ab")
    for _ in range(20):
        for name in "abc":
            group.pass_time(name, 0.1)
        group.settle("ab")
        group.step("c")
        group.deliver("c", "b")
        group.deliver("b", "c")

    assert group.leads("a")
    assert group.term("b") == group.term("c") == 1


def test_h22_a_voter_that_hears_the_leader_does_not_vote_either() -> None:
    """A candidate that asks for votes without having asked for support changes no term."""
    group = Group(timings=RaftTimings())
    group.elect("a")
    last = group.log("b")[-1]

    group.inject("c", "b", wire.AskVote(group.term("a") + 5, *last, "life of b"))
    group.deliver("c", "b")

    assert group.term("b") == group.term("a")
    assert group.flying("b", "c") == []


def test_h35_in_the_library_a_voter_without_its_disk_votes_a_decision_away(
    tmp_path: Path,
) -> None:
    """The one other copy of a committed entry is gone with a directory; the emptied voter comes
    back under its name and elects one that misses the entry."""
    group = StockGroup(folder=tmp_path)
    group.elect("a")
    group.isolate("c")
    first = group.create("a", "leader")
    group.round("a", "b")
    group.kill("a")
    group.kill("b")
    for file in tmp_path.glob("b.*"):
        file.unlink()

    group.start("b")
    group.heal()
    group.elect("c", "bc")
    second = group.create("c", "leader")
    group.round("c", "b")

    assert (first, second) == (WON, WON)


def test_h35_a_voter_without_its_disk_helps_nobody_to_a_majority() -> None:
    group = led_by_a()
    group.settle()
    group.isolate("c")
    first = group.create("a", "leader")
    group.settle("ab")
    group.kill("a")
    group.join_anew("b")
    group.settle("bc")
    group.elect("c", "bc")

    assert isinstance(first[0], Committed)
    assert not group.leads("c")
    assert not group.node("b")._core.membership.is_voter


def test_h35_before_the_voters_stand_in_the_log_an_emptied_one_is_refused() -> None:
    registry = Registry(OWN, {})
    assert registry.refusal(PEER) is None
    registry.admit(PEER)
    registry.lost(PEER.address)

    refusal = registry.refusal(said(incarnation="second life"))

    assert refusal is not None
    assert "another than before" in refusal.why
