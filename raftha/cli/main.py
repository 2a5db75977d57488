"""The commands and their options. What they do is in the files beside this one, imported when a
command runs, so that `raftha status` starts fast."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from raftha.cli.exits import Exit
from raftha.cli.verbs.cluster import start, stop
from raftha.cli.verbs.insight import diag, doctor, why
from raftha.cli.verbs.member import member
from raftha.cli.verbs.options import (
    dry_run_option,
    operation_options,
    output_of,
    schedule_option,
    watch_option,
)
from raftha.cli.verbs.query import query
from raftha.cli.verbs.reach import dsn, topology, uri, version
from raftha.cli.verbs.server import flush, reinit, reload, restart
from raftha.cli.verbs.settings import edit_config, show_config
from raftha.cli.verbs.store import store
from raftha.cli.where import NODE_FILE, Where, cluster_argument, contact_of, where_options

if TYPE_CHECKING:
    from raftha.cli.discover import Contact
    from raftha.model.report import RequestKind

_Command = TypeVar("_Command", bound=Callable[..., Any])


_ELSEWHERE: Final = {
    "demote-cluster": "standby clusters are left out in this version",
    "promote-cluster": "standby clusters are left out in this version",
    "configure": "give the file of a node with -c FILE, or put it into ~/.config/raftha",
}
"""What users of Patroni may type and is no command here, with what to do instead."""


class _Commands(click.Group):
    """Says what to do instead of a command that Patroni has and we do not."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if (words := _ELSEWHERE.get(args[0])) is not None:
            raise click.UsageError(f"there is no {args[0]}: {words}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@where_options
@click.pass_context
def cli(context: click.Context, file: Path | None, urls: tuple[str, ...], insecure: bool) -> None:
    """Keep a PostgreSQL cluster available: run its nodes, see it, hand the lead over."""
    context.obj = Where(file=file, urls=urls, insecure=insecure)


@cli.command()
@click.argument("config", type=NODE_FILE)
@click.pass_context
def run(context: click.Context, config: Path) -> None:
    """Run a member: PostgreSQL and a vote."""
    from raftha.cli import run as starter

    context.exit(starter.run(config))


@cli.command()
@click.argument("config", type=NODE_FILE)
@click.pass_context
def witness(context: click.Context, config: Path) -> None:
    """Run a witness: a vote without PostgreSQL."""
    from raftha.cli import run as starter

    context.exit(starter.witness(config))


@cli.command("check-config")
@click.argument("config", type=NODE_FILE)
@click.option("--witness", "as_witness", is_flag=True, help="Check it as a witness's file.")
@click.option(
    "-p", "--print", "shows", is_flag=True, help="Show a good one, with RAFTHA_*, without secrets."
)
@click.pass_context
def check_config(context: click.Context, config: Path, as_witness: bool, shows: bool) -> None:
    """Check a node's file without starting anything."""
    from raftha.cli import run as starter

    context.exit(starter.check_config(config, as_witness, shows=shows))


def _own_file(context: click.Context, file: Path | None) -> Path:
    """The file of the node that a command works on. Raises UsageError."""
    chosen: Path | None = file or context.obj.file
    if chosen is None:
        raise click.UsageError("which node? Give its file with -c FILE")
    return chosen


@cli.command()
@click.option("-c", "--config-file", "file", type=NODE_FILE, help="This node's file.")
@click.option("--with", "kept", multiple=True, help="Another survivor, which joins again.")
@click.option("--fenced", multiple=True, help="A lost node that cannot come back; name each.")
@click.option("--confirm", metavar="SCOPE", help="The cluster's name, instead of typing it.")
@click.option("--dry-run", "--show", "dry_run", is_flag=True, help="Show all, change nothing.")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Of --dry-run."
)
@click.pass_context
def recover(context: click.Context, /, file: Path | None, output: str, **consent: Any) -> None:
    """Go on from this node when the majority is lost.

    The agent of this node must be stopped. See docs/recovery.md before you need it.
    """
    from raftha.cli import recover as work
    from raftha.clock import SystemClock

    chosen = _own_file(context, file)
    told = work.Consent(attended=sys.stdin.isatty(), **consent)
    if output == "json":
        if not told.dry_run:
            raise click.UsageError("-o json shows and does nothing: add --dry-run")
        context.exit(work.compare(chosen, told.kept, SystemClock(), Event().wait))
    context.exit(work.recover(chosen, told, SystemClock(), Event().wait))


