"""A directory put back from a copy is noticed by those who heard what it has forgotten."""

from __future__ import annotations

from copy import deepcopy

import pytest

from raftha.consensus.greeting import Grounds
from raftha.consensus.marks import KEEP_SECONDS, Mark, Marks
from raftha.consensus.members import Present, Registry
from tests.sim.fakes import BegunAnew
from tests.sim.group import Group
from tests.unit.consensus.greetings import OWN, said

MARK = Mark(incarnation="i2", voted=3, term=3, index=10)


@pytest.mark.parametrize(
    ("told", "is_missing"),
    [
        ({"term": 3, "has_voted": True, "last_index": 10}, False),
        ({"term": 3, "has_voted": True, "last_index": 9}, True),
        ({"term": 3, "has_voted": False, "last_index": 10}, True),
        ({"term": 2, "has_voted": True, "last_index": 99}, True),
        ({"term": 4, "has_voted": False, "last_index": 2}, False),
        ({"term": 1, "last_index": 1, "incarnation": "another"}, False),
    ],
)
def test_a_promise_is_missing_below_it_in_its_term_or_in_an_earlier_one(
    told: dict[str, object], is_missing: bool
) -> None:
    """In a later term the log may be shorter: another raft leader may have cut it."""
    assert (MARK.contradicts(said(**told)) is not None) is is_missing


def test_the_highest_promise_counts_and_is_written_once() -> None:
    marks = Marks({})
    hello = said()
    marks.acknowledged(hello, 2, 7, 0.0)
    marks.acknowledged(hello, 2, 5, 0.0)
    marks.voted(hello, 3, 0.0)
    marks.voted(hello, 1, 0.0)
    kept = Mark(incarnation="i2", voted=3, term=2, index=7)
    assert marks.known == {"b:1": kept}
    assert not marks.is_late(KEEP_SECONDS / 2)
    assert marks.is_late(KEEP_SECONDS)
    assert marks.take_unsaved() == {"b:1": kept}
    assert not marks.is_late(1e9)


def test_a_greeting_promises_its_term_and_a_vote_in_it() -> None:
    """What came before this term may still be cut by its raft leader, what belongs to it not."""
    marks = Marks({})
    marks.greeted(said(term=4, has_voted=True, last_term=4, last_index=50), 0.0)
    assert marks.known["b:1"] == Mark(incarnation="i2", voted=4, term=4, index=50)
    marks.greeted(said(term=5, has_voted=False, last_term=4, last_index=50), 0.0)
    mark = marks.known["b:1"]
    assert mark == Mark(incarnation="i2", voted=4, term=5)
    assert mark.contradicts(said(term=5, last_index=2)) is None
    assert mark.contradicts(said(term=4, has_voted=True, last_index=50)) is not None


def test_before_the_first_term_there_is_nothing_to_promise() -> None:
    marks = Marks({})
    marks.greeted(said(term=0, last_term=0, last_index=1), 0.0)
    assert marks.known == {}
    nothing = Mark(incarnation="i2")
    assert nothing.contradicts(said(term=0, has_voted=False, last_index=1)) is None


def test_another_incarnation_promised_nothing() -> None:
    marks = Marks({"b:1": MARK})
    marks.acknowledged(said(incarnation="another"), 1, 1, 0.0)
    assert marks.known["b:1"] == Mark(incarnation="another", term=1, index=1)


def test_a_hello_below_the_mark_is_refused_with_the_reason() -> None:
    members = Registry(OWN, {})
    members.publish(Present(marks={"b:1": MARK}))
    refusal = members.refusal(said(is_new=False, term=2, last_index=4))
    assert refusal is not None
    assert refusal.grounds is Grounds.ROLLED_BACK
    assert "older copy" in refusal.why


def test_a_process_that_is_linked_may_greet_anew_while_it_promises_on() -> None:
    members = Registry(OWN, {})
    members.publish(Present(marks={"b:1": MARK}))
    earlier = said(is_new=False, term=2, last_index=4)
    members.admit(earlier)
    assert members.refusal(earlier) is None
    assert members.refusal(said(is_new=False, term=2, process="another")) is not None


