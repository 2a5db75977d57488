"""Which rounds end early, and that nothing which matters waits for the next whole one."""

from __future__ import annotations

from raftha.consensus import wire
from raftha.consensus.core import COMPACTION_PAUSE
from raftha.consensus.greeting import Refusal
from raftha.consensus.links import Received
from raftha.instants import RHO, Seconds
from raftha.model.ids import MemberName
from raftha.model.membership import MemberVerb, MemberWish, asking
from raftha.model.settings import RaftTimings
from raftha.model.store import Committed, Grant, LeaseId, Outcome, Transact
from tests.sim.group import Group

A_MOMENT = 0.01
TTL = Seconds(0.2)


def led_by_a(timings: RaftTimings | None = None) -> Group:
    group = Group() if timings is None else Group(timings=timings)
    group.elect("a")
    group.create("a", "the session of a begins with it")
    group.settle()
    group.step("abc")
    return group


def hear(group: Group, name: str) -> bool:
    """One round a moment later; whether it was a whole one."""
    node = group.node(name)
    before = node._due
    group.pass_time(name, A_MOMENT)
    node.step(Seconds(0.0))
    return node._due != before


def test_a_heartbeat_without_news_and_its_answer_start_no_whole_round() -> None:
    group = led_by_a()
    group.beat("a")
    group.network.deliver("a", "b", 10)
    assert not hear(group, "b")
    assert not group.flying("b", "a")

    group.pass_time("b", 2 * group.timings.append_period)
    group.step("b")
    group.beat("a")
    group.network.deliver("a", "b", 10)
    assert not hear(group, "b")
    assert group.flying("b", "a"), "every other heartbeat is answered"
    group.step("a")
    group.network.deliver("b", "a", 10)
    assert not hear(group, "a")


def go_on(group: Group, name: str, seconds: float) -> set[float]:
    """Let one node go on at its own pace; when each of its whole rounds made the next one due."""
    node = group.node(name)
    end = node._clock.raw() + seconds
    dues = set()
    while (left := end - node._clock.raw()) > 0:
        group.pass_time(name, min(left, max(node.wait, A_MOMENT / 10)))
        node.step(Seconds(0.0))
        dues.add(node._due)
    return dues


def test_a_raft_leader_speaks_in_time_without_whole_rounds() -> None:
    group = led_by_a(RaftTimings())
    before = len(group.flying("a", "b"))
    periods = 4
    dues = go_on(group, "a", (periods + 0.5) * group.timings.append_period)
    said = group.flying("a", "b")[before:]
    assert sum(isinstance(message, wire.Append) for message in said) >= periods
    assert len(dues) == 1


def test_a_raft_leader_that_nobody_answers_steps_down_when_its_majority_has_lapsed() -> None:
    group = led_by_a(RaftTimings())
    go_on(group, "a", 0.9 * group.timings.fallback)
    assert group.leads("a")
    go_on(group, "a", 0.1 * group.timings.fallback + A_MOMENT)
    assert not group.leads("a")


def test_what_a_newcomer_has_got_is_looked_at_at_once() -> None:
    group = led_by_a()
    group.join_anew("d")
    group.settle(rounds=8)
    group.pass_time("d", 2 * group.timings.append_period)
    group.beat("a")
    group.network.deliver("a", "d", 10)
    group.step("d")
    group.network.deliver("d", "a", 10)
    assert hear(group, "a")


def test_the_parts_of_a_snapshot_follow_one_another_soon() -> None:
    group = led_by_a()
    node = group.node("a")
    node._core.engine.feed.chunk_bytes = 1
    group.compact("a")
    assert node._core._compaction.is_under_way
    assert node.wait <= COMPACTION_PAUSE


def test_a_wish_is_looked_at_again_soon() -> None:
    group = led_by_a(RaftTimings())
    assert group.node("a")._until_due() > 0.2
    wanted = MemberWish(id="w", verb=MemberVerb.ADD, name=MemberName("d"), address="d")
    group.node("a").store.submit(
        asking("sim", wanted, None), timeout=Seconds(1e5), done=lambda _outcome: None
    )
    group.step("a")
    group.settle()
    assert group.node("a")._until_due() <= 0.1


def test_an_entry_is_answered_and_the_answer_commits_it_at_once() -> None:
    group = led_by_a()
    outcomes = group.create("a", "k")
    group.network.deliver("a", "b", 10)
    assert hear(group, "b")
    assert any(isinstance(message, wire.Progress) for message in group.flying("b", "a"))

    group.network.deliver("b", "a", 10)
    assert hear(group, "a")
    assert [type(outcome) for outcome in outcomes] == [Committed]


def test_what_others_hold_against_a_node_is_heeded_at_once() -> None:
    group = led_by_a()
    assert not hear(group, "b")
    group.node("b")._registry.judged("c", Refusal("it is not what it was"))
    assert hear(group, "b")


def test_the_end_of_a_lease_is_not_waited_past() -> None:
    group = led_by_a()
    told: list[Outcome] = []
    command = Transact((), (Grant(LeaseId("l"), "a", TTL),))
    group.node("a").store.submit(command, timeout=Seconds(1e5), done=told.append)
    group.step("a")
    group.settle()
    assert [type(outcome) for outcome in told] == [Committed]
    group.step("a")

    assert 0 < group.node("a").wait <= TTL * (1 + RHO)


def test_a_lease_does_not_end_for_a_sync_in_which_nobody_was_heard() -> None:
    """The renewals of that time wait to be read. The holder would lose what it has renewed."""
    group = led_by_a()
    command = Transact((), (Grant(LeaseId("l"), "b", TTL),))
    group.node("b").store.submit(command, timeout=Seconds(1e5), done=lambda _outcome: None)
    group.step("b")
    group.settle(rounds=8)
    store = group.seats["a"].store
    sync = store.sync

    def slow_sync() -> None:
        if store.is_dirty:
            group.pass_time("a", 10 * TTL)
        sync()

    store.sync = slow_sync  # type: ignore[method-assign]
    before = len(group.log("a"))
    group.create("a", "k")
    entries = group.node("a")._core._journal[before:]
    assert entries
    assert not any(b"expire" in entry[0] for entry in entries)
    assert LeaseId("l") in group.node("a").store.peek().leases


def test_a_node_that_only_hears_has_not_paused() -> None:
    """The time that is given after a pause would put its campaign off for ever."""
    group = led_by_a(RaftTimings())
    node = group.node("b")
    group.pass_time("b", group.timings.append_period)
    group.step("b")
    due = node._core.engine.election_due
    while node._clock.raw() <= due:
        node._links.hear(Received("c", b""))
        group.pass_time("b", group.timings.election_min / 6)
        node.step(Seconds(0.0))
    assert any(isinstance(message, wire.Canvass) for message in group.flying("b", "c"))


def test_what_waited_for_the_session_goes_as_soon_as_it_is_open() -> None:
    group = Group()
    group.elect("a")
    group.create("b", "k")
    proposals = group.node("b")._proposals
    while not proposals._is_open:
        for source, target in (("b", "a"), ("a", "b")):
            group.deliver(source, target)
    assert [pending.handed_over for pending in proposals._pending.values()] == [None]
    assert group.node("b").wait == 0
