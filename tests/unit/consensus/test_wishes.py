"""What operators wish of the set of voters is done step by step, or refused with the reason."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raftha.consensus.configuration import Configuration
from raftha.consensus.steward import PATIENCE, RELEASE_PATIENCE
from raftha.instants import Seconds
from raftha.model.ids import MemberName
from raftha.model.membership import (
    MemberVerb,
    MemberWish,
    WishState,
    asking,
    key_of,
    read_wish,
)
from raftha.model.store import Outcome
from tests.sim.fakes import Disk
from tests.sim.group import Group


def born(names: str = "abc") -> Group:
    """A group whose first raft leader has written down who votes."""
    group = Group(names)
    group.elect("a")
    group.settle()
    return group


def wish(verb: MemberVerb, name: str, address: str = "", barred: str = "") -> MemberWish:
    return MemberWish(
        id="w", verb=verb, name=MemberName(name), address=address or name, barred=barred
    )


def ask(group: Group, at: str, wanted: MemberWish, before: MemberWish | None = None) -> None:
    """An operator's wish is taken in by one node, in place of the one before."""
    outcomes: list[Outcome] = []
    command = asking("sim", wanted, before)
    group.node(at).store.submit(command, timeout=Seconds(1e5), done=outcomes.append)
    group.step(at)


def told(group: Group, at: str, name: str) -> MemberWish:
    """The wish for a name as a node holds it."""
    entries = group.node(at).store.peek().entries
    return read_wish("sim", entries[key_of("sim", name)])


def lose_patience(group: Group, name: str, among: str | None = None) -> None:
    """So much time passes on a raft leader that it refuses what it cannot do."""
    group.settle(among)
    group.pass_time(name, PATIENCE + 0.1)
    group.settle(among)


def latest(group: Group, at: str) -> Configuration:
    found = group.node(at)._core.membership.latest
    assert found is not None
    return found


def seated(group: Group, at: str) -> set[str]:
    return set(group.voters(at))


# Add.


def test_a_newcomer_gets_a_vote_when_the_operator_admits_it_and_not_before() -> None:
    group = born()
    group.join_anew("d")
    group.settle(rounds=8)
    assert seated(group, "a") == {*"abc"}
    ask(group, "b", wish(MemberVerb.ADD, "d"))
    group.settle(rounds=12)
    assert group.voters("b")["d"] == "new life of d"
    assert told(group, "c", "d").state is WishState.DONE
    group.kill("a")
    group.kill("c")
    group.elect("b", "bd")
    assert not group.leads("b")


def test_an_admission_goes_on_under_the_next_raft_leader_whatever_it_had_come_to() -> None:
    group = born()
    group.join_anew("d")
    group.settle(rounds=8)
    ask(group, "b", wish(MemberVerb.ADD, "d"))
    group.settle(rounds=2)
    group.kill("a")
    group.elect("b")
    group.settle(rounds=12)
    assert group.voters("b")["d"] == "new life of d"
    assert told(group, "b", "d").state is WishState.DONE


def test_who_is_not_there_is_not_added() -> None:
    """A name or an address with a slip in it changes nothing."""
    group = born()
    ask(group, "a", wish(MemberVerb.ADD, "d"))
    lose_patience(group, "a")
    assert told(group, "b", "d").state is WishState.REFUSED
    assert "start it first" in told(group, "b", "d").message
    assert seated(group, "b") == {*"abc"}


def test_what_stands_against_a_wish_may_pass() -> None:
    """A refusal waits until a link that is coming up would be there."""
    group = born()
    ask(group, "a", wish(MemberVerb.ADD, "d"))
    group.settle()
    assert told(group, "a", "d").state is WishState.ASKED
    group.join_anew("d")
    lose_patience(group, "a")
    group.settle(rounds=8)
    assert told(group, "a", "d").state is WishState.DONE


def test_who_was_refused_is_not_admitted_later() -> None:
    """It was expected already, and went away before it had its seat."""
    group = born()
    group.join_anew("d")
    group.settle(rounds=8)
    ask(group, "b", wish(MemberVerb.ADD, "d"))
    for _ in range(20):
        if latest(group, "a").expected:
            break
        group.settle(rounds=1)
    assert latest(group, "a").expected
    disk = group.kill("d")
    group.settle("abc")
    lose_patience(group, "a", "abc")
    group.settle("abc", rounds=6)
    lose_patience(group, "a", "abc")
    group.settle("abc", rounds=6)
    assert told(group, "b", "d").state is WishState.REFUSED
    assert latest(group, "b").expected == ()
    group.start("d", disk)
    group.settle(rounds=10)
    assert seated(group, "b") == {*"abc"}


