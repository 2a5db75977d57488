"""`raftha restart` and `reinit`: one member after another, in the right order.

A member is asked once. The next one is asked only when the one before serves again, so what goes
wrong goes wrong on one member, and is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import click
from msgspec import Struct
from msgspec.structs import replace

from raftha.api import codec
from raftha.api.client import ApiClient, ApiError
from raftha.cli import discover, operate
from raftha.cli.asking import ask_all
from raftha.cli.discover import Contact, Found, NobodyAnswers
from raftha.cli.exits import Exit
from raftha.cli.handing import able, agreed, complain, need_consent, to_its_end
from raftha.cli.rolling import (
    HandOver,
    Restart,
    Step,
    behind,
    heir_of,
    is_back,
    is_lowered,
    next_step,
)
from raftha.clock import Clock
from raftha.instants import remaining
from raftha.model.cluster import MemberState
from raftha.model.ids import Lsn
from raftha.model.operation import OperationState, RequestKind
from raftha.model.postgres import PendingRestart
from raftha.model.report import ClusterReport, MemberReport, ReportedRole
from raftha.model.restarting import ServerRequest, WishKind, number_of

PATIENCE_S: Final = 120.0
"""How long a member may take to serve again."""

_POLL_S: Final = 0.3
_ROLES: Final = {
    "primary": (True,),
    "leader": (True,),
    "replica": (False,),
    "standby": (False,),
    "any": (True, False),
}


class Wish(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    names: tuple[str, ...] = ()
    role: str = "any"
    pending: bool = False
    one: bool = False
    below: str | None = None
    timeout: float = PATIENCE_S
    yes: bool = False
    wait: bool = True
    dry_run: bool = False
    from_leader: bool = False


class NoChoice(Exception):
    """Nobody, or nobody of that name, is meant."""


class _Ways(Struct, frozen=True):
    """How to reach the cluster, and the time."""

    contact: Contact
    clock: Clock
    wait: Callable[[float], object]


def restart(contact: Contact, wish: Wish, clock: Clock, wait: Callable[[float], object]) -> Exit:
    """Restart PostgreSQL of the members that are meant."""
    found = found_for(contact, wish)
    if isinstance(found, Exit):
        return found
    try:
        todo = chosen(found.report, wish)
    except NoChoice as error:
        complain(str(error))
        return Exit.REFUSED
    fitting = todo
    if wish.below is not None:
        todo = _older(contact, found.report, todo, wish.below)
    if wish.one:
        todo = one_of(found.report, todo)
    if not todo:
        click.echo(_why_nobody(wish, fitting))
        return Exit.DONE
    for line in explained(found.report, todo, wish):
        click.echo(line)
    if wish.dry_run:
        return to_its_end(lambda: _judge(contact, found, todo, wish), "the question", "its answer")
    if not agreed(wish.yes, "Restart?"):
        return Exit.REFUSED
    ways = _Ways(contact, clock, wait)
    return to_its_end(lambda: _roll(ways, todo, wish), "the restart", "raftha status")


def _why_nobody(wish: Wish, fitting: tuple[str, ...]) -> str:
    if fitting:
        return f"No member is meant: {', '.join(fitting)} run no PostgreSQL before {wish.below}."
    if wish.pending:
        return "No member waits for a restart."
    return f"No member is meant: none that answers has the role {wish.role}."


def reinit(contact: Contact, wish: Wish, clock: Clock, wait: Callable[[float], object]) -> Exit:
    """Have standbys made anew, each when the one before streams again."""
    found = found_for(contact, wish)
    if isinstance(found, Exit):
        return found
    report = found.report
    try:
        names = _standbys(report, wish)
    except NoChoice as error:
        complain(str(error))
        return Exit.REFUSED
    for name in names:
        click.echo(f"{name} stops; its data directory is kept aside, and a new copy is made.")
        if (danger := _stake(report, name)) is not None:
            click.secho(danger, fg="red")
    if not agreed(wish.yes, f"Make {', '.join(names)} anew?"):
        return Exit.REFUSED
    ways = _Ways(contact, clock, wait)

    def act() -> Exit:
        for name in names:
            request = ServerRequest(
                kind=WishKind.REINITIALIZE, name=name, from_leader=wish.from_leader
            )
            goes_on = name != names[-1]
            outcome = _one(ways, report, request, replace(wish, wait=wish.wait or goes_on))
            if outcome is not Exit.DONE:
                return outcome
        return Exit.DONE

    return to_its_end(act, "the wish", "raftha status")


def _standbys(report: ClusterReport, wish: Wish) -> tuple[str, ...]:
    """Whom to make anew. Raises NoChoice."""
    named = members_in(report, wish.names)
    if not named:
        raise NoChoice(f"say which member of {report.scope}: all at once are never made anew")
    if report.leader in named:
        raise NoChoice(f"{report.leader} is the leader: hand over first (raftha switchover)")
    if report.leader is None:
        raise NoChoice("there is no leader to make a copy of: raftha status says why")
    return chosen(report, wish)


def _stake(report: ClusterReport, name: str) -> str | None:
    """What the cluster is without, until a standby that is made anew is back; None if another one
    takes its place at once."""
    others = [m for m in report.members if m.name != name and not m.is_leader and m.answers]
    if any(m.state == MemberState.STREAMING for m in others):
        return None
    if report.synchronous_mode == "off":
        return f"No other standby streams: until {name} is back, nobody can take over."
    waits = "commits wait" if report.synchronous_mode_strict else "commits are on the leader alone"
    return (
        f"{name} is the only synchronous standby: until it is back, {waits}, and nobody can take "
        "over."
    )


def found_for(contact: Contact, wish: Wish) -> Found | Exit:
    need_consent(wish.yes or wish.dry_run)
    return able(contact)


def members_in(report: ClusterReport, names: Sequence[str]) -> tuple[str, ...]:
    """The members that are named, each once: before them may stand the cluster, as with Patroni. A
    member that has the cluster's name is meant by it."""
    there = {member.name for member in report.members}
    is_cluster = names[:1] == (report.scope,) and report.scope not in there
    return tuple(dict.fromkeys(names[1:] if is_cluster else names))


