"""`raftha restart`, `reload` and `reinit`: their options."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any, TypeVar

import click

from raftha.cli.where import Where, contact_of, where_options

_Command = TypeVar("_Command", bound=Callable[..., Any])
_ROLE = click.Choice(["primary", "leader", "replica", "standby", "any"])


def _members(command: _Command) -> _Command:
    for option in (
        click.argument("names", metavar="[MEMBER]...", nargs=-1),
        click.option("-r", "--role", type=_ROLE, default="any", help="Only members of this role."),
        click.option("--yes", "--force", "yes", is_flag=True, help="Do not ask."),
    ):
        command = option(command)
    return where_options(command)


def _timeout(command: _Command) -> _Command:
    option = click.option(
        "--timeout",
        type=click.FloatRange(min=0.1),
        default=120.0,
        help="How long each may take to serve again (120).",
    )
    return option(command)


@click.command()
@_members
@_timeout
@click.option("--pending", is_flag=True, help="Those with a pending restart, rolling.")
@click.option("--any", "one", is_flag=True, help="One of them, a standby if there is one.")
@click.option("--pg-version", "below", metavar="X.Y", help="Those with an older PostgreSQL.")
@click.pass_context
def restart(
    context: click.Context,
    /,
    names: tuple[str, ...],
    role: str,
    yes: bool,
    timeout: float,
    pending: bool,
    one: bool,
    below: str | None,
    **where: Any,
) -> None:
    """Restart PostgreSQL, one member after another.

    Standbys first. With --pending the leader hands over instead of being restarted where it is, so
    that writes pause for a moment only.
    """
    from raftha.cli import restart as work
    from raftha.clock import SystemClock

    wish = work.Wish(
        names=names, role=role, yes=yes, timeout=timeout, pending=pending, one=one, below=below
    )
    contact = contact_of(context, Where(**where))
    context.exit(work.restart(contact, wish, SystemClock(), Event().wait))


@click.command()
@_members
@click.pass_context
def reload(
    context: click.Context, /, names: tuple[str, ...], role: str, yes: bool, **where: Any
) -> None:
    """Have members read their own files again."""
    from raftha.cli import restart as work

    wish = work.Wish(names=names, role=role, yes=yes)
    context.exit(work.reload(contact_of(context, Where(**where)), wish))


@click.command()
@where_options
@_timeout
@click.argument("name", metavar="MEMBER")
@click.option("--wait", is_flag=True, help="Stay until it streams again.")
@click.option("--yes", "--force", "yes", is_flag=True, help="Do not ask.")
@click.pass_context
def reinit(
    context: click.Context, /, name: str, wait: bool, yes: bool, timeout: float, **where: Any
) -> None:
    """Make a standby anew from the leader; its data are kept aside."""
    from raftha.cli import restart as work
    from raftha.clock import SystemClock

    wish = work.Wish(names=(name,), yes=yes, timeout=timeout, wait=wait)
    contact = contact_of(context, Where(**where))
    context.exit(work.reinit(contact, wish, SystemClock(), Event().wait))
