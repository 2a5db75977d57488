"""The answer to a wish is a command as any other: it may be late, or nobody hears of it."""

from __future__ import annotations

from raftha.consensus.steward import PATIENCE
from raftha.model.membership import MemberVerb, WishState
from tests.unit.consensus.test_wishes import ask, born, told, wish


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
