"""`raftha reload`: the members read their files again."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus

import click

from raftha.api.client import ApiClient, Refused
from raftha.cli.discover import Contact
from raftha.cli.exits import Exit
from raftha.cli.handing import agreed, answering, complain, need_consent, to_its_end, told
from raftha.cli.restart import NoChoice, Wish, chosen, member_of


def reload(contact: Contact, wish: Wish) -> Exit:
    """Have the members read their files again, which takes no majority."""
    need_consent(wish.yes)
    found = answering(contact)
    if isinstance(found, Exit):
        return found
    try:
        names = chosen(found.report, wish)
    except NoChoice as error:
        complain(str(error))
        return Exit.REFUSED
    if not names:
        click.echo("No member is meant.")
        return Exit.DONE
    if not agreed(wish.yes, f"Reload {', '.join(names)}?"):
        return Exit.REFUSED
    worst = Exit.DONE
    unknown: dict[str, Refused] = {}
    for name in names:
        client = contact.client(member_of(found.report, name).api_url)
        act = partial(_reload, client, name, unknown)
        worst = max(worst, to_its_end(act, "the reload", "its log"))
    if unknown:
        why = told(next(iter(unknown.values())))
        complain(
            f"{', '.join(unknown)}: {why}; where the agent has not yet read that its password is "
            "another one: systemctl reload raftha"
        )
    return worst


def _reload(client: ApiClient, name: str, unknown: dict[str, Refused]) -> Exit:
    """Those who refuse the password are told of once for all."""
    try:
        click.secho(f"{name}: {client.reload()}", fg="green")
    except Refused as error:
        if error.status != HTTPStatus.UNAUTHORIZED:
            raise
        unknown[name] = error
        return Exit.REFUSED
    return Exit.DONE
