"""`raftha status`, `raftha topology` and `raftha history`: ask, and print."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click
import yaml

from raftha.api.codec import BadDocument
from raftha.api.listing import history_rows
from raftha.cli import discover
from raftha.cli.discover import Contact, Found, NobodyAnswers
from raftha.cli.exits import Exit
from raftha.cli.tabular import tsv
from raftha.cli.topology import document as tree_of
from raftha.model.cluster import told_history
from raftha.model.report import ClusterReport

_CLEAR: Final = "\x1b[H\x1b[2J"
_HISTORY: Final = ("timeline", "switch", "reason", "time", "new_leader")


def status(contact: Contact, output: str) -> Exit:
    """Print the cluster once."""
    if output == "table":
        return _once(contact, _status_screen)
    return _once(
        contact, lambda found: document(dict(found.document), output, found.document["members"])
    )


def topology(contact: Contact, output: str) -> Exit:
    """Print the tree of the members once."""
    if output == "table":
        return _once(contact, _topology_screen)

    def told(found: Found) -> str:
        tree = tree_of(found.report, found.document)
        rows = [row for top in tree["members"] for row in (without_standbys(top), *top["standbys"])]
        return document(tree, output, rows)

    return _once(contact, told)


def without_standbys(top: Mapping[str, Any]) -> dict[str, Any]:
    """A member of the tree alone."""
    return {key: value for key, value in top.items() if key != "standbys"}


def shown(show: Callable[[], Exit], seconds: float | None, wait: Callable[[float], object]) -> Exit:
    """Show once, or every so many seconds."""
    return show() if seconds is None else repeat(show, seconds, wait)


def repeat(show: Callable[[], Exit], seconds: float, wait: Callable[[float], object]) -> Exit:
    """Show again and again, until interrupted; the last showing's code."""
    last = Exit.DONE
    try:
        while True:
            if sys.stdout.isatty():
                click.echo(_CLEAR, nl=False)
            last = show()
            wait(seconds)
    except KeyboardInterrupt:
        return last


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
    for record, why in told_history(report.history):
        begun = f"from {record.switch}" if record.switch is not None else "from initdb"
        if not record.is_promotion:
            begun = "not used"
        click.echo(f"{record.timeline:>4}  {begun:<18}  {record.leader}  {why}")
    return Exit.DONE


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


def _status_screen(found: Found) -> str:
    from raftha.cli import render  # rich takes longer to import than all the rest

    return _drawn(render.status, found.report, render.PLAIN_WIDTH)


def _topology_screen(found: Found) -> str:
    from raftha.cli import render

    return _drawn(render.topology, found.report, render.PLAIN_WIDTH)


def _drawn(
    draw: Callable[[ClusterReport, int, bool], str], report: ClusterReport, plain_width: int
) -> str:
    colour = sys.stdout.isatty()
    width = shutil.get_terminal_size((120, 40)).columns if colour else plain_width
    return draw(report, width, colour)
