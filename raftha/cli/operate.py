"""`raftha switchover` and `raftha failover`: explain, ask, hand over, and report every step.

The request is sent once. When its outcome cannot be learned that is what is said, and nothing is
sent again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import cycle
from typing import Final

import click
from msgspec import Struct

from raftha.api.client import ApiClient, ApiError
from raftha.api.schedules import BadTime, parse_time
from raftha.cli.discover import Contact
from raftha.cli.exits import Exit
from raftha.cli.handing import able, clients_of, complain, first_to_take, to_its_end
from raftha.clock import Clock
from raftha.errors import RafthaError
from raftha.ha.halting import WORDS
from raftha.instants import remaining
from raftha.model.ids import MemberName
from raftha.model.report import (
    ClusterReport,
    MemberReport,
    OperationReport,
    OperationRequest,
    OperationState,
    OperationStep,
    ReportedRole,
    RequestKind,
)

PATIENCE_S: Final = 120.0
"""How long the outcome is waited for; a clean stop of a busy primary may take a minute."""

_POLL_S: Final = 0.2
_STANDBYS: Final = (
    ReportedRole.STANDBY,
    ReportedRole.SYNC_STANDBY,
    ReportedRole.QUORUM_STANDBY,
)


class NotPossible(RafthaError):
    """What was asked for does not fit the cluster as it is."""


class Wish(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    kind: RequestKind
    leader: str | None
    candidate: str | None
    yes: bool
    wait: bool
    fenced: str | None = None
    may_lose: bool = False
    confirm: str | None = None
    """The cluster's name, given beforehand: what `may_lose` wants typed."""
    scheduled: str | None = None
    """When it is to happen, as ISO 8601 with a time zone; now, if not given."""
    dry_run: bool = False


def perform(contact: Contact, wish: Wish, clock: Clock, wait: Callable[[float], object]) -> Exit:
    """Carry the wish out, in conversation with the operator."""
    if wish.confirm is not None and not wish.may_lose:
        raise click.UsageError("--confirm goes with --allow-data-loss")
    check_time(wish.scheduled, clock, dry_run=wish.dry_run)
    attended = sys.stdin.isatty() and not wish.dry_run
    if wish.kind is RequestKind.FAILOVER and wish.candidate is None and (wish.yes or not attended):
        raise click.UsageError("say who is to take over: add --candidate NAME")
    if not attended and not wish.dry_run:
        if wish.may_lose and wish.confirm is None:
            raise click.UsageError("nobody is there to confirm: add --confirm with the scope")
        if not (wish.yes or wish.may_lose):
            raise click.UsageError("nobody is there to confirm: add --yes")
    found = able(contact)
    if isinstance(found, Exit):
        return found
    try:
        request = _request(found.report, wish)
    except NotPossible as error:
        complain(str(error))
        return Exit.REFUSED
    _explain(found.report, request)
    if wish.scheduled is not None:
        click.echo(f"It is to happen at {wish.scheduled}, if {request.leader} still leads then.")
    if not wish.dry_run and not _confirmed(found.report.scope, request, wish):
        click.echo("Nothing was changed.")
        return Exit.REFUSED
    clients = clients_of(contact, found)
    if wish.scheduled is not None:
        at = wish.scheduled
        return to_its_end(lambda: _schedule(clients, request, at), "the wish", "raftha status")
    return to_its_end(
        lambda: _hand_over(clients, request, wish.wait, clock, wait),
        "the request",
        "raftha status",
    )


def _confirmed(scope: str, request: OperationRequest, wish: Wish) -> bool:
    """The operator says so; what could end in two primaries or in lost commits by typing a name,
    which nobody does by accident."""
    if request.may_lose:
        if wish.confirm is not None and wish.confirm.strip() != scope:
            raise click.UsageError(f"--confirm {wish.confirm}: the cluster is {scope}")
        typed = wish.confirm or click.prompt(f"Type the name of the cluster ({scope})")
        if str(typed).strip() != scope:
            complain(f"{typed} is not the name of this cluster, {scope}")
            return False
    if wish.yes or (request.may_lose and request.fenced is None):
        return True
    if request.fenced is None:
        return click.confirm(f"Start the {request.kind.value}?")
    typed = click.prompt(f"Type the name of the member that is off ({request.fenced})")
    return str(typed).strip() == request.fenced


