"""What tests of bad inputs do with one node: change its file, and see what it says and costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg2
import yaml

from raftha.model.postgres import Binaries
from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.processes import Part

CPU_LIMIT: Final = 0.5
"""Share of a processor. An agent that waits needs 0.05 to 0.15, one that spins all it can get."""

WATCHED_S: Final = 2.0
LINES_LIMIT: Final = 20
"""Lines that a waiting node may log, at level DEBUG, while it is watched."""

Options = dict[str, Any]


def rewrite(cluster: ClusterHarness, name: str, change: Callable[[Options], object]) -> None:
    """Change what a node's file says now."""
    file = cluster.nodes[name].file
    options = yaml.safe_load(file.read_text(encoding="utf-8"))
    change(options)
    file.write_text(yaml.safe_dump(options), encoding="utf-8")


def hang_up(cluster: ClusterHarness, name: str) -> None:
    """SIGHUP: the agent is to read its file again."""
    (agent,) = cluster.processes(name, Part.AGENT)
    agent.send_signal(signal.SIGHUP)


def raftha(
    *words: object, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of the product to its end; both outputs are in `stdout`."""
    return subprocess.run(
        [sys.executable, "-m", "raftha", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        text=True,
        timeout=30,
        check=False,
    )


def refusal(cluster: ClusterHarness, name: str, within_s: float = 10.0) -> str:
    """Start a node that must give up by itself: what it said, after its exit code was checked."""
    before = len(said_by(cluster, name))
    cluster.start(name)
    cluster.wait_for(lambda: not cluster.runs(name), within_s, f"{name} refuses to start")
    said = said_by(cluster, name)[before:]
    assert cluster.stop(name) == 2, said
    assert "Traceback" not in said, said
    return said


def said_by(cluster: ClusterHarness, name: str) -> str:
    """Everything that a node has logged or printed."""
    log = cluster.nodes[name].log
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def wait_until_said(cluster: ClusterHarness, name: str, *words: str, within_s: float = 10.0) -> str:
    """Wait for a line of the node's log that has all these words in it; that line."""

    def line() -> str | None:
        lines = said_by(cluster, name).splitlines()
        return next((line for line in lines if all(word in line for word in words)), None)

    cluster.wait_for(line, within_s, f"{name} says {' ... '.join(words)}")
    return line() or ""


def reason_of(cluster: ClusterHarness, name: str) -> str:
    """The reason of the node's last decision and its problems, as its REST interface tells them."""
    code, body = cluster.get(name, "/patroni")
    if code != 200:
        return ""
    return "\n".join([str(body["reason"]), *(problem["what"] for problem in body["problems"])])


def wait_until_told(
    cluster: ClusterHarness, name: str, *words: str, within_s: float = 10.0
) -> None:
    """Wait until the REST interface tells a reason or problem with all these words."""

    def told() -> bool:
        reason = reason_of(cluster, name)
        return all(word in reason for word in words)

    cluster.wait_for(told, within_s, f"{name} tells {' ... '.join(words)}")


def assert_idle(cluster: ClusterHarness, name: str) -> None:
    """A node that can only wait neither burns the processor nor fills its log."""
    spent, lines = _cpu_seconds(cluster, name), len(said_by(cluster, name).splitlines())
    begun = time.monotonic()
    time.sleep(WATCHED_S)
    took = time.monotonic() - begun
    share = (_cpu_seconds(cluster, name) - spent) / took
    more = len(said_by(cluster, name).splitlines()) - lines
    assert cluster.runs(name), cluster.tail(name)
    assert share < CPU_LIMIT, f"{name} uses {share:.2f} of a processor\n{cluster.tail(name)}"
    assert more < LINES_LIMIT, f"{name} logged {more} lines in {took:.1f} s\n{cluster.tail(name)}"


def _cpu_seconds(cluster: ClusterHarness, name: str) -> float:
    """Of the agent and of the programs that it ran to their end."""
    total = 0.0
    for process in cluster.processes(name, Part.AGENT):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def fingerprint(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Mode, size and time of change of every file below a folder, and of the folder itself."""
    paths = [folder, *folder.rglob("*")]
    found = {}
    for path in paths:
        details = path.lstat()
        found[str(path)] = (details.st_mode, details.st_size, details.st_mtime_ns)
    return found


def run_program(binaries: Binaries, program: str, *words: object) -> str:
    """Run a program of PostgreSQL. Raises CalledProcessError."""
    done = subprocess.run(
        [str(binaries.bin_dir / program), *map(str, words)],
        env={**os.environ, "PGPASSWORD": PASSWORD},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def make_data_directory(binaries: Binaries, path: Path) -> None:
    """A cluster as a person makes it by hand, with the superuser that the nodes' files name."""
    pwfile = path.with_name(f"{path.name}.pwfile")
    pwfile.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pwfile.write_text(PASSWORD, encoding="ascii")
    words = ("-D", path, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", pwfile, "-N")
    run_program(binaries, "initdb", *words, "-E", "UTF8", "--no-locale")
    pwfile.unlink()


def run_by_hand(binaries: Binaries, path: Path, port: int, *statements: str) -> None:
    """Start the server, run the statements, and stop it cleanly, without any agent."""
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={path.parent}"
    log = path.with_name("by-hand.log")
    run_program(binaries, "pg_ctl", "start", "-w", "-D", path, "-l", log, "-o", options)
    try:
        for statement in statements:
            _execute(port, statement)
    finally:
        run_program(binaries, "pg_ctl", "stop", "-w", "-D", path, "-m", "fast")


def _execute(port: int, statement: str) -> None:
    session = open_superuser(port)
    try:
        with session.cursor() as cursor:
            cursor.execute(statement)
    finally:
        session.close()


def open_superuser(port: int) -> Any:
    """A session that commits by itself."""
    session = psycopg2.connect(
        host="127.0.0.1", port=port, user="postgres", password=PASSWORD, dbname="postgres"
    )
    session.autocommit = True
    return session