@cli.command()
@click.option("-c", "--config-file", "file", type=NODE_FILE, help="This node's file.")
@click.option("--confirm", metavar="SCOPE", help="The cluster's name, instead of typing it.")
@click.option("--dry-run", is_flag=True, help="Show all, change nothing.")
@cluster_argument
@click.pass_context
def remove(context: click.Context, /, file: Path | None, **consent: Any) -> None:
    """Have this node forget a cluster that is given up.

    Every agent must be stopped. The node's key store is put aside, its data stay. To take a node
    out of a cluster that lives: raftha member remove.
    """
    from raftha.cli import remove as work
    from raftha.clock import SystemClock

    told = work.Consent(attended=sys.stdin.isatty(), **consent)
    context.exit(work.remove(_own_file(context, file), told, SystemClock()))


@cli.command()
@where_options
@output_of("json and yaml are what /cluster answers, tsv its rows.", "-f")
@click.option("-e", "--extended", is_flag=True, help="With what waits for a restart, and all tags.")
@click.option("-t", "--timestamp", is_flag=True, help="With the time of this machine above it.")
@watch_option
@click.argument("clusters", metavar="[CLUSTER]...", nargs=-1)
@click.pass_context
def status(
    context: click.Context,
    /,
    output: str,
    extended: bool,
    timestamp: bool,
    watch: float | None,
    clusters: tuple[str, ...],
    **where: Any,
) -> None:
    """Show who leads, who follows how closely, what is wrong."""
    from raftha.cli import show

    if output != "table" and (extended or timestamp):
        raise click.UsageError(f"-e and -t are of the table: -o {output} tells all anyway")
    form = show.Form(output=output, extended=extended, timestamp=timestamp)
    named = clusters or (None,)
    contacts = [contact_of(context, Where(**where, cluster=cluster)) for cluster in named]
    context.exit(show.shown(lambda: show.statuses(contacts, form), watch, Event().wait))


cli.add_command(status, "list")


@cli.command()
@where_options
@output_of("json and yaml are what /history answers, tsv its rows.", "-f")
@watch_option
@click.option("--events", is_flag=True, help="What happened on all nodes instead.")
@click.option("--last", type=click.IntRange(1, 5000), help="So many events at most (100).")
@cluster_argument
@click.pass_context
def history(
    context: click.Context,
    /,
    output: str,
    watch: float | None,
    events: bool,
    last: int | None,
    **where: Any,
) -> None:
    """Show each timeline: where it began, who led it, and why.

    --events shows what every node recorded, in the order of time: elections, fences, rejoins,
    copies, changes of settings, who asked for what, decisions.
    """
    from raftha.cli import show
    from raftha.cli import why as recorded

    contact = contact_of(context, Where(**where))
    if events and output not in ("table", "json"):
        raise click.UsageError("--events has no such output: use table or json")
    if last is not None and not events:
        raise click.UsageError("--last counts events: add --events")
    print_it = (
        partial(recorded.events, contact, last or 100) if events else partial(show.history, contact)
    )
    context.exit(show.shown(lambda: print_it(output), watch, Event().wait))


