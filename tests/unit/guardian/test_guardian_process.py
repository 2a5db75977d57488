"""The parts of the guardian's process that need no server: options, ledger, lock file, journal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from raftha.guardian import events, launch, ledger, lockfile
from raftha.guardian.client import EXIT_RUNS_ALREADY, GuardianClient, spawn
from raftha.guardian.journal import LINES_KEPT, LONGEST_BYTES, Journal
from raftha.guardian.main import UsageError, parse
from raftha.guardian.protocol import Malformed
from tests.unit.guardian.stand_in import EPOCH, PATIENCE_S, StandIn, eventually

REQUIRED = ["--socket", "/run/g.sock", "--pgdata", "/nowhere/data"]


def test_options_have_defaults() -> None:
    options = parse(REQUIRED)
    assert (options.socket, options.pgdata) == ("/run/g.sock", "/nowhere/data")
    assert (options.idle_exit_s, options.dead_man_s, options.foreground) == (30.0, 0.25, False)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--pgdata", "/x"], "--socket"),
        (["--socket", "/x"], "--pgdata"),
        (["--socket", "x", "--pgdata", "/x"], "--socket"),
        ([*REQUIRED, "--log"], "--log"),
        ([*REQUIRED, "--colour", "red"], "--colour"),
        ([*REQUIRED, "--idle-exit-seconds", "soon"], "--idle-exit"),
        ([*REQUIRED, "--dead-man-seconds", "-1"], "--dead-man"),
        ([*REQUIRED, "--dead-man-seconds", "nan"], "--dead-man"),
    ],
)
def test_a_wrong_command_line_is_refused(words: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse(words)


def test_burned_epochs_survive_on_disk(tmp_path: Path) -> None:
    path = str(tmp_path / "burned")
    assert ledger.load(path) == ()
    ledger.save(path, ((1, 2), (2, 1)))
    assert ledger.load(path) == ((1, 2), (2, 1))
    assert os.listdir(tmp_path) == ["burned"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"burned": [[1]]}', '{"burned": [["a", 2]]}'])
def test_a_damaged_ledger_is_not_taken_for_an_empty_one(tmp_path: Path, content: str) -> None:
    path = tmp_path / "burned"
    path.write_text(content)
    with pytest.raises(ledger.LedgerDamaged, match="burned"):
        ledger.load(str(path))


def test_only_a_dead_servers_lock_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / lockfile.NAME
    path.write_text("41\n/data\n")
    lockfile.remove(str(tmp_path), {42})
    assert path.exists()
    lockfile.remove(str(tmp_path), {41, 42})
    assert not path.exists()
    lockfile.remove(str(tmp_path), {41})


def test_the_journal_waits_for_flush_and_forgets_the_oldest(tmp_path: Path) -> None:
    path = tmp_path / "log"
    journal = Journal(str(path))
    for number in range(LINES_KEPT + 5):
        journal.note(f"line {number}")
    assert not path.exists()
    journal.flush()
    lines = path.read_text().splitlines()
    assert len(lines) == LINES_KEPT
    assert lines[-1].endswith(f"line {LINES_KEPT + 4}")


def test_the_journals_file_is_bounded_and_the_part_before_it_kept(tmp_path: Path) -> None:
    """A guardian of another release may refuse an agent each second while nobody looks."""
    path = tmp_path / "log"
    journal = Journal(str(path))
    longest = 0
    for number in range(2500):
        journal.note(f"line {number} " + "x" * 1000)
        journal.flush()
        sizes = [file.stat().st_size for file in tmp_path.iterdir()]
        longest = max(longest, *sizes)

    assert LONGEST_BYTES < longest < LONGEST_BYTES + 2000
    kept = (tmp_path / "log.1").read_text() + path.read_text()
    numbers = [int(line.split()[3]) for line in kept.splitlines()]
    assert numbers == list(range(numbers[0], 2500))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log", "log.1"]


def test_a_file_is_created_by_a_child_or_the_reason_told(tmp_path: Path) -> None:
    launch.create_file(str(tmp_path / "promote"), lambda: True)
    assert (tmp_path / "promote").exists()
    os.wait()
    with pytest.raises(launch.LaunchFailed, match="No such file"):
        launch.create_file(str(tmp_path / "no" / "promote"), lambda: True)
    os.wait()


def test_a_file_on_a_hung_disk_is_given_up(tmp_path: Path) -> None:
    """Opening a pipe that nobody reads hangs like a dead disk does."""
    os.mkfifo(tmp_path / "promote")
    with pytest.raises(launch.LaunchFailed, match="in time"):
        launch.create_file(str(tmp_path / "promote"), lambda: False)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == -9


def test_events_are_read_into_values() -> None:
    facts = {"reason": "exit", "seconds": 0.1, "killed": 3, "epoch": None, "renewal": 7}
    exited = {"event": "postmaster-exited", "pid": 4, "started": 5, "status": -9, **facts}
    event = events.event_from(exited)
    assert isinstance(event, events.PostmasterExited)
    assert not event.is_fenced
    fenced = events.event_from({"event": "fenced", **facts, "reason": "deadline"})
    assert isinstance(fenced, events.Fenced)
    assert fenced.is_deadline


@pytest.mark.parametrize("message", [{"event": "party"}, {"event": "fenced"}])
def test_what_is_no_event_is_refused(message: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        events.event_from(message)


HOLD = "import fcntl, os, sys; fcntl.flock(1, fcntl.LOCK_EX); os.write(2, b'.'); sys.stdin.read()"


def test_where_a_guardian_is_about_to_end_another_one_is_started_all_the_same(
    tmp_path: Path,
) -> None:
    """It has removed its socket, but holds the lock until the next one was told that it runs."""
    socket, told = tmp_path / "guardian.sock", tmp_path / "told"
    (tmp_path / "data").mkdir()
    command = [sys.executable, "-I", "-S", "-c", HOLD]
    with open(f"{socket}.lock", "wb") as lock:
        leaving = subprocess.Popen(command, stdin=PIPE, stdout=lock, stderr=PIPE)
    assert leaving.stderr is not None
    assert leaving.stderr.read(1) == b"."
    program = tmp_path / "python"
    program.write_text(
        f'#!/bin/sh\n{sys.executable} "$@"\nstatus=$?\necho $status >> {told}\n'
        f"[ $status = 0 ] || {{ kill {leaving.pid}; flock {socket}.lock true; }}\nexit $status\n"
    )
    program.chmod(0o700)
    try:
        spawn(socket, tmp_path / "data", tmp_path / "log", 5.0, interpreter=[str(program)])
    finally:
        leaving.communicate()
    assert told.read_text().split() == [str(EXIT_RUNS_ALREADY), "0"]
    guardian = GuardianClient(socket)
    guardian.connect()
    guardian.quit()
    guardian.close()


def test_a_guardian_that_answers_is_left_alone(tmp_path: Path) -> None:
    host = StandIn(tmp_path)
    host.spawn()
    before = host.agent.status().guardian_pid
    spawn(host.socket, host.data, tmp_path / "log", 5.0, interpreter=["/bin/false"])
    assert host.connect().guardian_pid == before
    host.close()


FAILING = """
import os, sys
from raftha.guardian import main
from raftha.guardian.service import Service

class Failing(Service):
    def look(self):
        super().look()
        if os.path.exists(sys.argv[-1]):
            raise RuntimeError("planted")

main.Service = Failing
main.main(sys.argv[1:-1])
"""
"""A guardian with a mistake in it, once the file is there that it is told last."""


def test_a_guardian_that_fails_inside_ends_its_server_first(tmp_path: Path) -> None:
    host, log, mistake = StandIn(tmp_path), tmp_path / "log", tmp_path / "mistake"
    options = ["--socket", str(host.socket), "--pgdata", str(host.data), "--log", str(log)]
    command = [sys.executable, "-c", FAILING, "--foreground", *options, str(mistake)]
    with subprocess.Popen(command, start_new_session=True) as guardian:
        try:
            eventually(host.socket.exists)
            host.connect()
            host.arm(60.0)
            host.start(EPOCH)
            assert len(host.alive()) == 3

            mistake.touch()
            host.agent.status()  # What is asked wakes it.

            assert guardian.wait(PATIENCE_S) == 1
            assert host.alive() == []
            assert "failed: RuntimeError('planted')" in log.read_text()
        finally:
            guardian.kill()
            host.close()
