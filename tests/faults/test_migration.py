"""A cluster that was made by hand (initdb, pg_basebackup) moves to raftha with its directories."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from subprocess import CalledProcessError
from typing import Any, Final

import pytest

from raftha.model.postgres import Binaries
from raftha.pg.directory import running_pid
from tests.integration.harness import PASSWORD, ClusterHarness, Node
from tests.integration.node_support import (
    fingerprint,
    make_data_directory,
    open_superuser,
    raftha,
    refusal,
    run_program,
    wait_until_told,
)
from tests.integration.processes import Part
from tests.integration.scene import NewCluster, Scene, check_quiet, log_of
from tests.integration.test_rejoin import beside
from tests.integration.workload import Counts, Ledger, WriteProber, create_table

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

ROWS: Final = 2000
OUTAGE_S: Final = 15.0
"""Of a restart on a busy machine; what was seen is printed at the end."""
STARTED: Final = "SELECT pg_postmaster_start_time()"
COUNT: Final = "SELECT count(*) FROM public.kept"
MOST_CONNECTIONS: Final = 77
"""More than the nodes' files allow: a standby refuses to start below what its primary had."""


class TakingOver(ClusterHarness):
    """Its agents take over what runs already."""

    def _postgres_options(self, node: Node) -> dict[str, Any]:
        return super()._postgres_options(node) | {"take_over": True}


def run(binaries: Binaries, node: Node) -> None:
    """Start its server by hand, as a primary or as the standby that it is."""
    options = {
        "port": node.postgres_port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": node.folder,
        "max_connections": MOST_CONNECTIONS,
    }
    words = " ".join(f"-c {name}={value}" for name, value in options.items())
    log = node.folder / "by-hand.log"
    run_program(binaries, "pg_ctl", "start", "-w", "-D", node.pgdata, "-l", log, "-o", words)


def end(binaries: Binaries, node: Node) -> None:
    run_program(binaries, "pg_ctl", "stop", "-w", "-D", node.pgdata, "-m", "fast")


