"""Hands what an operator asks for to the cluster, and says so where its outcome cannot be learned.

It is sent once. Where nobody can tell what became of it, that is what is said.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

import click

from raftha.api.client import ApiClient, Refused, Unreachable, Unsettled
from raftha.cli import discover
from raftha.cli.discover import Contact, Found, NobodyAnswers
from raftha.cli.exits import Exit
from raftha.model.report import ReportedRole

Answer = TypeVar("Answer")


def everybody(contact: Contact, found: Found) -> list[ApiClient]:
    """All who may be asked for what any node takes in, the one that answered first."""
    others = [contact.client(node.api_url) for node in found.report.members if node.api_url]
    return [found.client, *(client for client in others if client.url != found.client.url)]


def clients_of(contact: Contact, found: Found) -> list[ApiClient]:
    """Who may be asked, the one that answered first. A witness cannot judge a request, so it is not
    handed one, whichever node told about the cluster, unless it alone is known: then it says so."""
    members = [m for m in found.report.members if m.role is not ReportedRole.WITNESS]
    others = [contact.client(member.api_url) for member in members if member.api_url]
    if found.report.answered_by not in {member.name for member in members}:
        return others or [found.client]
    return [found.client, *(client for client in others if client.url != found.client.url)]


def need_consent(given: bool) -> None:
    """Raises UsageError where the operator has neither said yes nor can be asked."""
    if not given and not sys.stdin.isatty():
        raise click.UsageError("nobody is there to confirm: add --yes")


def agreed(given: bool, question: str) -> bool:
    """The operator has said yes, or says it now; if not, that nothing was changed is told."""
    if given or click.confirm(question):
        return True
    click.echo("Nothing was changed.")
    return False


def answering(contact: Contact) -> Found | Exit:
    """The cluster by the best node that answers; the exit code where there is none, which is
    told."""
    try:
        return discover.find(contact)
    except NobodyAnswers as error:
        complain(str(error))
        return Exit.UNREACHABLE


def able(contact: Contact) -> Found | Exit:
    """The cluster by a node that is in touch with a majority; the exit code where there is none,
    which is told."""
    found = answering(contact)
    if isinstance(found, Found) and not found.report.majority:
        complain("no node that answers is in touch with a majority; nothing can be changed now")
        return Exit.UNREACHABLE
    return found


def first_to_take(clients: Sequence[ApiClient], ask: Callable[[ApiClient], Answer]) -> Answer:
    """Hand something to the first node that takes it. Another is tried only after one that cannot
    have seen it. Raises what `ask` raises."""
    for client in clients[:-1]:
        try:
            return ask(client)
        except Unreachable as error:
            if error.sent:
                raise
    return ask(clients[-1])


def to_its_end(act: Callable[[], Exit], what: str, where: str) -> Exit:
    """Do it; what to say, and the exit code, if it cannot be seen to its end. `what` was asked
    for, and `where` shows what became of it."""
    try:
        return act()
    except Unsettled as error:
        complain(f"outcome unknown: {error}; {what} may have been accepted: see {where}")
        return Exit.UNKNOWN
    except Refused as error:
        complain(told(error))
        return Exit.REFUSED
    except Unreachable as error:
        complain(str(error))
        if not error.sent:
            return Exit.UNREACHABLE
        complain(f"{what} may have been accepted: see {where}")
        return Exit.UNKNOWN
    except KeyboardInterrupt:
        complain(f"\nno longer watched; it goes on in the cluster: see {where}")
        return Exit.UNKNOWN


def told(error: Refused) -> str:
    """What a node has refused, and where the password would stand."""
    if error.status != HTTPStatus.UNAUTHORIZED:
        return str(error)
    return f"{error}: use a node's file with -c FILE, or http://NAME:PASSWORD@HOST:PORT with --url"


def complain(message: str) -> None:
    """Say on the error output what went wrong."""
    click.secho(message, fg="red", err=True)