def _request(report: ClusterReport, wish: Wish) -> OperationRequest:
    """The request that the cluster as it is allows. Raises NotPossible."""
    members = {member.name: member for member in report.members}
    for name in (wish.leader, wish.candidate):
        if name is not None and name not in members:
            raise NotPossible(f"{name} is no member of {report.scope}: {', '.join(members)} are")
    standbys = [member.name for member in report.members if member.role in _STANDBYS]
    if wish.candidate is not None and wish.candidate == report.leader:
        raise NotPossible(f"{wish.candidate} is the leader already")
    if wish.candidate is not None and members[wish.candidate].role is ReportedRole.WITNESS:
        raise NotPossible(f"{wish.candidate} is a witness and holds no PostgreSQL")
    candidate = wish.candidate
    if wish.may_lose and report.leader is not None:
        raise NotPossible(f"{report.leader} leads, nothing is lost: leave --allow-data-loss out")
    if wish.fenced is not None and wish.fenced not in report.disarmed:
        raise NotPossible(f"nothing waits for the end of {wish.fenced}: leave --fenced out")
    if report.stopped_by is not None:
        raise NotPossible(WORDS)
    if wish.kind is RequestKind.SWITCHOVER:
        _check_leader(report, wish.leader)
        if not standbys:
            raise NotPossible("there is no standby that could take over")
        candidate = candidate or _choice(standbys, wish.yes or wish.dry_run)
    elif candidate is None:
        candidate = _heir(standbys)
    return OperationRequest(
        kind=wish.kind,
        leader=report.leader if wish.kind is RequestKind.SWITCHOVER else None,
        candidate=None if candidate is None else MemberName(candidate),
        fenced=None if wish.fenced is None else MemberName(wish.fenced),
        may_lose=wish.may_lose,
        dry_run=wish.dry_run,
    )


def check_time(text: str | None, clock: Clock, *, dry_run: bool) -> None:
    """Raises UsageError for a time at which nothing can be scheduled."""
    if text is None:
        return
    if dry_run:
        raise click.UsageError("--dry-run judges what is to happen now: leave --scheduled out")
    try:
        parse_time(text, clock.wall())
    except BadTime as error:
        raise click.UsageError(f"--scheduled: {error}") from error


def _schedule(clients: list[ApiClient], request: OperationRequest, at: str) -> Exit:
    leader, candidate = request.leader, request.candidate
    assert leader is not None, "a switchover names its leader"
    told = first_to_take(clients, lambda c: c.schedule_switchover(at, leader, candidate))
    click.secho(told, fg="green")
    return Exit.DONE


def _check_leader(report: ClusterReport, named: str | None) -> None:
    if report.leader is None:
        raise NotPossible(
            "the cluster has no leader that could hand over; if it does not choose one itself, use "
            "raftha failover --candidate NAME"
        )
    if named is not None and named != report.leader:
        raise NotPossible(f"the leader is {report.leader}, not {named}")


def _choice(standbys: list[str], yes: bool) -> str | None:
    """The candidate that the operator picks; None leaves it to the cluster."""
    if len(standbys) == 1 or yes:
        return standbys[0] if len(standbys) == 1 else None
    picked = click.prompt(
        f"Candidate ({', '.join(standbys)}; enter lets the cluster choose)",
        default="",
        show_default=False,
        type=click.Choice([*standbys, ""]),
        show_choices=False,
    )
    return str(picked) or None


def _heir(standbys: list[str]) -> str:
    """Who is to take over in a failover, which the cluster does not choose. Raises NotPossible."""
    if not standbys:
        raise NotPossible("no standby answers that could take over; name one by --candidate NAME")
    choice = click.Choice(standbys)
    return str(click.prompt("Candidate", type=choice, default=None))


