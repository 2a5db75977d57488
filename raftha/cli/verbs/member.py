"""`raftha member`: its commands and their options."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from raftha.cli.exits import Exit
from raftha.cli.verbs.options import dry_run_option, operation_options, output_option, watch_option
from raftha.cli.where import Where, contact_of

if TYPE_CHECKING:
    from raftha.cli.discover import Contact


@click.group()
def member() -> None:
    """See who votes; add, remove or replace a node."""


@member.command("list")
@output_option
@watch_option
@click.pass_context
def member_list(context: click.Context, /, output: str, watch: float | None, **where: Any) -> None:
    """Show who votes, who does not, and what was wished last."""
    from raftha.cli import member as work
    from raftha.cli import show

    contact = contact_of(context, Where(**where))
    context.exit(show.shown(lambda: work.show(contact, output), watch, Event().wait))


@member.command("add")
@operation_options
@dry_run_option
@click.argument("name")
@click.argument("address")
@click.pass_context
def member_add(
    context: click.Context,
    /,
    name: str,
    address: str,
    yes: bool,
    wait: bool,
    dry_run: bool,
    **where: Any,
) -> None:
    """Give a running node a vote; ADDRESS is its raft.self_addr."""
    wish = _MemberWish("add", name, address, yes, wait, dry_run)
    context.exit(_change_member(contact_of(context, Where(**where)), wish))


@member.command("remove")
@operation_options
@dry_run_option
@click.argument("name")
@click.pass_context
def member_remove(
    context: click.Context, /, name: str, yes: bool, wait: bool, dry_run: bool, **where: Any
) -> None:
    """Take a node out of the cluster, with all that is kept for it."""
    wish = _MemberWish("remove", name, None, yes, wait, dry_run)
    context.exit(_change_member(contact_of(context, Where(**where)), wish))


@member.command("replace")
@operation_options
@dry_run_option
@click.argument("name")
@click.argument("address", required=False)
@click.pass_context
def member_replace(
    context: click.Context,
    /,
    name: str,
    address: str | None,
    yes: bool,
    wait: bool,
    dry_run: bool,
    **where: Any,
) -> None:
    """Give the vote of a dead node to a new one of its name.

    ADDRESS is the new node's raft.self_addr, if that is another than before.
    """
    wish = _MemberWish("replace", name, address, yes, wait, dry_run)
    context.exit(_change_member(contact_of(context, Where(**where)), wish))


class _MemberWish(Struct, frozen=True):
    verb: str
    name: str
    address: str | None
    yes: bool
    wait: bool
    dry_run: bool


def _change_member(contact: Contact, wish: _MemberWish) -> Exit:
    from raftha.cli import member as work
    from raftha.clock import SystemClock
    from raftha.model.membership import MemberVerb

    asked = work.request(MemberVerb(wish.verb), wish.name, wish.address, dry_run=wish.dry_run)
    clock, wait = SystemClock(), Event().wait
    return work.change(contact, asked, yes=wish.yes, waiting=wish.wait, clock=clock, wait=wait)