def tell(node: Node, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last statement."""
    session = open_superuser(node.postgres_port or 0)
    try:
        with session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        session.close()


def copy(binaries: Binaries, source: Node, target: Node) -> None:
    """A standby with a slot, as `pg_basebackup -R` makes it; its server runs."""
    target.folder.mkdir(mode=0o700, exist_ok=True)
    place = f"host=127.0.0.1 port={source.postgres_port} user=copier password={PASSWORD}"
    slot = f"by_hand_{target.name}"
    words = ("-D", target.pgdata, "-R", "-C", "-S", slot, "-d", place)
    run_program(binaries, "pg_basebackup", *words)
    run(binaries, target)


@contextmanager
def by_hand(cluster: ClusterHarness, binaries: Binaries, copies: int) -> Iterator[list[Node]]:
    """In here the servers run: the first member's is the primary, with rows."""
    first, *others = cluster.members()[: copies + 1]
    pids: dict[str, int | None] = {}
    make_data_directory(binaries, first.pgdata)
    with (first.pgdata / "pg_hba.conf").open("a", encoding="ascii") as file:
        file.write("host replication copier 127.0.0.1/32 scram-sha-256\n")
    try:
        run(binaries, first)
        role = f"CREATE ROLE copier REPLICATION LOGIN PASSWORD '{PASSWORD}'"
        tell(first, role, "CREATE TABLE public.kept (id int)")
        for node in others:
            copy(binaries, first, node)
        tell(first, f"INSERT INTO public.kept SELECT generate_series(1, {ROWS})")
        for node in others:
            cluster.wait_for(lambda node=node: tell(node, COUNT) == [(ROWS,)], 20, "replication")
        pids |= {node.name: running_pid(node.pgdata) for node in (first, *others)}
        yield [first, *others]
    finally:
        for node in (first, *others):
            if running_pid(node.pgdata) != pids.get(node.name, running_pid(node.pgdata)):
                continue  # it is raftha's by now
            with suppress(CalledProcessError):  # a test has stopped it
                end(binaries, node)


def test_a_cluster_made_by_hand_moves_with_its_rows_and_without_a_copy(
    new_cluster: NewCluster, binaries: Binaries
) -> None:
    """The standbys are a majority, and leave it to the primary's node to bring the cluster in."""
    cluster = new_cluster()
    with by_hand(cluster, binaries, copies=2) as nodes:
        for node in nodes:
            end(binaries, node)

    for node in nodes[1:]:
        cluster.start(node.name)
    for node in nodes[1:]:
        wait_until_told(cluster, node.name, "holds a standby of a cluster that", within_s=20)
    cluster.start_all()
    assert cluster.wait_until_whole() == "n1"

    assert check_quiet(cluster) == "n1"
    for node in nodes:
        assert cluster.query(node.name, COUNT) == [(ROWS,)]
        assert beside(cluster, node.name, "pgdata.[dfn]*") == [], "it was copied or rewound"
        assert not any("cloning" in line.words for line in log_of(cluster, node.name))
    slots = cluster.query("n1", "SELECT slot_name FROM pg_replication_slots WHERE active")
    assert {slot for (slot,) in slots} == {"n2", "n3"}


def test_running_servers_are_refused_and_left_alone(
    new_cluster: NewCluster, binaries: Binaries
) -> None:
    cluster = new_cluster()
    with by_hand(cluster, binaries, copies=1) as nodes:
        for node in nodes:
            said = refusal(cluster, node.name)
            assert "raftha did not start it" in said
            assert "stop it, and what starts it again" in said
            assert not cluster.processes(node.name, Part.GUARDIAN)
        tell(nodes[0], "INSERT INTO public.kept VALUES (0)")
        cluster.wait_for(lambda: tell(nodes[1], COUNT) == [(ROWS + 1,)], 10, "replication")


def test_running_servers_are_taken_over_with_one_restart_each(
    new_cluster: NewCluster, binaries: Binaries, conclude: Callable[..., Counts]
) -> None:
    """A client writes all the while: it misses what one restart takes, and none of its rows."""
    cluster = new_cluster(kind=TakingOver)
    with by_hand(cluster, binaries, copies=2) as nodes:
        starts = {node.name: tell(node, STARTED) for node in nodes}
        ports = {node.name: node.postgres_port or 0 for node in nodes}
        create_table(cluster.connect("n1"))
        prober = WriteProber(
            Ledger(), [node.name for node in nodes], lambda name: open_superuser(ports[name])
        )
        prober.start()

        cluster.start("n2")
        wait_until_told(cluster, "n2", "waiting for a majority", within_s=20)
        assert tell(nodes[1], STARTED) == starts["n2"], "nobody knows yet what it is to be"
        cluster.start_all()

        assert cluster.wait_until_whole() == "n1"
        conclude(Scene(cluster, prober, "n1"), gap_s=OUTAGE_S)
    for node in nodes:
        assert cluster.query(node.name, COUNT) == [(ROWS,)]
        assert beside(cluster, node.name, "pgdata.[dfn]*") == [], "it was copied or rewound"
        ends = node.pgdata.with_name("by-hand.log").read_text().count("received fast shutdown")
        assert ends == 1, "it was stopped in order, and once"


def test_a_server_that_was_taken_over_once_is_a_stranger_the_next_time(
    new_cluster: NewCluster, binaries: Binaries
) -> None:
    """What was part of a cluster already may have been started by mistake."""
    cluster = new_cluster(kind=TakingOver)
    cluster.start_all()
    cluster.wait_until_whole()
    for node in cluster.members():
        cluster.stop(node.name)
    node = cluster.members()[0]
    (node.pgdata / "standby.signal").touch()
    run(binaries, node)
    try:
        assert "raftha did not start it" in refusal(cluster, node.name)
        assert tell(node, "SELECT 1") == [(1,)]
    finally:
        end(binaries, node)


def test_of_two_primaries_neither_is_brought_in_until_one_is_moved_away(
    new_cluster: NewCluster, binaries: Binaries
) -> None:
    """The second was promoted by hand once the first had been stopped."""
    cluster = new_cluster()
    with by_hand(cluster, binaries, copies=1) as (first, second):
        end(binaries, first)
        run_program(binaries, "pg_ctl", "promote", "-w", "-D", second.pgdata)
        tell(second, "INSERT INTO public.kept VALUES (0)")
    before = {node.name: fingerprint(node.pgdata) for node in (first, second)}

    # Without the third, so that neither can bring its own in before it has met the other.
    for node in (first, second):
        cluster.start(node.name)
    for node, rival in ((first, second), (second, first)):
        wait_until_told(cluster, node.name, rival.name, "move the older one away", within_s=20)
        assert fingerprint(node.pgdata) == before[node.name], "something was changed"
        assert not cluster.processes(node.name, Part.POSTGRES)

    first.pgdata.rename(first.folder / "older")
    cluster.start_all()
    assert cluster.wait_until_whole() == second.name
    for node in cluster.members():
        assert cluster.query(node.name, COUNT) == [(ROWS + 1,)]


def test_a_standby_that_is_ahead_of_an_older_copy_is_left_alone(
    new_cluster: NewCluster, binaries: Binaries
) -> None:
    """The primary's directory is put back as it was before rows that n2 has, on one timeline: more
    of them than the new primary writes meanwhile."""
    cluster = new_cluster()
    with by_hand(cluster, binaries, copies=2) as (first, second, third):
        end(binaries, third)
        end(binaries, first)
        older = first.folder / "older"
        shutil.copytree(first.pgdata, older)
        run(binaries, first)
        tell(first, f"INSERT INTO public.kept SELECT generate_series(1, {9 * ROWS})")
        cluster.wait_for(lambda: tell(second, COUNT) == [(10 * ROWS,)], 20, "replication")
        end(binaries, second)
        end(binaries, first)
    first.pgdata.rename(first.folder / "newer")
    older.rename(first.pgdata)
    before = fingerprint(second.pgdata)
    for node in (first, third):
        cluster.start(node.name)
    cluster.wait_for(lambda: cluster.primary() == first.name, 30, "n1 brings the cluster in")

    cluster.start(second.name)
    wait_until_told(cluster, second.name, "before this cluster", "raftha reinit n2", within_s=30)
    assert not cluster.processes(second.name, Part.POSTGRES)
    assert fingerprint(second.pgdata) == before, "something was changed"


@pytest.mark.parametrize("role", ["primary", "standby"])
def test_a_newer_directory_that_comes_too_late_is_left_alone_until_an_operator_decides(
    new_cluster: NewCluster, binaries: Binaries, role: str
) -> None:
    """n2 was promoted by hand after n1 had been stopped, and n1 is brought in before n2 is there:
    to follow n1, n2 would have to give up a row. As a standby it is that of a primary long gone."""
    cluster = new_cluster()
    with by_hand(cluster, binaries, copies=2) as (first, second, third):
        end(binaries, first)
        run_program(binaries, "pg_ctl", "promote", "-w", "-D", second.pgdata)
        tell(second, "INSERT INTO public.kept VALUES (0)")
        end(binaries, second)
    if role == "standby":
        (second.pgdata / "standby.signal").touch()
    before = fingerprint(second.pgdata)
    for node in (first, third):
        cluster.start(node.name)
    cluster.wait_for(lambda: cluster.primary() == first.name, 30, "n1 brings the cluster in")

    cluster.start(second.name)
    wait_until_told(
        cluster, second.name, "before this cluster", "raftha reinit n2 keeps it aside", within_s=30
    )
    assert not cluster.processes(second.name, Part.POSTGRES)
    assert fingerprint(second.pgdata) == before, "something was changed"
    assert beside(cluster, second.name, "pgdata.[dfnr]*") == []

    asked = raftha("reinit", second.name, "--yes", "--wait", "--url", cluster.url(first.name))
    assert asked.returncode == 0, asked.stdout
    assert cluster.wait_until_whole() == first.name
    for node in cluster.members():
        assert cluster.query(node.name, COUNT) == [(ROWS,)]
    (kept,) = beside(cluster, second.name, "pgdata.replaced-2*")
    aside = {
        name.replace(str(kept), str(second.pgdata)): of for name, of in fingerprint(kept).items()
    }
    assert aside == before, "the row that only n2 has is lost"
