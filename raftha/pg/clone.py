"""Copies another server beside the data directory, then exchanges the two by a rename."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from raftha.errors import PostgresError
from raftha.logs import event
from raftha.model.ids import SystemId
from raftha.model.postgres import Upstream
from raftha.pg import argv, configuration, elsewhere, libpq
from raftha.pg import upstream as upstreams
from raftha.pg.directory import control_data, require_stopped
from raftha.pg.job import Job, abandon_copy, begin_copy, explained, finish_copy
from raftha.pg.upstream import require_system

LOG = logging.getLogger(__name__)

_ASK_TIMEOUT: Final = 10.0


def clone(
    job: Job, source: Upstream, system_id: SystemId | None = None, *, diverged: bool = False
) -> None:
    """Make the data directory a standby's copy of `source`.

    `source.slot`, if there is one, must exist there, so that the WAL needed to follow is kept from
    the copy's start. A directory that was there is kept, with the tablespaces and the WAL directory
    that it leads to: as `<data_dir>.diverged-<stamp>` if it has `diverged`, as a rewind that was
    cut short shows too, else as `<data_dir>.replaced-<stamp>`. Of a copy that fails nothing is
    kept: it holds nothing that its source has not. Raises PostgresError (a server runs on the
    directory, `source` is of another cluster), CommandFailed, Cancelled.
    """
    layout = job.layout
    has_left = diverged or layout.rewind_marker.exists()
    kept = layout.diverged(job.stamp) if has_left else layout.replaced(job.stamp)
    with explained(f"copying {source.address} to {layout.data_dir}"):
        _clone(job, source, system_id, kept)


def _clone(job: Job, source: Upstream, system_id: SystemId | None, kept: Path) -> None:
    layout = job.layout
    require_stopped(layout.data_dir)
    configuration.write_passwords(layout, job.config)
    who = job.config.authentication.replication
    found = upstreams.ask(source, who, layout.passfile, min(job.left(), _ASK_TIMEOUT))
    require_system(found.identity.system_id, system_id)
    parts = _parts(job, source)
    begin_copy(layout, job.clock, tuple(parts.values()))
    try:
        connection = libpq.connection(source, who, layout.passfile)
        options = job.config.basebackup
        job.run(argv.basebackup(job.binaries, layout.copy, connection, source.slot, options, parts))
        copied = control_data(job.binaries, layout.copy, job.clock)
        require_system(copied.system_id, found.identity.system_id)
        # Before the rename: a directory at its place must never be able to start as a primary.
        configuration.mark_standby(layout.copy)
        require_stopped(layout.data_dir)
        finish_copy(layout, kept)
        layout.birth_marker.unlink(missing_ok=True)
    except (PostgresError, OSError):
        abandon_copy(layout)
        raise


def _parts(job: Job, source: Upstream) -> dict[str, Path]:
    """Where the copy fills what lies elsewhere, by the place at the source, or of the WAL by the
    place that the user wants."""
    wal = dict(job.config.basebackup).get(argv.WAL_DIRECTORY)
    places = _tablespaces(job, source)
    wanted = places if wal is None else (*places, wal)
    return {place: elsewhere.beside(Path(place), job.layout.attempt) for place in wanted}


def _tablespaces(job: Job, source: Upstream) -> tuple[str, ...]:
    """They are asked for as whom pg_rewind logs in as, since a user who may only replicate is not
    answered. If that one is not let in, they are copied to where they are at the source: what lies
    there already is not written over, pg_basebackup refuses it."""
    who = job.config.authentication.rewind
    timeout = min(job.left(), _ASK_TIMEOUT)
    try:
        return upstreams.tablespaces(source, who, job.layout.passfile, timeout)
    except PostgresError as error:
        event(LOG, logging.WARNING, "tablespaces not known", source=str(source.address), why=error)
        return ()
