"""`raftha member`: who votes, and how that is changed: explain, ask, hand over, report the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Final

import click
from msgspec.structs import replace

from raftha.api.client import ApiClient, ApiError, Refused
from raftha.api.listing import members_document
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
    told,
)
from raftha.cli.show import document
from raftha.clock import Clock
from raftha.config.values import NAMES, Invalid, is_name, parse_address
from raftha.instants import remaining
from raftha.model.membership import MemberVerb
from raftha.model.operation import OperationState
from raftha.model.report import (
    ClusterReport,
    MemberChange,
    MemberChangeRequest,
    VoterReport,
)

PATIENCE_S: Final = 60.0
"""How long the outcome is waited for: a new node first has to receive the log."""

_POLL_S: Final = 0.2


def show(contact: Contact, output: str) -> Exit:
    """Print who votes and who does not."""
    try:
        report = discover.find(contact).report
    except NobodyAnswers as error:
        complain(str(error))
        return Exit.UNREACHABLE
    if output == "table":
        from raftha.cli import render  # rich takes longer to import than all the rest

        click.echo(render.members(report, sys.stdout.isatty()), nl=False)
        return Exit.DONE
    told = members_document(report)
    click.echo(document(told, output, told["members"]), nl=False)
    return Exit.DONE


def change(
    contact: Contact,
    asked: MemberChangeRequest,
    *,
    yes: bool,
    waiting: bool,
    clock: Clock,
    wait: Callable[[float], object],
) -> Exit:
    """Carry a wish out, in conversation with the operator."""
    need_consent(yes or asked.dry_run)
    found = able(contact)
    if isinstance(found, Exit):
        return found
    clients = _raft_leader_first(everybody(contact, found), found.report)
    judged = _judged(clients, asked)
    if isinstance(judged, Exit):
        return judged
    if judged is not None and judged.state is OperationState.REFUSED:
        return _conclude(judged)
    for line in _explained(found.report, asked):
        click.echo(line)
    if asked.dry_run:
        return Exit.UNREACHABLE if judged is None else _conclude(judged)
    if not agreed(yes, f"{asked.verb.capitalize()} {asked.name}?"):
        return Exit.REFUSED
    return to_its_end(
        lambda: _hand_over(clients, asked, waiting, clock, wait), "the wish", "raftha member list"
    )


def _raft_leader_first(clients: list[ApiClient], report: ClusterReport) -> list[ApiClient]:
    """It alone knows who is in touch and waits for a vote."""
    url = next((m.api_url for m in report.members if m.name == report.raft_leader), None)
    return sorted(clients, key=lambda client: client.url != url)


def _judged(clients: list[ApiClient], asked: MemberChangeRequest) -> MemberChange | Exit | None:
    """What the cluster says to it before anything is explained; None where nobody can tell, and the
    exit code where the asker is refused, which is told."""
    try:
        return first_to_take(clients, lambda c: c.change_member(replace(asked, dry_run=True)))
    except Refused as error:
        complain(told(error))
        return Exit.REFUSED
    except ApiError as error:
        if asked.dry_run:
            complain(str(error))
        return None


def request(
    verb: MemberVerb, name: str, address: str | None, *, dry_run: bool = False
) -> MemberChangeRequest:
    """What the command line says. Raises UsageError."""
    if verb is MemberVerb.ADD and not is_name(name):
        raise click.UsageError(f"{name!r} is no name of a node: {NAMES}")
    try:
        canonical = None if address is None else str(parse_address(address))
    except Invalid as error:
        raise click.UsageError(f"the address {error.what}: {error.remedy}") from None
    return MemberChangeRequest(verb=verb, name=name, address=canonical, dry_run=dry_run)


def _explained(report: ClusterReport, asked: MemberChangeRequest) -> Iterator[str]:
    """What will happen, and what the cluster is then."""
    seat = _seat(report, asked.name)
    votes = len(report.group)
    yield f"cluster {report.scope}: {votes} voters, {report.quorum} needed for a majority"
    match asked.verb:
        case MemberVerb.ADD:
            yield f"{asked.name} at {asked.address} gets a vote once it holds the log."
            yield from _counted(votes + 1)
        case MemberVerb.REMOVE:
            yield from _goodbye(asked.name, seat)
            yield from _counted(votes - 1 if seat is not None else votes)
        case MemberVerb.REPLACE:
            old = "" if seat is None else f" at {seat.address} ({_short(seat.incarnation)})"
            to = asked.address or (seat.address if seat is not None else "its address")
            yield (
                f"The vote of {asked.name}{old} goes to the new node at {to}; the old Raft "
                "directory never votes again."
            )
            yield "Make sure that the old machine, or its agent and its PostgreSQL, is stopped."


def _goodbye(name: str, seat: VoterReport | None) -> Iterator[str]:
    if seat is not None and seat.kind == "witness":
        yield f"{name} loses its vote for ever; stop its agent afterwards."
        return
    yield (
        f"{name} loses its vote for ever, its place in the synchronous set, its replication slot "
        "and its key; its data directory is not touched."
    )
    yield "PostgreSQL there is stopped if its agent runs; stop that agent afterwards."


def _counted(votes: int) -> Iterator[str]:
    if votes == 1:
        yield "A single voter is left: nobody can take over when it is lost."
    elif votes == 2:
        yield "Two voters are left: the loss of either stops writes. A witness helps."
    elif votes % 2 == 0 and votes > 0:
        yield f"{votes} voters survive no more losses than {votes - 1}: add a witness, too."


def _seat(report: ClusterReport, name: str) -> VoterReport | None:
    return next((v for v in report.group if v.name.casefold() == name.casefold()), None)


def _short(incarnation: str | None) -> str:
    return f"directory {incarnation[:8]}" if incarnation else "never met"


def _hand_over(
    clients: list[ApiClient],
    asked: MemberChangeRequest,
    waiting: bool,
    clock: Clock,
    wait: Callable[[float], object],
) -> Exit:
    accepted = first_to_take(clients, lambda client: client.change_member(asked))
    if accepted.state is not OperationState.RUNNING or not waiting:
        return _conclude(accepted)
    return _follow(clients, accepted, clock, wait)


def _follow(
    clients: list[ApiClient],
    accepted: MemberChange,
    clock: Clock,
    wait: Callable[[float], object],
) -> Exit:
    """Wait for the end as any node tells it, and print what is said meanwhile."""
    deadline = clock.now().plus(PATIENCE_S)
    nodes = cycle(clients)
    node, report, said = next(nodes), accepted, ""
    while remaining(deadline, clock.now()) > 0:
        if report.state is not OperationState.RUNNING:
            return _conclude(report)
        if report.message != said:
            said = report.message
            click.echo(said)
        wait(_POLL_S)
        newest = _ask(node, accepted.name)
        if newest is None or newest.id != accepted.id:
            node = next(nodes)
        else:
            report = newest
    complain(f"no outcome within {PATIENCE_S:g} s, it goes on: see raftha member list")
    return Exit.UNKNOWN


def _ask(node: ApiClient, name: str) -> MemberChange | None:
    try:
        return node.member_change(name)
    except ApiError:
        return None


def _conclude(change: MemberChange) -> Exit:
    match change.state:
        case OperationState.DONE:
            click.secho(change.message, fg="green")
            return Exit.DONE
        case OperationState.RUNNING:
            click.echo(f"accepted as {change.id}: {change.message}")
            return Exit.DONE
        case OperationState.REFUSED:
            complain(f"refused: {change.message}")
            return Exit.REFUSED
        case OperationState.UNKNOWN:
            complain(f"outcome unknown: {change.message}; see raftha member list")
            return Exit.UNKNOWN