def test_a_greeting_that_arrives_late_is_not_taken_for_an_older_copy() -> None:
    """While it was on its way another connection of the same process came up, promised more, and
    broke. Only if it says less again its machine was set back with its memory."""
    members = Registry(OWN, {})
    late = said(is_new=False, term=2, last_index=4, nonce=b"1")
    members.admit(said(is_new=False, term=3, has_voted=True, nonce=b"2"))
    members.publish(Present(marks={"b:1": MARK}))
    members.lost("b:1")
    for _ in range(2):
        refusal = members.refusal(late)
        assert refusal is not None
        assert refusal.grounds is Grounds.OTHER, "it may greet again"

    fresh = said(is_new=False, term=3, has_voted=True, last_index=10, nonce=b"3")
    assert members.refusal(fresh) is None
    members.admit(fresh)
    members.lost("b:1")
    refusal = members.refusal(said(is_new=False, term=2, nonce=b"4"))
    assert refusal is not None
    assert refusal.grounds is Grounds.OTHER, "that was another time"

    refusal = members.refusal(said(is_new=False, term=2, nonce=b"5"))
    assert refusal is not None
    assert refusal.grounds is Grounds.ROLLED_BACK


def led_by_a() -> Group:
    group = Group()
    group.elect("a")
    group.settle()
    return group


def test_a_voter_put_back_from_a_copy_begins_anew_and_gets_its_seat_back() -> None:
    group = led_by_a()
    copy = deepcopy(group.seats["b"].disk.records)
    group.create("a", "k")
    group.settle()
    disk = group.kill("b")
    disk.records = copy
    group.start("b", disk)
    with pytest.raises(BegunAnew, match="older copy"):
        group.step("b")
    group.start("b", group.kill("b"))
    group.settle(rounds=8)
    assert group.voters("a")["b"] == disk.incarnation != "life of b"
    assert group.keys("b") == {"k"}


def test_a_copy_from_before_a_vote_is_noticed_by_whom_it_elected() -> None:
    group = Group()
    copy = deepcopy(group.seats["b"].disk.records)
    group.elect("a")
    disk = group.kill("b")
    disk.records = copy
    group.start("b", disk)
    with pytest.raises(BegunAnew, match="older copy"):
        group.step("b")


def test_a_copy_from_before_the_present_term_is_noticed_by_whom_the_voter_greeted_since() -> None:
    """a never heard b promise anything in the second term; c, who did, is gone."""
    group = led_by_a()
    copy = deepcopy(group.seats["b"].disk.records)
    group.start("a", group.kill("a"))
    group.network.disconnect("b", "c")
    group.elect("c", among="ac")
    group.network.connect("b", "c")
    group.settle()
    group.network.disconnect("a", "b")
    group.network.connect("a", "b")
    group.settle()
    group.kill("c")
    disk = group.kill("b")
    disk.records = copy
    group.start("b", disk)
    with pytest.raises(BegunAnew, match="it was in term 2 and is in term 1"):
        group.step("b")


def test_a_vote_of_the_present_term_is_noticed_by_whom_the_voter_greeted_since() -> None:
    group = Group()
    copy = deepcopy(group.seats["b"].disk.records)
    group.elect("a", among="ab")
    group.settle()
    group.network.disconnect("b", "c")
    group.network.connect("b", "c")
    group.settle()
    group.kill("a")
    disk = group.kill("b")
    disk.records = copy
    disk.records.term = 1
    group.start("b", disk)
    with pytest.raises(BegunAnew, match="it voted in term 1 and knows nothing of that"):
        group.step("b")


def test_marks_outlive_a_restart_of_those_who_keep_them() -> None:
    """They are written after a while, alone if nothing else is."""
    group = led_by_a()
    group.create("a", "k")
    group.settle()
    last = group.log("a")[-1][0]
    group.pass_time("a", KEEP_SECONDS)
    group.step("a")
    marks = group.seats["a"].disk.records.marks
    assert {address: mark.index for address, mark in marks.items()} == {"b": last, "c": last}


def test_marks_are_not_written_with_each_write() -> None:
    """They would double what each costs; within a second they go to the disk all the same."""
    group = led_by_a()
    for key in ("first", "second"):
        group.create("a", key)
        group.settle()
    group.step("a", 3)
    assert not group.seats["a"].store.is_dirty
    assert group.node("a")._core._marks.known["b"].index == group.log("a")[-1][0]
    assert "b" not in group.seats["a"].disk.records.marks
