"""Commands on their way: from the caller, through the log, to the one answer each gets.

The answer to a command is taken from this node's own replica, when the entry with the command's
session and number is applied there; no message between voters carries results, so none can be
mistaken for another. A command whose raft leader changed is handed to the next one unchanged: the
number makes the second copy harmless, and the instant of its *first* hand-over stays the one that a
lease counts from.

All methods but `Pending.settle` run on the raft thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from msgspec.structs import replace

from raftha.clock import Clock
from raftha.consensus import commands
from raftha.consensus.commands import (
    MAX_COMMAND_BYTES,
    Body,
    LogCommand,
    OpenSession,
    SessionId,
)
from raftha.consensus.limits import fault
from raftha.consensus.machine import Happened, Machine, Refused, Result, Superseded
from raftha.instants import Instant, Seconds, longest, remaining
from raftha.model.store import Command, Committed, NotSent, Outcome, Rejected, Unknown

MAX_PENDING: Final = 1024
_OPEN_AGAIN: Final = Seconds(1.0)

Route = tuple[str, int, int]
"""Where commands go: the raft leader, its term, and which link to it, counted."""


class Courier(Protocol):
    """Takes a command towards the log."""

    def propose(self, payload: bytes, remaining: Seconds) -> bool:
        """Append or forward it; False if there is no raft leader to take it."""

    def objection(self, body: Body) -> str | None:
        """Why it is not to be proposed at all; None if it may be."""


class Pending:
    """A command with its caller. `settle` works once, from any thread. `only` is the raft leader
    with its term whose decision the command is: in that term alone, and by that node, it may get
    into the log."""

    __slots__ = (
        "_lock",
        "_settled",
        "command",
        "deadline",
        "done",
        "handed_over",
        "only",
        "payload",
        "route",
        "seq",
    )

    def __init__(
        self,
        command: Command,
        deadline: Instant,
        done: Callable[[Outcome], None],
        only: tuple[str, int] | None = None,
    ) -> None:
        self.command = command
        self.deadline = deadline
        self.done = done
        self.only = only
        self.seq = 0
        self.payload = b""
        self.handed_over: Instant | None = None
        self.route: Route | None = None
        self._lock = threading.Lock()
        self._settled = False

    def settle(self, outcome: Outcome) -> None:
        """Give the caller its answer, unless it has one."""
        with self._lock:
            if self._settled:
                return
            self._settled = True
        self.done(outcome)

    @property
    def is_settled(self) -> bool:
        return self._settled

    def begin(self, now: Instant) -> bool:
        """The command is about to leave; False if its caller has been answered already."""
        with self._lock:
            if self._settled:
                return False
            if self.handed_over is None:
                self.handed_over = now
        return True

    def give_up(self, reason: str) -> None:
        """No answer came: it surely did not happen only if it never left."""
        with self._lock:
            if self._settled:
                return
            self._settled = True
            left = self.handed_over is not None
        self.done(Unknown(reason) if left else NotSent(reason))


class Proposals:
    """The session of this process, and its commands without an answer."""

    def __init__(self, *, clock: Clock, session: SessionId) -> None:
        self._clock = clock
        self._session = session
        self._is_open = False
        self._has_changed = False
        self._opened_by: Route | None = None
        self._opening_since: Instant | None = None
        self._pending: dict[int, Pending] = {}
        self._next_seq = 1
        self._answers: list[tuple[Pending, Outcome]] = []

    def add(self, pending: Pending) -> None:
        """Take a command in."""
        reason = fault(pending.command)
        if reason is None and len(self._pending) >= MAX_PENDING:
            reason = f"{MAX_PENDING} commands wait already"
        if reason is not None:
            pending.settle(NotSent(reason))
            return
        pending.seq = self._next_seq
        self._next_seq += 1
        self._pending[pending.seq] = pending

    def turn(self, courier: Courier, route: Route | None) -> None:
        """Drop what ran out of time, hand over what has not gone this way yet."""
        now = self._clock.now()
        self._has_changed = False
        for pending in list(self._pending.values()):
            if pending.is_settled or remaining(pending.deadline, now) <= 0:
                del self._pending[pending.seq]
                pending.give_up("no answer in time; no majority could be reached")
        if route is None:
            return
        if not self._is_open:
            self._open(courier, route, now)
            return
        for pending in list(self._pending.values()):
            if pending.route != route:
                self._hand_over(pending, courier, route)

    def heard(self, command: LogCommand, result: Result) -> None:
        """The replica applied this command."""
        if command.session != self._session:
            return
        if isinstance(command.body, OpenSession):
            self._opened(result)
            return
        pending = self._pending.pop(command.seq, None)
        if pending is not None:
            self._answer(pending, result)

    def restored(self, machine: Machine) -> None:
        """A snapshot skipped some entries: answers that it holds are given, others stay open."""
        known = machine.sessions.get(self._session.voter)
        if known is None or known.id != self._session:
            self._is_open = False
            self._opened_by = None
            return
        self._is_open = self._has_changed = True
        for seq, result in known.results.items():
            pending = self._pending.pop(seq, None)
            if pending is not None:
                self._answer(pending, result)

    def deliver(self) -> None:
        """Call back everybody whose answer is known; after the replica published its state."""
        answers, self._answers = self._answers, []
        for pending, outcome in answers:
            pending.settle(outcome)

    def close(self, reason: str) -> None:
        """No answers will come any more."""
        self.deliver()
        for pending in self._pending.values():
            pending.give_up(reason)
        self._pending.clear()

    def wait(self, now: Instant) -> Seconds:
        """Seconds until a command runs out of time or can be handed over; at most one."""
        if self._has_changed and self._pending:
            return Seconds(0.0)
        left = [remaining(pending.deadline, now) for pending in self._pending.values()]
        return Seconds(max(0.0, min(left, default=1.0)))

    def _open(self, courier: Courier, route: Route, now: Instant) -> None:
        """The session begins with its own entry, before any command. Without one it can wait."""
        if not self._pending:
            return
        since = self._opening_since
        if self._opened_by == route and since is not None and longest(since, now) < _OPEN_AGAIN:
            return
        command = LogCommand(body=OpenSession(), session=self._session)
        if courier.propose(commands.encode(command), Seconds(_OPEN_AGAIN * 2)):
            self._opened_by = route
            self._opening_since = now

    def _opened(self, result: Result) -> None:
        self._is_open = isinstance(result, Happened)
        self._has_changed = True
        if isinstance(result, Superseded):
            self._give_way()

    def _give_way(self) -> None:
        """Another process of this voter began later: begin anew after it."""
        self._session = replace(self._session, boot=self._session.boot + 1)
        self._is_open = False
        self._opened_by = None
        for pending in list(self._pending.values()):
            if pending.handed_over is not None:
                del self._pending[pending.seq]
                pending.give_up("the session was taken over by another process of this node")

    def _hand_over(self, pending: Pending, courier: Courier, route: Route) -> None:
        if pending.only is not None and pending.only != route[:2]:
            del self._pending[pending.seq]
            pending.give_up("this node does not lead the Raft group any more")
            return
        first = self._clock.now()
        left = remaining(pending.deadline, first)
        if left <= 0:
            return
        if not pending.payload:
            pending.payload = self._encode(pending)
        # What has left once may have happened, whatever there is room for now.
        reason = courier.objection(pending.command) if pending.handed_over is None else None
        if len(pending.payload) > MAX_COMMAND_BYTES:
            reason = f"a command of {len(pending.payload)} bytes is too large"
        if reason is not None:
            del self._pending[pending.seq]
            pending.settle(NotSent(reason))
            return
        if pending.begin(first) and courier.propose(pending.payload, left):
            pending.route = route

    def _encode(self, pending: Pending) -> bytes:
        return commands.encode(
            LogCommand(
                body=pending.command,
                session=self._session,
                seq=pending.seq,
                floor=min(self._pending) - 1,
            )
        )

    def _answer(self, pending: Pending, result: Result) -> None:
        outcome: Outcome
        match result:
            case Happened():
                assert pending.handed_over is not None
                outcome = Committed(result.revision, pending.handed_over)
            case Refused():
                outcome = Rejected(result.reason)
            case Superseded():
                outcome = NotSent("the session was taken over by another process of this node")
                self._give_way()
        self._answers.append((pending, outcome))
