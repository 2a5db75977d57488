"""`raftha topology`, `uri`, `dsn` and `version`: their options."""

from __future__ import annotations

from threading import Event
from typing import Any

import click

from raftha.cli.verbs.options import example, output_option, watch_option
from raftha.cli.where import (
    Where,
    cluster_argument,
    contact_if_named,
    contact_of,
    contact_of_first,
    where_options,
)


@click.command(epilog=example("raftha topology --watch 5"))
@output_option
@watch_option
@cluster_argument
@click.pass_context
def topology(context: click.Context, /, output: str, watch: float | None, **where: Any) -> None:
    """Show the leader, and its standbys as a tree below it.

    The columns are those of raftha status. A witness replicates nothing and is not shown.
    """
    from raftha.cli import show

    contact = contact_of(context, Where(**where))
    context.exit(show.shown(lambda: show.topology(contact, output), watch, Event().wait))


@click.command(
    epilog=example(
        'psql "$(raftha uri --dbname app --user app)"',
        "raftha uri -r replica",
    )
)
@where_options
@click.option(
    "-r",
    "--role",
    type=click.Choice(["primary", "leader", "replica", "standby", "any"]),
    help="Whom the client is to reach (primary).",
)
@click.option("--read-write", is_flag=True, help="The same as -r primary.")
@click.option("--any", "anyone", is_flag=True, help="The same as -r any.")
@click.option("-d", "--dbname", metavar="NAME", help="The database.")
@click.option("-U", "--user", metavar="NAME", help="The role to log in as.")
@cluster_argument
@click.pass_context
def uri(
    context: click.Context,
    /,
    role: str | None,
    read_write: bool,
    anyone: bool,
    dbname: str | None,
    user: str | None,
    **where: Any,
) -> None:
    """Print a libpq URI of all members.

    The client finds the one it wants, before and after a failover: the primary, with -r replica a
    standby while there is one (libpq 14 or newer), or any member.
    """
    from raftha.cli import reach

    told = [word for word in (role, read_write and "primary", anyone and "any") if word]
    if len(told) > 1:
        raise click.UsageError("give one of --role, --read-write and --any")
    target = reach.Target(role=told[0] if told else "primary", dbname=dbname, user=user)
    context.exit(reach.uri(contact_of(context, Where(**where)), target))


@click.command(epilog=example('psql "$(raftha dsn -m n2) dbname=app user=app"'))
@where_options
@click.option(
    "-r",
    "--role",
    type=click.Choice(["primary", "leader", "replica", "standby", "sync", "any"]),
    help="One of this role (leader); of several standbys the least behind.",
)
@click.option("-m", "--member", "name", metavar="MEMBER", help="The member of this name.")
@cluster_argument
@click.pass_context
def dsn(context: click.Context, /, role: str | None, name: str | None, **where: Any) -> None:
    """Print host and port of the leader, or of another member.

    It is true at this moment; raftha uri prints what stays true after a failover.
    """
    from raftha.cli import reach

    if role is not None and name is not None:
        raise click.UsageError("give a role or a member, not both")
    context.exit(reach.dsn(contact_of(context, Where(**where)), role or "leader", name))


@click.command(epilog=example("raftha version -o json"))
@where_options
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "yaml", "tsv"]),
    default="text",
    help="json, yaml and tsv are for programs.",
)
@click.argument("names", metavar="[CLUSTER] [MEMBER]...", nargs=-1)
@click.pass_context
def version(context: click.Context, /, output: str, names: tuple[str, ...], **where: Any) -> None:
    """Print the version, and what runs on each member, or on these.

    Where nothing names a cluster, it is the version of this command alone.
    """
    from raftha.cli import versions

    contact = contact_if_named(context, Where(**where), names)
    if contact is None and names:
        contact_of_first(context, Where(**where), names)
    context.exit(versions.version(contact, output, names))
