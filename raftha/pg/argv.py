"""Argument lists for the programs of PostgreSQL. PURE. No password is ever among them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from raftha.errors import Problem
from raftha.model.ids import Lsn, Timeline
from raftha.model.postgres import Binaries
from raftha.pg.conf import ENFORCED
from raftha.pg.libpq import handed_out

ProgramOptions = Sequence[tuple[str, str | None]]

WAL_DIRECTORY: Final = "waldir"
"""The option of initdb and pg_basebackup for a directory of its own for the WAL."""

_BLOCKED: Final = frozenset({"pgdata", "nosync", "no-sync", "pwfile", "sync-only", "version"})
_OURS: Final = frozenset(
    {"username", "pwprompt", "auth", "auth-local", "auth-host", "help", "show"}
)
_OPTION: Final = re.compile(r"[a-z][a-z0-9-]*")
COPY_PATIENCE: Final = "60s"
"""PostgreSQL's own default of `wal_sender_timeout`."""

_DEFAULTS: Final[Mapping[str, str]] = {
    "encoding": "UTF8",
    "locale": "C.UTF-8",  # does not depend on the version of glibc, which may differ per machine
    "lc-messages": "C",
}


def initdb_problems(options: ProgramOptions) -> tuple[Problem, ...]:
    """What is wrong with a user's `bootstrap.initdb`."""
    problems = (_initdb_problem(name, value) for name, value in options)
    return tuple(problem for problem in problems if problem is not None)


def initdb(
    binaries: Binaries, target: Path, superuser: str, pwfile: Path | None, options: ProgramOptions
) -> list[str]:
    """Make a data directory at `target`, with checksums; a failed one is left for inspection."""
    given = {name for name, _ in options}
    locale_given = any(name == "no-locale" or name.startswith("l") for name in given)
    defaults = {
        name: value
        for name, value in _DEFAULTS.items()
        if name not in given and not (name.startswith("l") and locale_given)
    }
    checksums = [] if "no-data-checksums" in given else ["--data-checksums"]
    return [
        binaries.program("initdb"),
        f"--pgdata={target}",
        f"--username={superuser}",
        "--auth-local=peer",
        "--auth-host=scram-sha-256",
        "--no-clean",
        *checksums,
        *([] if pwfile is None else [f"--pwfile={pwfile}"]),
        *(f"--{name}={value}" for name, value in defaults.items()),
        *_arguments(options),
    ]


def try_parameter(binaries: Binaries, folder: Path, name: str, value: str) -> list[str]:
    """Have PostgreSQL judge a value, with no file and no server: it prints the port and ends, or
    says what it has against the value. `folder` is any that exists."""
    settings = {"config_file": "/dev/null", name: value}
    return [
        binaries.program("postgres"),
        "-D",
        str(folder),
        "-C",
        "port",
        *(part for pair in settings.items() for part in ("-c", "=".join(pair))),
    ]


def parameter_names(binaries: Binaries) -> list[str]:
    """Have PostgreSQL list its parameters, one a line with tabs between the columns."""
    return [binaries.program("postgres"), "--describe-config"]


def try_connection(binaries: Binaries, options: Mapping[str, str]) -> list[str]:
    """Have libpq judge connection parameters: there is no server to reach, nor a place to copy to,
    so it always fails."""
    nowhere = {**options, "host": "/dev/null/none", "dbname": "postgres"}
    return [
        binaries.program("pg_basebackup"),
        "--pgdata=/dev/null/none",
        f"--dbname={handed_out(nowhere)}",
        "--no-password",
    ]


