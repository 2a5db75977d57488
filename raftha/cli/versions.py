"""`raftha version`: of the command, and of what runs on each member."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from msgspec import Struct

from raftha import __version__
from raftha.api import codec
from raftha.api.client import Answer, ApiError
from raftha.api.codec import BadDocument
from raftha.cli import discover
from raftha.cli.asking import ask_all
from raftha.cli.discover import Contact, NobodyAnswers
from raftha.cli.exits import Exit
from raftha.cli.handing import complain
from raftha.cli.restart import NoChoice, members_in
from raftha.cli.show import document
from raftha.model.postgres import version_text
from raftha.model.report import ClusterReport, MemberReport, ReportedRole


class Running(Struct, frozen=True, kw_only=True):
    """The releases that run on a member; None is unknown. `note` says why, or what is special."""

    name: str
    agent: str | None = None
    postgres: str | None = None
    note: str = ""


def version(contact: Contact | None, output: str, names: Sequence[str] = ()) -> Exit:
    """Print the releases, of these members alone if any are named; without a contact, that of the
    command alone."""
    scope: str | None = None
    running: Sequence[Running] = ()
    code = Exit.DONE
    if contact is not None:
        try:
            report = discover.find(contact).report
            scope, running = report.scope, _ask(contact, _named(report, names))
        except NoChoice as error:
            complain(str(error))
            return Exit.REFUSED
        except NobodyAnswers as error:
            complain(str(error))
            code = Exit.UNREACHABLE
    if output != "text":
        told = _document(scope, running)
        click.echo(document(told, output, told["members"]), nl=False)
        return code
    click.echo(f"raftha {__version__}")
    if scope is not None:
        click.echo(f"cluster {scope}")
    for one in running:
        click.echo(f"  {_line(one)}")
    return code


def _named(report: ClusterReport, names: Sequence[str]) -> Sequence[MemberReport]:
    """Raises NoChoice for one that is not there."""
    wanted = members_in(report, tuple(names))
    there = {member.name: member for member in report.members}
    for name in wanted:
        if name not in there:
            raise NoChoice(f"there is no member {name}; there are: {', '.join(sorted(there))}")
    return [there[name] for name in wanted] or report.members


def _ask(contact: Contact, members: Sequence[MemberReport]) -> list[Running]:
    answers = ask_all(contact, members, lambda client: client.get("/patroni"))
    return [_one(member, answers[member.name]) for member in members]


def _one(member: MemberReport, answer: Answer | ApiError) -> Running:
    """What the member's agent says, whether its server is well or not."""
    try:
        if isinstance(answer, ApiError):
            raise answer
        document = codec.parse(answer.body)
    except (ApiError, BadDocument) as error:
        return Running(name=member.name, note=f"no answer: {error}")
    agent = document.get("patroni")
    release = agent.get("version") if isinstance(agent, dict) else None
    number = document.get("server_version")
    postgres = version_text(number) if isinstance(number, int) else None
    note = "" if postgres else "no server runs, or it does not answer"
    return Running(
        name=member.name,
        agent=release if isinstance(release, str) else None,
        postgres=postgres,
        note="witness" if member.role is ReportedRole.WITNESS else note,
    )


def _line(running: Running) -> str:
    parts = [f"raftha {running.agent or 'unknown'}"]
    if running.postgres is not None:
        parts.append(f"PostgreSQL {running.postgres}")
    if running.note:
        parts.append(running.note)
    return f"{running.name}: {', '.join(parts)}"


def _document(scope: str | None, running: Sequence[Running]) -> dict[str, Any]:
    document: dict[str, Any] = {"raftha": __version__, "cluster": scope}
    document["members"] = [
        {"name": x.name, "agent": x.agent, "postgres": x.postgres, "note": x.note} for x in running
    ]
    return document
