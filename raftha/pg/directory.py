"""Looks at a data directory that may be damaged, foreign or absent. Changes nothing in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from raftha.clock import Clock
from raftha.errors import ConfigError, PostgresError
from raftha.model.postgres import Binaries, ControlData, DataDirectory, DirectoryState
from raftha.pg import argv, configuration, controldata, hba, versions
from raftha.pg.layout import Layout
from raftha.pg.run import run
from raftha.pg.sizes import sizes_in

Choose = Callable[[int], Binaries]
"""Finds the installation for a major. Raises ConfigError."""

_CONTROL_TIMEOUT: Final = 10.0  # seconds; it reads one file of 8 KiB
_FORBIDDEN_MODE: Final = 0o027  # PostgreSQL starts with 0700 and 0750 only

IN_ONE_GO: Final = b"made in one go: whoever finds it without its maker puts it aside\n"
"""In the birth marker of a directory that nobody but the attempt that makes it may go on with."""


def inspect(layout: Layout, choose: Choose, clock: Clock) -> DataDirectory:
    """What lies there; never raises for a broken directory, but says so in `problem`.

    A directory with a `problem` must not be started.
    """
    path = layout.data_dir
    try:
        names = set(os.listdir(path))
        details = path.stat()
    except FileNotFoundError:
        return DataDirectory(path=path, state=DirectoryState.ABSENT)
    except OSError as error:
        remedy = "let it belong to the user that runs raftha, with mode 0700 (chmod 0700)"
        return _unreadable(path, f"cannot be read: {error.strerror}; {remedy}")
    if not names:
        return DataDirectory(path=path, state=DirectoryState.EMPTY)
    if "PG_VERSION" not in names:
        return DataDirectory(
            path=path,
            state=DirectoryState.FOREIGN,
            unborn=layout.birth_marker.exists(),
            in_one_go=is_in_one_go(layout),
            problem=f"{path} is not empty and holds no PG_VERSION: move its content elsewhere",
        )
    wrong = _ownership_problem(details)
    if wrong is not None:
        return _unreadable(path, wrong)
    present = DataDirectory(
        path=path,
        state=DirectoryState.PRESENT,
        standby_signal="standby.signal" in names,
        backup_label="backup_label" in names,
        unborn=layout.birth_marker.exists(),
        in_one_go=is_in_one_go(layout),
        recovery_signal="recovery.signal" in names,
        closed=is_closed(path),
        birth=configuration.birth(path),
        from_backup=configuration.is_from_backup(path),
    )
    return _looked_into(present, layout, choose, clock)


def is_closed(data_dir: Path) -> bool:
    """Its pg_hba.conf lets no session in but the agent's; False if that cannot be read."""
    try:
        return hba.is_closed((data_dir / "pg_hba.conf").read_text(errors="replace"))
    except OSError:
        return False


def is_in_one_go(layout: Layout) -> bool:
    """Nobody but the attempt that makes the data directory may go on with it."""
    try:
        return layout.birth_marker.read_bytes() == IN_ONE_GO
    except FileNotFoundError:
        return False


def control_data(binaries: Binaries, data_dir: Path, clock: Clock) -> ControlData:
    """Run pg_controldata. Raises PostgresError."""
    command = argv.controldata(binaries, data_dir)
    return controldata.parse(run(command, clock=clock, timeout=_CONTROL_TIMEOUT))


def running_pid(data_dir: Path) -> int | None:
    """The postmaster that runs on this directory; None if postmaster.pid is absent or stale.

    The pid counts only while a process of that number works in this very directory.
    """
    try:
        first, *_ = (data_dir / "postmaster.pid").read_text(errors="replace").splitlines()
        pid = int(first)
        works_here = os.path.samefile(f"/proc/{pid}/cwd", data_dir)
    except (OSError, ValueError):
        return None
    return pid if works_here else None


def running_port(data_dir: Path) -> int | None:
    """The port of the server that runs on this directory; None where none does."""
    if running_pid(data_dir) is None:
        return None
    try:
        return int((data_dir / "postmaster.pid").read_text(errors="replace").splitlines()[3])
    except (OSError, ValueError, IndexError):
        return None  # it has just ended, or has not written it yet


def stranger(layout: Layout) -> int | None:
    """The postmaster that runs on the directory and was not started by raftha, if there is one."""
    pid = running_pid(layout.data_dir)
    if pid is None:
        return None
    try:
        command = (layout.data_dir / "postmaster.opts").read_text(errors="replace")
    except OSError:
        return pid
    return None if str(layout.run_dir) in command else pid


def segment_bytes(pg_wal: Path) -> int:
    """All segments of a cluster have one size, and are made at full size. Raises OSError."""
    sizes = [path.stat().st_size for path in pg_wal.iterdir() if len(path.name) == 24]
    return max(sizes, default=16 << 20)


def require_stopped(data_dir: Path) -> None:
    """Raises PostgresError while a server runs on the directory."""
    pid = running_pid(data_dir)
    if pid is not None:
        raise PostgresError(f"PostgreSQL (pid {pid}) still runs on {data_dir}: stop it first")


def _looked_into(
    found: DataDirectory, layout: Layout, choose: Choose, clock: Clock
) -> DataDirectory:
    try:
        major = int((found.path / "PG_VERSION").read_text(errors="replace").strip())
    except (OSError, ValueError):
        return replace(found, problem=f"{found.path}/PG_VERSION cannot be read")
    found = replace(found, major=major)
    if not versions.OLDEST <= major <= versions.NEWEST:
        return replace(
            found,
            problem=f"{found.path} is of PostgreSQL {major}; supported are "
            f"{versions.OLDEST} to {versions.NEWEST}",
        )
    try:
        found = replace(found, control=control_data(choose(major), found.path, clock))
    except (ConfigError, PostgresError) as error:
        return replace(found, problem=f"{found.path} cannot be used: {error}")
    found = replace(found, **_sizes(found.path))
    if layout.rewind_marker.exists():
        return replace(
            found,
            problem=f"a rewind of {found.path} began and did not end: it needs a new copy",
        )
    return found


def _sizes(path: Path) -> dict[str, dict[str, int]]:
    """Those that files other than raftha's ask for; none of a file that cannot be read, which
    PostgreSQL does not start with."""
    try:
        return {
            "original": sizes_in(configuration.original(path)),
            "altered": sizes_in(configuration.altered(path)),
        }
    except OSError:
        return {}


def _unreadable(path: Path, what: str) -> DataDirectory:
    return DataDirectory(path=path, state=DirectoryState.UNREADABLE, problem=f"{path} {what}")


def _ownership_problem(details: os.stat_result) -> str | None:
    if details.st_uid != os.geteuid():
        return f"belongs to user {details.st_uid}, raftha runs as {os.geteuid()}: use chown"
    mode = stat.S_IMODE(details.st_mode)
    if mode & _FORBIDDEN_MODE:
        return f"has mode {mode:o}: use chmod 0700"
    return None
