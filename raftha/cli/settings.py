"""`raftha show-config` and `edit-config`: the shared settings, shown and changed.

What is written is the whole document over the revision that was shown, so that a change of somebody
else in between is never lost. What was typed is never lost either.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import yaml
from msgspec import Struct

from raftha.api.client import ApiClient, Refused
from raftha.cli.discover import Contact
from raftha.cli.exits import Exit
from raftha.cli.handing import able, answering, clients_of, complain, first_to_take, to_its_end
from raftha.cli.tabular import separated
from raftha.config.document import Node, from_plain, to_plain
from raftha.config.dynamic import (
    DERIVED,
    dump_every_setting,
    merge,
    parse_dynamic,
    read_dynamic,
)
from raftha.config.proposal import consequences, differences, newly_managed
from raftha.config.source import parse_yaml
from raftha.errors import ConfigError, Problem
from raftha.model.settings import DynamicConfig

HEAD: Final = """\
# The settings that all members share. A key that is taken out has its default again.
# Every key is explained in docs/configuration.md. Save and leave; an empty file changes nothing.
"""
_WHERE: Final = "settings"
_PARAMETERS: Final = "postgresql.parameters."


class Wish(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    sets: tuple[str, ...] = ()
    pgs: tuple[str, ...] = ()
    applied: Path | None = None
    replaced: Path | None = None
    quiet: bool = False
    yes: bool = False
    attended: bool = False

    @property
    def by_editor(self) -> bool:
        return not (self.sets or self.pgs or self.applied or self.replaced)


class _Known(Struct, frozen=True, kw_only=True):
    """The settings as they are, and who takes a change of them."""

    clients: list[ApiClient]
    document: dict[str, Any]
    etag: str | None


def show(contact: Contact, output: str) -> Exit:
    """Print the settings."""
    known = _look(contact)
    if isinstance(known, Exit):
        return known
    match output:
        case "json":
            click.echo(json.dumps(known.document, indent=2))
        case "yaml":
            click.echo(_yaml(known.document), nl=False)
        case "tsv":
            click.echo(separated(_rows(known.document)), nl=False)
        case _:
            click.echo(_table(_rows(known.document)), nl=False)
    return Exit.DONE


def edit(contact: Contact, wish: Wish, editor: Callable[..., str | None]) -> Exit:
    """Change the settings, in conversation with the operator. `editor` shows a text and returns
    it changed, or None."""
    if wish.replaced is not None and (wish.sets or wish.pgs or wish.applied):
        raise click.UsageError("--replace takes the whole file, and goes with no other change")
    if not wish.attended and (wish.by_editor or not wish.yes):
        raise click.UsageError("nobody is there to confirm: say what to set, and add --yes")
    known = _look(contact, to_change=True)
    if isinstance(known, Exit):
        return known
    if not wish.by_editor:
        return _settle(known, _wished(known.document, wish), wish)
    text = editor(HEAD + _yaml(known.document), extension=".yml")
    if text is None or not text.strip():
        click.echo("Nothing was changed.")
        return Exit.DONE
    outcome = Exit.USAGE
    try:
        outcome = _settle(known, _read(text, _WHERE), wish)
    except click.UsageError as error:
        complain(error.message)
    finally:
        if outcome is not Exit.DONE:
            click.echo(
                f"what you wrote is in {_kept(text)}: use it by raftha edit-config --replace"
            )
    return outcome


def _look(contact: Contact, *, to_change: bool = False) -> _Known | Exit:
    """The settings, as the leader tells them: it checks a change by its running PostgreSQL. What is
    to be changed needs a majority."""
    found = able(contact) if to_change else answering(contact)
    if isinstance(found, Exit):
        return found
    leader = next((m.api_url for m in found.report.members if m.is_leader and m.answers), None)
    clients = sorted(clients_of(contact, found), key=lambda client: client.url != leader)
    known: list[_Known] = []

    def ask() -> Exit:
        document, etag = first_to_take(clients, lambda client: client.config())
        known.append(_Known(clients=clients, document=document, etag=etag))
        return Exit.DONE

    outcome = to_its_end(ask, "nothing", "raftha status")
    return known[0] if known else outcome


def _wished(document: Mapping[str, Any], wish: Wish) -> Node:
    """The settings with what the options say. Raises UsageError."""
    if wish.replaced is not None:
        return _read(*_content(wish.replaced))
    changed = dict(document)
    if wish.applied is not None:
        changed = merge(changed, _mapping(_read(*_content(wish.applied)), str(wish.applied)))
    for text in wish.sets:
        changed = merge(changed, _setting(text))
    for text in wish.pgs:
        changed = merge(changed, _parameter(text))
    return from_plain(changed, _WHERE)


def _assignment(text: str, option: str) -> tuple[str, str]:
    """The two sides of `a.b=1`. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise click.UsageError(f"{option} {text}: write NAME=VALUE")
    return name.strip(), value.strip()


def _setting(text: str) -> dict[str, Any]:
    """A path and a value in YAML, as sections. Names of PostgreSQL's may hold dots."""
    name, value = _assignment(text, "--set")
    if name.startswith(_PARAMETERS):
        return _parameter(f"{name.removeprefix(_PARAMETERS)}={value}")
    if not all(name.split(".")):
        raise click.UsageError(f"--set {name}: is no path such as ttl or postgresql.use_slots")
    change: Any = to_plain(_read(value, f"--set {name}")) if value else ""
    for key in reversed(name.split(".")):
        change = {key: change}
    return dict(change)


