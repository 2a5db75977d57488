"""The test suites in order: runs each, times it, and sums what they say. Called by `tests/run`.

Every suite runs in a session of its own under this process, which is their subreaper: whatever a
test left running, however well detached, becomes a child of this process, is ended, and counts as a
failure. What only computes runs beside what mostly waits, at the lowest priority. Standard library
only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from children import STOP_LIMIT_S, Children

SUITE_LIMIT_S: Final = 1800
FAULTS_LIMIT_S: Final = 5400
"""Of 130 faults each takes 20 to 30 s, mostly of waiting, and fifty kills in a row ten minutes."""

EXIT_FAILED: Final = 1
EXIT_ABSENT: Final = 2
NO_TESTS_COLLECTED: Final = 5
LOWEST_PRIORITY: Final = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of a suite, and how long it may take. For pytest `paths` are the files and
    folders with its tests. What runs `beside` it only computes."""

    title: str
    command: tuple[str, ...]
    paths: tuple[str, ...] = ()
    limit_s: int = SUITE_LIMIT_S
    beside: Step | None = None

    @property
    def is_pytest(self) -> bool:
        return bool(self.paths)

    @property
    def present(self) -> tuple[str, ...]:
        return tuple(path for path in self.paths if Path(path).exists())


def tool_step(title: str, *command: str) -> Step:
    return Step(title=title, command=(sys.executable, "-m", *command))


def pytest_step(
    title: str, *paths: str, options: Sequence[str] = (), limit_s: int = SUITE_LIMIT_S
) -> Step:
    command = (sys.executable, "-m", "pytest", *options)
    return Step(title=title, command=command, paths=paths, limit_s=limit_s)


WORKERS: Final = ("-n", "2")
SEEDS: Final = 200
"""Seeds of the consensus simulation in CI: 0.3 to 0.35 s of processor time each."""
CLUSTER_SEEDS: Final = 400
"""Histories of the whole cluster that nothing is planted in, of half to one second each."""
FEW_CLUSTER_SEEDS: Final = 20
"""Of them in CI: with all of them and the planted faults it took 18 minutes in the place of 14."""
PLANTED: Final = "tests/sim/test_cluster_notice.py"
"""Histories of the whole cluster, of about a second each, with a fault planted in the program."""
SIMULATION: Final = pytest_step(
    "simulation",
    "tests/sim",
    options=(
        *WORKERS,
        f"--seeds={SEEDS}",
        f"--cluster-seeds={FEW_CLUSTER_SEEDS}",
        f"--ignore={PLANTED}",
        "--timeout=600",
    ),
)
INTEGRATION: Final = pytest_step("integration", "tests/integration", options=WORKERS)
BOTH: Final = replace(INTEGRATION, beside=SIMULATION)
"""Real servers wait for most of the time; in virtual time there is only work."""
SUITES: Final[dict[str, tuple[Step, ...]]] = {
    "check": (
        tool_step("ruff format", "ruff", "format", "--check", "."),
        tool_step("ruff check", "ruff", "check", "."),
        tool_step("mypy --strict", "mypy", "--strict"),
        pytest_step("layers and tidy", "tests/test_layers.py", "tests/test_tidy.py"),
    ),
    "unit": (pytest_step("unit", "tests/unit", "tests/scenarios", options=WORKERS),),
    "properties": (pytest_step("properties", "tests/properties", options=WORKERS),),
    "sim": (SIMULATION,),
    "cluster": (
        pytest_step("planted faults of the cluster", PLANTED, options=WORKERS),
        pytest_step(
            "seeds of the cluster",
            "tests/sim/test_cluster_smoke.py",
            options=(*WORKERS, f"--cluster-seeds={CLUSTER_SEEDS}"),
        ),
    ),
    "integration": (INTEGRATION,),
    "short": (pytest_step("a few faults", "tests/faults", options=(*WORKERS, "-m", "short")),),
    "faults": (pytest_step("faults", "tests/faults", options=WORKERS, limit_s=FAULTS_LIMIT_S),),
    "mutants": (pytest_step("mutants", "tests/mutants", options=WORKERS),),
}
CI: Final = (
    *SUITES["check"],
    *SUITES["unit"],
    *SUITES["properties"],
    BOTH,
    *SUITES["short"],
)
EVERY_MAJOR: Final = pytest_step(
    "integration on every major", "tests/integration", options=(*WORKERS, "--majors=all")
)


