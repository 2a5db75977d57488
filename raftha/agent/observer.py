"""Watches the PostgreSQL server: asks for its status, and probes whether it could serve.

One thread, because the kept connection belongs to one. What it finds is published as one immutable
value; whoever reads it sees of which process, and when, it was said.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from msgspec.structs import replace

from raftha.agent.board import Board, Sample
from raftha.clock import Clock
from raftha.errors import PostgresError
from raftha.instants import Instant, Seconds, longest
from raftha.logs import event
from raftha.model.postgres import ServerStatus
from raftha.pg.instance import Instance

LOG = logging.getLogger(__name__)

HURRY = Seconds(0.05)
"""Between two looks while something is about to change (a start, a promotion, a hand-over)."""


class Observer:
    """Writes `board.sample`. `pace` answers how often to look, `timeout` how long a question may
    take. It wakes the loop when something of note changed."""

    def __init__(
        self,
        *,
        board: Board,
        instance: Instance,
        clock: Clock,
        pace: Callable[[], Seconds],
        timeout: Callable[[], Seconds],
    ) -> None:
        self._board = board
        self._instance = instance
        self._clock = clock
        self._pace = pace
        self._timeout = timeout
        self._fresh = threading.Condition()
        self._rounds = 0
        self._wanted = 0
        self._is_asking = False

    def look(self, timeout: Seconds) -> Sample:
        """Answers that were asked for after this call; the last ones if none come in time."""
        with self._fresh:
            # A round that runs now may have asked before this call: the next one counts.
            wanted = self._rounds + (2 if self._is_asking else 1)
            self._wanted = max(self._wanted, wanted)
            self._board.look()
            self._fresh.wait_for(
                lambda: self._rounds >= wanted or not self._board.process(), timeout
            )
            return self._board.sample

    def run(self, stopped: threading.Event) -> None:
        """Look again and again until stopped."""
        while not stopped.is_set():
            self._board.looked_for.clear()
            self.step()
            self._board.looked_for.wait(self.rest)
        self._instance.close()

    @property
    def rest(self) -> Seconds:
        """How long to rest after a look, unless somebody asks for one."""
        return self._pace() if self._rounds >= self._wanted else Seconds(0.0)

    def step(self) -> None:
        """One look."""
        self._is_asking = True
        process = self._board.process()
        before = self._board.sample
        after = Sample() if not process else self._ask(process, before)
        self._board.sample = after
        cut = self._board.cut
        is_told = cut is not None and _covers(after, cut.at) and not _covers(before, cut.at)
        with self._fresh:
            self._is_asking = False
            self._rounds += 1
            self._fresh.notify_all()
        if is_told or _differs(before, after):
            self._board.wake()

    def _ask(self, process: str, before: Sample) -> Sample:
        timeout = self._timeout()
        asked = self._clock.now()
        is_known = before.process == process
        base = before if is_known else Sample(process=process, appeared=asked)
        try:
            status = self._instance.status(timeout)
            base = replace(base, answered=base.answered or asked)
            probed = base.probed if status.is_primary else asked
            if probed is None or longest(probed, asked) >= timeout / 2:
                self._instance.probe(timeout)
                probed = asked
        except PostgresError as error:
            if not base.problem:
                event(LOG, logging.INFO, "server does not answer", why=str(error))
            return replace(base, problem=str(error))
        return replace(base, status=status, asked=asked, probed=probed, problem="")


def _covers(sample: Sample, at: Instant) -> bool:
    """It was asked for since then."""
    return sample.asked is not None and longest(at, sample.asked) >= 0


def _differs(before: Sample, after: Sample) -> bool:
    """Something changed that a rule may look at; positions move all the time and do not count."""
    if (before.process, before.problem == "") != (after.process, after.problem == ""):
        return True
    return _outline(before.status) != _outline(after.status)


def _outline(status: ServerStatus | None) -> object:
    if status is None:
        return None
    attached = tuple((a.application_name, a.state, a.sync_state) for a in status.attached)
    receiver = status.receiver and (status.receiver.status, status.receiver.host)
    return (
        status.in_recovery,
        status.timeline,
        receiver,
        attached,
        status.slots,
        status.synchronous_standby_names,
        status.replay_pause,
    )
