"""The text of pg_hba.conf and of the user name map beside it. PURE.

The agent comes in by the first line: over the Unix socket, recognised by the kernel (`peer`), its
system user mapped to the superuser. That needs no password, so that the agent can still get in to
repair one that was changed, and it works whatever the system user is called. PostgreSQL trusts
nobody on the word of an unprotected socket: every other line wants SCRAM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from raftha.errors import Problem
from raftha.model.settings import Authentication

MAP: Final = "raftha"
CLOSED: Final = "# Closed: nobody comes in but the agent and the standbys' streams."
DEFAULT_LINES: Final = ("host all all all scram-sha-256",)


def render(authentication: Authentication, lines: Sequence[str], *, closed: bool) -> str:
    """pg_hba.conf; `lines` are the user's (none: the default).

    `closed`: no session but the agent's. The members' streams come in all the same, for a primary
    stays closed until its synchronous standby is back (R20).
    """
    superuser = quote(authentication.superuser.username)
    agent = (
        f"local all {superuser} peer map={MAP}",
        f"local replication {superuser} peer map={MAP}",
    )
    replication = quote(authentication.replication.username)
    streams = (f"host replication {replication} all scram-sha-256",)
    if closed:
        everybody = ("all all", "replication all")
        rejected = tuple(f"local {who} reject" for who in everybody)
        rejected += tuple(f"host {who} all reject" for who in everybody)
        return _text((*agent, *streams, *rejected, CLOSED))
    rewind = (f"host all {quote(authentication.rewind.username)} all scram-sha-256",)
    local = ("local all all scram-sha-256",)
    return _text((*agent, *streams, *rewind, *(lines or DEFAULT_LINES), *local))


def is_closed(text: str) -> bool:
    """This is what `render` made to keep everybody out."""
    return CLOSED in text.splitlines()


def render_map(system_user: str, superuser: str, original: str = "") -> str:
    """pg_ident.conf: the agent's line, then what the cluster had of its own."""
    return _text((f"{MAP} {quote(system_user)} {quote(superuser)}",)) + original


def quote(name: str) -> str:
    """A name that is taken literally, whatever it spells. Raises ValueError for a line break."""
    if any(letter in name for letter in "\n\r\0"):
        raise ValueError(f"not a name for pg_hba.conf: {name!r}")
    return '"' + name.replace('"', '""') + '"'


def problems(lines: Sequence[str]) -> tuple[Problem, ...]:
    """What is wrong with a user's lines: only what would damage the lines around them."""
    return tuple(
        Problem(f"postgresql.pg_hba[{index}]", "one line is one entry", "split it in two entries")
        for index, line in enumerate(lines)
        if any(letter in line for letter in "\n\r\0") or line.rstrip().endswith("\\")
    )


def _text(lines: Sequence[str]) -> str:
    return "# Written by raftha: changes made here are lost.\n" + "".join(
        f"{line}\n" for line in lines
    )
