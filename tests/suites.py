"""The test suites in order: runs each, times it, and sums what they say. Called by `tests/run`.

Every suite runs in a session of its own under this process, which is their subreaper: whatever a
test left running, however well detached, becomes a child of this process, is ended, and counts as a
failure. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

PR_SET_CHILD_SUBREAPER: Final = 36
SUITE_LIMIT_S: Final = 1800
FAULTS_LIMIT_S: Final = 5400
"""Of 130 faults each takes 20 to 30 s, mostly of waiting, and fifty kills in a row ten minutes."""

STOP_LIMIT_S: Final = 20.0
EXIT_FAILED: Final = 1
EXIT_ABSENT: Final = 2
NO_TESTS_COLLECTED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of a suite, and how long it may take. For pytest `paths` are the files and
    folders with its tests."""

    title: str
    command: tuple[str, ...]
    paths: tuple[str, ...] = ()
    limit_s: int = SUITE_LIMIT_S

    @property
    def is_pytest(self) -> bool:
        return bool(self.paths)


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
PLANTED: Final = "tests/sim/test_cluster_notice.py"
"""Histories of the whole cluster, of about a second each, with a fault planted in the program."""
CLUSTER_SEEDS: Final = 400
"""Histories of the whole cluster that nothing is planted in: about half a second each."""
FULL: Final = pytest_step("integration", "tests/integration", options=WORKERS)
SUITES: Final[dict[str, tuple[Step, ...]]] = {
    "check": (
        tool_step("ruff format", "ruff", "format", "--check", "."),
        tool_step("ruff check", "ruff", "check", "."),
        tool_step("mypy --strict", "mypy", "--strict"),
        pytest_step("layers and tidy", "tests/test_layers.py", "tests/test_tidy.py"),
    ),
    "unit": (pytest_step("unit", "tests/unit", "tests/scenarios", options=WORKERS),),
    "properties": (pytest_step("properties", "tests/properties", options=WORKERS),),
    "sim": (
        pytest_step(
            "simulation",
            "tests/sim",
            options=(*WORKERS, f"--seeds={SEEDS}", f"--ignore={PLANTED}"),
        ),
    ),
    "cluster": (
        pytest_step("planted faults of the cluster", PLANTED, options=WORKERS),
        pytest_step(
            "seeds of the cluster",
            "tests/sim/test_cluster_smoke.py",
            options=(*WORKERS, f"--cluster-seeds={CLUSTER_SEEDS}"),
        ),
    ),
    "integration": (FULL,),
    "short": (pytest_step("a few faults", "tests/faults", options=(*WORKERS, "-m", "short")),),
    "faults": (pytest_step("faults", "tests/faults", options=WORKERS, limit_s=FAULTS_LIMIT_S),),
    "mutants": (pytest_step("mutants", "tests/mutants", options=WORKERS),),
}
CI: Final = ("check", "unit", "properties", "sim", "integration", "short")
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
    become_subreaper()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    outcome = Outcome()
    asked = arguments[0] if arguments else "ci"
    try:
        for step in steps_of(asked):
            run_step(step, outcome)
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
    for name in CI:
        yield from SUITES[name]
    if asked == "all":
        yield from (EVERY_MAJOR, *SUITES["cluster"], *SUITES["faults"], *SUITES["mutants"])


def run_step(step: Step, outcome: Outcome) -> None:
    """Run one command to its end and add what it said to `outcome`."""
    present = tuple(path for path in step.paths if Path(path).exists())
    if step.is_pytest and not present:
        print(f"\n=== {step.title}: not there, {' and '.join(step.paths)} do not exist")
        outcome.absent.append(step.title)
        return
    print(f"\n=== {step.title}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rt.", ignore_cleanup_errors=True) as scratch:
        report = Path(scratch, "report.xml")
        more = (f"--junitxml={report}", f"--basetemp={scratch}/t", "-q", *present)
        code = run_command((*step.command, *(more if step.is_pytest else ())), step.limit_s)
        left = end_what_is_left()
        if step.is_pytest and code == NO_TESTS_COLLECTED:
            outcome.absent.append(step.title)
        elif step.is_pytest and not outcome.read_report(report):
            outcome.broken.append(f"{step.title} (no report)")
        elif code:
            outcome.broken.append(step.title)
    if left:
        outcome.failed += 1
        outcome.broken.append(f"{step.title} left processes behind: {'; '.join(left)}")
    outcome.times.append((step.title, time.monotonic() - started))


def run_command(command: Sequence[str], limit_s: int) -> int:
    """The exit code of `command`, which is stopped at the limit or when this process is told to."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    previous = signal.signal(signal.SIGALRM, _interrupt)
    signal.alarm(limit_s)
    try:
        return reap_until(process.pid)
    except KeyboardInterrupt:
        # Once is enough: a second signal must not cut the stopping short.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.killpg(process.pid, signal.SIGINT)
        signal.alarm(int(STOP_LIMIT_S))
        try:
            reap_until(process.pid)
        except KeyboardInterrupt:
            print("it did not stop when asked to, so it is killed")
        end_what_is_left(grace_s=0.0)
        raise
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def reap_until(pid: int) -> int:
    """Reap children, the adopted ones too, until `pid` has ended; its exit code."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def end_what_is_left(grace_s: float = 3.0) -> list[str]:
    """Kill all descendants that do not end by themselves; their command lines."""
    if wait_for(lambda: not reap_and_list(), grace_s):
        return []
    left = sorted(set(map(command_line, reap_and_list())))
    if not wait_for(kill_descendants, STOP_LIMIT_S):
        left.append("and some could not be killed")
    return left


def kill_descendants() -> bool:
    """One round of SIGKILL; True once there is nobody left."""
    alive = reap_and_list()
    for pid in alive:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return not alive


def reap_and_list() -> list[int]:
    """Reap the dead, then the pids of all descendants that still run."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            continue
    except ChildProcessError:
        return []
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state not in "ZX":
            parents[int(entry.name)] = int(parent)
    return [pid for pid in parents if _descends(pid, parents)]


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == os.getpid():
            return True
    return False


def command_line(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"process {pid}"
    return b" ".join(words).decode(errors="replace").strip()[:150] or f"process {pid}"


def wait_for(is_true: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


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


def become_subreaper() -> None:
    """Adopt the orphans of everything started from here; see prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(f"signal {number}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
