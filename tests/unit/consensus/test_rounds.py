"""Which rounds end early, and that nothing which matters waits for the next whole one."""

from __future__ import annotations

from raftha.consensus import wire
from raftha.consensus.greeting import Refusal
from raftha.consensus.links import Received
from raftha.instants import RHO, Seconds
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


def test_a_heartbeat_without_news_and_its_answer_start_no_round() -> None:
    group = led_by_a()
    group.beat("a")
    group.network.deliver("a", "b", 10)
    assert not hear(group, "b")
    assert not group.flying("b", "a")

    group.pass_time("b", 2 * group.timings.append_period)
    group.step("b")
    group.beat("a")
    group.network.deliver("a", "b", 10)
    assert hear(group, "b"), "every other heartbeat is answered"
    assert group.flying("b", "a")
    group.step("a")
    group.network.deliver("b", "a", 10)
    assert not hear(group, "a")


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


def test_a_node_that_only_hears_has_not_paused() -> None:
    """The time that is given after a pause would put its campaign off for ever."""
    group = led_by_a(RaftTimings())
    node = group.node("b")
    group.pass_time("b", group.timings.append_period)
    for _ in range(10):
        due = node._core.engine.election_due
        node._links.hear(Received("c", b""))
        group.pass_time("b", group.timings.election_min / 4)
        node.step(Seconds(0.0))
        if node._clock.raw() > due:
            break
    assert any(isinstance(message, wire.Canvass) for message in group.flying("b", "c"))
