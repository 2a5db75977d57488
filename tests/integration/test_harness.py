"""The harness itself, against one plain server: its writers, its faults, the files it writes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
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


NewServer = Callable[[], Server]


@pytest.fixture
def new_server(short_folder: Path, binaries: Binaries) -> Iterator[NewServer]:
    """Makes servers that run until the end of the test."""
    if os.getuid() == 0:
        pytest.skip("PostgreSQL does not run as root; tests/run uses another user")
    ports = PortLeases()
    made: list[Server] = []

    def make() -> Server:
        made.append(Server(short_folder / f"pgdata{len(made)}", ports.take()))
        initialise_and_start(made[-1], binaries)
        return made[-1]

    yield make
    for server in made:
        processes.send(processes.of_postgres(server.pgdata), signal.SIGCONT)
        processes.kill_all(partial(processes.of_postgres, server.pgdata), 10)
    ports.close()


@pytest.fixture
def server(new_server: NewServer) -> Server:
    return new_server()


def initialise_and_start(server: Server, binaries: Binaries) -> None:
    """A new server that lets everybody in."""
    programs, folder = binaries.bin_dir, server.pgdata.parent
    initdb = [str(programs / "initdb"), "-D", str(server.pgdata), "-U", "postgres"]
    options = f"-p {server.port} -k {folder} -h 127.0.0.1"
    start = [str(programs / "pg_ctl"), "start", "-w", "-D", str(server.pgdata), "-o", options]
    log = folder / f"log{server.port}"
    subprocess.run([*initdb, "-A", "trust", "-N"], check=True, capture_output=True, timeout=60)
    subprocess.run([*start, "-l", str(log)], check=True, timeout=60, capture_output=True)


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


def test_two_writable_servers_are_found(new_server: NewServer) -> None:
    servers = {"n1": new_server(), "n2": new_server()}
    for each in servers.values():
        session = plain_session(each)
        create_table(session)
        session.close()
    ledger = Ledger()
    prober = WriteProber(ledger, list(servers), lambda name: servers[name].connect(name))
    prober.start()
    wait_for(lambda: ledger.acknowledged() >= 10, "ten rows")
    prober.stop()

    with pytest.raises(AssertionError) as caught:
        ledger.check(plain_session(servers["n1"]))

    found = str(caught.value)
    assert "n1 and n2 both acknowledged on timeline 1" in found
    assert "lie within the reign of ('n1', 1)" in found
    assert "were acknowledged and are lost" in found, "the other server's rows are not here"


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


def test_what_ends_while_the_postmaster_is_looked_for_is_none() -> None:
    """Sessions come and go: one that was found may be gone when it is asked for its title."""
    short = subprocess.Popen(["sleep", "60"])
    ended = psutil.Process(short.pid)
    short.kill()
    short.wait()

    assert processes.first_server([ended]) is None


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