def test_who_comes_while_its_refusal_is_under_way_is_not_admitted() -> None:
    """The refusal stands in the log, and no majority has it yet."""
    group = born()
    ask(group, "a", wish(MemberVerb.ADD, "d"))
    group.settle()
    group.pass_time("a", PATIENCE + 0.1)
    group.step("a", 2)
    group.join_anew("d")
    group.settle("ad", rounds=6)
    group.pass_time("a", PATIENCE + 0.1)
    group.settle("ad", rounds=6)
    assert not latest(group, "a").expected
    group.settle(rounds=12)
    assert told(group, "b", "d").state is WishState.REFUSED
    assert seated(group, "b") == {*"abc"}


# Remove.


def test_a_seat_is_not_taken_before_its_holder_is_released() -> None:
    """Commits may still wait for it: the primary has to let it go, or the wish is refused."""
    group = born()
    asked = replace(wish(MemberVerb.REMOVE, "c"), released=False)
    ask(group, "b", asked)
    lose_patience(group, "a")
    assert told(group, "a", "c").state is WishState.ASKED
    assert seated(group, "a") == {*"abc"}
    group.pass_time("a", RELEASE_PATIENCE)
    group.settle(rounds=6)
    assert told(group, "b", "c").state is WishState.REFUSED
    assert seated(group, "b") == {*"abc"}


def test_a_voter_is_removed_and_what_is_left_goes_on() -> None:
    group = born()
    ask(group, "b", wish(MemberVerb.REMOVE, "c"))
    group.settle(rounds=10)
    assert seated(group, "a") == seated(group, "b") == {*"ab"}
    assert told(group, "b", "c").state is WishState.UNSEATED
    group.create("b", "k")
    group.settle()
    assert "k" in group.keys("a")


def test_a_removed_voter_disturbs_nobody_and_is_told() -> None:
    group = born()
    ask(group, "b", wish(MemberVerb.REMOVE, "c"))
    group.settle(rounds=6)
    term = group.term("a")
    for _ in range(5):
        group.pass_time("c", 4e6)
        group.step("c")
        group.join("b", "c")
        group.settle()
    assert group.term("a") == group.term("b") == term
    assert ("b", "c") not in group.network.up
    barred = group.node("c").store.status().barred
    assert barred is not None
    assert "removed from the cluster" in barred
    assert group.node("a").store.status().barred is None


def test_a_dead_voter_is_removed_while_the_others_have_a_majority_without_it() -> None:
    group = born()
    group.kill("c")
    group.settle()
    ask(group, "a", wish(MemberVerb.REMOVE, "c"))
    group.settle(rounds=6)
    assert seated(group, "b") == {*"ab"}


def test_a_removal_that_leaves_too_few_who_answer_is_refused_by_name() -> None:
    """Of five, two are away: without a third voter the four left would need three."""
    group = born("abcde")
    for name in "de":
        group.isolate(name)
    for _ in range(2):
        group.pass_time("a", 0.6e6)
        group.settle("abc")
    ask(group, "a", wish(MemberVerb.REMOVE, "c"))
    lose_patience(group, "a", "abc")
    refused = told(group, "b", "c")
    assert refused.state is WishState.REFUSED
    assert "no answer from d, e" in refused.message
    assert seated(group, "b") == {*"abcde"}


def test_a_new_raft_leader_counts_on_nobody_who_has_not_answered_it() -> None:
    """The one before it died without a word and its link is still up: a set of the two of them
    would never come into force, and leave the cluster without a majority for ever."""
    group = born()
    group.elect("b", "bc")
    ask(group, "b", wish(MemberVerb.REMOVE, "c"))
    group.settle("bc", rounds=8)
    assert seated(group, "b") == {*"abc"}
    lose_patience(group, "b", "bc")
    assert "no answer from a" in told(group, "c", "c").message
    group.create("b", "k")
    group.settle("bc")
    assert "k" in group.keys("c")


def test_two_wishes_are_done_one_after_the_other() -> None:
    """The second would count the voters that the first leaves, before a majority holds that."""
    group = born("abcde")
    for name in "de":
        ask(group, "a", wish(MemberVerb.REMOVE, name))
    for _ in range(20):
        group.settle("abcde", rounds=1)
        core = group.node("a")._core
        steps = [index for index, _ in core._journal.configurations._entries]
        assert all(index <= core.engine.commit_index for index in steps[:-1])
    assert seated(group, "b") == {*"abc"}


