"""Fixtures and hooks of the tests on real PostgreSQL: the server, a cluster, its logs when a test
fails. The `conftest.py` of each folder with such tests takes them over."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from raftha.model.postgres import Binaries
from raftha.pg import versions
from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.workload import Ledger, WriteProber, create_table, open_session

CLUSTERS: Final = pytest.StashKey[list[ClusterHarness]]()


@cache
def installations() -> tuple[Binaries, ...]:
    """One installation of each PostgreSQL major on this machine, the oldest first."""
    by_major: dict[int, Binaries] = {}
    for found in versions.find_all():
        by_major.setdefault(found.major, found)
    return tuple(by_major[major] for major in sorted(by_major))


def pytest_report_header(config: pytest.Config) -> list[str]:
    found = {item.major: item for item in installations()}
    lines = [
        f"PostgreSQL {item.version} in {item.bin_dir} ({item.origin})" for item in found.values()
    ]
    missing = [str(m) for m in range(versions.OLDEST, versions.NEWEST + 1) if m not in found]
    if missing:
        lines.append(f"PostgreSQL skipped, not installed here: {', '.join(missing)}")
    return [*lines, f"majors: {config.getoption('--majors')}"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "binaries" not in metafunc.fixturenames:
        return
    word = metafunc.config.getoption("--majors")
    everywhere = word == "all" or metafunc.definition.get_closest_marker("smoke") is not None
    found = installations()
    if word not in ("all", "smoke"):
        wanted = {int(part) for part in word.split(",")}
        chosen = tuple(item for item in found if item.major in wanted)
    else:
        chosen = found if everywhere else found[-1:]
    marks = () if chosen else (pytest.mark.skip(reason="no PostgreSQL of these majors is here"),)
    metafunc.parametrize(
        "binaries",
        [pytest.param(item, id=f"pg{item.major}") for item in chosen]
        or [pytest.param(None, id="none", marks=marks)],
    )


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a Unix socket's name below it (107 bytes in all)."""
    folder = Path(tempfile.mkdtemp(prefix="rh."))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_cluster(
    request: pytest.FixtureRequest, short_folder: Path, binaries: Binaries
) -> Iterator[Callable[..., ClusterHarness]]:
    """Makes clusters, not yet started, with the options of `ClusterHarness`, and of that `kind`."""
    if os.getuid() == 0:
        pytest.skip("PostgreSQL does not run as root; tests/run uses another user")
    made: list[ClusterHarness] = []
    request.node.stash[CLUSTERS] = made
    with ExitStack() as stack:

        def make(kind: type[ClusterHarness] = ClusterHarness, **options: Any) -> ClusterHarness:
            folder = short_folder / f"c{len(made)}"
            folder.mkdir(mode=0o700)
            made.append(stack.enter_context(kind(folder, binaries, **options)))
            return made[-1]

        yield make


@pytest.fixture
def probe() -> Iterator[Callable[[ClusterHarness], WriteProber]]:
    """Makes the table on the primary and starts a prober on every member; it ends with the test."""
    probers: list[WriteProber] = []

    def start(cluster: ClusterHarness) -> WriteProber:
        session = cluster.connect(cluster.wait_for_primary())
        create_table(session)
        session.close()
        ports = {node.name: node.postgres_port or 0 for node in cluster.members()}
        prober = WriteProber(
            Ledger(),
            list(ports),
            lambda name: open_session("127.0.0.1", ports[name], "postgres", PASSWORD),
        )
        probers.append(prober)
        prober.start()
        return prober

    yield start
    for prober in probers:
        prober.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failed test shows its clusters' status and logs, before they are removed."""
    report = yield
    if report.failed and report.when == "call":
        made: list[ClusterHarness] = item.stash.get(CLUSTERS, [])
        for number, cluster in enumerate(made):
            report.sections.append((f"cluster {number}", cluster.describe()))
    return report
