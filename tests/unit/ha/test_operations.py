"""How a request is written down as it goes, and what a member says of itself."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.consensus.limits import fault
from raftha.ha.actions import StopMode, Submit
from raftha.ha.announce import member, state
from raftha.ha.memory import Memory, StopSent
from raftha.ha.operations import open_request
from raftha.ha.table import Decision
from raftha.model.cluster import MemberRole, MemberState
from raftha.model.ids import Revision
from raftha.model.operation import Operation, OperationState, OperationStep, RequestKind, Step
from raftha.model.store import KeyAbsent, KeyAt, KeyCreatedAt, Put, Remove
from raftha.model.view import JobKind, JobView, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, N2, N3

FENCE = KeyCreatedAt(KEYS.leader, Revision(pg.EPOCH.revision))
RUNNING = Operation(
    id="op1",
    kind=RequestKind.SWITCHOVER,
    leader=N2,
    candidate=N1,
    state=OperationState.RUNNING,
    message="n2 has stopped",
    steps=(Step(step=OperationStep.REQUESTED, by=N2), Step(step=OperationStep.STOPPED, by=N2)),
    revision=Revision(56),
)


def heir(memory: Memory | None = None, **more: Any) -> Decision:
    """n1 has become the leader that n2 was; what it decides."""
    server = more.pop("server", pg.primary())
    view = b.view(cluster=b.cluster(**{"operation": RUNNING, **more}), server=server)
    base = memory or Memory(promoted_at=pg.at(-1))
    return b.decided(view, replace(base, plan=b.plan_of(view, server.synchronous_standby_names)))


def test_a_request_is_put_with_its_operation_unless_one_is_under_way() -> None:
    command = open_request(KEYS, b.cluster(operation=RUNNING), b.request(), N3)

    assert command.guards == (
        KeyAbsent(KEYS.failover),
        KeyAt(KEYS.operation, Revision(56)),
        KeyAbsent(KEYS.halt),
    )
    assert {w.key for w in command.writes if isinstance(w, Put)} == {KEYS.failover, KEYS.operation}
    assert fault(command) is None
    first = open_request(KEYS, b.cluster(), b.request(), N3)
    absent = (KEYS.failover, KEYS.operation, KEYS.halt)
    assert first.guards == tuple(map(KeyAbsent, absent))


def test_a_loss_is_accepted_only_while_nobody_leads() -> None:
    asked = replace(b.request(RequestKind.FAILOVER, by=None, to=N2), may_lose=True)
    command = open_request(KEYS, b.vacant(), asked, N3)

    assert KeyAbsent(KEYS.leader) in command.guards
    assert fault(command) is None
    plain = open_request(KEYS, b.vacant(), replace(asked, may_lose=False), N3)
    assert KeyAbsent(KEYS.leader) not in plain.guards


def test_the_heir_closes_the_request() -> None:
    command = b.only(heir(request=b.request(by=N2, to=N1)), Submit).command

    assert command.guards == (
        FENCE,
        KeyAt(KEYS.failover, Revision(55)),
        KeyAt(KEYS.operation, Revision(56)),
    )
    assert command.writes[0] == Remove(KEYS.failover)
    assert b'["handed over","n1"],["promoted","n1"]' in command.writes[1].value


def test_another_heir_than_the_one_asked_for_refuses() -> None:
    command = b.only(heir(request=b.request(by=N2, to=N3)), Submit).command

    assert b"n1 became the leader instead of n3" in command.writes[1].value
    assert b'"refused"' in command.writes[1].value


def test_a_request_without_an_operation_is_closed_too() -> None:
    command = b.only(heir(request=b.request(by=N2), operation=None), Submit).command

    assert command.writes == (Remove(KEYS.failover),)


def test_the_operation_ends_when_the_followers_are_attached() -> None:
    value = b.only(heir(), Submit).command.writes[0].value

    assert b'"done"' in value
    assert b'["followers attached","n1"]' in value


def test_a_missing_follower_is_waited_for_two_ttls() -> None:
    alone = pg.primary(attached=(pg.attached(N2),))
    assert b.acts(heir(server=alone)) == []

    late = heir(Memory(promoted_at=pg.at(-10.1)), server=alone)
    value = b.only(late, Submit).command.writes[0].value
    assert b"not attached yet: n3" in value
    assert b"followers attached" not in value


def test_who_is_not_in_touch_is_not_waited_for() -> None:
    """The machine that an operator said is off, for one."""
    alone = pg.primary(attached=(pg.attached(N2),))
    view = b.view(cluster=b.cluster(operation=RUNNING), server=alone)
    voters = tuple(replace(v, connected=v.name != N3) for v in view.raft.voters)
    view = replace(view, raft=replace(view.raft, voters=voters))
    decision = b.decided(view, b.leading_memory(view, promoted_at=pg.at(-0.1)))
    value = b.only(decision, Submit).command.writes[0].value

    assert b'"done"' in value
    assert b"not attached yet: n3" in value


def test_an_operation_ends_although_the_new_leader_forgot_when_it_was_promoted() -> None:
    """Its agent was restarted, and one follower never comes."""
    alone = pg.primary(attached=(pg.attached(N2),))
    memory = Memory()
    for seconds in (0.0, 11.0):
        view = b.view(cluster=b.cluster(operation=RUNNING), server=alone)
        moved = replace(view, now=pg.at(seconds), lease=b.lease(valid_until=pg.at(seconds + 4)))
        plan = b.plan_of(view, alone.synchronous_standby_names)
        decision = b.decided(moved, replace(memory, plan=plan))
        memory = decision.memory

    assert b.acts(decision) == ["operation"]


def test_one_write_of_an_operation_at_a_time() -> None:
    view = b.view(cluster=b.cluster(operation=RUNNING), pending=frozenset({"operation"}))

    assert b.acts(b.decided(view, b.leading_memory(view))) == []


@pytest.mark.parametrize("final", [OperationState.DONE, OperationState.REFUSED])
def test_an_operation_that_ended_is_left_alone(final: OperationState) -> None:
    assert b.acts(heir(operation=replace(RUNNING, state=final))) == []


# What a member says of itself.


def test_what_has_not_changed_is_not_written() -> None:
    view = b.view()

    assert b.decided(view, b.leading_memory(view)).actions == ()


def test_what_has_changed_is_written_once() -> None:
    known = b.member(N1, state=MemberState.STARTING)
    view = b.view(cluster=b.cluster(members=b.members(known)))
    decision = b.decided(view, b.leading_memory(view))
    command = decision.actions[-1].command

    assert command.guards == (KeyAt(KEYS.member(N1), Revision(31)),)
    in_flight = replace(view, pending=frozenset({"member"}))
    assert b.decided(in_flight, b.leading_memory(view)).actions == ()
    alone = replace(view, raft=b.raft(majority=False))
    assert b.decided(alone, b.leading_memory(view)).actions == ()


def test_a_new_member_names_itself_with_an_absent_key() -> None:
    view = b.view(cluster=b.cluster(members={}))

    assert b.decided(view).actions[-1].command.guards == (KeyAbsent(KEYS.member(N1)),)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (b.view(), MemberState.RUNNING),
        (b.view(server=None), MemberState.HUNG),
        (b.view(server=None, server_seen=None), MemberState.STARTING),
        (b.following(), MemberState.STREAMING),
        (b.following(server=pg.standby()), MemberState.RUNNING),
        (b.view(server=pg.standby()), MemberState.PROMOTING),
        (b.view(stopping=True), MemberState.STOPPING),
        (b.following(guardian=pg.IDLE_GUARDIAN, stopping=True), MemberState.STOPPED),
        (b.following(guardian=pg.IDLE_GUARDIAN), MemberState.STOPPED),
        (b.following(guardian=pg.IDLE_GUARDIAN, directory=pg.EMPTY), MemberState.WAITING),
        (
            b.following(job=JobView(kind=JobKind.CLONE, started=pg.T0)),
            MemberState.CREATING,
        ),
        (b.view(job=JobView(kind=JobKind.CHECKPOINT, started=pg.T0)), MemberState.RUNNING),
    ],
)
def test_one_word_for_each_state(view: View, expected: MemberState) -> None:
    assert state(b.situation(view)) is expected


def test_a_server_that_was_told_to_stop_is_stopping() -> None:
    sent = StopSent(process="77@1", mode=StopMode.FAST, at=pg.at(-1))

    assert state(b.situation(b.view(), Memory(stop=sent))) is MemberState.STOPPING


def test_roles() -> None:
    assert member(b.situation(b.view())).role is MemberRole.PRIMARY
    assert member(b.situation(b.following())).role is MemberRole.STANDBY
    assert member(b.situation(b.view(server=None))).role is MemberRole.NONE
