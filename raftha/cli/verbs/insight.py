"""`raftha why`, `doctor` and `diag`: their options."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raftha.cli.verbs.options import example
from raftha.cli.where import FILE, Where, contact_if_named, contact_of, where_options

if TYPE_CHECKING:
    from raftha.cli.discover import Contact


@click.command(epilog=example("raftha why", "raftha why n3", "raftha why --at 03:12 --around 120"))
@click.argument("name", required=False)
@where_options
@click.option("--at", metavar="TIME", help="What happened then: 03:12 (UTC), or a date and time.")
@click.option(
    "--around",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="With --at: before it and after it (60).",
)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json: programs."
)
@click.pass_context
def why(
    context: click.Context,
    /,
    name: str | None,
    at: str | None,
    around: float | None,
    output: str,
    **where: Any,
) -> None:
    """Say why the leader leads, and why no other node does.

    With NAME it is about that node, and what it did last. With --at it is about a time: the
    promotion that was recorded in the store, and what each node decided and did.
    """
    from raftha.cli import why as work
    from raftha.clock import SystemClock

    contact = contact_of(context, Where(**where))
    if at is None and around is not None:
        raise click.UsageError("--around is the time before and after --at: add --at TIME")
    if at is None:
        context.exit(work.why(contact, name, output))
    if name is not None:
        raise click.UsageError("--at shows what happened on all nodes: leave NAME out")
    try:
        then = work.moment(at, datetime.fromtimestamp(SystemClock().wall(), UTC))
    except work.BadTime as error:
        raise click.UsageError(str(error)) from error
    context.exit(work.around(contact, then, around or 60.0, output))


@click.command(epilog=example("raftha doctor -c /etc/raftha/n1.yml --before-start --wait 60"))
@where_options
@click.option("--before-start", is_flag=True, help="Examine this machine alone, by -c FILE.")
@click.option(
    "--wait",
    type=click.FloatRange(min=1, max=3600),
    metavar="SECONDS",
    help="With --before-start: try all ports with the other machines, where the same runs.",
)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json: programs."
)
@click.pass_context
def doctor(
    context: click.Context,
    /,
    before_start: bool,
    wait: float | None,
    output: str,
    **where: Any,
) -> None:
    """Examine clocks, disks, ports, certificates and PostgreSQL.

    On a cluster that runs, every node examines itself, and a table shows which node reaches which
    other at which port. Before the first start, --before-start examines the machine that it runs
    on; it needs the rights of the user that is to run the agent, and no other node. Run with --wait
    on all machines at once, they try each other's ports, in both directions, with the credentials
    of the Raft group. It ends with 5 if there is a problem, so that scripts can rely on it.
    """
    from raftha.cli import doctor as work
    from raftha.clock import SystemClock

    place = Where(**where)
    if before_start:
        file = place.over(context.obj).file
        if file is None:
            raise click.UsageError("--before-start examines what a file describes: give -c FILE")
        context.exit(work.before_start(file, SystemClock(), output, wait))
    if wait is not None:
        raise click.UsageError("--wait is for nodes that do not run yet: add --before-start")
    context.exit(work.examine(contact_of(context, place), SystemClock(), output))


@click.command(epilog=example("raftha diag -c /etc/raftha/n1.yml"))
@where_options
@click.option("--to", type=FILE, help="The archive (raftha-diag-TIME.tar.gz, here).")
@click.pass_context
def diag(context: click.Context, /, to: Path | None, **where: Any) -> None:
    """Pack logs, settings and states, without secrets.

    It holds events and metrics too, and what each node says of itself. With -c FILE the logs of the
    node on this machine are in it. Known secrets are taken out wherever they stand, and so is what
    looks like one; keys and data are never opened. The archive is readable for its owner alone.
    """
    from raftha.cli import diag as work
    from raftha.clock import SystemClock

    place = Where(**where)
    file = place.over(context.obj).file
    contact = _contact(context, place)
    context.exit(work.pack(contact, file, to, os.environ, SystemClock()))


def _contact(context: click.Context, place: Where) -> Contact | None:
    """Whom to ask. A file that is wrong names nobody, and is worth packing all the same."""
    try:
        return contact_if_named(context, place)
    except click.UsageError as error:
        click.secho(f"nobody is asked: {error.message}", fg="yellow", err=True)
        return None
