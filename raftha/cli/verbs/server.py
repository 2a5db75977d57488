"""`raftha restart`, `reload` and `reinit`: their options."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any, TypeVar

import click

from raftha.cli.verbs.options import dry_run_option, example, schedule_option
from raftha.cli.where import Where, contact_of_first, where_options

_Command = TypeVar("_Command", bound=Callable[..., Any])
_ROLE = click.Choice(["primary", "leader", "replica", "standby", "any"])


def _members(command: _Command) -> _Command:
    for option in (
        click.argument("names", metavar="[CLUSTER] [MEMBER]...", nargs=-1),
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


def _release(_context: click.Context, _option: click.Parameter, given: str | None) -> str | None:
    from raftha.model.restarting import unreadable

    if (why := unreadable(None, given)) is not None:
        raise click.BadParameter(why)
    return given


@click.command()
@_members
@_timeout
@click.option("--pending", is_flag=True, help="Those with a pending restart, rolling.")
@click.option("--any", "one", is_flag=True, help="One of them, a standby if there is one.")
@click.option(
    "--pg-version",
    "below",
    metavar="X.Y",
    callback=_release,
    help="Those with an older PostgreSQL.",
)
@schedule_option
@dry_run_option
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
    scheduled: str | None,
    dry_run: bool,
    **where: Any,
) -> None:
    """Restart PostgreSQL, one member after another.

    Standbys first. With --pending the leader hands over instead of being restarted where it is, so
    that writes pause for a moment only.

    With --scheduled each member keeps the time, and judges the conditions then: still one after
    another and standbys first, the leader last and where it is. raftha flush restart takes it back.
    """
    from raftha.cli import restart as work
    from raftha.cli.schedule import restart_at
    from raftha.clock import SystemClock

    wish = work.Wish(
        names=names,
        role=role,
        yes=yes,
        timeout=timeout,
        pending=pending,
        one=one,
        below=below,
        dry_run=dry_run,
    )
    contact = contact_of_first(context, Where(**where), names)
    if scheduled is not None:
        context.exit(restart_at(contact, wish, scheduled, SystemClock()))
    context.exit(work.restart(contact, wish, SystemClock(), Event().wait))


@click.command(epilog=example("raftha flush switchover", "raftha flush restart n2"))
@_members
@click.pass_context
def flush(
    context: click.Context, /, names: tuple[str, ...], role: str, yes: bool, **where: Any
) -> None:
    """Take what waits for its time off the schedule.

    One of the words is restart or switchover; the others are members, of which restarts are taken
    off, or all. What is told to have been dropped is taken note of in the same way.
    """
    from raftha.cli import restart as work
    from raftha.cli import schedule

    what = [name for name in names if name in ("restart", "switchover")]
    if len(what) != 1:
        raise click.UsageError("say what: raftha flush switchover, or raftha flush restart n2")
    wish = work.Wish(names=tuple(n for n in names if n not in what), role=role, yes=yes)
    contact = contact_of_first(context, Where(**where), wish.names)
    context.exit(schedule.flush(contact, wish, switchover=what == ["switchover"]))


@click.command()
@_members
@click.pass_context
def reload(
    context: click.Context, /, names: tuple[str, ...], role: str, yes: bool, **where: Any
) -> None:
    """Have members read their own files again."""
    from raftha.cli import reread
    from raftha.cli.restart import Wish

    wish = Wish(names=names, role=role, yes=yes)
    context.exit(reread.reload(contact_of_first(context, Where(**where), names), wish))


@click.command()
@where_options
@_timeout
@click.argument("names", metavar="[CLUSTER] MEMBER...", nargs=-1, required=True)
@click.option("--wait", is_flag=True, help="Stay until it streams again.")
@click.option("--from-leader", is_flag=True, help="Copy the leader, whoever is tagged clonefrom.")
@click.option("--yes", "--force", "yes", is_flag=True, help="Do not ask.")
@click.pass_context
def reinit(
    context: click.Context,
    /,
    names: tuple[str, ...],
    wait: bool,
    from_leader: bool,
    yes: bool,
    timeout: float,
    **where: Any,
) -> None:
    """Make a standby anew by a copy; its data are kept aside.

    The copy is of the leader, or of a standby tagged clonefrom. Of several the next one goes when
    the one before streams again.
    """
    from raftha.cli import restart as work
    from raftha.clock import SystemClock

    wish = work.Wish(names=names, yes=yes, timeout=timeout, wait=wait, from_leader=from_leader)
    contact = contact_of_first(context, Where(**where), names)
    context.exit(work.reinit(contact, wish, SystemClock(), Event().wait))
