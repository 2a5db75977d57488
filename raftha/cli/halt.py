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
from raftha.model.report import ClusterReport, ReportedRole
from raftha.model.trouble import Trouble

PATIENCE_S: Final = 120.0
"""How long the members are waited for: a checkpoint before the stop, a recovery after the start."""

STANDSTILL_S: Final = 20.0
"""How long a start waits, beside two ttl, for a leader whom nobody becomes while no server is about
to start: a failover takes one ttl."""

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
    moved = clock.now()
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
            said, moved = missing, clock.now()
            click.echo(f"waiting for {', '.join(missing)}")
        if halts or not _stands_still(report):
            moved = clock.now()
        if remaining(moved.plus(STANDSTILL_S + 2 * report.ttl), clock.now()) <= 0:
            complain(f"outcome unknown: {_why(report)}; the start holds all the same")
            return Exit.UNKNOWN
    complain(f"not every member within {PATIENCE_S:g} s: see raftha status")
    return Exit.UNKNOWN


def _stands_still(report: ClusterReport) -> bool:
    """There is no leader, and no server is about to start, which a recovery may make long."""
    return report.leader is None and all(m.state != MemberState.STARTING for m in report.members)


def _why(report: ClusterReport) -> str:
    """What keeps everybody from leading, and what to do about it."""
    if not report.majority:
        return "no node that answers is in touch with a majority: start the others"
    told = next((notice for notice in report.problems if notice.code == Trouble.NO_LEADER), None)
    return "nobody leads: see raftha status" if told is None else f"{told.what}: {told.remedy}"


def late(report: ClusterReport, *, halts: bool) -> tuple[str, ...]:
    """The members that answer and have not done their part. To start is not theirs alone: without
    a leader nobody has."""
    members = [m for m in report.members if m.role is not ReportedRole.WITNESS and m.answers]
    if halts:
        return tuple(member.name for member in members if member.state not in _DOWN)
    if report.leader is None:
        return ("a leader",)
    return tuple(member.name for member in members if not is_back(report, member.name))
