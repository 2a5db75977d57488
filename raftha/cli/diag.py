"""`raftha diag`: everything that helps to understand a cluster in one archive, without secrets.

It packs text alone, and each piece goes through the censor. Keys, password files, the Raft journal
and the data directory are never opened.
"""

from __future__ import annotations

import io
import os
import platform
import sys
import tarfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from raftha import __version__
from raftha.api.client import ApiClient, ApiError
from raftha.cli import discover
from raftha.cli.asking import ask_all
from raftha.cli.censor import Censor, harvest
from raftha.cli.discover import Contact, NobodyAnswers
from raftha.cli.exits import Exit
from raftha.cli.handing import complain
from raftha.clock import Clock
from raftha.config.load import files_of, load
from raftha.errors import ConfigError
from raftha.model.settings import NodeConfig, Secret

PATHS: Final = ("patroni", "cluster", "history", "events", "members", "config", "metrics", "doctor")
LONGEST_BYTES: Final = 2 << 20
"""Of each log its end."""

_LOGS: Final = (
    "events.jsonl",
    "events.jsonl.1",
    "guardian.log",
    "postgresql.log",
    "postgresql.log.1",
)
_MACHINE: Final = ("loadavg", "meminfo", "version", "mounts", "pressure/io", "pressure/memory")


def pack(
    contact: Contact | None,
    file: Path | None,
    target: Path | None,
    environ: Mapping[str, str],
    clock: Clock,
) -> Exit:
    """Write the archive; where it lies is printed."""
    config = _config(file, environ)
    censor = Censor(_secrets(file, config, contact, environ))
    parts = dict(_of_machine(environ))
    if file is not None:
        parts |= dict(_of_file(file, config))
    if contact is not None:
        parts |= dict(_of_cluster(contact))
    moment = datetime.fromtimestamp(clock.wall(), UTC)
    name = f"raftha-diag-{moment:%Y%m%dT%H%M%SZ}"
    path = target or Path(f"{name}.tar.gz")
    try:
        _write(path, name, {part: censor.clean(text) for part, text in parts.items()}, clock)
    except FileExistsError:
        complain(f"{path} is there already: choose another place with --to")
        return Exit.REFUSED
    except OSError as error:
        complain(f"{path} cannot be written: {error.strerror or error}")
        return Exit.REFUSED
    click.echo(f"{path}: {len(parts)} pieces; look through it before you give it away")
    return Exit.DONE


def _config(file: Path | None, environ: Mapping[str, str]) -> NodeConfig | None:
    """What the file says, if it can be read; a broken one is packed all the same."""
    if file is None:
        return None
    # A witness's view of a member's file has no roles of PostgreSQL, so it comes second.
    for variables, witness in ((environ, False), ({}, False), (environ, True), ({}, True)):
        try:
            return load(file, variables, witness=witness).config
        except ConfigError:
            continue
    return None


def _secrets(
    file: Path | None,
    config: NodeConfig | None,
    contact: Contact | None,
    environ: Mapping[str, str],
) -> Iterator[str]:
    """Every secret that this process can know."""
    if file is not None:
        for each in files_of(file):
            yield from harvest(_tail(each) or "")
    known: list[Secret | None] = []
    if contact is not None and contact.auth is not None:
        known.append(contact.auth.password)
    if config is not None and config.restapi.authentication is not None:
        known.append(config.restapi.authentication.password)
    postgres = None if config is None else config.postgresql
    if postgres is not None:
        for who in postgres.authentication.users:
            known += [who.password, who.key_password]
    yield from (secret.reveal() for secret in known if secret is not None)
    for name, value in environ.items():
        if any(word in name.upper() for word in ("PASSWORD", "SECRET", "TOKEN", "PASSPHRASE")):
            yield value
    if config is not None and config.raft.key_file is not None:
        try:
            yield config.raft.key_file.read_text(errors="replace").strip()
        except OSError:
            return


def _of_machine(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield (
        "machine/versions.txt",
        f"raftha {__version__}\nPython {sys.version}\n{platform.platform()}\n",
    )
    names = sorted(name for name in environ if name.startswith(("RAFTHA_", "PG")))
    yield "machine/environment.txt", "".join(f"{name}={environ[name]}\n" for name in names)
    for name in _MACHINE:
        try:
            text = (Path("/proc") / name).read_text(errors="replace")
        except OSError:
            continue
        yield f"machine/{name.replace('/', '-')}.txt", text


def _of_file(file: Path, config: NodeConfig | None) -> Iterator[tuple[str, str]]:
    for each in files_of(file):
        text = _tail(each)
        name = "node/config.yml" if each == file else f"node/config/{each.name}"
        yield name, text if text is not None else f"{each} cannot be read\n"
    if config is None:
        return
    for name in _LOGS:
        if (log := _tail(config.raft.data_dir / "run" / name)) is not None:
            yield f"node/{name}", log
    if config.log.dir is not None:
        for path in sorted(config.log.dir.glob(f"{config.name}.log*")):  # with what was rotated
            if (log := _tail(path)) is not None:
                yield f"node/{path.name}", log


def _of_cluster(contact: Contact) -> Iterator[tuple[str, str]]:
    try:
        report = discover.find(contact).report
    except NobodyAnswers as error:
        complain(f"nothing of the nodes is in it: {error}")
        yield "cluster.txt", f"{error}\n"
        return
    for name, answer in ask_all(contact, report.members, _everything).items():
        if isinstance(answer, ApiError):
            yield f"nodes/{name}.txt", f"{answer}\n"
            continue
        for path, text in answer.items():
            yield f"nodes/{name}/{path}", text


def _everything(client: ApiClient) -> Mapping[str, str]:
    """One after the other: slow questions share a few places on a node."""
    found = {}
    for path in PATHS:
        try:
            answer = client.get(f"/{path}", known=path == "doctor")
            found[path] = f"{answer.body.decode(errors='replace')}\n"
        except ApiError as error:
            found[path] = f"{error}\n"
    return found


def _tail(path: Path) -> str | None:
    """The end of a file that can be read, whole lines alone."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LONGEST_BYTES))
            content = file.read(LONGEST_BYTES)
    except OSError:
        return None
    text = content.decode(errors="replace")
    return text.partition("\n")[2] if size > LONGEST_BYTES else text


def _write(path: Path, folder: str, parts: Mapping[str, str], clock: Clock) -> None:
    """Readable for its owner alone. Raises OSError, FileExistsError where it is there."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, text in sorted(parts.items()):
            content = text.encode()
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode, entry.mtime = len(content), 0o600, int(clock.wall())
            archive.addfile(entry, io.BytesIO(content))