@cli.command()
@operation_options
@click.option("--leader", "--primary", "leader", help="The leader that is to hand over.")
@click.option("--candidate", help="The member that is to take over.")
@schedule_option
@dry_run_option
@cluster_argument
@click.pass_context
def switchover(
    context: click.Context,
    /,
    leader: str | None,
    candidate: str | None,
    yes: bool,
    wait: bool,
    scheduled: str | None,
    dry_run: bool,
    **where: Any,
) -> None:
    """Hand the lead over to a standby, planned and lossless.

    With --scheduled the cluster keeps it until its time, whoever stops meanwhile; raftha flush
    switchover takes it back. It is dropped if another member leads by then.
    """
    from raftha.model.report import RequestKind

    contact = contact_of(context, Where(**where))
    how = {"yes": yes, "wait": wait, "scheduled": scheduled, "dry_run": dry_run}
    context.exit(_operate(contact, RequestKind.SWITCHOVER, leader, candidate, **how))


@cli.command()
@operation_options
@click.option("--candidate", help="The member that is to take over; without it, it asks.")
@click.option("--fenced", metavar="NAME", help="A disarmed member that is off for certain.")
@click.option(
    "--allow-data-loss", "may_lose", is_flag=True, help="Even if it may lack acknowledged commits."
)
@click.option("--confirm", metavar="SCOPE", help="The cluster's name: says yes to a loss.")
@dry_run_option
@cluster_argument
@click.pass_context
def failover(
    context: click.Context,
    /,
    candidate: str | None,
    fenced: str | None,
    may_lose: bool,
    confirm: str | None,
    yes: bool,
    wait: bool,
    dry_run: bool,
    **where: Any,
) -> None:
    """Make a member the leader, whether there is one or not.

    --allow-data-loss is for a cluster without a leader whose synchronous standbys are gone for
    good: what the candidate lacks is lost.

    --fenced is your word that the machine of a member is off, which was left with a primary in a
    maintenance pause. If it is not, there are two primaries.
    """
    from raftha.model.report import RequestKind

    contact = contact_of(context, Where(**where))
    how = {"fenced": fenced, "may_lose": may_lose, "confirm": confirm, "yes": yes, "wait": wait}
    context.exit(_operate(contact, RequestKind.FAILOVER, None, candidate, dry_run=dry_run, **how))


def _pause_options(command: _Command) -> _Command:
    option = click.option(
        "--wait", is_flag=True, help="Stay until every member that answers keeps to it."
    )
    return where_options(cluster_argument(option(command)))


@cli.command()
@_pause_options
@click.pass_context
def pause(context: click.Context, /, wait: bool, **where: Any) -> None:
    """Begin a maintenance pause.

    Nobody is promoted, restarted or stopped by itself, and PostgreSQL runs on without its agent.
    """
    context.exit(_change_pause(contact_of(context, Where(**where)), True, wait))


@cli.command()
@_pause_options
@click.pass_context
def resume(context: click.Context, /, wait: bool, **where: Any) -> None:
    """End the maintenance pause."""
    context.exit(_change_pause(contact_of(context, Where(**where)), False, wait))


cli.add_command(store)
cli.add_command(show_config)
cli.add_command(edit_config)
cli.add_command(stop)
cli.add_command(start)
cli.add_command(restart)
cli.add_command(reload)
cli.add_command(reinit)
cli.add_command(flush)
cli.add_command(member)
cli.add_command(topology)
cli.add_command(query)
cli.add_command(uri)
cli.add_command(dsn)
cli.add_command(version)
cli.add_command(why)
cli.add_command(doctor)
cli.add_command(diag)


def main() -> None:
    """The entry point of the command."""
    cli(prog_name="raftha")


def _operate(
    contact: Contact,
    kind: RequestKind,
    leader: str | None,
    candidate: str | None,
    **how: Any,
) -> Exit:
    from raftha.cli import operate
    from raftha.clock import SystemClock

    wish = operate.Wish(kind=kind, leader=leader, candidate=candidate, **how)
    return operate.perform(contact, wish, SystemClock(), Event().wait)


def _change_pause(contact: Contact, paused: bool, waiting: bool) -> Exit:
    from raftha.cli import pause as work
    from raftha.clock import SystemClock

    clock, wait = SystemClock(), Event().wait
    return work.change(contact, paused=paused, waiting=waiting, clock=clock, wait=wait)
