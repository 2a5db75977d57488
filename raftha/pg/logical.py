"""Logical slots as files, for PostgreSQL before 17: fetched from a primary, laid into a standby.

A stopped standby takes a slot in that lies in `pg_replslot` as it starts. What is needed of it is
the state of the slot, and the snapshot from which its decoding goes on. Both wait outside the data
directory until the next start: nothing is ever put in the place of a slot that is there.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from raftha import files
from raftha.errors import PostgresError
from raftha.model.ids import Lsn
from raftha.model.postgres import Upstream
from raftha.pg import configuration, libpq, queries
from raftha.pg.job import Job, explained
from raftha.pg.layout import Layout
from raftha.pg.session import ORDINARY_OPTIONS, Session

STATE: Final = "state"
_SNAPSHOTS: Final = Path("pg_logical/snapshots")
_MAGIC: Final = 0x1051CA1
_HEAD: Final = struct.Struct("=I12x64sIIIIQ")
"""Of a slot's state: magic, checksum, version and length, then its name, database, persistence, the
two oldest transactions, and from where on it needs WAL (`slot.c`, the same from 14 to 16)."""

_ASK_TIMEOUT: Final = 10.0


def fetch(job: Job, source: Upstream, names: Iterable[str]) -> None:
    """Bring the state of these slots of `source` here, to be taken in at the next start.

    Raises PostgresError if one of them cannot be had, or needs WAL that is not here any more.
    """
    with explained(f"writing {job.layout.passfile}"):
        configuration.write_passwords(job.layout, job.config)
    login = libpq.connection(source, job.config.authentication.rewind, job.layout.passfile)
    session = Session(login, job.clock, ORDINARY_OPTIONS)
    try:
        for name in names:
            _fetch(job, session, name)
    finally:
        session.close()


def _fetch(job: Job, session: Session, name: str) -> None:
    timeout = min(job.left(), _ASK_TIMEOUT)
    state = _bytes_of(session, f"pg_replslot/{name}/{STATE}", timeout)
    if state is None:
        raise PostgresError(f"the primary has no slot {name}")
    restart = needs_from(name, state)
    if not has_wal(job.layout.data_dir / "pg_wal", restart):
        raise PostgresError(
            f"the logical slot {name} needs WAL from {restart} on, which is not here any more: it "
            "can be copied once its reader has come further"
        )
    snapshot = f"{restart.value >> 32:X}-{restart.value & 0xFFFFFFFF:X}.snap"
    frozen = _bytes_of(session, str(_SNAPSHOTS / snapshot), timeout)
    folder = job.layout.staged_slots / name
    with explained(f"writing {folder}"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        if frozen is not None:
            files.replace(folder / snapshot, frozen)
        files.replace(folder / STATE, state)


def _bytes_of(session: Session, path: str, timeout: float) -> bytes | None:
    found = session.query(queries.READ_FILE, (path,), timeout)[0][0]
    return None if found is None else bytes(found)


def needs_from(name: str, state: bytes) -> Lsn:
    """From where on a slot needs WAL, by its state. Raises PostgresError."""
    try:
        magic, called, *_, restart = _HEAD.unpack_from(state)
    except struct.error as error:
        raise PostgresError(f"the state of the slot {name} is cut short: {error}") from error
    if magic != _MAGIC or called.rstrip(b"\0") != name.encode():
        raise PostgresError(f"the state of the slot {name} is of a kind that is not known")
    return Lsn(restart)


def has_wal(pg_wal: Path, position: Lsn) -> bool:
    """A segment with this position is there, of whatever timeline. Raises OSError."""
    segments = [path for path in pg_wal.iterdir() if len(path.name) == 24]
    if not segments:
        return False
    size = segments[0].stat().st_size
    number = position.value // size
    each_high = (1 << 32) // size
    suffix = f"{number // each_high:08X}{number % each_high:08X}"
    return any(path.name.endswith(suffix) for path in segments)


def install(layout: Layout) -> tuple[str, ...]:
    """Lay the fetched slots into the stopped data directory; the names of those that are new there.
    Raises OSError."""
    if not layout.staged_slots.is_dir():
        return ()
    new = [folder.name for folder in sorted(layout.staged_slots.iterdir()) if _laid(layout, folder)]
    shutil.rmtree(layout.staged_slots)
    return tuple(new)


def _laid(layout: Layout, folder: Path) -> bool:
    target = layout.data_dir / "pg_replslot" / folder.name
    state = folder / STATE
    if target.exists() or not state.exists():
        return False
    for snapshot in folder.glob("*.snap"):
        place = layout.data_dir / _SNAPSHOTS / snapshot.name
        if not place.exists():
            files.replace(place, snapshot.read_bytes())
    # PostgreSQL removes a directory of this name as it starts, if it ends in .tmp.
    making = target.with_name(f"{folder.name}.tmp")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    files.replace(making / STATE, state.read_bytes())
    files.rename(making, target)
    return True


def discard(layout: Layout, names: Iterable[str]) -> None:
    """Remove slots from a stopped data directory. Raises OSError."""
    folder = layout.data_dir / "pg_replslot"
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
    if folder.is_dir():
        files.sync_directory(folder)
