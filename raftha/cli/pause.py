"""`raftha pause` and `raftha resume`: hand it over, and wait until every member keeps to it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Final

import click

from raftha.api.client import ApiClient, ApiError
from raftha.cli.discover import Contact
from raftha.cli.exits import Exit
from raftha.cli.handing import able, complain, everybody, first_to_take, to_its_end
from raftha.clock import Clock
from raftha.instants import remaining
from raftha.model.report import ClusterReport, OperationState, PauseChange, ReportedRole

PATIENCE_S: Final = 60.0
"""How long the members are waited for; a few rounds of theirs are enough."""

_POLL_S: Final = 0.3


def change(
    contact: Contact,
    *,
    paused: bool,
    waiting: bool,
    clock: Clock,
    wait: Callable[[float], object],
) -> Exit:
    """Begin or end the pause; `waiting` stays until every member that answers has done its part."""
    found = able(contact)
    if isinstance(found, Exit):
        return found
    clients = everybody(contact, found)

    def act() -> Exit:
        told = first_to_take(clients, lambda client: client.change_pause(paused=paused))
        outcome = _conclude(told)
        if outcome is not Exit.DONE or not waiting:
            return outcome
        return _await(clients, paused, clock, wait)

    return to_its_end(act, "the change", "raftha status")


def _conclude(told: PauseChange) -> Exit:
    match told.state:
        case OperationState.REFUSED:
            complain(f"refused: {told.message}")
            return Exit.REFUSED
        case OperationState.UNKNOWN:
            complain(f"outcome unknown: {told.message}; see raftha status")
            return Exit.UNKNOWN
        case _:
            click.secho(told.message, fg="green")
            if told.paused:
                click.echo("Nobody takes over by itself until raftha resume.")
            return Exit.DONE


def _await(
    clients: list[ApiClient], paused: bool, clock: Clock, wait: Callable[[float], object]
) -> Exit:
    deadline = clock.now().plus(PATIENCE_S)
    said: tuple[str, ...] = ()
    for node in cycle(clients):
        if remaining(deadline, clock.now()) <= 0:
            complain(f"not every member within {PATIENCE_S:g} s: see raftha status")
            return Exit.UNKNOWN
        try:
            missing = behind(node.cluster(), paused=paused)
        except ApiError:
            missing = None
        if missing == ():
            click.secho("every member that answers keeps to it", fg="green")
            return Exit.DONE
        if missing is not None and missing != said:
            said = missing
            click.echo(f"waiting for {', '.join(missing)}")
        wait(_POLL_S)
    raise AssertionError("a cycle has no end")


def behind(report: ClusterReport, *, paused: bool) -> tuple[str, ...]:
    """Who has not done its part; a member that does not answer cannot, unless its primary may run
    without a deadline."""
    if report.paused is not paused:
        return ("the store",)
    members = [m for m in report.members if m.role is not ReportedRole.WITNESS and m.answers]
    late = {member.name for member in members if member.paused is not paused}
    return tuple(sorted(late if paused else late | {*report.disarmed}))
