"""`raftha status`, `raftha topology` and `raftha history`: ask, and print."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from typing import Final

import click
import yaml

from raftha.api.codec import BadDocument
from raftha.api.listing import history_rows
from raftha.cli import discover
from raftha.cli.discover import Contact, Found, NobodyAnswers
from raftha.cli.exits import Exit
from raftha.cli.topology import document
from raftha.model.cluster import told_history
from raftha.model.report import ClusterReport

_CLEAR: Final = "\x1b[H\x1b[2J"


def status(contact: Contact, output: str) -> Exit:
    """Print the cluster once."""
    if output == "table":
        return _once(contact, _status_screen)
    return _once(contact, lambda found: _document(dict(found.document), output))


def topology(contact: Contact, output: str) -> Exit:
    """Print the tree of the members once."""
    if output == "table":
        return _once(contact, _topology_screen)
    return _once(contact, lambda found: _document(document(found.report, found.document), output))


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
        click.echo(_document(history_rows(report), output), nl=False)
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


def _document(content: object, output: str) -> str:
    if output == "json":
        return json.dumps(content, indent=2) + "\n"
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
