"""Slow work in progress, and the pause after work that failed. PURE."""

from __future__ import annotations

from raftha.ha.actions import Action, CancelJob
from raftha.ha.situation import Situation
from raftha.ha.table import Rule, Verdict
from raftha.model.view import JobKind, JobView

CANCEL: tuple[Action, ...] = (CancelJob(),)


_UNDER_LEASE = (JobKind.PRE_PROMOTE, JobKind.RESTORE, JobKind.POST_BOOTSTRAP)
"""Of no use to who does not hold the leader key any more."""


def _job_runs(s: Situation) -> Verdict | None:
    job = s.view.job
    if job is not None and job.kind in _UNDER_LEASE and s.lease is None:
        return Verdict(f"the leader key is lost: giving up {job.kind}", CANCEL)
    if job is None or job.kind.disturbs_nothing:
        return None
    leader = s.cluster.leader
    if job.source and leader is not None and leader.name != job.source:
        return Verdict(f"{leader.name} leads now: giving up {job.kind} from {job.source}", CANCEL)
    return Verdict(_told(job, s.since(job.started)))


def _told(job: JobView, seconds: float) -> str:
    running = f"{job.kind} has been running for {seconds:.0f} s"
    copied = job.copied
    if copied is None or seconds <= 0:
        return running
    done, total = copied.done_bytes, copied.total_bytes
    percent = min(100 * done // max(1, total), 100)
    rate = done / seconds / (1 << 20)
    return (
        f"{running}: {percent} % of {total / (1 << 30):.1f} GiB are copied, {rate:.0f} MiB a second"
    )


RULES = (
    Rule(
        id="job-10",
        when="a job runs, other than a checkpoint, one that makes or fetches logical slots, or "
        "`pre_promote` of whoever holds the leader key",
        then="wait for it; give it up if it copies from a member that another one has replaced as "
        "the leader, and a program that is run for the holder of the leader key without it",
        why="one thing at a time is done to a data directory; those others disturb nothing",
        check=_job_runs,
    ),
)
