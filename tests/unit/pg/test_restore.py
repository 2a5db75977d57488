"""What becomes of a directory that a program of the operator's fills, with programs that write a
few files and a pg_controldata that prints one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from msgspec.structs import replace

from raftha.clock import SystemClock
from raftha.errors import CommandFailed, PostgresError
from raftha.model.ids import Lsn, SystemId, Timeline
from raftha.model.methods import Method
from raftha.model.postgres import ServerPlan, ServerRole, TimelineSwitch, Upstream
from raftha.model.settings import Address, Authentication, Credentials, PostgresConfig, Secret
from raftha.pg import configuration, directory, methods, restore
from raftha.pg.job import Job, new_job
from raftha.pg.methods import Wanted
from raftha.pg.program import post_bootstrap
from raftha.pg.upstream import Identity, UpstreamLine
from raftha.pg.versions import choose
from tests.unit.pg.installations import installed
from tests.unit.pg.test_texts import CONTROL

SYSTEM = SystemId("7711089010531820050")
FILL = """
mkdir -p "$PGDATA/pg_replslot/old" "$PGDATA/pg_wal"; echo 15 > "$PGDATA/PG_VERSION"
touch "$PGDATA/postmaster.pid" "$PGDATA/standby.signal"; echo n9@1 > "$PGDATA/raftha.birth"
"""
LINE = UpstreamLine(
    identity=Identity(system_id=SYSTEM, timeline=Timeline(5), position=Lsn.parse("16/C0000000")),
    history=(
        TimelineSwitch(timeline=Timeline(4), switch=Lsn.parse("16/B5000000"), reason="promoted"),
    ),
)
SOURCE = Upstream(address=Address("10.0.0.1", 5432), slot=None, application_name="copy")
WANTED = Wanted(scope="demo", system_id=SYSTEM, birth="n1@1", source=SOURCE)


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    bin_dir = installed(tmp_path, "15.18")
    (bin_dir / "pg_controldata").write_text(f"#!/bin/sh\ncat <<'.'\n{CONTROL}.\n")
    config = PostgresConfig(
        listen_hosts=("127.0.0.1",),
        connect_address=Address("127.0.0.1", 5432),
        data_dir=tmp_path / "n" / "data",
        authentication=Authentication(
            superuser=Credentials(username="post gres", password=Secret("pw")),
            replication=Credentials(username="repl"),
            rewind=Credentials(username="rewind"),
        ),
        port=5432,
        bin_dir=bin_dir,
    )
    with TemporaryDirectory(prefix="raftha-") as short:
        yield new_job(
            config=config,
            run_dir=Path(short),
            binaries=choose(bin_dir, 15),
            clock=SystemClock(),
            stamp="now",
            timeout=10.0,
        )


def method(script: str = FILL, **more: Any) -> Method:
    return Method(name="backup", command=("sh", "-c", script, "restore"), **more)


def configured(job: Job, **plan: Any) -> str:
    """postgresql.conf as a plan has it."""
    role = ServerRole.STANDBY
    made = ServerPlan(role=role, **plan)
    configuration.apply(job.layout, job.config, "demo", made, None, 15)
    return (job.layout.data_dir / "postgresql.conf").read_text()


def beside(job: Job) -> set[str]:
    return {path.name for path in job.layout.data_dir.parent.iterdir()}


def test_a_restored_directory_takes_its_place_as_nobody_s_and_for_one_attempt(job: Job) -> None:
    recovery = {"restore_command": "cp /a/%f %p", "recovery_target_xid": "7"}
    assert restore.restore(job, "demo", method(recovery=recovery)) == SYSTEM
    data = job.layout.data_dir
    names = {path.name for path in data.iterdir()}
    assert names == {
        *("PG_VERSION", "pg_replslot", "pg_wal"),
        "recovery.signal",
        "raftha.recovery.conf",
    }
    assert not list((data / "pg_replslot").iterdir())
    found = directory.inspect(job.layout, lambda _major: job.binaries, job.clock)
    assert (found.unborn, found.in_one_go, found.recovery_signal) == (True, True, True)
    assert found.birth == ""


def test_the_settings_of_a_recovery_are_in_force_in_no_other_server(job: Job) -> None:
    recovery = {"restore_command": "cp /a/%f %p", "recovery_target_xid": "7"}
    restore.restore(job, "demo", method(recovery=recovery))
    text = configured(job, recovers=True)
    assert "recovery_target_xid = '7'" in text
    assert "recovery_target_action = 'promote'" in text
    assert "recovery_target_time =" not in text, "an empty one beside it would be a second target"
    assert not (job.layout.data_dir / "standby.signal").exists()

    for _ in range(2):
        text = configured(job)
        assert "recovery_target_xid = ''" in text
        assert "restore_command" not in text
    assert not (job.layout.data_dir / configuration.RECOVERY_FILE).exists()


def test_what_a_program_left_of_a_recovery_counts_only_where_it_is_to_be_kept(job: Job) -> None:
    left = "restore_command = 'x'\\nrecovery_target_time = '2026'\\nwork_mem = '5MB'\\n"
    script = f'{FILL} printf "{left}" > $PGDATA/postgresql.auto.conf'
    restore.restore(job, "demo", method(script))
    data = job.layout.data_dir
    assert (data / "postgresql.auto.conf").read_text() == "work_mem = '5MB'\n"
    assert not (data / "recovery.signal").exists()
    assert not (data / "standby.signal").exists()

    data.rename(data.with_name("away"))
    restore.restore(job, "demo", method(script, keeps_recovery=True))
    assert (data / "postgresql.auto.conf").read_text() == "work_mem = '5MB'\n"
    assert (data / "recovery.signal").exists()
    assert "recovery_target_time = '2026'" in configured(job, recovers=True)


def test_of_programs_that_fail_the_last_attempt_is_kept(job: Job) -> None:
    other = job.layout.failed("before")
    other.mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(CommandFailed, match=r"(?s)sh ended with status 3.*said\nso"):
            restore.restore(job, "demo", method(f"{FILL} echo said; echo so >&2; exit 3"))
        assert beside(job) == {"data.failed-now", other.name}, "what initdb left is not touched"


def test_a_program_that_fills_another_place_is_told_where_it_should(job: Job) -> None:
    data = job.layout.data_dir
    with pytest.raises(PostgresError, match="named in PGDATA"):
        restore.restore(job, "demo", method(f"mkdir {data}; touch {data}/x", no_params=True))
    found = directory.inspect(job.layout, lambda _major: job.binaries, job.clock)
    assert found.unborn
    assert found.in_one_go


def test_what_was_given_up_is_kept_once_with_the_reason(job: Job) -> None:
    for attempt in ("first", "second"):
        restore.restore(job, "demo", method(f'{FILL} touch "$PGDATA/{attempt}"'))
        with pytest.raises(PostgresError, match=r"^no schema; .* kept in .*data.failed-now$"):
            restore.give_up(job, "no schema")
        assert beside(job) == {"data.failed-now"}
        assert (job.layout.failed("now") / attempt).exists(), "the newest might be of use"


def test_the_password_is_no_argument(job: Job) -> None:
    configuration.write_passwords(job.layout, job.config)
    script = 'echo "$0 $@" >> "$(dirname "$PGPASSFILE")/told"; grep -q pw "$PGPASSFILE"'
    post_bootstrap(job, ("sh", "-c", script, "x"))
    told = (job.layout.run_dir / "told").read_text()
    assert "pw" not in told
    assert told.startswith("x postgresql://post%20gres@/postgres?host=%2F")


def test_a_program_that_leaves_another_behind_is_not_waited_for(job: Job) -> None:
    before = job.left()
    restore.restore(job, "demo", method(f"{FILL} sleep 8 &"))
    assert before - job.left() < 4


def copy(job: Job, script: str = FILL, wanted: Wanted = WANTED, line: UpstreamLine = LINE) -> None:
    methods.copy_by(job, method(script), wanted, lambda *_: line)


def test_a_copy_of_this_cluster_takes_the_place_as_a_standby(job: Job) -> None:
    data = job.layout.data_dir
    data.mkdir(parents=True)
    (data / "old").touch()
    copy(job, FILL + 'rm "$PGDATA/standby.signal"; echo "$@" > "$PGDATA/told"')
    assert (data / "standby.signal").exists()
    assert not (data / "postmaster.pid").exists()
    assert configuration.birth(data) == "n1@1"
    assert (data / "pg_wal" / "00000005.history").read_text().startswith("4\t16/B5000000")
    told = (data / "told").read_text()
    assert told.startswith(f"--scope=demo --role=replica --datadir={data}.new-now-")
    assert "--connstring=host='10.0.0.1'" in told
    assert beside(job) == {"data", "data.replaced-now"}
    assert (data.with_name("data.replaced-now") / "old").exists()


@pytest.mark.parametrize(
    ("wanted", "line", "said"),
    [
        (
            replace(WANTED, system_id=SystemId("1")),
            replace(LINE, identity=replace(LINE.identity, system_id=SystemId("1"))),
            "of another cluster",
        ),
        (WANTED, replace(LINE, history=()), "not on the line"),
        (
            WANTED,
            replace(LINE, identity=replace(LINE.identity, timeline=Timeline(4))),
            "part of another one",
        ),
        (
            replace(WANTED, birth="n9@1"),
            replace(
                LINE,
                identity=Identity(
                    system_id=SYSTEM, timeline=Timeline(4), position=Lsn.parse("16/1")
                ),
            ),
            "is ahead of",
        ),
    ],
)
def test_what_is_not_of_this_cluster_or_its_line_is_refused_and_kept(
    job: Job, wanted: Wanted, line: UpstreamLine, said: str
) -> None:
    data = job.layout.data_dir
    data.mkdir(parents=True)
    (data / "old").touch()
    with pytest.raises(PostgresError, match=said):
        copy(job, wanted=wanted, line=line)
    assert (data / "old").exists()
    assert beside(job) == {"data", "data.failed-now"}


def test_a_copy_of_a_backup_says_so_until_it_follows_or_leads(job: Job) -> None:
    for source in (SOURCE, None):
        copy(job, wanted=replace(WANTED, source=source))
        configured(job)
        assert is_from_backup(job), "a start without a leader proves nothing"
        configured(job, upstream=SOURCE)
        assert not is_from_backup(job)

    copy(job)
    configuration.apply(
        job.layout, job.config, "demo", ServerPlan(role=ServerRole.PRIMARY), None, 15
    )
    assert not is_from_backup(job)


def is_from_backup(job: Job) -> bool:
    return directory.inspect(job.layout, lambda _major: job.binaries, job.clock).from_backup


def test_what_no_attempt_made_is_not_given_up(job: Job) -> None:
    """Whoever decided that saw a directory that was confirmed since."""
    restore.restore(job, "demo", method())
    job.layout.birth_marker.unlink()
    with pytest.raises(PostgresError, match="it stays"):
        restore.give_up(job, "left behind")
    assert beside(job) == {"data"}


def test_of_a_copy_that_fails_nothing_is_kept(job: Job) -> None:
    with pytest.raises(CommandFailed):
        copy(job, f"{FILL} exit 1")
    assert beside(job) == set()
