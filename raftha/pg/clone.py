"""Copies another server beside the data directory, then exchanges the two by a rename."""

from __future__ import annotations

import shutil
from typing import Final

from raftha.errors import PostgresError
from raftha.model.ids import SystemId
from raftha.model.postgres import Upstream
from raftha.pg import argv, conf, configuration
from raftha.pg import upstream as upstreams
from raftha.pg.directory import control_data, require_stopped
from raftha.pg.job import Job, begin_copy, explained, finish_copy
from raftha.pg.upstream import require_system

_ASK_TIMEOUT: Final = 10.0


def clone(job: Job, source: Upstream, system_id: SystemId | None = None) -> None:
    """Make the data directory a standby's copy of `source`.

    `source.slot` must exist there, so that the WAL needed to follow is kept from the copy's start.
    A directory that was there is kept as `<data_dir>.diverged-<stamp>`. Of a copy that fails
    nothing is kept: it holds nothing that its source has not. Raises PostgresError (a server runs
    on the directory, `source` is of another cluster), CommandFailed, Cancelled.
    """
    with explained(f"copying {source.address} to {job.layout.data_dir}"):
        _clone(job, source, system_id)


def _clone(job: Job, source: Upstream, system_id: SystemId | None) -> None:
    layout = job.layout
    require_stopped(layout.data_dir)
    configuration.write_passfile(layout, job.config)
    user = job.config.authentication.replication.username
    found = upstreams.ask(source, user, layout.passfile, min(job.left(), _ASK_TIMEOUT))
    require_system(found.identity.system_id, system_id)
    begin_copy(layout, job.clock)
    try:
        connection = conf.connection(source, user, layout.passfile)
        job.run(argv.basebackup(job.binaries, layout.copy, connection, source.slot))
        copied = control_data(job.binaries, layout.copy, job.clock)
        require_system(copied.system_id, found.identity.system_id)
        # Before the rename: a directory at its place must never be able to start as a primary.
        configuration.mark_standby(layout.copy)
        require_stopped(layout.data_dir)
        finish_copy(layout, layout.diverged(job.stamp))
        layout.birth_marker.unlink(missing_ok=True)
    except (PostgresError, OSError):
        shutil.rmtree(layout.copy, ignore_errors=True)
        layout.copy_marker.unlink(missing_ok=True)
        raise
