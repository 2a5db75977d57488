"""The worker: what a job says while it runs, and how its end is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from raftha.agent.worker import Worker
from raftha.errors import PostgresError
from raftha.model.postgres import Copied
from raftha.model.view import JobKind
from tests.unit.ha.servers import FakeClock


class Bench:
    """A worker whose jobs run when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.changes = 0
        self.worker = Worker(FakeClock(), self._changed, self._fatal, self.waiting.append)

    def _changed(self) -> None:
        self.changes += 1

    def _fatal(self, why: str) -> None:
        raise AssertionError(why)


def test_how_far_a_copy_is_shows_while_the_job_runs() -> None:
    bench, copied = Bench(), Copied(done_bytes=1, total_bytes=2)
    seen = []

    def work(_cancelled: Callable[[], bool]) -> None:
        bench.worker.tell(copied)
        seen.append(bench.worker.job)

    assert bench.worker.start(JobKind.CLONE, work, "n1")
    assert not bench.worker.start(JobKind.CLONE, work)
    bench.waiting.pop()()

    (job,) = seen
    assert job is not None
    assert (job.source, job.copied) == ("n1", copied)
    assert bench.worker.job is None
    assert bench.changes == 1


def test_a_job_that_no_thread_can_be_had_for_is_not_under_way() -> None:
    def refuse(_work: Callable[[], None]) -> None:
        raise OSError("no thread can be had")

    worker = Worker(FakeClock(), lambda: None, lambda _why: None, refuse)
    for _ in range(2):
        with pytest.raises(OSError, match="no thread"):
            worker.start(JobKind.CLONE, lambda _cancelled: None)
        assert worker.job is None


def test_what_is_told_after_the_end_is_not_of_the_next_job() -> None:
    bench = Bench()
    bench.worker.tell(Copied(done_bytes=1, total_bytes=2))
    bench.worker.start(JobKind.CLONE, lambda _cancelled: None)
    job = bench.worker.job
    assert job is not None
    assert job.copied is None


def test_a_job_that_fails_tells_why() -> None:
    bench = Bench()

    def work(_cancelled: Callable[[], bool]) -> None:
        raise PostgresError("the disk is full")

    bench.worker.start(JobKind.CLONE, work)
    bench.waiting.pop()()
    result = bench.worker.result
    assert result is not None
    assert (result.kind, result.error) == (JobKind.CLONE, "the disk is full")
