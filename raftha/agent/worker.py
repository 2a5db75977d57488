"""Slow work on a thread of its own: one job at a time, cancellable, its end an event."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from raftha import threads
from raftha.clock import Clock
from raftha.errors import RafthaError
from raftha.logs import event
from raftha.model.postgres import Copied
from raftha.model.view import Diverged, JobKind, JobResult, JobView

LOG = logging.getLogger(__name__)

Cancelled = Callable[[], bool]
Work = Callable[[Cancelled], None]
"""What a job does."""


def on_a_thread(work: Callable[[], None]) -> None:
    """Run this on a thread of its own, which ends with the process. Raises OSError."""
    threads.begin(work, "worker")


class Worker:
    """Jobs get a function that says whether they were cancelled. A job that fails raises a
    RafthaError or an OSError; anything else is a bug and ends the process through `fatal`. `aside`
    runs something beside the caller."""

    def __init__(
        self,
        clock: Clock,
        changed: Callable[[], None],
        fatal: Callable[[str], None],
        aside: Callable[[Callable[[], None]], None],
    ) -> None:
        self._clock = clock
        self._changed = changed
        self._fatal = fatal
        self._aside = aside
        self._job: JobView | None = None
        self._result: JobResult | None = None
        self._diverged: Diverged | None = None
        self._cancel = threading.Event()

    @property
    def job(self) -> JobView | None:
        """The job that runs now."""
        return self._job

    @property
    def result(self) -> JobResult | None:
        """How the last job ended."""
        return self._result

    def start(self, kind: JobKind, work: Work, source: str = "") -> bool:
        """Start a job; False if one runs already. To be called from one thread. Raises OSError."""
        if self._job is not None:
            return False
        self._cancel.clear()
        self._diverged = None
        self._job = JobView(kind=kind, started=self._clock.now(), source=source)
        event(LOG, logging.DEBUG, "job started", kind=kind)
        try:
            self._aside(partial(self._run, kind, work))
        except OSError:
            self._job = None
            raise
        return True

    def tell(self, copied: Copied) -> None:
        """How far the running job has come. To be called by its work."""
        if self._job is not None:
            self._job = replace(self._job, copied=copied)

    def found(self, diverged: Diverged) -> None:
        """What the running job has to undo, for its result, whether it can or not. To be called by
        its work."""
        self._diverged = diverged

    def cancel(self) -> None:
        """Ask the running job to give up."""
        self._cancel.set()

    def _run(self, kind: JobKind, work: Work) -> None:
        error: str | None = None
        try:
            work(self._cancel.is_set)
        except (RafthaError, OSError) as problem:
            error = str(problem)
        except Exception as bug:
            LOG.exception("job failed unexpectedly")
            self._fatal(f"the job {kind} failed unexpectedly: {bug!r}")
            return
        level = logging.DEBUG if error is None else logging.ERROR
        event(LOG, level, "job ended", kind=kind, error=error)
        self._result = JobResult(
            kind=kind, ended=self._clock.now(), error=error, diverged=self._diverged
        )
        self._job = None
        self._changed()
