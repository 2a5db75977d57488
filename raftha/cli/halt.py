"""`raftha stop` and `raftha start`: PostgreSQL of the whole cluster, down and up again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import click
from msgspec import Struct

from raftha.cli import discover
from raftha.cli.discover import Contact, NobodyAnswers
from raftha.cli.exits import Exit
from raftha.cli.handing import (
    able,
    agreed,
    complain,
    everybody,
    first_to_take,
    need_consent,
    to_its_end,
)
from raftha.cli.rolling import is_back
from raftha.clock import Clock
from raftha.instants import remaining
from raftha.model.cluster import MemberState
from raftha.model.report import ClusterReport, MemberReport, ReportedRole

PATIENCE_S: Final = 120.0
"""How long the members are waited for: a checkpoint before the stop, a recovery after the start."""

_POLL_S: Final = 0.3
_DOWN: Final = (MemberState.STOPPED, MemberState.WAITING)


class Wish(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    halts: bool
    yes: bool = False
    waiting: bool = True


def change(contact: Contact, wish: Wish, clock: Clock, wait: Callable[[float], object]) -> Exit:
    """Stop or start the cluster; stays until every member that answers has done so, if wished."""
    need_consent(wish.yes or not wish.halts)
    found = able(contact)
    if isinstance(found, Exit):
        return found
    if wish.halts and not _confirmed(found.report, wish):
        return Exit.REFUSED
    clients = everybody(contact, found)

    def act() -> Exit:
        told = first_to_take(clients, lambda client: client.change_halt(halts=wish.halts))
        click.secho(told, fg="green")
        return _await(contact, wish.halts, clock, wait) if wish.waiting else Exit.DONE

    return to_its_end(act, "the change", "raftha status")


def _confirmed(report: ClusterReport, wish: Wish) -> bool:
    click.echo(f"cluster {report.scope}")
    click.echo(
        "PostgreSQL stops on every member, the leader first, and stays down until raftha start. "
        "The agents go on."
    )
    return agreed(wish.yes, f"Stop the cluster {report.scope}?")


def _await(contact: Contact, halts: bool, clock: Clock, wait: Callable[[float], object]) -> Exit:
    deadline = clock.now().plus(PATIENCE_S)
    said: tuple[str, ...] = ()
    while remaining(deadline, clock.now()) > 0:
        wait(_POLL_S)
        try:
            report = discover.find(contact).report
        except NobodyAnswers:
            continue
        missing = late(report, halts=halts)
        if not missing:
            words = "PostgreSQL is down everywhere" if halts else f"{report.leader} is the leader"
            click.secho(words, fg="green")
            return Exit.DONE
        if missing != said:
            said = missing
            click.echo(f"waiting for {', '.join(missing)}")
    complain(f"not every member within {PATIENCE_S:g} s: see raftha status")
    return Exit.UNKNOWN


def late(report: ClusterReport, *, halts: bool) -> tuple[str, ...]:
    """The members that answer and have not done their part. It is not only theirs to start: without
    a leader nobody has."""
    members = [m for m in report.members if m.role is not ReportedRole.WITNESS and m.answers]
    if halts:
        return tuple(member.name for member in members if member.state not in _DOWN)
    missing = tuple(member.name for member in members if not _is_up(report, member))
    return missing or (() if report.leader is not None else ("a leader",))


def _is_up(report: ClusterReport, member: MemberReport) -> bool:
    return is_back(report, member.name)