@dataclass(slots=True)
class Outcome:
    """What all steps so far said."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    broken: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    times: list[tuple[str, float]] = field(default_factory=list)
    slowest: list[tuple[float, str]] = field(default_factory=list)

    def read_report(self, report: Path) -> bool:
        """Add a JUnit file of pytest; False if there is none or it is cut off."""
        try:
            cases = list(ElementTree.parse(report).getroot().iter("testcase"))
        except (OSError, ElementTree.ParseError):
            return False
        for case in cases:
            name = f"{case.get('classname', '')}::{case.get('name', '')}"
            self.slowest.append((float(case.get("time", "0")), name))
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed += 1
            elif case.find("skipped") is not None:
                self.skipped += 1
            else:
                self.passed += 1
        return True


def main(arguments: Sequence[str]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, _interrupt)
    outcome = Outcome()
    children = Children()
    asked = arguments[0] if arguments else "ci"
    try:
        for step in steps_of(asked):
            run_step(step, children, outcome)
    except KeyboardInterrupt:
        outcome.broken.append("interrupted")
    print_summary(outcome)
    if outcome.broken or outcome.failed:
        return EXIT_FAILED
    return EXIT_ABSENT if outcome.absent else 0


def steps_of(asked: str) -> Iterator[Step]:
    """The steps of one suite, of the CI set, or of everything."""
    if asked in SUITES:
        yield from SUITES[asked]
        return
    yield from CI
    if asked == "all":
        yield from (EVERY_MAJOR, *SUITES["cluster"], *SUITES["faults"], *SUITES["mutants"])


def run_step(step: Step, children: Children, outcome: Outcome) -> None:
    """Run one command to its end, with what runs beside it, and add what they said to `outcome`."""
    if step.is_pytest and not step.present:
        print(f"\n=== {step.title}: not there, {' and '.join(step.paths)} do not exist")
        outcome.absent.append(step.title)
        return
    running: list[Run] = []
    try:
        if step.beside is not None:
            running.append(Run(step.beside, is_beside=True))
            children.set_aside(running[0].pid)
        running.append(Run(step))
        while running:
            running[-1].finish(children, outcome)
            running.pop()
    except KeyboardInterrupt:
        # Once is enough: a second signal must not cut the stopping short.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for run in reversed(running):
            run.stop(children)
        raise


class Run:
    """A step that runs, in a session of its own. One beside another prints once it is over."""

    def __init__(self, step: Step, *, is_beside: bool = False) -> None:
        self._step = step
        self._started = time.monotonic()
        self._scratch = tempfile.TemporaryDirectory(prefix="rt.", ignore_cleanup_errors=True)
        self._output = Path(self._scratch.name, "output") if is_beside else None
        print(f"\n=== {step.title}{' begins, beside the next' if is_beside else ''}", flush=True)
        with open(self._output or os.devnull, "wb") as output:
            self.pid = subprocess.Popen(
                (*step.command, *self._more()),
                stdin=subprocess.DEVNULL,
                stdout=output if is_beside else None,
                stderr=subprocess.STDOUT if is_beside else None,
                start_new_session=True,
                preexec_fn=_stand_back if is_beside else None,
            ).pid

    def _more(self) -> tuple[str, ...]:
        folder = self._scratch.name
        report = (f"--junitxml={folder}/report.xml", f"--basetemp={folder}/t", "-q")
        return (*report, *self._step.present) if self._step.is_pytest else ()

    def finish(self, children: Children, outcome: Outcome) -> None:
        """Wait for its end, end what it left, and note what it said. Raises KeyboardInterrupt when
        its time is over or this process is told to stop."""
        signal.alarm(self._step.limit_s)
        try:
            code = children.wait(self.pid)
        finally:
            signal.alarm(0)
        if self._output is not None:
            print(
                f"\n=== {self._step.title}\n{self._output.read_text(errors='replace')}", flush=True
            )
        left = children.end_what_is_left()
        title = self._step.title
        if self._step.is_pytest and code == NO_TESTS_COLLECTED:
            outcome.absent.append(title)
        elif self._step.is_pytest and not outcome.read_report(
            Path(self._scratch.name, "report.xml")
        ):
            outcome.broken.append(f"{title} (no report)")
        elif code:
            outcome.broken.append(title)
        if left:
            outcome.failed += 1
            outcome.broken.append(f"{title} left processes behind: {'; '.join(left)}")
        outcome.times.append((title, time.monotonic() - self._started))
        self._scratch.cleanup()

    def stop(self, children: Children) -> None:
        """Ask it to stop, and kill it and all that is below it where it does not."""
        try:
            os.killpg(self.pid, signal.SIGINT)
            signal.alarm(int(STOP_LIMIT_S))
            children.wait(self.pid)
        except ProcessLookupError:
            pass
        except KeyboardInterrupt:
            print("it did not stop when asked to, so it is killed")
        signal.alarm(0)
        children.take_back(self.pid)
        children.end_what_is_left()
        self._scratch.cleanup()


def _stand_back() -> None:
    """Leave the processors to everybody else. The session is a scheduling group of its own where
    autogroups are on, and then the priority of the group is what counts; see sched(7)."""
    os.nice(LOWEST_PRIORITY)
    try:
        Path("/proc/self/autogroup").write_text(str(LOWEST_PRIORITY))
    except OSError:
        return


def print_summary(outcome: Outcome) -> None:
    print("\n=== time per suite")
    for title, seconds in outcome.times:
        print(f"{seconds:8.1f} s  {title}")
    if outcome.slowest:
        print("=== slowest ten tests")
    for seconds, name in sorted(outcome.slowest, reverse=True)[:10]:
        print(f"{seconds:8.2f} s  {name}")
    for title in outcome.absent:
        print(f"absent: {title} has no tests here")
    for reason in outcome.broken:
        print(f"broken: {reason}")
    print(
        f"{outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped", flush=True
    )


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(f"signal {number}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
