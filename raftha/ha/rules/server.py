"""Starting and stopping the server, as several rules decide it. PURE."""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha.actions import Start, Stop, StopMode, TakeOver
from raftha.ha.backoff import backoff
from raftha.ha.memory import StopSent
from raftha.ha.plans import standby_plan
from raftha.ha.situation import Situation
from raftha.ha.table import Verdict
from raftha.model.cluster import Member
from raftha.model.ids import Epoch
from raftha.model.postgres import ServerPlan

FIRST_START_PAUSE_S = 1.0
LONGEST_START_PAUSE_S = 30.0
"""Pause after a start that came to nothing: doubled each time, up to the longest."""


def start_standby(s: Situation, source: Member | None, reason: str) -> Verdict:
    """Start the server as a standby."""
    return start(s, standby_plan(s.cluster, s.view.me, source), None, reason)


def start(s: Situation, plan: ServerPlan, epoch: Epoch | None, reason: str) -> Verdict:
    """Start the server; after starts that came to nothing, only after a pause."""
    starts = s.memory.starts
    pause = backoff(starts, FIRST_START_PAUSE_S, LONGEST_START_PAUSE_S)
    if starts > 0 and s.since(s.memory.started_at) < pause:
        words = s.view.last_words or f"status {s.view.guardian.last_exit}, see postgresql.log"
        return Verdict(
            f"PostgreSQL ended before it answered, {starts} times in a row, the next try follows "
            f"{pause:.0f} s after the last: {words}"
        )
    stranger = s.view.directory.stranger
    if stranger is not None and epoch is None:
        return Verdict(f"{reason}; what runs here (pid {stranger}) goes on until there is a leader")
    if stranger is not None:
        return take_over(s, stranger, reason)
    memory = replace(s.memory, plan=plan, promoted=None, starts=starts + 1, started_at=s.now)
    return Verdict(reason, (Start(plan, epoch),), memory)


def take_over(s: Situation, pid: int, reason: str) -> Verdict:
    """Stop what somebody else started here."""
    what = f"PostgreSQL (pid {pid}) runs here, and raftha did not start it"
    if s.backing_off():
        return Verdict(f"{what}; it is to be taken over, but {s.memory.failed}")
    return Verdict(f"{reason}: {what}; it is stopped first", (TakeOver(pid),))


def stop(s: Situation, mode: StopMode, reason: str) -> Verdict:
    """Stop the server that runs now, unless that very stop was already asked for."""
    if s.stop_was_sent(mode):
        return Verdict(reason)
    sent = StopSent(process=s.view.guardian.process, mode=mode, at=s.now)
    return Verdict(reason, (Stop(mode),), replace(s.memory, stop=sent))
