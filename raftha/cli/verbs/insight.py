"""`raftha why`: its options."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from raftha.cli.verbs.options import example
from raftha.cli.where import Where, contact_of, where_options


@click.command(epilog=example("raftha why", "raftha why n3", "raftha why --at 03:12 --around 120"))
@click.argument("name", required=False)
@where_options
@click.option("--at", metavar="TIME", help="What happened then: 03:12 (UTC), or a date and time.")
@click.option(
    "--around",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    default=60.0,
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
    around: float,
    output: str,
    **where: Any,
) -> None:
    """Say why the leader leads, and why each other node does not.

    With NAME it is about that node, and what it did last. With --at it is about a time: the
    promotion that was recorded in the store, and what each node decided and did.
    """
    from raftha.cli import why as work
    from raftha.clock import SystemClock

    contact = contact_of(context, Where(**where))
    if at is None:
        context.exit(work.why(contact, name, output))
    if name is not None:
        raise click.UsageError("--at shows what happened on all nodes: leave NAME out")
    try:
        then = work.moment(at, datetime.fromtimestamp(SystemClock().wall(), UTC))
    except work.BadTime as error:
        raise click.UsageError(str(error)) from error
    context.exit(work.around(contact, then, around, output))
