"""`raftha run`, `raftha witness` and `raftha check-config`: read a node's file, and start it."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import yaml

from raftha.account import own_name
from raftha.agent.shepherd import shepherded
from raftha.cli.censor import censored
from raftha.cli.exits import Exit
from raftha.clock import SystemClock
from raftha.config.load import Loaded, load, written
from raftha.errors import ConfigError, Problem


def run(path: Path) -> int:
    """Run a member until it is told to stop; the process's exit code."""
    is_first = os.getpid() == 1
    return shepherded(lambda: _run(path, contained=is_first))


def _run(path: Path, *, contained: bool) -> int:
    if os.geteuid() == 0:
        click.echo(
            "raftha: PostgreSQL does not run as root; start the agent as the user that owns the "
            f"data directory, such as: runuser -u postgres -- raftha run {path}",
            err=True,
        )
        return Exit.USAGE
    loaded = _load(path, witness=False)
    if loaded is None:
        return Exit.USAGE
    with _loading():
        import raftha.agent.main  # brings in PostgreSQL and Raft

    return raftha.agent.main.run(loaded.config, path, contained=contained)


def witness(path: Path) -> int:
    """Run a witness until it is told to stop; the process's exit code."""
    return shepherded(lambda: _witness(path))


def _witness(path: Path) -> int:
    loaded = _load(path, witness=True)
    if loaded is None:
        return Exit.USAGE
    if loaded.of_member:
        click.echo(
            f"raftha: {path} describes a member (it has postgresql), and a witness would vote in "
            "its place: start it with raftha run, or give the witness a file of its own",
            err=True,
        )
        return Exit.USAGE
    with _loading():
        import raftha.agent.witness_main  # brings in Raft

    return raftha.agent.witness_main.run(loaded.config, path)


def check_config(path: Path, as_witness: bool, *, shows: bool = False) -> Exit:
    """Say whether the file is good, and what on this machine would keep a node from starting with
    it: that is no fault of the file, which may be meant for another machine or user. If wished,
    show a good one with what the environment says put over it."""
    loaded = _load(path, as_witness)
    if loaded is None:
        return Exit.USAGE
    from raftha.agent.checkup import checkup  # brings in PostgreSQL and Raft

    _print(path, f"obstacle here for user {own_name()}", checkup(loaded.config, SystemClock()))
    kind = "witness" if loaded.config.postgresql is None else "member"
    verdict = f"{path}: good; {kind} {loaded.config.name} of cluster {loaded.config.scope}"
    click.echo(verdict, err=shows)
    if shows:
        shown = censored("", written(path, os.environ))
        click.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)
    return Exit.DONE


@contextmanager
def _loading() -> Iterator[None]:
    """While modules are loaded, nobody looks for garbage among them: they stay for good, and the
    search takes a fifth of the 0.36 s of processor time (measured)."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def _load(path: Path, witness: bool) -> Loaded | None:
    """The node's settings, with its warnings printed; None if there are problems, which are."""
    try:
        loaded = load(path, os.environ, witness=witness)
    except ConfigError as error:
        _print(path, "problem", error.problems)
        return None
    _print(path, "warning", loaded.warnings)
    return loaded


def _print(path: Path, kind: str, problems: tuple[Problem, ...]) -> None:
    if not problems:
        return
    first, _, rest = kind.partition(" ")
    words = " ".join(filter(None, (first if len(problems) == 1 else f"{first}s", rest)))
    click.echo(f"raftha: {path}: {len(problems)} {words}", err=True)
    for problem in problems:
        click.echo(f"  {problem}", err=True)
