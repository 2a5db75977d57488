"""Argument lists, pg_hba.conf, pg_controldata, SQL answers, slot names, verifiers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import psycopg2.extensions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftha.errors import PostgresError
from raftha.instants import Seconds
from raftha.model.ids import Lsn, Timeline
from raftha.model.postgres import Binaries, ControlState, Copied, ReplayPause, SyncState
from raftha.model.settings import Authentication, Credentials
from raftha.pg import argv, controldata, hba, progress, queries, scram, slots, versions
from raftha.pg.layout import Layout

BINARIES = Binaries(bin_dir=Path("/bin15"), major=15, version="15.1", origin="system")
LOGINS = Authentication(
    superuser=Credentials(username="postgres"),
    replication=Credentials(username="replicator"),
    rewind=Credentials(username="all"),
)
CONTROL = """\
pg_control version number:            1300
Database system identifier:           7711089010531820050
Database cluster state:               in archive recovery
Latest checkpoint location:           16/B374D848
Latest checkpoint's REDO location:    16/B374D810
Latest checkpoint's TimeLineID:       3
Minimum recovery ending location:     16/B4000000
Min recovery ending loc's timeline:   4
wal_log_hints setting:                on
max_connections setting:              100
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
Data page checksum version:           0
"""


def status_answer(**changes: Any) -> str:
    answer = {
        "version": 150018,
        "system_id": "77",
        "in_recovery": True,
        "started": "then",
        "written": None,
        "flushed": None,
        "segment": None,
        "restores": True,
        "received": None,
        "replayed": "0/3000000",
        "replayed_at": "2026-01-02 03:04:05+00",
        "replay_pause": "paused",
        "replay_waits": False,
        "replay_lag": -1.5,
        "control_timelines": [1, 2],
        "receiver": None,
        "attached": None,
        "slots": None,
        "slot_states": None,
        "redo": "0/2000028",
        "wal_level": "replica",
        "strained_slots": None,
        "synchronous_standby_names": "",
        "conf_loaded": "now",
        "sizes": {"max_connections": 100},
        "pending_restart": None,
    }
    return json.dumps(answer | changes)


def test_pg_controldata_is_read() -> None:
    found = controldata.parse(CONTROL)
    assert found.system_id == "7711089010531820050"
    assert found.state is ControlState.ARCHIVE_RECOVERY
    assert (found.timeline, found.minimum_recovery_timeline) == (3, 4)
    assert found.redo == Lsn.parse("16/B374D810")
    assert (found.checksums, found.wal_log_hints) == (False, True)


@given(st.text())
def test_other_output_of_pg_controldata_is_refused(text: str) -> None:
    with pytest.raises(PostgresError, match="pg_controldata"):
        controldata.parse(text)


def test_what_a_slot_holds_back_is_read_as_ages() -> None:
    row: dict[str, Any] = {
        "slot_name": "n2",
        "plugin": None,
        "database": None,
        "active": True,
        "xmin": "740",
        "catalog_xmin": None,
        "restart_lsn": "0/3000000",
        "confirmed_flush_lsn": None,
        "wal_status": "reserved",
        "xmin_age": 12,
        "catalog_xmin_age": None,
    }
    logical = {"xmin": None, "catalog_xmin": "700", "xmin_age": None, "catalog_xmin_age": 52}
    none = {"xmin": None, "xmin_age": None}
    rows = [row, row | logical, row | none]
    found = queries.parse_status(status_answer(slot_states=rows)).slot_states
    assert [slot.xmin_age for slot in found] == [12, None, None]
    assert [slot.catalog_xmin_age for slot in found] == [None, 52, None]
    assert [slot.has_xmin for slot in found] == [True, True, False]


def test_what_waits_for_a_restart_is_read_with_its_values() -> None:
    row = {"name": "shared_buffers", "running": "128MB", "wanted": "64MB"}
    found = queries.parse_status(status_answer(pending_restart=[row]))
    assert [str(each) for each in found.pending_restart] == ["shared_buffers 128MB -> 64MB"]
    assert found.sizes == {"max_connections": 100}


def test_a_standby_that_never_received_says_so() -> None:
    found = queries.parse_status(status_answer())
    assert found.received is None
    assert found.replayed == Lsn(0x3000000)
    assert found.replayed_at == "2026-01-02 03:04:05+00"
    assert found.replay_pause is ReplayPause.PAUSED
    assert found.replay_lag_seconds == Seconds(0.0)
    assert found.timeline == 2


def test_a_primary_after_its_promotion_is_on_the_timeline_that_it_writes() -> None:
    attached = {
        "application_name": "n2",
        "state": "streaming",
        "sync_state": "quorum",
        "flush": "0/1",
        "replay": None,
        "pid": 5,
    }
    found = queries.parse_status(
        status_answer(
            in_recovery=False,
            written="0/2",
            segment="000000090000000000000001",
            replay_pause=None,
            attached=[attached],
        )
    )
    assert found.timeline == 9
    assert found.attached[0].sync_state is SyncState.QUORUM
    assert found.position == Lsn(2)


@pytest.mark.parametrize("text", ["", "[]", "{}", status_answer(replayed="x")])
def test_a_status_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(PostgresError, match="cannot be read"):
        queries.parse_status(text)


def test_the_agent_comes_first_in_pg_hba_and_alone_when_closed() -> None:
    open_lines = hba.render(LOGINS, (), closed=False).splitlines()
    closed_lines = hba.render(LOGINS, ("host all all all trust",), closed=True).splitlines()
    assert open_lines[1] == closed_lines[1] == 'local all "postgres" peer map=raftha'
    assert 'host all "all" all scram-sha-256' in open_lines
    assert hba.DEFAULT_LINES[0] in open_lines
    assert all(line.endswith("reject") for line in closed_lines[4:-1])
    assert hba.is_closed("\n".join(closed_lines))
    assert not hba.is_closed("\n".join(open_lines))
    assert not any("trust" in line for line in closed_lines)


def test_a_closed_server_lets_the_streams_of_its_standbys_in() -> None:
    """It waits for its synchronous standby before it opens: kept out, that would never come."""
    replication = f"host replication {hba.quote(LOGINS.replication.username)} all scram-sha-256"
    closed_lines = hba.render(LOGINS, (), closed=True, logical=True).splitlines()
    assert closed_lines.index(replication) < closed_lines.index("host replication all all reject")


def test_standbys_may_read_logical_slots_whatever_a_user_writes_and_only_while_it_is_open() -> None:
    name = hba.quote(LOGINS.replication.username)
    line = f"host postgres {name} all scram-sha-256"
    users = ("host all all all reject",)
    open_lines = hba.render(LOGINS, users, closed=False, logical=True).splitlines()
    assert open_lines.index(line) < open_lines.index(users[0])
    assert line not in hba.render(LOGINS, users, closed=True, logical=True).splitlines()
    assert line not in hba.render(LOGINS, users, closed=False).splitlines()


def test_a_users_lines_replace_the_default() -> None:
    lines = hba.render(LOGINS, ("hostssl all all 10.0.0.0/8 cert",), closed=False)
    assert "cert" in lines
    assert hba.DEFAULT_LINES[0] not in lines
    assert hba.problems(("a", "b\nc", "d \\")) != ()
    assert hba.problems(("host all all all md5",)) == ()


def test_names_in_pg_hba_are_literal() -> None:
    assert hba.quote('a"b') == '"a""b"'
    with pytest.raises(ValueError, match="not a name"):
        hba.quote("a\nb")
    assert hba.render_map("os", (Credentials(username="su"),), "# theirs\n").splitlines()[1:] == [
        'raftha "os" "su"',
        "# theirs",
    ]


def test_initdb_refuses_what_raftha_sets() -> None:
    options = (
        ("pgdata", "/x"),
        ("nosync", None),
        ("username", "me"),
        ("--x", None),
        ("locale", "a\0"),
    )
    assert len(argv.initdb_problems(options)) == 5
    assert argv.initdb_problems((("data-checksums", None), ("wal-segsize", "1"))) == ()


def test_initdb_has_checksums_and_defaults_that_a_user_may_change() -> None:
    command = argv.initdb(BINARIES, Path("/d"), "su", Path("/pw"), (("locale", "de_DE.UTF-8"),))
    assert "--data-checksums" in command
    assert "--encoding=UTF8" in command
    assert "--locale=de_DE.UTF-8" in command
    assert "--locale=C.UTF-8" not in command
    assert "--pwfile=/pw" in command
    without = argv.initdb(BINARIES, Path("/d"), "su", None, (("no-data-checksums", None),))
    assert "--data-checksums" not in without


def test_the_server_never_restarts_itself_after_a_crash() -> None:
    command = argv.postgres(BINARIES, Path("/d"), Path("/run"))
    assert command[:3] == ["/bin15/postgres", "-D", "/d"]
    assert "restart_after_crash=off" in command


def test_a_base_backup_goes_through_the_slot_and_writes_no_configuration() -> None:
    command = argv.basebackup(BINARIES, Path("/d"), {"host": "h"}, "n2")
    assert "--slot=n2" in command
    assert "--no-password" in command
    assert "--dbname=host='h' options='-c wal_sender_timeout=60s'" in command
    assert not {"-R", "--write-recovery-conf"} & set(command)
    assert argv.waldump(BINARIES, Path("/d"), Timeline(2), Lsn(255))[-1] == "--start=0/FF"


def test_a_base_backup_puts_elsewhere_what_lies_elsewhere() -> None:
    options = (("max-rate", "1M"), ("waldir", "/wal"))
    parts = {"/a=b": Path("/a=b.x"), "/wal": Path("/wal.x")}
    command = argv.basebackup(BINARIES, Path("/d"), {}, None, options, parts)
    assert command[-3:] == [
        "--tablespace-mapping=/a\\=b=/a\\=b.x",
        "--waldir=/wal.x",
        "--max-rate=1M",
    ]


def test_slot_names_follow_patronis_rule() -> None:
    assert slots.slot_name("Node-1.example") == "node_1_example"
    assert slots.slot_name("a b") == "au0032b"
    assert len(slots.slot_name("x" * 80)) == 63
    assert slots.collisions(["a-b", "c"]) == ()
    assert "a-b and a.b" in str(slots.collisions(["a-b", "a.b", "c"])[0])


@given(st.text(min_size=1, max_size=40))
def test_a_slot_name_is_always_valid(member: str) -> None:
    name = slots.slot_name(member)
    assert 0 < len(name) <= 63
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")


def verifier(password: str) -> str:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 4096)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = (b"salt", hashlib.sha256(client_key).digest(), server_key)
    salt, stored, server = (base64.b64encode(part).decode() for part in parts)
    return f"SCRAM-SHA-256$4096:{salt}${stored}:{server}"


def test_a_verifier_is_of_one_password_only() -> None:
    assert scram.matches(verifier("secret"), "secret")
    assert not scram.matches(verifier("secret"), "Secret")


@pytest.mark.parametrize(
    "text",
    [None, "", "md5abc", "SCRAM-SHA-256$4096:!!$x:y", "SCRAM-SHA-256$99999999:AAAA$AAAA:AAAA"],
)
def test_what_is_no_verifier_matches_nothing(text: str | None) -> None:
    assert not scram.matches(text, "secret")


def test_identifiers_are_quoted_for_sql_and_for_psycopg2() -> None:
    assert queries.identifier('a"b%') == '"a""b%%"'
    with pytest.raises(ValueError, match="NUL"):
        queries.identifier("\0")


def test_identity_is_read() -> None:
    found = queries.parse_identity(("77", 2, "0/10", None))
    assert (found.system_id, found.timeline, found.position) == ("77", 2, Lsn(16))
    with pytest.raises(PostgresError, match="IDENTIFY_SYSTEM"):
        queries.parse_identity(())


@pytest.mark.parametrize(
    ("version", "safe"),
    [(150012, False), (150013, True), (140017, False), (170005, True), (180000, True)],
)
def test_synchronous_mode_wants_the_minor_release_with_the_fix(version: int, safe: bool) -> None:
    assert (versions.synchronous_problem(version) is None) is safe


def test_everything_kept_aside_lies_beside_the_data() -> None:
    layout = Layout(data_dir=Path("/data/pg"), run_dir=Path("/run/r"), attempt="S-7")
    assert layout.copy == Path("/data/pg.new-S-7")
    assert layout.failed("S") == Path("/data/pg.failed-S")
    assert layout.diverged("S") == Path("/data/pg.diverged-S")
    assert layout.replaced("S") == Path("/data/pg.replaced-S")
    assert layout.diverged_wal("S") == Path("/data/pg.diverged-wal-S")


def test_psycopg2_reads_what_libpq_reads() -> None:
    command = argv.rewind(BINARIES, Path("/d"), {"host": "h", "user": "it's"}, restores=False)
    dsn = next(part for part in command if part.startswith("--source-server="))
    parsed = psycopg2.extensions.parse_dsn(dsn.partition("=")[2])
    assert parsed == {"host": "h", "user": "it's"}


@pytest.mark.parametrize(
    "line",
    [
        "31235/31236 kB (99%), 0/1 tablespace (/data/n2.new-1/base/5/2606)",
        "31235/31236 kB ( 99%), 0/1 tablespace",
        "31235/31236 kB (99%) copied",
    ],
)
def test_how_far_a_copy_is_is_read(line: str) -> None:
    assert progress.copied(line) == Copied(done_bytes=31235 << 10, total_bytes=31236 << 10)


def test_other_lines_of_a_copy_tell_nothing() -> None:
    assert progress.copied("waiting for checkpoint") is None
    assert progress.copied("pg_rewind: servers diverged at WAL location 0/3000000") is None
