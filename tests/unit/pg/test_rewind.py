"""Where the WAL of a stopped directory ends, as pg_waldump tells it; real ones in
`tests/integration/test_pg_rejoin.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from raftha.clock import SystemClock
from raftha.errors import PostgresError
from raftha.model.ids import Lsn, SystemId, Timeline
from raftha.model.postgres import Binaries, ControlData, ControlState
from raftha.model.settings import Address, Authentication, Credentials, PostgresConfig
from raftha.pg import rewind
from raftha.pg.job import Job, new_job

SEGMENT_BYTES = 16 << 20
REDO = Lsn(0x4000028)
CRASHED = ControlData(
    system_id=SystemId(1),
    state=ControlState.PRODUCTION,
    checkpoint=Lsn(0x4000060),
    redo=REDO,
    timeline=Timeline(1),
    minimum_recovery_end=Lsn(0),
    minimum_recovery_timeline=Timeline(0),
    checksums=True,
    wal_log_hints=False,
    max_connections=100,
    max_worker_processes=8,
    max_wal_senders=10,
    max_prepared_transactions=0,
    max_locks_per_transaction=64,
)


def job_where_waldump_says(folder: Path, words: str) -> Job:
    """A job on a directory with one segment, whose pg_waldump ends with this error."""
    bin_dir, data_dir = folder / "bin", folder / "data"
    (data_dir / "pg_wal").mkdir(parents=True)
    with (data_dir / "pg_wal" / f"{1:08X}{0:08X}{4:08X}").open("wb") as segment:
        segment.truncate(SEGMENT_BYTES)
    bin_dir.mkdir()
    program = bin_dir / "pg_waldump"
    program.write_text(f"#!/bin/sh\necho 'pg_waldump: error: {words}' >&2\nexit 1\n")
    program.chmod(0o755)
    config = PostgresConfig(
        listen_hosts=("127.0.0.1",),
        connect_address=Address("127.0.0.1", 5432),
        data_dir=data_dir,
        authentication=Authentication(
            superuser=Credentials(username="postgres"),
            replication=Credentials(username="replicator"),
            rewind=Credentials(username="rewinder"),
        ),
        port=5432,
    )
    return new_job(
        config=config,
        run_dir=folder,
        binaries=Binaries(bin_dir=bin_dir, version="18.4", major=18, origin="test"),
        clock=SystemClock(),
        stamp="stamp",
        timeout=10.0,
    )


def test_a_record_that_goes_on_in_a_segment_never_made_counts_as_late_as_it_may_begin(
    tmp_path: Path,
) -> None:
    """As a full disk leaves it. Taken for earlier, what has diverged could be started (S9)."""
    missing = f'could not find file "{1:08X}{0:08X}{6:08X}": No such file or directory'
    job = job_where_waldump_says(tmp_path, missing)

    line, last_record, end = rewind.end_of_wal(job, CRASHED)

    assert line == 1
    assert end == Lsn(6 * SEGMENT_BYTES)
    assert last_record == Lsn(6 * SEGMENT_BYTES - 1)


def test_where_the_first_segment_is_missing_nothing_is_concluded(tmp_path: Path) -> None:
    missing = f'could not find file "{1:08X}{0:08X}{4:08X}": No such file or directory'
    job = job_where_waldump_says(tmp_path, missing)

    with pytest.raises(PostgresError, match="the end of the local WAL cannot be found"):
        rewind.end_of_wal(job, CRASHED)


def test_where_a_segment_is_missing_between_others_nothing_is_concluded(tmp_path: Path) -> None:
    """What lies behind the gap may have reached the pages."""
    missing = f'could not find file "{1:08X}{0:08X}{6:08X}": No such file or directory'
    job = job_where_waldump_says(tmp_path, missing)
    (job.layout.data_dir / "pg_wal" / f"{1:08X}{0:08X}{7:08X}").touch()

    with pytest.raises(PostgresError, match="the end of the local WAL cannot be found"):
        rewind.end_of_wal(job, CRASHED)
