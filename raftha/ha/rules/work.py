"""Slow work in progress, and the pause after work that failed. PURE."""

from __future__ import annotations

from raftha.ha.situation import Situation
from raftha.ha.table import Rule, Verdict
from raftha.model.view import JobKind


def _job_runs(s: Situation) -> Verdict | None:
    job = s.view.job
    if job is None or job.kind is JobKind.CHECKPOINT:
        return None
    return Verdict(f"{job.kind} has been running for {s.since(job.started):.0f} s")


RULES = (
    Rule(
        id="job-10",
        when="a job other than a checkpoint runs",
        then="wait for it",
        why="one thing at a time is done to a data directory; a checkpoint disturbs nothing",
        check=_job_runs,
    ),
)