def _parameter(text: str) -> dict[str, Any]:
    """A parameter of PostgreSQL. Its value is taken as it stands, for it may hold anything."""
    name, value = _assignment(text, "--pg")
    taken: str | int | None = value
    if value == "null":
        taken = None
    elif value.isdecimal() and str(int(value)) == value:
        taken = int(value)
    return {"postgresql": {"parameters": {name: taken}}}


def _content(path: Path) -> tuple[str, str]:
    """The text of a file, or of the input, and what to call it. Raises UsageError."""
    text, name = _input() if str(path) == "-" else _file(path)
    if all(line.partition("#")[0].strip() in ("", "---", "...") for line in text.splitlines()):
        raise click.UsageError(
            f"{name}: is empty: write what is to change, or {{}} with --replace for every default"
        )
    return text, name


def _input() -> tuple[str, str]:
    try:
        return sys.stdin.read(), "input"
    except UnicodeDecodeError as error:
        raise click.UsageError("the input is not UTF-8 text") from error


def _file(path: Path) -> tuple[str, str]:
    try:
        return path.read_text("utf-8"), path.name
    except OSError as error:
        raise click.UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{path}: is not UTF-8 text: save it as UTF-8") from error


def _read(text: str, name: str) -> Node:
    """Raises UsageError for what is no YAML."""
    try:
        return parse_yaml(text, name)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def _mapping(node: Node, where: str) -> dict[str, Any]:
    plain = to_plain(node)
    if not isinstance(plain, dict):
        raise click.UsageError(f"{where}: must be a mapping of keys to values")
    return plain


def _settle(known: _Known, wanted: Node, wish: Wish) -> Exit:
    """Check, show, ask, write."""
    document = merge({}, _mapping(wanted, _WHERE))
    document.pop("format_version", None)
    try:
        config, warnings = read_dynamic(wanted)
    except ConfigError as error:
        return _refused(error.problems)
    if problems := newly_managed(known.document, document, _WHERE):
        return _refused(problems)
    for warning in warnings:
        click.secho(f"warning: {warning}", fg="yellow", err=True)
    lines = _diff(known.document, document)
    if not lines:
        click.echo("Nothing to change.")
        return Exit.DONE
    if not wish.quiet:
        _explain(lines, known.document, document, config)
    if not wish.yes and not click.confirm("Apply these changes?"):
        click.echo("Nothing was changed.")
        return Exit.REFUSED
    return _written(known, document)


def _written(known: _Known, document: Mapping[str, Any]) -> Exit:
    def act() -> Exit:
        try:
            first_to_take(
                known.clients, lambda client: client.change_config("PUT", document, known.etag)
            )
        except Refused as error:
            if error.status == 503 and "outcome unknown" in str(error):
                complain(f"{error}; see raftha show-config")
                return Exit.UNKNOWN
            if error.status == 503:
                complain(str(error))
                return Exit.UNREACHABLE
            raise
        click.secho("The settings are changed.", fg="green")
        return Exit.DONE

    return to_its_end(act, "the change", "raftha show-config")


def _refused(problems: tuple[Problem, ...]) -> Exit:
    complain(f"refused: {len(problems)} problem{'s' if len(problems) > 1 else ''}")
    for problem in problems:
        complain(f"  {problem}")
    return Exit.REFUSED


def _diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    old, new = _yaml(before).splitlines(), _yaml(after).splitlines()
    return list(difflib.unified_diff(old, new, "settings", "changed", lineterm="", n=2))


def _explain(
    lines: list[str], before: Mapping[str, Any], after: Mapping[str, Any], config: DynamicConfig
) -> None:
    """The difference, and what follows from it without standing there."""
    for line in lines:
        colour = {"+": "green", "-": "red"}.get(line[:1])
        click.secho(line, fg=colour)
    try:
        old = parse_dynamic(before, _WHERE)
    except ConfigError:
        return
    for name, was, becomes in differences(old, config):
        if before.get(name) == after.get(name):
            click.echo(f"so {name} becomes {_shown(becomes)}, it was {_shown(was)}")
    for sentence in consequences(old, config):
        click.secho(sentence, fg="yellow")


def _rows(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Every setting with its value, and where that is from; headings first. A cluster begins with
    all its defaults written down, so what stands there and is the default was hardly given."""
    every = dump_every_setting(parse_dynamic(document, _WHERE))
    given = dict(_flat(document, ""))
    usual = dict(_flat(dump_every_setting(DynamicConfig()), ""))
    rows = [("setting", "value", "origin")]
    for path, value in _flat(every, ""):
        if path in DERIVED:
            origin = "given" if path in given else "follows"
        else:
            origin = "default" if usual.get(path) == value else "given"
        rows.append((path, _shown(value), origin))
    return rows


def _table(rows: Sequence[tuple[str, str, str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "".join(
        f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}".rstrip() + "\n"
        for name, value, origin in rows
    )


def _flat(document: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in document.items():
        if key == "format_version":
            continue
        is_section = isinstance(value, Mapping)
        found += _flat(value, f"{prefix}{key}.") if is_section else [(prefix + key, value)]
    return found


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value) if isinstance(value, bool | list) else str(value)


def _yaml(document: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(document), sort_keys=True, allow_unicode=True))


def _kept(text: str) -> str:
    """Put aside what was typed; where."""
    descriptor, path = tempfile.mkstemp(prefix="raftha-settings-", suffix=".yml", text=True)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path
