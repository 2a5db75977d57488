"""The harness itself, against one plain server: its writers, its faults, the files it writes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import extensions

from raftha.config.load import load
from raftha.model.postgres import Binaries
from tests.integration import processes
from tests.integration.harness import ClusterHarness
from tests.integration.ports import PortLeases
from tests.integration.workload import Ledger, Outcome, WriteProber, create_table, open_session

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True)
class Server:
    """A server that no agent manages."""

    pgdata: Path
    port: int

    def connect(self, _name: str) -> extensions.connection:
        return open_session("127.0.0.1", self.port, "postgres", "")


@pytest.fixture
def server(short_folder: Path, binaries: Binaries) -> Iterator[Server]:
    if os.getuid() == 0:
        pytest.skip("PostgreSQL does not run as root; tests/run uses another user")
    ports = PortLeases()
    made = Server(short_folder / "pgdata", ports.take())
    programs = binaries.bin_dir
    initdb = [
        str(programs / "initdb"),
        "-D",
        str(made.pgdata),
        "-U",
        "postgres",
        "-A",
        "trust",
        "-N",
    ]
    options = f"-p {made.port} -k {short_folder} -h 127.0.0.1"
    start = [str(programs / "pg_ctl"), "start", "-w", "-D", str(made.pgdata), "-o", options]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, timeout=60)
    subprocess.run(
        [*start, "-l", str(short_folder / "log")], check=True, timeout=60, capture_output=True
    )
    yield made
    processes.send(processes.of_postgres(made.pgdata), signal.SIGCONT)
    processes.kill_all(lambda: processes.of_postgres(made.pgdata), 10)
    ports.close()


def wait_for(is_true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < deadline, f"not within 10 s: {what}"
        time.sleep(0.05)


def test_acknowledged_rows_are_remembered_and_found(server: Server) -> None:
    ledger, session = Ledger(), plain_session(server)
    create_table(session)
    prober = WriteProber(ledger, ["n1"], server.connect)
    prober.start()
    wait_for(lambda: ledger.acknowledged() >= 10, "ten rows")
    prober.stop()

    counts = ledger.check(session, at_least=10)

    assert counts.ok == counts.rows
    assert {attempt.timeline for attempt in ledger.attempts()} == {1}


def test_a_lost_row_is_found_on_a_real_server(server: Server) -> None:
    ledger, session = Ledger(), plain_session(server)
    create_table(session)
    prober = WriteProber(ledger, ["n1"], server.connect)
    prober.start()
    wait_for(lambda: ledger.acknowledged() >= 3, "three rows")
    prober.stop()
    with session.cursor() as cursor:
        cursor.execute("DELETE FROM public.ledger WHERE id = 2")

    with pytest.raises(AssertionError, match=r"are lost: \[2\]"):
        ledger.check(session)


def test_a_frozen_server_leaves_unknown_outcomes_and_does_not_hold_the_prober(
    server: Server,
) -> None:
    ledger, session = Ledger(), plain_session(server)
    create_table(session)
    prober = WriteProber(ledger, ["n1"], server.connect)
    prober.start()
    wait_for(lambda: ledger.acknowledged() >= 3, "three rows")
    stopped = processes.of_postgres(server.pgdata)
    processes.send(stopped, signal.SIGSTOP)
    wait_for(lambda: all(map(processes.is_stopped, stopped)), "the server stands still")
    wait_for(
        lambda: any(a.outcome is Outcome.UNKNOWN for a in ledger.attempts()), "an unknown outcome"
    )
    processes.send(stopped, signal.SIGCONT)
    prober.stop()

    ledger.check(session, at_least=3)


def test_killing_the_postmaster_leaves_nothing_after_kill_all(server: Server) -> None:
    found = processes.postmaster(server.pgdata)
    assert found is not None
    found.kill()
    processes.wait_until_gone([found], 10)

    processes.kill_all(lambda: processes.of_postgres(server.pgdata), 10)

    assert processes.of_postgres(server.pgdata) == []


def test_the_files_of_a_cluster_are_accepted_without_a_warning(
    short_folder: Path, binaries: Binaries
) -> None:
    with ClusterHarness(short_folder, binaries, nodes=2, witnesses=1) as cluster:
        loaded = [
            load(node.file, {}, witness=not node.is_member) for node in cluster.nodes.values()
        ]

    assert [item.warnings for item in loaded] == [(), (), ()]
    assert loaded[0].config.bootstrap.dynamic.ttl == 2.0


def plain_session(server: Server) -> extensions.connection:
    """A blocking session that commits by itself."""
    session: extensions.connection = psycopg2.connect(
        host="127.0.0.1", port=server.port, user="postgres", dbname="postgres"
    )
    session.autocommit = True
    return session
