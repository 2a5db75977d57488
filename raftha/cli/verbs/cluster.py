"""`raftha stop` and `raftha start`: their options."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

import click

from raftha.cli.verbs.options import operation_options
from raftha.cli.where import Where, cluster_argument, contact_of, where_options

if TYPE_CHECKING:
    from raftha.cli.discover import Contact
    from raftha.cli.exits import Exit


@click.command("stop")
@operation_options
@cluster_argument
@click.pass_context
def stop(context: click.Context, /, yes: bool, wait: bool, **where: Any) -> None:
    """Stop PostgreSQL on every member, until raftha start.

    The agents go on, and the leader keeps the leader key, so that nobody takes over meanwhile and
    the start needs no new timeline. To stop a single node, stop its agent.
    """
    context.exit(_change(contact_of(context, Where(**where)), halts=True, yes=yes, waiting=wait))


@click.command("start")
@where_options
@click.option("--wait/--no-wait", default=True, help="Stay until the outcome is known.")
@cluster_argument
@click.pass_context
def start(context: click.Context, /, wait: bool, **where: Any) -> None:
    """Start PostgreSQL on every member, after raftha stop."""
    context.exit(_change(contact_of(context, Where(**where)), halts=False, waiting=wait))


def _change(contact: Contact, **wish: Any) -> Exit:
    from raftha.cli import halt as work
    from raftha.clock import SystemClock

    return work.change(contact, work.Wish(**wish), SystemClock(), Event().wait)
