"""`raftha restart --scheduled` and `raftha flush`: what waits for its time, and taking it back.

When the time has come the members themselves do it; nobody has to be there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import click
from msgspec.structs import replace

from raftha.api.client import ApiClient, Refused
from raftha.cli.discover import Contact, Found
from raftha.cli.exits import Exit
from raftha.cli.handing import agreed, clients_of, complain, first_to_take, to_its_end
from raftha.cli.operate import check_time
from raftha.cli.restart import (
    NoChoice,
    Wish,
    chosen,
    found_for,
    member_of,
    members_in,
    one_of,
    request_of,
)
from raftha.clock import Clock
from raftha.ha.scheduling import words_of
from raftha.model.report import ClusterReport, ReportedRole

_NOT_FOUND = 404


def restart_at(contact: Contact, wish: Wish, at: str, clock: Clock) -> Exit:
    """Schedule the restart of the members that are meant. The conditions are judged at that time,
    by each of them."""
    check_time(at, clock, dry_run=wish.dry_run)
    found = found_for(contact, wish)
    if isinstance(found, Exit):
        return found
    try:
        names = chosen(found.report, replace(wish, pending=False))
        if wish.one:
            names = one_of(found.report, names)
    except NoChoice as error:
        complain(str(error))
        return Exit.REFUSED
    click.echo(f"cluster {found.report.scope}")
    click.echo(f"At {at} these restart, one after another: {', '.join(names) or 'nobody'}")
    if not agreed(wish.yes, "Schedule it?"):
        return Exit.REFUSED
    worst = Exit.DONE
    for name in names:
        client = contact.client(member_of(found.report, name).api_url)
        act = partial(_schedule, client, at, name, wish)
        worst = max(worst, to_its_end(act, "the wish", "raftha status"))
    return worst


def _schedule(client: ApiClient, at: str, name: str, wish: Wish) -> Exit:
    role = None if wish.role == "any" else wish.role
    asked = replace(request_of(name, wish), role=role)
    click.secho(client.schedule_restart(at, asked), fg="green")
    return Exit.DONE


def flush(contact: Contact, wish: Wish, *, switchover: bool) -> Exit:
    """Take the switchover, or the restarts of the members that are meant, off the schedule."""
    found = found_for(contact, wish)
    if isinstance(found, Exit):
        return found
    try:
        names = _none(found.report, wish) if switchover else _scheduled(found.report, wish)
    except NoChoice as error:
        complain(str(error))
        return Exit.REFUSED
    there = _there(found.report, names, switchover=switchover)
    if not there:
        click.echo("Nothing of that kind is scheduled.")
        return Exit.DONE
    for line in there:
        click.echo(line)
    if not agreed(wish.yes, "Take that off the schedule?"):
        return Exit.REFUSED
    return to_its_end(lambda: _flush(contact, found, names), "the wish", "raftha status")


def _none(report: ClusterReport, wish: Wish) -> tuple[str, ...]:
    """Raises UsageError where a switchover is to be flushed and members are named."""
    if names := members_in(report, wish.names):
        raise click.UsageError(
            f"a switchover is of the whole cluster {report.scope}, not of {', '.join(names)}:"
            " leave the members out"
        )
    return ()


def _scheduled(report: ClusterReport, wish: Wish) -> tuple[str, ...]:
    """The members that are meant and have something scheduled: also those that do not answer, and
    those that are no members any more. Raises NoChoice."""
    members = {m.name: m for m in report.members if m.role is not ReportedRole.WITNESS}
    have = {plan.member for plan in report.scheduled_restarts}
    names = members_in(report, wish.names)
    for name in names:
        if name not in members and name not in have:
            raise NoChoice(f"there is no member {name}; there are: {', '.join(sorted(members))}")
    leading = {"primary": (True,), "leader": (True,), "any": (True, False)}.get(wish.role, (False,))
    return tuple(
        name
        for name in names or sorted(have)
        if name in have and (name in members and members[name].is_leader) in leading
    )


def _there(report: ClusterReport, names: tuple[str, ...], *, switchover: bool) -> list[str]:
    if switchover:
        plan = report.scheduled_switchover
        return [] if plan is None else [words_of(plan)]
    return [words_of(plan) for plan in report.scheduled_restarts if plan.member in names]


def _flush(contact: Contact, found: Found, names: tuple[str, ...]) -> Exit:
    clients = clients_of(contact, found)
    acts: list[Callable[[ApiClient], str]] = [partial(_cancel_restart, name) for name in names]
    acts = acts or [ApiClient.cancel_switchover]
    for act in acts:
        try:
            click.secho(first_to_take(clients, act), fg="green")
        except Refused as error:
            if error.status != _NOT_FOUND:
                raise
            click.echo(str(error))
    return Exit.DONE


def _cancel_restart(name: str, client: ApiClient) -> str:
    return client.cancel_restart(name)