def chosen(report: ClusterReport, wish: Wish) -> tuple[str, ...]:
    """The names that are meant. Raises NoChoice."""
    members = {m.name: m for m in report.members if m.role is not ReportedRole.WITNESS}
    names = members_in(report, wish.names)
    for name in names:
        if name not in members:
            raise NoChoice(f"there is no member {name}; there are: {', '.join(sorted(members))}")
    named = [members[name] for name in names or sorted(members)]
    fitting = [member for member in named if member.is_leader in _ROLES[wish.role]]
    if wish.pending:
        fitting = [member for member in fitting if member.pending]
    silent = [member.name for member in fitting if not member.answers]
    if silent and (names or not wish.one):
        raise NoChoice(f"{', '.join(silent)} does not answer: start its agent, or name the others")
    return tuple(member.name for member in fitting if member.answers)


def one_of(report: ClusterReport, names: tuple[str, ...]) -> tuple[str, ...]:
    """A standby before the leader."""
    return tuple(sorted(names, key=lambda name: (name == report.leader, name))[:1])


def _older(
    contact: Contact, report: ClusterReport, names: tuple[str, ...], below: str
) -> tuple[str, ...]:
    """Those whose server is older, and those that do not say: they judge it when they are asked."""
    limit = number_of(below)
    asked = ask_all(contact, [member_of(report, name) for name in names], _release)
    releases = {name: None if isinstance(told, ApiError) else told for name, told in asked.items()}
    return tuple(n for n in names if (has := releases[n]) is None or limit is None or has < limit)


def _release(client: ApiClient) -> int | None:
    """The release of a node's server, such as 150018; None while it runs none."""
    told = codec.parse(client.get("/patroni").body).get("server_version")
    return told if isinstance(told, int) else None


def explained(report: ClusterReport, todo: tuple[str, ...], wish: Wish) -> list[str]:
    """What is going to happen, and to whom."""
    lines = [f"cluster {report.scope}"]
    for member in report.members:
        if member.name in todo:
            reasons = f": {', '.join(map(str, member.pending))}" if member.pending else ""
            lines.append(f"  {member.name}, {member.role}{reasons}")
    leader = next((m for m in report.members if m.name in todo and m.is_leader), None)
    if leader is None:
        return [*lines, "Standbys restart one after another."]
    if any(map(is_lowered, leader.pending)):
        what = f"{leader.name} restarts first, where it is, because a size is lowered; "
        return [*lines, what + "writes pause for about a second. Then the standbys."]
    if wish.pending and heir_of(report) is not None:
        what = f"Standbys restart one after another, then {leader.name} hands over; "
        return [*lines, what + "writes pause for about a second."]
    what = f"{leader.name} restarts last, where it is; writes pause until it is back."
    return [*lines, what]


def _judge(contact: Contact, found: Found, names: tuple[str, ...], wish: Wish) -> Exit:
    """Ask each member whether it would begin now; what would keep one is no obstacle to others."""
    worst = Exit.DONE
    for name in names:
        client = contact.client(member_of(found.report, name).api_url)
        told = client.ask_server(request_of(name, wish))
        click.echo(told.message if told.state is OperationState.DONE else f"{name}: {told.message}")
        worst = max(worst, Exit.DONE if told.state is OperationState.DONE else Exit.REFUSED)
    return worst


