"""One answer for each command, whatever happens to its session on the way."""

from __future__ import annotations

from msgspec.structs import replace

from raftha.consensus import commands
from raftha.consensus.commands import Body, LogCommand, OpenSession, SessionId
from raftha.consensus.machine import Happened, Machine, Refused, Superseded
from raftha.consensus.proposals import MAX_PENDING, Pending, Proposals, Route
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.store import (
    Barrier,
    Command,
    Committed,
    Key,
    NotSent,
    Outcome,
    Put,
    Rejected,
    Transact,
    Unknown,
)
from tests.sim.fakes import FakeClock, TrueTime

ROUTE: Route = ("b:1", 1, 0)
OTHER: Route = ("c:1", 2, 0)
MINE = SessionId(voter="n1", incarnation="i", boot=1, nonce=7)


class Desk:
    """Proposals, a clock that is moved by hand, and what was handed over."""

    def __init__(self) -> None:
        self.time = TrueTime()
        self.clock = FakeClock(self.time)
        self.proposals = Proposals(clock=self.clock, session=MINE)
        self.sent: list[LogCommand] = []
        self.takes = True
        self.objects: str | None = None
        self.weighed: list[Body] = []

    def propose(self, payload: bytes, remaining: Seconds) -> bool:
        assert remaining > 0
        self.sent.append(commands.decode(payload))
        return self.takes

    def objection(self, body: Body) -> str | None:
        self.weighed.append(body)
        return self.objects

    def submit(self, command: Command, timeout: float = 5.0) -> list[Outcome]:
        outcomes: list[Outcome] = []
        deadline = self.clock.now().plus(timeout)
        self.proposals.add(Pending(command, deadline, outcomes.append))
        return outcomes

    def turn(self, route: Route | None = ROUTE) -> None:
        self.proposals.turn(self, route)
        self.proposals.deliver()

    def open(self) -> None:
        self.turn()
        self.proposals.heard(self.sent[-1], Happened(Revision(0)))
        self.turn()


def test_the_session_is_opened_before_the_first_command() -> None:
    desk = Desk()
    outcomes = desk.submit(Barrier())
    desk.turn()
    assert [type(command.body) for command in desk.sent] == [OpenSession]
    desk.proposals.heard(desk.sent[0], Happened(Revision(0)))
    desk.turn()
    assert desk.sent[1].seq == 1

    handed_over = desk.clock.now()
    desk.time.now += 1
    desk.proposals.heard(desk.sent[1], Happened(Revision(4)))
    desk.turn()
    assert outcomes == [Committed(Revision(4), handed_over)]


def test_a_refused_command_is_rejected_with_the_reason() -> None:
    desk = Desk()
    outcomes = desk.submit(Barrier())
    desk.open()
    desk.proposals.heard(desk.sent[-1], Refused("key 'k' exists"))
    desk.turn()
    assert outcomes == [Rejected("key 'k' exists")]


def test_a_new_route_gets_the_same_bytes_again_and_an_old_one_does_not() -> None:
    desk = Desk()
    desk.submit(Barrier())
    desk.open()
    desk.turn()
    desk.turn(OTHER)
    assert len(desk.sent) == 3
    assert desk.sent[1] == desk.sent[2]


def test_the_floor_follows_the_commands_that_still_wait() -> None:
    desk = Desk()
    desk.submit(Barrier(), timeout=1.0)
    desk.open()
    desk.submit(Barrier())
    desk.turn()
    assert (desk.sent[-1].seq, desk.sent[-1].floor) == (2, 0)
    desk.time.now += 2
    desk.turn()
    desk.submit(Barrier())
    desk.turn()
    assert (desk.sent[-1].seq, desk.sent[-1].floor) == (3, 1)


def test_time_running_out_is_unknown_after_the_hand_over_and_not_sent_before() -> None:
    desk = Desk()
    left = desk.submit(Barrier(), timeout=1.0)
    desk.open()
    waiting = desk.submit(Barrier(), timeout=1.0)
    desk.time.now += 2
    desk.turn()
    assert [type(outcome) for outcome in left] == [Unknown]
    assert [type(outcome) for outcome in waiting] == [NotSent]


def test_a_caller_that_gave_up_is_not_answered_twice_and_its_command_does_not_leave() -> None:
    desk = Desk()
    desk.submit(Barrier())
    desk.open()
    outcomes: list[Outcome] = []
    pending = Pending(Barrier(), desk.clock.now().plus(5), outcomes.append)
    desk.proposals.add(pending)
    pending.give_up("no patience")
    sent = len(desk.sent)
    desk.turn()
    assert len(desk.sent) == sent
    assert outcomes == [NotSent("no patience")]


def test_a_session_taken_over_is_begun_anew_and_says_what_did_not_happen() -> None:
    desk = Desk()
    outcomes = desk.submit(Barrier())
    desk.open()
    desk.proposals.heard(desk.sent[-1], Superseded())
    desk.turn()
    assert [type(outcome) for outcome in outcomes] == [NotSent]

    desk.submit(Barrier())
    desk.turn()
    assert desk.sent[-1].session == replace(MINE, boot=2)
    assert isinstance(desk.sent[-1].body, OpenSession)


def test_answers_that_a_snapshot_holds_are_given() -> None:
    desk = Desk()
    outcomes = desk.submit(Barrier())
    desk.open()
    machine = Machine()
    machine.apply(LogCommand(body=OpenSession(), session=MINE))
    machine.apply(desk.sent[-1])
    desk.proposals.restored(machine)
    desk.turn()
    assert [type(outcome) for outcome in outcomes] == [Committed]


def test_too_many_or_impossible_commands_are_not_sent() -> None:
    desk = Desk()
    impossible = desk.submit(Transact((), (Put(Key("k"), b""),)))
    large = desk.submit(Transact((), (Put(Key("k"), bytes(20000)),)))
    for _ in range(MAX_PENDING):
        desk.submit(Barrier())
    surplus = desk.submit(Barrier())
    for outcomes in (impossible, large, surplus):
        assert [type(outcome) for outcome in outcomes] == [NotSent]


def test_closing_answers_everybody() -> None:
    desk = Desk()
    left = desk.submit(Barrier())
    desk.open()
    waiting = desk.submit(Barrier())
    desk.proposals.close("stopping")
    assert [type(outcome) for outcome in left + waiting] == [Unknown, NotSent]


def test_what_is_objected_to_has_not_happened_and_is_not_handed_over() -> None:
    desk = Desk()
    desk.submit(Barrier())
    desk.open()
    desk.objects = "no room"
    outcomes = desk.submit(Barrier())
    sent = len(desk.sent)
    desk.turn()
    assert outcomes == [NotSent("no room")]
    assert desk.weighed[-1] == Barrier()
    assert len(desk.sent) == sent


def test_an_objection_to_what_was_handed_over_once_does_not_deny_it() -> None:
    desk = Desk()
    outcomes = desk.submit(Barrier())
    desk.open()
    desk.objects = "no room"
    desk.turn(OTHER)
    assert outcomes == []
