"""What the tests of faults have: the fixtures and hooks of all tests on real PostgreSQL, a crowd of
sessions, and the end of every test, whose figures are printed when all have run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.faults.stage import Crowd, gather
from tests.integration.fixtures import (
    new_cluster,
    probe,
    pytest_generate_tests,
    pytest_report_header,
    pytest_runtest_makereport,
    short_folder,
)
from tests.integration.losses import Bound, loss_violations
from tests.integration.scene import Scene, report
from tests.integration.workload import TABLE, Counts

__all__ = (
    "new_cluster",
    "probe",
    "pytest_generate_tests",
    "pytest_report_header",
    "pytest_runtest_makereport",
    "short_folder",
)
FIGURES = "figures"
TOLD_S = 10.0
"""Until the history tells what was undone, after that."""


@pytest.fixture
def crowd() -> Iterator[Callable[..., Crowd]]:
    """Gathers a crowd on a scene's primary; it leaves with the test."""
    gathered: list[Crowd] = []

    def come(scene: Scene, **options: int) -> Crowd:
        gathered.append(gather(scene, **options))
        return gathered[-1]

    yield come
    for each in gathered:
        each.leave()


@pytest.fixture
def conclude(record_property: Callable[[str, object], None]) -> Callable[..., Counts]:
    """The end of every test of a fault: S1 and S6 by the ledger, L2 and a quiet cluster by the
    scene, L1 by the longest time without an acknowledged write. Without synchronous replication S7
    takes the place of S6: `may_lose` is `maximum_lag_on_failover` in bytes then."""

    def check(
        scene: Scene, *, gap_s: float, crowd: Crowd | None = None, may_lose: int | None = None
    ) -> Counts:
        if crowd is not None:
            crowd.leave()
        counts = scene.finish(at_least=50, may_lose=may_lose is not None)
        if may_lose is not None:
            check_loss(scene, may_lose)
        said = (
            f"{counts.overlap_s:.3f} s two writers, {counts.lost} of {counts.ok} rows lost,"
            f" {counts.gap_s:.2f} s without a write"
        )
        record_property(FIGURES, said)
        assert counts.gap_s <= gap_s, f"{counts.gap_s:.2f} s without a write, allowed: {gap_s:g} s"
        return counts

    return check


def check_loss(scene: Scene, lag_bytes: int) -> None:
    """No more is lost than may be, and the history says it once who has undone it is back (S7)."""
    cluster, attempts = scene.cluster, scene.ledger.attempts()
    found = cluster.query(cluster.wait_for_primary(), f"SELECT id FROM {TABLE}")
    rows = {int(row[0]) for row in found}
    bound = Bound(lag_bytes=lag_bytes, ttl_s=report(cluster)["ttl"])

    def problems() -> list[str]:
        return loss_violations(attempts, rows, report(cluster)["history"], bound)

    with suppress(AssertionError):
        cluster.wait_for(lambda: not problems(), TOLD_S, "the loss is told")
    assert problems() == []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured, a line for each test that passed."""
    terminalreporter.section("figures")
    for passed in terminalreporter.stats.get("passed", ()):
        for name, said in passed.user_properties:
            if name == FIGURES:
                terminalreporter.write_line(f"{said}  {passed.nodeid}")
