"""What the tests of faults have: the fixtures and hooks of all tests on real PostgreSQL, a crowd of
sessions, and the end of every test, whose figures are printed when all have run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
from tests.integration.scene import Scene
from tests.integration.workload import Counts

__all__ = (
    "new_cluster",
    "probe",
    "pytest_generate_tests",
    "pytest_report_header",
    "pytest_runtest_makereport",
    "short_folder",
)
FIGURES = "figures"


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
    scene, L1 by the longest time without an acknowledged write."""

    def check(
        scene: Scene, *, gap_s: float, crowd: Crowd | None = None, may_lose: bool = False
    ) -> Counts:
        if crowd is not None:
            crowd.leave()
        counts = scene.finish(at_least=50, may_lose=may_lose)
        said = (
            f"{counts.overlap_s:.3f} s two writers, {counts.lost} of {counts.ok} rows lost,"
            f" {counts.gap_s:.2f} s without a write"
        )
        record_property(FIGURES, said)
        assert counts.gap_s <= gap_s, f"{counts.gap_s:.2f} s without a write, allowed: {gap_s:g} s"
        return counts

    return check


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured, a line for each test that passed."""
    terminalreporter.section("figures")
    for report in terminalreporter.stats.get("passed", ()):
        for name, said in report.user_properties:
            if name == FIGURES:
                terminalreporter.write_line(f"{said}  {report.nodeid}")
