"""`raftha.pg` against real servers, on every major found. See `pg_support` for how to run it."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import psycopg2
import pytest
from msgspec.structs import replace

from raftha.errors import (
    CommandFailed,
    ConfigError,
    PostgresError,
    PostgresUnavailable,
)
from raftha.model.ids import Lsn
from raftha.model.postgres import Binaries, DirectoryState, ServerPlan, ServerRole
from raftha.model.settings import Credentials, Secret
from raftha.pg import argv, bootstrap, clone, conf, libpq, progress, session
from raftha.pg.book import SlotBook
from tests.integration.pg_support import (
    CLOCK,
    SECRETS,
    Node,
    attach,
    caught_up,
    first_primary,
    is_root,
    nodes,
    standby_of,
    until,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(is_root(), reason="PostgreSQL refuses root: run as another user"),
]


@pytest.mark.smoke
def test_a_cluster_of_two_is_made_and_streams(binaries: Binaries) -> None:
    with nodes(binaries, "n1", "n2") as (n1, n2):
        system_id = first_primary(n1)
        assert not n1.instance.create_roles(n1.config.authentication), "it must be idempotent"
        heard: list[str] = []
        attach(n1, n2, system_id, heard.append)
        n1.sql("INSERT INTO public.t VALUES (1)")
        until(lambda: caught_up(n1, n2))
        assert [told for told in map(progress.copied, heard) if told], heard

        primary, standby = n1.instance.status(2.0), n2.instance.status(2.0)
        assert primary.is_primary
        assert standby.in_recovery
        assert primary.system_id == standby.system_id == system_id
        assert primary.timeline == standby.timeline == 1
        assert [who.application_name for who in primary.attached] == ["n2"]
        assert standby.receiver is not None
        assert (standby.receiver.host, standby.receiver.slot) == ("127.0.0.1", "n2")
        assert primary.slots == ("n2",)
        assert primary.version // 10000 == binaries.major
        ordinary = n1.instance.setup(2.0).settings["synchronous_commit"]
        assert ordinary == "on", "that of a session of anybody, not of ours"
        n1.instance.probe(2.0)
        n2.instance.probe(2.0)
        found = n2.instance.inspect()
        assert (found.state, found.problem) == (DirectoryState.PRESENT, None)
        assert found.standby_signal
        assert not any(secret in n1.log() + n2.log() for secret in SECRETS)


@pytest.mark.smoke
def test_a_stream_is_cut_even_while_replay_is_paused(binaries: Binaries) -> None:
    """R17: the reload alone would leave the receiver running and acknowledging."""
    with nodes(binaries, "n1", "n2") as (n1, n2):
        attach(n1, n2, first_primary(n1))
        n2.sql("SELECT pg_catalog.pg_wal_replay_pause()")
        n1.sql("INSERT INTO public.t VALUES (1)")
        until(lambda: n2.instance.status(2.0).replay_pause == "paused")
        with pytest.raises(PostgresError, match="upstream is still configured"):
            n2.instance.cut_stream()

        assert n2.instance.configure(standby_of(None))
        n2.instance.reload(5.0)
        n2.instance.cut_stream(5.0)

        assert n2.instance.status(2.0).receiver is None
        until(lambda: n1.instance.status(2.0).attached == ())
        position = n2.instance.status(2.0).position
        n1.sql("INSERT INTO public.t VALUES (2)")
        time.sleep(0.5)
        assert n2.instance.status(2.0).position == position


def test_a_wrong_replication_password_is_named(binaries: Binaries) -> None:
    with nodes(binaries, "n1", "n2") as (n1, n2):
        first_primary(n1)
        wrong = Credentials(username="replicator", password=Secret("wrong"))
        config = replace(
            n2.config, authentication=replace(n2.config.authentication, replication=wrong)
        )
        job = replace(n2.job(), config=config)
        upstream = n1.upstream_for("n2", None)
        with pytest.raises(PostgresError, match="password authentication failed"):
            clone.clone(job, upstream)
        connection = libpq.connection(upstream, wrong, job.layout.passfile)
        target = n2.config.data_dir.parent / "copy"
        with pytest.raises(CommandFailed, match="password authentication failed") as failed:
            job.run(argv.basebackup(binaries, target, connection, None))
        assert "wrong" not in str(failed.value)
        assert n2.instance.inspect().state is DirectoryState.ABSENT


def test_broken_directories_are_described_not_raised(binaries: Binaries) -> None:
    with nodes(binaries, "n1") as (n1,):
        data = n1.config.data_dir
        assert n1.instance.inspect().state is DirectoryState.ABSENT
        data.mkdir(parents=True, mode=0o700)
        assert n1.instance.inspect().state is DirectoryState.EMPTY
        (data / "letter.txt").write_text("dear all")
        assert n1.instance.inspect().state is DirectoryState.FOREIGN
        (data / "PG_VERSION").write_text(f"{binaries.major}\n")
        assert "pg_controldata" in (n1.instance.inspect().problem or "")
        (data / "PG_VERSION").write_text("13\n")
        assert "supported are 14 to 18" in (n1.instance.inspect().problem or "")
        other = 17 if binaries.major != 17 else 16
        (data / "PG_VERSION").write_text(f"{other}\n")
        assert f"PostgreSQL {other}" in (n1.instance.inspect().problem or "")
        data.chmod(0o755)
        found = n1.instance.inspect()
        assert found.state is DirectoryState.UNREADABLE
        assert "chmod 0700" in (found.problem or "")
        with pytest.raises(PostgresError, match="not empty"):
            bootstrap.initialise(n1.job(), ())


def test_a_failed_initdb_is_kept_aside(binaries: Binaries) -> None:
    with nodes(binaries, "n1") as (n1,):
        with pytest.raises(ConfigError, match="sets it itself"):
            bootstrap.initialise(n1.job(), (("pgdata", "/nowhere"),))
        with pytest.raises(CommandFailed, match="initdb"):
            bootstrap.initialise(n1.job(stamp="S"), (("locale", "no_SUCH"),))
        assert n1.instance.inspect().state is DirectoryState.ABSENT
        assert not n1.instance.layout.password_input.exists()
        assert n1.instance.layout.failed("S").exists()


def seconds_until_unavailable(node: Node) -> float:
    began = time.monotonic()
    with pytest.raises(PostgresUnavailable):
        node.instance.probe(0.4)
    return time.monotonic() - began


@pytest.mark.smoke
def test_a_stopped_postmaster_is_noticed_in_time(binaries: Binaries) -> None:
    with nodes(binaries, "n1") as (n1,):
        first_primary(n1)
        assert n1.process is not None
        n1.instance.status(2.0)
        os.kill(n1.process.pid, signal.SIGSTOP)
        took = [seconds_until_unavailable(n1) for _ in range(3)]
        os.kill(n1.process.pid, signal.SIGCONT)
        assert max(took) < 0.5
        n1.instance.probe(5.0)


def test_a_closed_server_admits_only_the_agent(binaries: Binaries) -> None:
    with nodes(binaries, "n1") as (n1,):
        first_primary(n1)
        login: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": n1.config.port,
            "user": "postgres",
            "password": SECRETS[0],
            "dbname": "postgres",
        }
        check_what_a_person_is_told({name: str(value) for name, value in login.items()})
        assert not n1.instance.inspect().closed
        assert n1.instance.configure(ServerPlan(role=ServerRole.PRIMARY, closed=True))
        assert n1.instance.inspect().closed
        n1.instance.reload(5.0)
        with pytest.raises(psycopg2.OperationalError, match="rejects connection"):
            psycopg2.connect(**login)
        n1.instance.probe(2.0)


def check_what_a_person_is_told(login: dict[str, str]) -> None:
    """`raftha query`: the rows of the last statement, in one transaction; errors as they came."""
    told = session.tell(login, "CREATE TABLE q (a int); SELECT 1 AS a, NULL AS b", CLOCK, 5.0)
    assert (told.columns, told.rows) == (("a", "b"), ((1, None),))
    done = session.tell(login, "INSERT INTO q VALUES (1), (2)", CLOCK, 5.0)
    assert (done.columns, done.status) == ((), "INSERT 0 2")
    with pytest.raises(PostgresError, match='column "c" does not exist'):
        session.tell(login, "DELETE FROM q; SELECT c FROM q", CLOCK, 5.0)
    kept = session.tell(login, "SELECT count(*) FROM q", CLOCK, 5.0)
    assert kept.rows == ((2,),)
    with pytest.raises(PostgresUnavailable, match=r"FATAL.*password authentication failed"):
        session.tell({**login, "password": "wrong"}, "SELECT 1", CLOCK, 5.0)


def test_slots_are_made_kept_and_dropped(binaries: Binaries) -> None:
    with nodes(binaries, "n1") as (n1,):
        first_primary(n1)
        assert n1.instance.create_slot("a")
        assert not n1.instance.create_slot("a")
        n1.sql("SELECT pg_create_physical_replication_slot('theirs')")
        changes = n1.instance.ensure_slots({"b", "theirs"})
        assert (changes.created, changes.dropped) == (("b",), ())
        assert n1.instance.made_slots() == {"a", "b"}
        assert [s.name for s in n1.instance.slots(2.0) if not s.reserving] == ["theirs"]
        assert n1.instance.drop_slot("b")
        assert not n1.instance.drop_slot("b")
        assert n1.instance.made_slots() == SlotBook(n1.instance.layout.slot_book).made() == {"a"}


def test_the_slots_of_a_standby_are_moved_on_and_never_back(binaries: Binaries) -> None:
    with nodes(binaries, "n1", "n2") as (n1, n2):
        attach(n1, n2, first_primary(n1))
        n2.instance.ensure_slots({"a", "b"})
        (begin,) = {state.position for state in n2.instance.status(2.0).slot_states}
        assert begin is not None
        n1.sql("SELECT pg_switch_wal()")
        n1.sql("INSERT INTO public.t VALUES (1)")
        until(lambda: caught_up(n1, n2))
        end = n2.instance.status(2.0).replayed
        assert end is not None
        n2.instance.advance_slots({"a": Lsn(end.value + (1 << 30)), "gone": end}, 5.0)
        n2.instance.advance_slots({"a": begin}, 5.0)
        there = {state.name: state.position for state in n2.instance.status(2.0).slot_states}
        assert begin < (there["a"] or begin)
        assert (there["a"] or begin) <= (n2.instance.status(2.0).replayed or end)
        assert there["b"] == begin


def test_a_slot_that_lost_its_wal_is_told_and_made_anew(binaries: Binaries) -> None:
    with nodes(binaries, "n1") as (n1,):
        n1.set(max_slot_wal_keep_size="80MB", wal_keep_size="0", max_wal_size="32MB")
        first_primary(n1)
        assert n1.instance.create_slot("away")
        assert n1.instance.status(2.0).strained_slots == ()
        write_segments(n1, 5)
        (near,) = n1.instance.status(2.0).strained_slots
        assert near.name == "away"
        assert near.left_bytes < near.kept_bytes / 4
        assert not near.is_lost

        write_segments(n1, 3)
        (lost,) = n1.instance.status(2.0).strained_slots
        assert (lost.name, lost.is_lost) == ("away", True)
        assert n1.instance.create_slot("away")
        assert n1.instance.status(2.0).strained_slots == ()


def write_segments(node: Node, count: int) -> None:
    for _ in range(count):
        node.sql("SELECT pg_logical_emit_message(false, 'x', 'y')")
        node.sql("SELECT pg_switch_wal()")
    node.sql("CHECKPOINT")


def test_of_two_standbys_with_one_name_the_newer_stays(binaries: Binaries) -> None:
    with nodes(binaries, "n1", "n2", "n3") as (n1, n2, n3):
        system_id = first_primary(n1)
        attach(n1, n2, system_id)
        n1.instance.create_slot("n3")
        impostor = n1.upstream_for("N2", "n3")
        clone.clone(n3.job(), impostor, system_id)
        n3.start(standby_of(impostor))
        until(lambda: len(n1.instance.status(2.0).attached) == 2)
        assert n1.instance.terminate_duplicates(["n3"]) == ()
        assert n1.instance.terminate_duplicates(["n2"]) == ("n2",)


def test_what_alter_system_set_does_not_undo_the_plan(binaries: Binaries) -> None:
    with nodes(binaries, "n1") as (n1,):
        first_primary(n1)
        n1.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        n1.sql("ALTER SYSTEM SET work_mem = '5MB'")
        plan = ServerPlan(role=ServerRole.PRIMARY, synchronous_standby_names='ANY 1 ("n2","n3")')
        assert n1.instance.configure(plan)
        n1.instance.reload(5.0)
        assert n1.instance.status(2.0).synchronous_standby_names == 'ANY 1 ("n2","n3")'
        assert n1.sql("SHOW work_mem") == [("5MB",)]
        assert n1.instance.configure(plan) is False
        base = n1.config.data_dir / conf.BASE_CONF
        assert conf.HEADER not in base.read_text()


def test_a_directory_that_is_not_ours_is_never_removed(binaries: Binaries) -> None:
    with nodes(binaries, "n1") as (n1,):
        job = n1.job()
        theirs = job.layout.copy
        theirs.mkdir(parents=True)
        (theirs / "precious").write_text("x")
        with pytest.raises(PostgresError, match="exists"):
            bootstrap.initialise(job, ())
        assert (theirs / "precious").exists()


def test_a_job_ends_at_its_deadline_and_when_cancelled(binaries: Binaries) -> None:
    with nodes(binaries, "n1") as (n1,):
        with pytest.raises(CommandFailed, match="was cancelled"):
            bootstrap.initialise(replace(n1.job(), cancel=lambda: True), ())
        late = replace(n1.job(stamp="late"), deadline=CLOCK.now())
        with pytest.raises(CommandFailed, match="did not end"):
            bootstrap.initialise(late, ())
        assert n1.instance.inspect().state is DirectoryState.ABSENT
