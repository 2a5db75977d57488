"""Read a node's file and the environment. The only file of this package that does I/O.

It reads one file, or those of one directory, and looks at their permissions; it writes nothing and
resolves no host name.
"""

from __future__ import annotations

import ssl
import stat
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from raftha.account import own_name
from raftha.config.checks import check_node
from raftha.config.ctl_options import Ctl, build_ctl
from raftha.config.document import Node, to_plain
from raftha.config.dynamic import build_dynamic, merge, stored_document
from raftha.config.foreign import DYNAMIC_FOREIGN
from raftha.config.node import build_node
from raftha.config.options import NODE_SCHEMA
from raftha.config.reading import Reading, read, require
from raftha.config.schema import DYNAMIC_PREFIX, Kind
from raftha.config.source import overlay, parse_yaml, together
from raftha.errors import ConfigError, Problem
from raftha.model.settings import NodeConfig

_POSTGRESQL: Final = "postgresql"


class Loaded(Struct, frozen=True, kw_only=True):
    """A node's settings. `ctl` is for the command line. `dynamic_document` is what the file gives
    for the whole cluster, in the form that is stored when the cluster is created; `of_member` says
    that the file describes a PostgreSQL, also where it was read as a witness's."""

    config: NodeConfig
    ctl: Ctl = Ctl()
    warnings: tuple[Problem, ...]
    dynamic_document: Mapping[str, object] = field(default_factory=dict)
    of_member: bool = False


def load(path: Path, environ: Mapping[str, str], witness: bool = False) -> Loaded:
    """Read and check the file of one node, or the files `*.yml` of a directory, of which the later
    one counts, in the order of their names; `RAFTHA_*` variables win over them.

    A witness's file needs no `postgresql`. Raises ConfigError with every problem found.
    """
    folder = (path if path.is_dir() else path.parent).absolute()
    document, open_files = _document(path, environ)
    document, ignored = _without_postgresql(document) if witness else (document, ())
    reading = read(document, NODE_SCHEMA)
    require(reading, NODE_SCHEMA, skip=_POSTGRESQL if witness else "-")
    check_node(reading, folder, witness)
    _check_ciphers(reading)
    dynamic = build_dynamic(reading, DYNAMIC_PREFIX)
    if reading.problems:
        raise ConfigError(reading.problems)
    return Loaded(
        config=build_node(reading, dynamic, folder, witness),
        ctl=build_ctl(reading, folder),
        warnings=(*ignored, *reading.warnings, *_permissions(reading, open_files)),
        dynamic_document=_dynamic_document(document),
        of_member=bool(ignored) or not witness,
    )


def files_of(path: Path) -> list[Path]:
    """The files of a node: this one, or in the order in which they count those of a directory."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.glob("*.yml") if not file.name.startswith("."))


def written(path: Path, environ: Mapping[str, str]) -> object:
    """What file and environment say together, secrets too. Raises ConfigError if that cannot be
    read; what it means is not judged."""
    return to_plain(_document(path, environ)[0])


def load_either(path: Path, environ: Mapping[str, str]) -> NodeConfig:
    """A member's file, or a witness's, whichever it is. Raises ConfigError."""
    loaded = load(path, environ, witness=True)
    return load(path, environ).config if loaded.of_member else loaded.config


def _check_ciphers(reading: Reading) -> None:
    ciphers = reading.get("restapi.ciphers", str)
    if ciphers is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(ciphers)
    except ssl.SSLError:
        reading.refuse(
            "restapi.ciphers",
            f"names no cipher of TLS 1.2 that OpenSSL has here: {ciphers[:200]!r}",
            "write them as `openssl ciphers` does, ECDHE+AESGCM; those of TLS 1.3 cannot be chosen",
        )


def _document(path: Path, environ: Mapping[str, str]) -> tuple[Node, list[Path]]:
    """With the files that everybody can read."""
    trees: list[Node] = []
    open_files: list[Path] = []
    problems: list[Problem] = []
    if not (files := files_of(path)):
        what = f"is a directory in which user {own_name()} sees no file *.yml"
        remedy = "name a node's file, or a directory with some"
        raise ConfigError([Problem(str(path), what, remedy)])
    for file in files:
        try:
            content, mode = _read(file)
            trees.append(parse_yaml(content, file.name))
        except ConfigError as error:
            problems.extend(error.problems)
        else:
            open_files += [file] if mode & stat.S_IROTH else []
    if problems:
        raise ConfigError(problems)
    return overlay(reduce(together, trees), environ, NODE_SCHEMA), open_files


def _read(path: Path) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            return file.read().decode("utf-8"), mode
    except OSError as error:
        remedy = "name an existing file"
        if isinstance(error, PermissionError):
            remedy = f"it and the folders above it must be readable for user {own_name()}"
        problem = Problem(str(path), f"cannot be read: {error.strerror}", remedy)
        raise ConfigError([problem]) from error
    except UnicodeDecodeError as error:
        problem = Problem(str(path), "is not UTF-8 text", "save it as UTF-8")
        raise ConfigError([problem]) from error


def _without_postgresql(document: Node) -> tuple[Node, tuple[Problem, ...]]:
    members = dict(document.members or {})
    dropped = members.pop(_POSTGRESQL, None)
    if dropped is None:
        return document, ()
    warning = Problem(f"{dropped.place}: {_POSTGRESQL}", "ignored by a witness", "remove it")
    return Node(members, document.place), (warning,)


def _permissions(reading: Reading, open_files: list[Path]) -> tuple[Problem, ...]:
    places = {
        reading.place(option.path).rpartition(":")[0]
        for option in NODE_SCHEMA.options.values()
        if option.kind is Kind.SECRET and reading.wrote(option.path)
    }
    return tuple(
        Problem(file.name, "holds passwords and can be read by everybody", f"chmod o-r {file}")
        for file in open_files
        if file.name in places
    )


def _dynamic_document(document: Node) -> dict[str, object]:
    plain = to_plain(document)
    bootstrap = plain.get("bootstrap") if isinstance(plain, dict) else None
    if not isinstance(bootstrap, dict):
        return stored_document({})
    shared = bootstrap.get("dcs") or {}
    given = {k: v for k, v in stored_document(shared).items() if k not in DYNAMIC_FOREIGN}
    if bootstrap.get("pg_hba"):
        return merge(given, {_POSTGRESQL: {"pg_hba": bootstrap["pg_hba"]}})
    return given