def _explain(report: ClusterReport, request: OperationRequest) -> None:
    click.echo(f"cluster {report.scope}")
    for member in report.members:
        click.echo(f"  {_short(member)}")
    takes_over = request.candidate or "the standby that the cluster finds fittest"
    if request.kind is RequestKind.SWITCHOVER:
        click.echo(
            f"{request.leader} stops, and {takes_over} takes over with every commit; "
            "writes pause for about a second."
        )
        return
    if report.leader:
        click.echo(
            f"{report.leader} is stopped, and {takes_over} takes over once it holds every commit; "
            "writes pause until it is promoted."
        )
        return
    if request.may_lose:
        click.secho(_stake(report, takes_over), fg="red")
    else:
        click.echo(f"There is no leader: {takes_over} takes over if it provably holds every commit")
    if request.fenced is not None:
        click.secho(
            f"The machine of {request.fenced} must be off: its PostgreSQL was left running without "
            "a deadline, and if it still runs there are two primaries.",
            fg="red",
        )


def _stake(report: ClusterReport, candidate: str) -> str:
    """What is lost if the candidate takes over, as far as anybody who answers knows."""
    held = {member.name: member.position for member in report.members}
    known = [position for position in (report.last_written, *held.values()) if position is not None]
    own, words = held.get(candidate), "how much that is nobody who answers can tell"
    if own is not None and known:
        lost = own.behind(max(known))
        words = f"{lost} bytes of WAL at least, as far as is known" if lost else "none is known of"
    where = "" if own is None else f" up to {own}"
    return (
        f"There is no leader: {candidate} takes over with what it holds{where}. Commits that were "
        f"acknowledged and that it lacks are lost: {words}."
    )


def _short(member: MemberReport) -> str:
    lag = "" if member.lag_bytes is None else f", {member.lag_bytes} bytes behind"
    return f"{member.name}: {member.role.value}, {member.state}{lag}"


def _hand_over(
    clients: list[ApiClient],
    request: OperationRequest,
    waiting: bool,
    clock: Clock,
    wait: Callable[[float], object],
) -> Exit:
    accepted = first_to_take(clients, lambda client: client.operate(request))
    if accepted.state is not OperationState.RUNNING or not waiting:
        return _conclude(accepted, set())
    return _follow(clients, accepted, clock, wait)


def _follow(
    clients: list[ApiClient],
    accepted: OperationReport,
    clock: Clock,
    wait: Callable[[float], object],
) -> Exit:
    """Print the steps as any node tells them, until the operation has ended."""
    deadline = clock.now().plus(PATIENCE_S)
    shown: set[OperationStep] = set()
    nodes = cycle(clients)
    node = next(nodes)
    report = accepted
    while remaining(deadline, clock.now()) > 0:
        _print_steps(report, shown)
        if report.state is not OperationState.RUNNING:
            return _conclude(report, shown)
        wait(_POLL_S)
        newest = _ask(node)
        if newest is None or newest.id != accepted.id:
            node = next(nodes)
        else:
            report = newest
    complain(f"no outcome within {PATIENCE_S:g} s: see raftha status")
    return Exit.UNKNOWN


def _ask(node: ApiClient) -> OperationReport | None:
    try:
        return node.operation()
    except ApiError:
        return None


def _print_steps(report: OperationReport, shown: set[OperationStep]) -> None:
    for taken in report.steps:
        if taken.step not in shown:
            shown.add(taken.step)
            click.echo(f"{taken.seconds:6.1f} s  {taken.step.value} ({taken.by})")


def _conclude(report: OperationReport, shown: set[OperationStep]) -> Exit:
    _print_steps(report, shown)
    match report.state:
        case OperationState.DONE:
            click.secho(report.message, fg="green")
            if report.write_gap_seconds is not None:
                click.echo(f"writes were paused for {report.write_gap_seconds:.1f} s")
            return Exit.DONE
        case OperationState.RUNNING:
            click.echo(f"accepted as {report.id}: {report.message}")
            return Exit.DONE
        case OperationState.REFUSED:
            complain(f"refused: {report.message}")
            return Exit.REFUSED
        case OperationState.UNKNOWN:
            complain(f"outcome unknown: {report.message}; see raftha status")
            return Exit.UNKNOWN