def test_the_last_voter_is_not_removed() -> None:
    group = born("a")
    ask(group, "a", wish(MemberVerb.REMOVE, "a"))
    lose_patience(group, "a")
    assert told(group, "a", "a").state is WishState.REFUSED
    assert "last voter" in told(group, "a", "a").message


def test_the_raft_leader_hands_over_before_its_seat_goes() -> None:
    group = born()
    ask(group, "b", wish(MemberVerb.REMOVE, "a"))
    group.settle(rounds=6)
    assert not group.leads("a")
    assert seated(group, "b") == {*"abc"}
    group.elect("b", "abc")
    group.settle(rounds=6)
    assert seated(group, "b") == seated(group, "c") == {*"bc"}
    assert told(group, "c", "a").state is WishState.UNSEATED


def test_a_voter_of_the_files_that_never_came_is_removed_by_its_address() -> None:
    group = Group("ab")
    for name in "ab":
        group.start(name, group.kill(name), file="abc")
    group.elect("a")
    group.settle()
    assert group.voters("a")["c"] == ""
    ask(group, "a", wish(MemberVerb.REMOVE, "c"))
    group.settle(rounds=6)
    assert seated(group, "b") == {*"ab"}


# Replace.


def replaced(group: Group) -> None:
    """c is dead for good, and a machine at d has its name."""
    group.kill("c")
    group.join_anew("d", called="c")
    group.settle("abd", rounds=8)
    assert seated(group, "a") == {*"abc"}
    ask(group, "b", wish(MemberVerb.REPLACE, "c", "d", "life of c"))
    group.settle("abd", rounds=14)


def test_a_dead_machine_is_replaced_by_one_with_another_address() -> None:
    group = born()
    group.create("a", "k")
    group.settle()
    replaced(group)
    assert group.voters("a") == {
        "a": "life of a",
        "b": "life of b",
        "d": "new life of d",
    }
    assert told(group, "b", "c").state is WishState.DONE
    group.kill("a")
    group.elect("d", "bd")
    assert group.leads("d")
    assert "k" in group.keys("d")


@pytest.mark.parametrize("address", ["c", "d"])
def test_an_heir_spells_its_name_as_the_cluster_does(address: str) -> None:
    """Else the store would keep the key of a member that is gone, under a name to which the stream
    of the new one answers: waited for, and never to be promoted."""
    group = born()
    group.kill("c")
    group.join_anew(address, called="C")
    group.settle("ab" + address, rounds=10)

    assert ("a", address) not in group.network.up
    assert group.voters("a")["c"] == "life of c"


def test_who_was_replaced_stays_out_for_ever_and_is_told_by_whom() -> None:
    group = born()
    disk = group.kill("c")
    group.start("c", disk)
    group.settle()
    disk = group.kill("c")
    group.join_anew("d", called="c")
    group.settle("abd", rounds=8)
    ask(group, "b", wish(MemberVerb.REPLACE, "c", "d", "life of c"))
    group.settle("abd", rounds=14)
    term = group.term("a")
    group.start("c", disk)
    group.settle(rounds=6)
    for other in "abd":
        assert (other, "c") not in group.network.up
    barred = group.node("c").store.status().barred
    assert barred is not None
    assert "was replaced, by d" in barred
    assert group.term("a") == term


def test_a_replacement_goes_on_under_the_next_raft_leader() -> None:
    group = born("abcde")
    group.kill("e")
    group.join_anew("f", called="e")
    group.settle("abcdf", rounds=8)
    ask(group, "b", wish(MemberVerb.REPLACE, "e", "f", "life of e"))
    for _ in range(20):
        if "e" not in group.voters("a"):
            break
        group.settle("abcdf", rounds=1)
    assert "f" not in group.voters("a")
    group.settle("abcd", rounds=1)
    group.kill("a")
    group.elect("b", "bcdf")
    group.settle("bcdf", rounds=12)
    assert group.voters("b").get("f") == "new life of f"
    assert told(group, "b", "e").state is WishState.DONE


# Newcomers.


def test_a_newcomer_whose_file_names_one_voter_finds_the_others() -> None:
    group = born()
    group.names += "d"
    group.start("d", Disk(incarnation="new life of d"), connect=False, file="dc")
    group.join("c", "d")
    assert group.network.nodes["d"].known >= {"a", "b"}