def basebackup(
    binaries: Binaries,
    target: Path,
    connection: Mapping[str, str],
    slot: str | None,
    options: ProgramOptions = (),
    parts: Mapping[str, Path] = MappingProxyType({}),
) -> list[str]:
    """Copy a running server to `target`, with the WAL that the copy needs. `options` are the
    user's; `parts` says where tablespaces and WAL go instead of the places they are wanted at.

    `--progress` is also what ends an orphan: once nobody reads its lines, it dies writing one. Its
    streams need not answer as soon as those of standbys: no commit waits for a copy, and its disk
    is busy.
    """
    patient = {**connection, "options": f"-c wal_sender_timeout={COPY_PATIENCE}"}
    return [
        binaries.program("pg_basebackup"),
        f"--pgdata={target}",
        f"--dbname={handed_out(patient)}",
        "--wal-method=stream",
        "--checkpoint=fast",
        "--no-password",
        "--progress",
        *([] if slot is None else [f"--slot={slot}"]),
        *(_part(place, filled, options) for place, filled in parts.items()),
        *_arguments((name, value) for name, value in options if name != WAL_DIRECTORY),
    ]


def _part(place: str, filled: Path, options: ProgramOptions) -> str:
    if (WAL_DIRECTORY, place) in options:
        return f"--{WAL_DIRECTORY}={filled}"
    escaped = (str(path).replace("=", "\\=") for path in (place, filled))
    return f"--tablespace-mapping={'='.join(escaped)}"


def _arguments(options: Iterable[tuple[str, str | None]]) -> list[str]:
    return [f"--{name}" if value is None else f"--{name}={value}" for name, value in options]


def rewind(
    binaries: Binaries, target: Path, connection: Mapping[str, str], *, restores: bool
) -> list[str]:
    """Turn a diverged, cleanly stopped directory into one that can follow the source; with
    `restores`, WAL that it needs and has no more is fetched by its own restore_command."""
    return [
        binaries.program("pg_rewind"),
        f"--target-pgdata={target}",
        f"--source-server={handed_out(connection)}",
        "--no-ensure-shutdown",
        "--progress",
        *(["--restore-target-wal"] if restores else []),
    ]


def postgres(binaries: Binaries, data_dir: Path, run_dir: Path) -> list[str]:
    """The server. What must hold whatever ALTER SYSTEM says stands here: it wins over files."""
    fixed = {
        "restart_after_crash": ENFORCED["restart_after_crash"],
        "hot_standby": ENFORCED["hot_standby"],
        "wal_log_hints": ENFORCED["wal_log_hints"],
        "unix_socket_directories": str(run_dir),
    }
    settings = [part for name, value in fixed.items() for part in ("-c", f"{name}={value}")]
    return [binaries.program("postgres"), "-D", str(data_dir), *settings]


def single_user(binaries: Binaries, data_dir: Path) -> list[str]:
    """Crash recovery without a server: nothing listens, nothing is archived."""
    settings = ("archive_mode=on", "archive_command=false", "synchronous_standby_names=")
    return [
        binaries.program("postgres"),
        "--single",
        "-F",
        "-D",
        str(data_dir),
        *(part for setting in settings for part in ("-c", setting)),
        "template1",
    ]


def controldata(binaries: Binaries, data_dir: Path) -> list[str]:
    """Print pg_control."""
    return [binaries.program("pg_controldata"), "-D", str(data_dir)]


def waldump(binaries: Binaries, data_dir: Path, timeline: Timeline, start: Lsn) -> list[str]:
    """Read WAL from `start` to where it ends, which the program reports as an error."""
    return [
        binaries.program("pg_waldump"),
        "--quiet",
        f"--path={data_dir / 'pg_wal'}",
        f"--timeline={timeline:d}",
        f"--start={start}",
    ]


def version(bin_dir: Path) -> list[str]:
    """Print the version of an installation."""
    return [str(bin_dir / "postgres"), "--version"]


def _initdb_problem(name: str, value: str | None) -> Problem | None:
    where = f"bootstrap.initdb.{name}"
    if name in _BLOCKED or name in _OURS:
        return Problem(where, "raftha sets it itself", "remove it")
    if _OPTION.fullmatch(name) is None:
        return Problem(where, "not the name of an option of initdb", "write it without dashes")
    if value is not None and "\0" in value:
        return Problem(where, "a value cannot hold a NUL character")
    return None