def request_of(name: str, wish: Wish) -> ServerRequest:
    """What a member is asked for."""
    return ServerRequest(
        kind=WishKind.RESTART,
        name=name,
        postgres_version=wish.below,
        restart_pending=wish.pending,
        dry_run=wish.dry_run,
    )


def _roll(ways: _Ways, names: tuple[str, ...], wish: Wish) -> Exit:
    # One that was restarted still waits where two sizes go opposite ways: it goes once more then.
    done: dict[str, tuple[PendingRestart, ...]] = {}
    while True:
        try:
            report = discover.find(ways.contact).report
        except NobodyAnswers as error:
            complain(str(error))
            return Exit.UNREACHABLE
        waiting = {member.name: member.pending for member in report.members}
        todo = [name for name in names if name in waiting and name not in done]
        if wish.pending:
            todo = [n for n in names if waiting.get(n) and done.get(n) != waiting[n]]
        step = next_step(report, todo, hands_over=wish.pending)
        if step is None:
            click.secho("done", fg="green")
            return Exit.DONE
        outcome = _take(ways, report, step, wish)
        if outcome is not Exit.DONE:
            return outcome
        if isinstance(step, Restart):
            done[step.name] = waiting[step.name]
            outcome = _await_replay(ways, step.name, [n for n in todo if n != step.name], wish)
        if outcome is not Exit.DONE:
            return outcome


def _take(ways: _Ways, report: ClusterReport, step: Step, wish: Wish) -> Exit:
    if isinstance(step, HandOver):
        handing = operate.Wish(
            kind=RequestKind.SWITCHOVER,
            leader=step.leader,
            candidate=step.heir,
            yes=True,
            wait=True,
        )
        outcome = operate.perform(ways.contact, handing, ways.clock, ways.wait)
        return outcome if outcome is not Exit.DONE else _await(ways, step.leader, wish, "")
    return _one(ways, report, request_of(step.name, wish), wish)


def _one(ways: _Ways, report: ClusterReport, request: ServerRequest, wish: Wish) -> Exit:
    """Ask one member, and wait until it serves again."""
    assert request.name is not None
    client = ways.contact.client(member_of(report, request.name).api_url)
    before = _started(client)
    told = client.ask_server(request)
    if told.state is OperationState.REFUSED:
        complain(f"refused: {told.message}")
        return Exit.REFUSED
    click.echo(told.message + f" of {request.name}")
    return _await(ways, request.name, wish, before) if wish.wait else Exit.DONE


def _await(ways: _Ways, name: str, wish: Wish, before: str) -> Exit:
    """Until another server than the one that was started then serves."""
    deadline = ways.clock.now().plus(wish.timeout)
    while remaining(deadline, ways.clock.now()) > 0:
        ways.wait(_POLL_S)
        try:
            report = discover.find(ways.contact).report
            client = ways.contact.client(member_of(report, name).api_url)
            if is_back(report, name) and _started(client) != before:
                click.secho(f"{name} is back", fg="green")
                return Exit.DONE
        except (ApiError, NobodyAnswers):
            continue
    complain(f"{name} was not back within {wish.timeout:g} s: see raftha status")
    return Exit.UNKNOWN


def _await_replay(ways: _Ways, name: str, names: list[str], wish: Wish) -> Exit:
    """If that was the leader: until the standbys that are left have replayed its start."""
    deadline = ways.clock.now().plus(wish.timeout)
    position: Lsn | None = None
    late = tuple(names)
    while remaining(deadline, ways.clock.now()) > 0:
        report = _seen(ways)
        member = None if report is None else member_of(report, name)
        if report is not None and member is not None:
            position = position or member.position
            if not member.is_leader or not names:
                return Exit.DONE
            late = tuple(names) if position is None else behind(report, names, position)
            if not late:
                return Exit.DONE
        ways.wait(_POLL_S)
    complain(f"{', '.join(late)} did not replay the start of {name} within {wish.timeout:g} s")
    return Exit.UNKNOWN


def _seen(ways: _Ways) -> ClusterReport | None:
    """The cluster now; None if nobody answers."""
    try:
        return discover.find(ways.contact).report
    except NobodyAnswers:
        return None


def _started(client: ApiClient) -> str:
    """When the server of a node was started, as it says; empty while it runs none."""
    document = codec.parse(client.get("/patroni").body)
    return str(document.get("postmaster_start_time", ""))


def member_of(report: ClusterReport, name: str) -> MemberReport:
    return next(member for member in report.members if member.name == name)
