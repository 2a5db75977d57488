"""`raftha status`, `raftha topology` and `raftha history`: ask, and print."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from typing import Any, Final

import click
import yaml
from msgspec import Struct

from raftha.api.codec import BadDocument
from raftha.api.listing import history_rows
from raftha.api.routes import iso_time
from raftha.cli import discover
from raftha.cli.discover import Contact, Found, NobodyAnswers
from raftha.cli.exits import Exit
from raftha.cli.tabular import columns, tsv
from raftha.cli.topology import document as tree_of
from raftha.clock import SystemClock
from raftha.model.cluster import HistoryRecord, Succession, successions
from raftha.model.report import ClusterReport

_CLEAR: Final = "\x1b[H\x1b[2J"
_HISTORY: Final = (
    "timeline",
    "switch",
    "reason",
    "time",
    "new_leader",
    "old_leader",
    "no_writes_seconds",
    "lost_bytes",
)


class Form(Struct, frozen=True, kw_only=True):
    """How the status is shown. The table can have more columns, and the time above it."""

    output: str = "table"
    extended: bool = False
    timestamp: bool = False


def statuses(contacts: Sequence[Contact], form: Form) -> Exit:
    """Print each cluster once; the worst code."""
    return max(status(contact, form) for contact in contacts)


def status(contact: Contact, form: Form) -> Exit:
    """Print the cluster once."""
    if form.timestamp:
        click.echo(iso_time(SystemClock().wall()))
    if form.output == "table":
        return _once(contact, partial(_status_screen, form.extended))
    return _once(
        contact,
        lambda found: document(dict(found.document), form.output, found.document["members"]),
    )


def topology(contact: Contact, output: str) -> Exit:
    """Print the tree of the members once."""
    if output == "table":
        return _once(contact, _topology_screen)

    def told(found: Found) -> str:
        tree = tree_of(found.report, found.document)
        return document(tree, output, [*flattened(tree["members"])])

    return _once(contact, told)


def flattened(branches: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each member of the tree alone, from top to bottom."""
    for branch in branches:
        yield {key: value for key, value in branch.items() if key != "standbys"}
        yield from flattened(branch.get("standbys", ()))


def shown(show: Callable[[], Exit], seconds: float | None, wait: Callable[[float], object]) -> Exit:
    """Show once, or every so many seconds."""
    return show() if seconds is None else repeat(show, seconds, wait)


def repeat(show: Callable[[], Exit], seconds: float, wait: Callable[[float], object]) -> Exit:
    """Show again and again, until interrupted; the last showing's code."""
    last = Exit.DONE
    try:
        while True:
            last = _at_once(show) if sys.stdout.isatty() else show()
            wait(seconds)
    except KeyboardInterrupt:
        return last


class _Held(StringIO):
    """What is shown next on a terminal."""

    def isatty(self) -> bool:
        return True


def _at_once(show: Callable[[], Exit]) -> Exit:
    """The old screen stays until the new one is whole: to ask a node that hangs takes seconds."""
    held = _Held()
    with redirect_stdout(held), redirect_stderr(held):
        code = show()
    click.echo(_CLEAR + held.getvalue(), nl=False)
    return code


def history(contact: Contact, output: str) -> Exit:
    """Print the promotions that the store remembers, the oldest first."""
    try:
        report = discover.find(contact).report
    except (NobodyAnswers, BadDocument) as error:
        click.secho(str(error), fg="red", err=True)
        return Exit.UNREACHABLE
    if output != "table":
        content = history_rows(report)
        rows = [dict(zip(_HISTORY, row, strict=True)) for row in content]
        click.echo(document(content, output, rows), nl=False)
        return Exit.DONE
    for line in history_lines(report.history):
        click.echo(line)
    return Exit.DONE


def history_lines(history: Sequence[HistoryRecord]) -> list[str]:
    """The table: what is short in columns, and why at the end."""
    head = ("timeline", "from", "time", "leader", "no writes", "left behind", "why")
    return columns([head, *(_history_row(told) for told in successions(history))])


def _history_row(told: Succession) -> tuple[str, ...]:
    record, before = told.record, told.before
    begun = str(record.switch) if record.switch is not None else "initdb"
    return (
        str(record.timeline),
        begun if record.is_promotion else "not used",
        iso_time(record.wall),
        record.leader if before is None else f"{before} -> {record.leader}",
        "" if record.gap_seconds is None else f"{record.gap_seconds:.1f} s",
        "" if record.lost_bytes is None else f"{record.lost_bytes} bytes",
        told.words,
    )


def _once(contact: Contact, rendered: Callable[[Found], str]) -> Exit:
    try:
        found = discover.find(contact)
    except NobodyAnswers as error:
        click.secho(str(error), fg="red", err=True)
        return Exit.UNREACHABLE
    click.echo(rendered(found), nl=False)
    return Exit.DONE


def document(content: object, output: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """What a program is given: all of it, or as tsv the rows that it is about."""
    match output:
        case "json":
            return json.dumps(content, indent=2) + "\n"
        case "tsv":
            return tsv(rows)
        case _:
            return yaml.safe_dump(content, sort_keys=False)


def _status_screen(extended: bool, found: Found) -> str:
    from raftha.cli import render  # rich takes longer to import than all the rest

    return _drawn(partial(render.status, extended=extended), found.report, render.PLAIN_WIDTH)


def _topology_screen(found: Found) -> str:
    from raftha.cli import render

    return _drawn(render.topology, found.report, render.PLAIN_WIDTH)


def _drawn(
    draw: Callable[[ClusterReport, int, bool], str], report: ClusterReport, plain_width: int
) -> str:
    colour = sys.stdout.isatty()
    width = shutil.get_terminal_size((120, 40)).columns if colour else plain_width
    return draw(report, width, colour)
