"""Brings WAL that a rewind misses from the server that the rewind makes the directory follow.

Up to where their lines part both servers wrote the same WAL. So a whole segment from before that
place may come from the other one, and nothing else may: what lies behind it is another history
under names that can be alike. A file that is here is never written over.
"""

from __future__ import annotations

import os
import struct
from io import BufferedWriter
from pathlib import Path
from typing import Final

from raftha import files
from raftha.errors import PostgresError
from raftha.model.ids import SystemId
from raftha.model.postgres import Upstream
from raftha.pg import libpq, queries, timeline
from raftha.pg.directory import segment_bytes
from raftha.pg.job import Job, explained
from raftha.pg.run import Cancelled
from raftha.pg.session import ORDINARY_OPTIONS, Session
from raftha.pg.upstream import UpstreamLine

TEMPORARY: Final = "xlogtemp.raftha"
"""PostgreSQL removes what is called so when it recovers, and pg_rewind as it ends."""

_FIRST_PAGE: Final = struct.Struct("=HHIQI4xQI")
"""The head of a segment: magic, flags, timeline, place, rest of a record, then system identifier
and size of a segment (`xlog_internal.h`, the same from 14 to 18), in the byte order of the machine:
a cluster has one."""

_LONG_HEAD: Final = 0x0002
_PART_BYTES: Final = 4 << 20
_PART_TIMEOUT: Final = 60.0


def fetch(job: Job, source: Upstream, line: UpstreamLine, name: str, most: int) -> int:
    """Bring the segment `name` from `source`, whose line this is, and up to `most - 1` before it,
    as far as they are missing here and are there; how many were brought.

    Raises PostgresError if `name` itself is not to be had, PostgresUnavailable, Cancelled.
    """
    pg_wal = job.layout.data_dir / "pg_wal"
    with explained(f"fetching WAL to {pg_wal}"):
        return _fetch(job, source, line, name, most)


def _fetch(job: Job, source: Upstream, line: UpstreamLine, name: str, most: int) -> int:
    pg_wal = job.layout.data_dir / "pg_wal"
    size = segment_bytes(pg_wal)
    if not timeline.is_shared(name, line.history, size):
        raise PostgresError(f"the WAL segment {name} is missing, and {source.address} never had it")
    login = libpq.connection(source, job.config.authentication.rewind, job.layout.passfile)
    session = Session(login, job.clock, ORDINARY_OPTIONS)
    brought = 0
    try:
        for wanted in timeline.segments_down_from(name, most, size):
            if (pg_wal / wanted).exists() or not _bring(job, session, line, pg_wal / wanted, size):
                break
            brought += 1
    finally:
        session.close()
    if brought == 0:
        raise PostgresError(
            f"the WAL segment {name} is missing, and {source.address} has it no more"
        )
    files.sync_directory(pg_wal)
    return brought


def _bring(job: Job, session: Session, line: UpstreamLine, target: Path, size: int) -> bool:
    """Whether the other server has this segment; then it is here, complete, under its name."""
    temporary = target.with_name(TEMPORARY)
    try:
        with temporary.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            if not _copied(job, session, target.name, file):
                return False
            file.flush()
            os.fsync(file.fileno())
        require_segment(temporary, target.name, line.identity.system_id, size)
        os.link(temporary, target)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _copied(job: Job, session: Session, name: str, file: BufferedWriter) -> bool:
    """A segment is renamed before it is used anew: if its name is still there once its end has been
    read, then all that was read was of it."""
    while True:
        if job.cancel():
            raise Cancelled("fetching WAL was cancelled")
        asked = (f"pg_wal/{name}", file.tell(), _PART_BYTES)
        part = session.query(queries.READ_PART, asked, min(job.left(), _PART_TIMEOUT))[0][0]
        if not part:
            return part is not None
        file.write(part)


def require_segment(path: Path, name: str, system_id: SystemId, size: int) -> None:
    """Raises PostgresError if this is not the whole segment of that name of this cluster."""
    with path.open("rb") as file:
        head = file.read(_FIRST_PAGE.size)
    if path.stat().st_size != size or not _is_head_of(head, name, system_id, size):
        raise PostgresError(f"what the source has as the WAL segment {name} is not that segment")


def _is_head_of(head: bytes, name: str, system_id: SystemId, size: int) -> bool:
    _, flags, written_on, place, _, system, each = _FIRST_PAGE.unpack(head)
    return (
        bool(flags & _LONG_HEAD)
        and written_on <= int(name[:8], 16)
        and place == timeline.start_of_segment(name, size).value
        and system == int(system_id)
        and each == size
    )
