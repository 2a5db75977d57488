"""The answer to a wish is a command as any other: it may be late, or nobody hears of it."""

from __future__ import annotations

from raftha.consensus.steward import PATIENCE
from raftha.model.membership import MemberVerb, WishState
from tests.sim.group import Group
from tests.unit.consensus.test_wishes import ask, born, latest, told, wish


def test_the_lost_answer_to_a_wish_is_none_to_the_next_one_of_the_name() -> None:
    """Found by the simulation: the second wish waited for as long as the raft leader led."""
    group = born()
    ask(group, "a", wish(MemberVerb.ADD, "d"))
    group.settle()
    group.isolate("a")
    for _ in range(2):  # until it refuses, and until nobody has told it what became of that
        group.pass_time("a", PATIENCE + 0.1)
        group.step("a", 2)
    for other in "bc":
        group.join("a", other)
    group.settle(rounds=8)
    assert told(group, "b", "d").state is WishState.REFUSED
    assert group.leads("a")
    group.join_anew("d")
    group.settle(rounds=8)
    ask(group, "b", wish(MemberVerb.ADD, "d"), told(group, "b", "d"))
    group.settle(rounds=12)
    assert told(group, "c", "d").state is WishState.DONE


def test_a_refusal_that_its_raft_leader_could_not_commit_does_not_follow_a_step() -> None:
    """a refuses to admit d, and is cut off with that. b leads, d comes, and b begins with it. Then
    a is back, and what it wanted to say must not reach the log: d would vote, and whoever asked for
    that would be told that it never will."""
    group = born()
    ask(group, "a", wish(MemberVerb.ADD, "d"))
    group.settle()
    group.isolate("a")
    group.pass_time("a", PATIENCE + 0.1)
    group.step("a", 2)
    assert "no d at d" in _answer_in_the_log(group)

    group.elect("b", "bc")
    group.join_anew("d")
    group.isolate("a")
    for _ in range(20):
        if latest(group, "b").expected:
            break
        group.settle("bcd", rounds=1)
    assert [seat.name for seat in latest(group, "b").expected] == ["d"]
    group.join("a", "b")
    group.settle("ab", rounds=3)
    group.settle("bcd", rounds=12)

    assert group.voters("c")["d"] == "new life of d"
    assert told(group, "c", "d").state is WishState.DONE


def _answer_in_the_log(group: Group) -> str:
    """What the last entry of a's log says."""
    return str(group.node("a")._core._journal[-1][0])
