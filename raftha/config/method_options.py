"""The options that choose programs which fill a data directory, what is wrong with the choice, and
what was chosen. PURE."""

from __future__ import annotations

from collections import Counter
from typing import Final

from raftha.config.reading import Reading
from raftha.config.schema import Kind, Option, Reload
from raftha.model.methods import BASEBACKUP, INITDB, Method

_METHOD: Final = "bootstrap.method"
_POST: Final = "bootstrap.post_bootstrap"
_POST_OLD: Final = "bootstrap.post_init"
_COPIES: Final = "postgresql.create_replica_methods"
_COPIES_OLD: Final = "postgresql.create_replica_method"

METHOD_OPTIONS: Final = (
    Option(
        path=_METHOD,
        kind=Kind.TEXT,
        reload=Reload.BOOTSTRAP,
        default=INITDB,
        doc="How the first data directory of the cluster is made: by `initdb`, or by the program in"
        " the section `bootstrap.NAME` of this name, such as a restore of a backup. Keys of that"
        " section: `command`; `recovery_conf`, the settings of the recovery that follows, up to"
        " whose end alone they are in force; `keep_existing_recovery_conf`, which has those count"
        " that the program leaves in the directory. The program is called with `--scope` and"
        " `--datadir`, unless `no_params` is set, and with each further key as `--key=value`. It"
        " finds the directory in `PGDATA` as well, and must fill that one and no other.",
    ),
    Option(
        path=_POST,
        kind=Kind.COMMAND,
        reload=Reload.BOOTSTRAP,
        default="none",
        doc="A program that runs once the cluster was made, before anybody is let in, with the URL"
        " of its socket as the last argument. If it does not end with 0 within an hour, what was"
        " made is put aside, and the bootstrap begins anew, here or on another node.",
    ),
    Option(
        path=_POST_OLD,
        kind=Kind.COMMAND,
        reload=Reload.BOOTSTRAP,
        default="none",
        doc=f"Accepted from Patroni files: the same as `{_POST}`.",
    ),
    Option(
        path=_COPIES,
        kind=Kind.LINES,
        reload=Reload.AGENT_RESTART,
        default=BASEBACKUP,
        doc="How the data directories of standbys are made, in the order in which it is tried:"
        " `basebackup`, or the program in the section `postgresql.NAME` of a name. Keys of that"
        " section: `command`; `no_leader`, if it can be tried while nobody leads. The program is"
        " called with `--scope`, `--role=replica`, `--datadir` and `--connstring`, unless"
        " `no_params` is set, and with each further key as `--key=value`. It finds the directory,"
        " which is a new one, in `PGDATA` as well. What it made is checked before it takes the"
        " place of the data directory.",
    ),
    Option(
        path=_COPIES_OLD,
        kind=Kind.LINES,
        reload=Reload.AGENT_RESTART,
        default="none",
        doc=f"Accepted from Patroni files: the same as `{_COPIES}`.",
    ),
)


def check_methods(reading: Reading) -> None:
    """Add what is wrong with the names of the methods."""
    _check_spellings(reading, _POST, _POST_OLD)
    _check_spellings(reading, _COPIES, _COPIES_OLD)
    name = reading.get(_METHOD, str)
    if name is not None and name != INITDB:
        _check_known(reading, _METHOD, "bootstrap", name, INITDB)
    path, names = _copies(reading)
    for wanted, count in Counter(names).items():
        if count > 1:
            reading.refuse(path, f"names {wanted[:80]!r} twice", "keep one of them")
        if wanted != BASEBACKUP:
            _check_known(reading, path, "postgresql", wanted, BASEBACKUP)


def bootstrap_method(reading: Reading) -> Method | None:
    """The program that makes the first data directory; None for initdb."""
    return reading.methods.get(f"bootstrap.{reading.get(_METHOD, str)}")


def post_bootstrap(reading: Reading) -> tuple[str, ...]:
    """The words of that program; none where there is none."""
    return reading.get(_POST, tuple) or reading.get(_POST_OLD, tuple) or ()


def copy_methods(reading: Reading) -> tuple[Method, ...]:
    """How copies are made, in order; none where nothing is said."""
    _, names = _copies(reading)
    built_in = Method(name=BASEBACKUP)
    return tuple(
        built_in if name == BASEBACKUP else reading.methods[f"postgresql.{name}"] for name in names
    )


def _copies(reading: Reading) -> tuple[str, tuple[str, ...]]:
    path = _COPIES if reading.wrote(_COPIES) else _COPIES_OLD
    return path, reading.get(path, tuple) or ()


def _check_spellings(reading: Reading, path: str, other: str) -> None:
    if reading.wrote(path) and reading.wrote(other):
        reading.refuse(other, f"says the same as {path}", "keep one of the two")


def _check_known(reading: Reading, path: str, place: str, name: str, usual: str) -> None:
    section = f"{place}.{name}"
    is_told = any(problem.where.endswith(f": {section}") for problem in reading.problems)
    if section not in reading.methods and not is_told:
        what = f"names {name[:80]!r}, and there is no section {place}.{name[:80]} with a command"
        reading.refuse(path, what, f"add it, or name {usual}")
