"""The operator's program that may forbid a promotion (`postgresql.pre_promote`). PURE.

It is asked by the holder of the leader key, who goes on renewing, and before the promotion is
recorded: so no timeline is burned for a refusal, and an agent that finds the record of its own
epoch knows that this was agreed to.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from raftha.ha.actions import AskPeers, AskPrePromote, CancelJob
from raftha.ha.annals import giving_back
from raftha.ha.candidates import floor_of
from raftha.ha.heirs import holders, named
from raftha.ha.memory import PrePromoteAsked
from raftha.ha.situation import Situation
from raftha.ha.table import Verdict
from raftha.instants import Instant, longest
from raftha.model.view import HeldLease, JobKind, JobResult

HEIR_WAIT_S: Final = 2.0
"""How long whoever was refused looks for another one that holds everything."""


def consent(s: Situation, lease: HeldLease) -> Verdict | None:
    """What is done before the promotion; None once nothing stands against it."""
    if not s.view.me.pre_promote or s.view.directory.unborn:
        return None
    job, done, asked = s.view.job, s.view.finished, s.memory.pre_promote_asked
    if asked is not None and asked.epoch == lease.epoch:
        if done is not None and _answers(done, asked):
            why = done.error
            return None if why is None else _refused(s, lease, done.ended, f"{done.kind} {why}")
        if job is not None and job.kind is JobKind.PRE_PROMOTE:
            return Verdict(f"pre_promote has been running for {s.since(job.started):.1f} s")
    if job is not None:
        return Verdict(f"giving up {job.kind}, to ask pre_promote", (CancelJob(),))
    memory = replace(s.memory, pre_promote_asked=PrePromoteAsked(epoch=lease.epoch, at=s.now))
    return Verdict("asking pre_promote before the promotion", (AskPrePromote(),), memory)


def _refused(s: Situation, lease: HeldLease, at: Instant, why: str) -> Verdict:
    """Nobody has acknowledged anything under this epoch: who holds all that is here may lead. It
    may have got the last of it from here."""
    sync, server = s.cluster.sync, s.server
    is_late = s.since(at) >= HEIR_WAIT_S or not s.other_members
    if sync is None or sync.standbys or server is None or is_late:
        return giving_back(s, lease, why)
    timeline, position = server.timeline, server.position
    found = holders(
        s,
        at,
        lambda report: (
            report.timeline == timeline
            and report.position is not None
            and position is not None
            and report.position >= position
        ),
    )
    if found:
        told = ", ".join(found)
        return Verdict(
            f"{why}: {told} may lead, writing it down", named(s, lease, sync, found, floor_of(s))
        )
    names = tuple(member.name for member in s.other_members)
    return Verdict(f"{why}: asking who else holds everything", (AskPeers(names),))


def _answers(done: JobResult, asked: PrePromoteAsked) -> bool:
    return done.kind is JobKind.PRE_PROMOTE and longest(asked.at, done.ended) > 0
