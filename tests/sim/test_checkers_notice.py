"""The simulation is no decoration: each fault of the program that is planted here is noticed within
a few seeds, and by the checker that is there for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest
from msgspec.structs import replace

from raftha.consensus.commands import Expire
from raftha.consensus.configuration import Configuration
from raftha.consensus.greeting import Hello
from raftha.consensus.node import RaftNode
from raftha.instants import Instant, Seconds
from raftha.model.ids import Revision
from raftha.model.store import Barrier, Command, Committed, Event, NotSent, Outcome, Unknown
from tests.sim.host import Host
from tests.sim.plan import draw_changes
from tests.sim.world import SAFETY_S, World

SEEDS: Final = range(40)
CHANGED: Final = [seed for seed in range(240) if len(draw_changes(seed, SAFETY_S)) > 2]
"""Seeds in which the operator wishes for much."""
Sabotage = Callable[[Host, RaftNode], None]


def nothing_is_synced(_: Host, node: RaftNode) -> None:
    spoil(node._stable, "sync", lambda: None)


def terms_and_votes_are_not_stored(_: Host, node: RaftNode) -> None:
    spoil(node._stable, "save_ballot", lambda _term, _vote: None)


def leases_end_a_tenth_early(_: Host, node: RaftNode) -> None:
    lessor = node._replica._lessor
    due = lessor.due

    def early(leases: Any, now: Instant, patience: Seconds) -> tuple[Expire, ...]:
        return due(leases, now, Seconds(patience - 0.3))

    spoil(lessor, "due", early)


def leases_are_counted_from_the_answer(host: Host, node: RaftNode) -> None:
    def later(outcome: Outcome) -> Outcome:
        if isinstance(outcome, Committed):
            return Committed(outcome.revision, host.clock.now())
        return outcome

    answer_otherwise(node, later)


def unknown_outcomes_are_called_failures(_: Host, node: RaftNode) -> None:
    def failed(outcome: Outcome) -> Outcome:
        return NotSent(outcome.reason) if isinstance(outcome, Unknown) else outcome

    answer_otherwise(node, failed)


def reads_ask_nobody(host: Host, node: RaftNode) -> None:
    submit = node.store.submit

    def local(command: Command, *, timeout: Seconds, done: Callable[[Outcome], None]) -> None:
        if isinstance(command, Barrier):
            done(Committed(Revision(0), host.clock.now()))
        else:
            submit(command, timeout=timeout, done=done)

    spoil(node.store, "submit", local)


def watches_lose_the_first_of_several_changes(_: Host, node: RaftNode) -> None:
    hub = node._replica._watches
    add = hub.add

    def fewer(events: Sequence[Event], revision: Revision) -> None:
        add(events[1:] if len(events) > 1 else events, revision)

    spoil(hub, "add", fewer)


def one_replica_forgets_a_key(host: Host, node: RaftNode) -> None:
    replica = node._replica
    apply = replica.apply

    def forgetful(index: int, payload: bytes) -> None:
        apply(index, payload)
        if host.name == "b" and index == 60 and replica.machine.entries:
            replica.machine.entries.popitem()

    spoil(replica, "apply", forgetful)


def whoever_is_at_the_address_votes(_: Host, node: RaftNode) -> None:
    membership = node._core.membership

    def votes(address: str) -> bool:
        return any(seat.address == address for seat in membership.seats)

    spoil(membership, "votes", votes)


def whoever_greets_is_said_to_have_voted(_: Host, node: RaftNode) -> None:
    marks = node._core._marks

    def greeted(hello: Hello, now: float) -> None:
        marks.voted(hello, hello.term, now)

    spoil(marks, "greeted", greeted)


def voters_are_changed_before_the_term_has_committed(_: Host, node: RaftNode) -> None:
    council = node._core.council

    def may_step() -> bool:
        return council.membership.latest_index <= node._core.engine.commit_index

    spoil(council, "_may_step", may_step)


def a_second_step_does_not_wait_for_the_first(_: Host, node: RaftNode) -> None:
    core = node._core

    def may_step() -> bool:
        return core._journal.term_at(core.engine.commit_index) == core.engine.term

    spoil(core.council, "_may_step", may_step)


def two_voters_go_in_one_step(_: Host, node: RaftNode) -> None:
    council = node._core.council
    append = council._append

    def more(after: Configuration) -> None:
        latest = council.membership.latest
        is_removal = latest is not None and len(after.seats) < len(latest.seats)
        append(replace(after, seats=after.seats[:-1]) if is_removal else after)

    spoil(council, "_append", more)


def nodes_without_a_seat_are_counted(_: Host, node: RaftNode) -> None:
    engine = node._core.engine
    arrange = engine.arrange

    def arranged(*parties: Any) -> None:
        arrange(*parties)
        engine._SyncObj__otherNodes |= engine._SyncObj__readonlyNodes

    spoil(engine, "arrange", arranged)


def spoil(target: object, name: str, replacement: object) -> None:
    setattr(target, name, replacement)


def answer_otherwise(node: RaftNode, change: Callable[[Outcome], Outcome]) -> None:
    submit = node.store.submit

    def changed(command: Command, *, timeout: Seconds, done: Callable[[Outcome], None]) -> None:
        submit(command, timeout=timeout, done=lambda outcome: done(change(outcome)))

    spoil(node.store, "submit", changed)


@pytest.mark.parametrize(
    ("sabotage", "noticed_as", "seeds"),
    [
        (nothing_is_synced, ("S2", "S3", "S4", "tripwire"), SEEDS),
        (terms_and_votes_are_not_stored, ("S2", "S3", "S4", "tripwire"), SEEDS),
        (leases_end_a_tenth_early, ("S5",), SEEDS),
        (leases_are_counted_from_the_answer, ("S5",), SEEDS),
        (unknown_outcomes_are_called_failures, ("S4",), SEEDS),
        (reads_ask_nobody, ("S4",), SEEDS),
        (watches_lose_the_first_of_several_changes, ("watch",), SEEDS),
        (one_replica_forgets_a_key, ("S3",), SEEDS),
        (whoever_is_at_the_address_votes, ("S2", "S3"), SEEDS),
        (whoever_greets_is_said_to_have_voted, ("R10",), SEEDS),
        (voters_are_changed_before_the_term_has_committed, ("voters",), CHANGED),
        (a_second_step_does_not_wait_for_the_first, ("voters",), CHANGED),
        (two_voters_go_in_one_step, ("tripwire",), CHANGED),
        (nodes_without_a_seat_are_counted, ("S2", "S3"), CHANGED),
    ],
)
def test_the_checkers_notice(
    sabotage: Sabotage, noticed_as: tuple[str, ...], seeds: Sequence[int]
) -> None:
    for seed in seeds:
        violations = World(seed, sabotage=sabotage).run()
        if any(violation.startswith(noticed_as) for violation in violations):
            return
    pytest.fail(f"{len(seeds)} seeds and nobody noticed")
