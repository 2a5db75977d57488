"""`raftha store`: its commands and their options."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any, TypeVar

import click

from raftha.cli.verbs.options import output_option
from raftha.cli.where import Where, contact_of

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group()
def store() -> None:
    """Look into the key store, for debugging. Nothing here writes.

    Names that do not begin with a slash lie under /raftha/SCOPE/, as leader or members/n1.
    """


def _read_options(command: _Command) -> _Command:
    option = click.option(
        "--local", is_flag=True, help="The node's own replica, without asking a majority."
    )
    return output_option(option(command))


@store.command("get")
@_read_options
@click.argument("prefix", metavar="[KEY|PREFIX]", default="")
@click.pass_context
def store_get(
    context: click.Context, /, prefix: str, local: bool, output: str, **where: Any
) -> None:
    """Show the value of a key, or of all keys that begin so."""
    from raftha.cli import store as work

    context.exit(work.get(contact_of(context, Where(**where)), prefix, local, output))


@store.command("list")
@_read_options
@click.argument("prefix", default="")
@click.pass_context
def store_list(
    context: click.Context, /, prefix: str, local: bool, output: str, **where: Any
) -> None:
    """Show the keys, their revisions and sizes, and the leases."""
    from raftha.cli import store as work

    context.exit(work.keys(contact_of(context, Where(**where)), prefix, local, output))


@store.command("watch")
@output_option
@click.option("--after", type=click.IntRange(min=0), help="Begin after this revision, not now.")
@click.argument("prefix", default="")
@click.pass_context
def store_watch(
    context: click.Context, /, prefix: str, after: int | None, output: str, **where: Any
) -> None:
    """Follow the changes of the keys that begin so, in the order of their revisions."""
    from raftha.cli import store as work

    contact = contact_of(context, Where(**where))
    context.exit(work.watch(contact, prefix, after, output, Event().wait))
