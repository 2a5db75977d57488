"""Makes the first data directory of a cluster by a program of the operator's: out of a backup, or
of another cluster.

It is made beside its place and renamed, as initdb's. The settings of the recovery that follows lie
in a file of their own in it. They are in force only while the very attempt that made the directory
recovers it: every other plan of a server removes that file. A directory whose attempt ended in the
middle is put aside; nobody goes on with it.
"""

from __future__ import annotations

import glob
import shutil
from pathlib import Path
from typing import Final

from raftha import files
from raftha.errors import ConfigError, PostgresError
from raftha.model.ids import SystemId
from raftha.model.methods import RECOVERY_SETTINGS, Method
from raftha.model.postgres import ControlData
from raftha.pg import conf, configuration, versions
from raftha.pg.directory import IN_ONE_GO, control_data, is_in_one_go, require_stopped
from raftha.pg.job import Job, abandon_copy, begin_copy, explained, finish_copy, set_aside
from raftha.pg.program import run_program

GIVEN_UP: Final = "raftha.given_up"
"""In a directory of a failed attempt: the next one that fails takes its place."""

_SIGNALS: Final = ("standby.signal", "recovery.signal")
_OF_A_SERVER: Final = ("postmaster.pid", "postmaster.opts", configuration.BIRTH_FILE)
_FORBIDDEN_MODE: Final = 0o027


def restore(job: Job, scope: str, method: Method) -> SystemId:
    """Run the method's program; the restored cluster's system identifier.

    Raises PostgresError if there is data already, if the program leaves no data directory, or fails
    (CommandFailed): what it made is kept as `<data_dir>.failed-<stamp>` then, in the place of what
    an earlier attempt made.
    """
    layout = job.layout
    if _is_filled(layout.data_dir):
        raise PostgresError(f"{layout.data_dir} is not empty: nothing is restored into it")
    with explained(f"restoring {layout.data_dir}"):
        configuration.write_passwords(layout, job.config)
        begin_copy(layout, job.clock)
        files.replace(layout.birth_marker, IN_ONE_GO)
    words = method.words(scope=scope, datadir=str(layout.copy))
    try:
        with explained(f"restoring {layout.data_dir}"):
            run_program(job, words, {"PGDATA": str(layout.copy)})
            system_id = filled_by(job, method).system_id
            _prepare_recovery(layout.copy, method)
            finish_copy(layout, layout.failed(job.stamp))
    except PostgresError:
        with explained(f"keeping what {method.name} made"):
            keep_failed(job, layout.copy)
        if not _is_filled(layout.data_dir):
            layout.birth_marker.unlink(missing_ok=True)
        raise
    return system_id


def filled_by(job: Job, method: Method) -> ControlData:
    """What a program of the operator's has put into the directory in the making, cleared of what
    belongs to the server that it is a copy of. Raises PostgresError, OSError."""
    copy = job.layout.copy
    try:
        major = int((copy / "PG_VERSION").read_text(errors="replace").strip())
    except (OSError, ValueError) as error:
        hint = (
            f"; give it the directory that is named in PGDATA, as in sh -c '{method.command[0]} "
            '... "$PGDATA"\''
            if method.no_params
            else ""
        )
        what = f"{method.name} ended well, but left no data directory in {copy}{hint}"
        raise PostgresError(what) from error
    if copy.stat().st_mode & _FORBIDDEN_MODE:
        copy.chmod(0o700)
    for name in _OF_A_SERVER:
        (copy / name).unlink(missing_ok=True)
    for slot in (copy / "pg_replslot").glob("*"):
        shutil.rmtree(slot)
    try:
        return control_data(versions.choose(job.config.bin_dir, major), copy, job.clock)
    except ConfigError as error:
        raise PostgresError(f"what {method.name} made cannot be read: {error}") from error


def give_up(job: Job, why: str) -> None:
    """Put the directory of a bootstrap that came to nothing aside. Raises PostgresError in any
    case: with what has become of it, for that is how the bootstrap ends."""
    layout = job.layout
    require_stopped(layout.data_dir)
    if not is_in_one_go(layout):
        raise PostgresError(f"{layout.data_dir} is of no attempt to make a cluster: it stays")
    with explained(f"putting {layout.data_dir} aside"):
        kept = keep_failed(job, layout.data_dir)
        layout.birth_marker.unlink(missing_ok=True)
    raise PostgresError(f"{why}; {kept}")


def keep_failed(job: Job, path: Path) -> str:
    """Put what a failed attempt made aside, for somebody to look at it; what became of it, in
    words. The newest is kept: each of many attempts might be as large as the whole cluster. Raises
    OSError."""
    layout = job.layout
    if not _is_filled(path):
        abandon_copy(layout)
        return "it made nothing"
    for earlier in layout.data_dir.parent.glob(f"{glob.escape(layout.data_dir.name)}.failed-*"):
        if (earlier / GIVEN_UP).exists():
            shutil.rmtree(earlier, ignore_errors=True)
    (path / GIVEN_UP).touch()
    kept = set_aside(path, layout.failed(job.stamp))
    layout.copy_marker.unlink(missing_ok=True)
    return f"what it made is kept in {kept}"


def _prepare_recovery(copy: Path, method: Method) -> None:
    """Have the directory recover as the method says, and as its program says where that counts.
    What the program left of it elsewhere would outlast the recovery."""
    left = [name for name in _SIGNALS if (copy / name).exists()]
    found = _found_in(copy)
    kept = found if method.keeps_recovery else {}
    wanted = {**kept, **method.recovery}
    for name in left:
        (copy / name).unlink()
    if not method.recovery and not (method.keeps_recovery and left):
        return
    files.replace(copy / configuration.RECOVERY_FILE, conf.render(wanted).encode())
    files.replace(copy / "recovery.signal", b"")


def _found_in(copy: Path) -> dict[str, str]:
    """The settings of recovery in the files of the directory; ALTER SYSTEM's are taken out."""
    auto = copy / "postgresql.auto.conf"
    altered = configuration.altered(copy)
    found = {**configuration.original(copy), **altered}
    rest = {name: value for name, value in altered.items() if name not in RECOVERY_SETTINGS}
    if rest != altered:
        files.replace(auto, conf.render(rest).encode())
    return {name: found[name] for name in found if name in RECOVERY_SETTINGS and found[name]}


def _is_filled(path: Path) -> bool:
    return path.exists() and any(path.iterdir())
