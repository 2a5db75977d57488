"""The text of pg_hba.conf and of the user name map beside it. PURE.

The agent comes in by the first line: over the Unix socket, recognised by the kernel (`peer`), its
system user mapped to the superuser. That needs no password, so that the agent can still get in to
repair one that was changed, and it works whatever the system user is called. PostgreSQL trusts
nobody on the word of an unprotected socket: every other line wants SCRAM, or a certificate of users
that have no password. Where a user of ours never connects without TLS, nobody does in its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Final

from raftha.errors import Problem
from raftha.model.settings import Authentication, Credentials

MAP: Final = "raftha"
CERTIFICATES: Final = "raftha-tls"
"""The map of the common names of certificates, for users that log in by one alone."""
CLOSED: Final = "# Closed: nobody comes in but the agent and the standbys' streams."
DEFAULT_LINES: Final = ("host all all all scram-sha-256",)

METHODS: Final = frozenset(
    {
        "bsd",
        "cert",
        "gss",
        "ident",
        "ldap",
        "md5",
        "oauth",
        "pam",
        "password",
        "peer",
        "radius",
        "reject",
        "scram-sha-256",
        "sspi",
        "trust",
    }
)
_OVER_NETWORK: Final = ("host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc")
_DATABASES: Final = ("replication", "postgres", "all")
"""In which the users of ours log in."""
_INCLUDES: Final = ("include", "include_if_exists", "include_dir")
_FIELD: Final = re.compile(r'(?:"[^"]*"|[^\s",#])+(?:\s*,\s*(?:"[^"]*"|[^\s",#])+)*')
"""Names with commas between them are one field."""


def render(
    authentication: Authentication, lines: Sequence[str], *, closed: bool, logical: bool = False
) -> str:
    """pg_hba.conf; `lines` are the user's (none: the default).

    `closed`: no session but the agent's. The members' streams come in all the same, for a primary
    stays closed until its synchronous standby is back (R20). `logical`: standbys read the logical
    slots, in an ordinary database.
    """
    superuser = quote(authentication.superuser.username)
    agent = (
        f"local all {superuser} peer map={MAP}",
        f"local replication {superuser} peer map={MAP}",
    )
    streams = _entries("replication", authentication.replication, lines)
    if closed:
        everybody = ("all all", "replication all")
        rejected = tuple(f"local {who} reject" for who in everybody)
        rejected += tuple(f"host {who} all reject" for who in everybody)
        return _text((*agent, *streams, *rejected, CLOSED))
    rewind = _entries("all", authentication.rewind, lines)
    local = ("local all all scram-sha-256",)
    slots = _entries("postgres", authentication.replication, lines) if logical else ()
    plain = _without_tls(authentication, lines)
    return _text((*agent, *streams, *slots, *rewind, *plain, *(lines or DEFAULT_LINES), *local))


def _entries(database: str, who: Credentials, lines: Sequence[str]) -> tuple[str, ...]:
    """How a user of ours is let in. For one without a password the lines of a user that name it, or
    the streams, stand before ours: they may know it by something else than its name."""
    named = tuple(line for line in lines if _is_about(line, database, who.username))
    if who.password is None and named:
        return named
    if who.uses_gss:
        return ()
    kind = "hostssl" if who.needs_tls or who.has_only_certificate else "host"
    method = f"cert map={CERTIFICATES}" if who.has_only_certificate else "scram-sha-256"
    return (f"{kind} {database} {quote(who.username)} all {method}",)


def _without_tls(authentication: Authentication, lines: Sequence[str]) -> tuple[str, ...]:
    """What keeps out who comes without TLS in the name of a user of ours that never does: the lines
    of users, and ours for everybody, may ask for a password alone."""
    names = dict.fromkeys(
        who.username for who in (authentication.replication, authentication.rewind)
    )
    return tuple(
        f"hostnossl all,replication {quote(name)} all reject"
        for name in names
        if all(_never_plain(who, lines) for who in authentication.users if who.username == name)
    )


def _never_plain(who: Credentials, lines: Sequence[str]) -> bool:
    """It has lines of ours, and all of them want TLS."""
    wants_tls = who.needs_tls or who.has_only_certificate
    named = any(_is_about(line, what, who.username) for line in lines for what in _DATABASES)
    return wants_tls and not who.uses_gss and not (who.password is None and named)


def _is_about(line: str, database: str, role: str) -> bool:
    fields = _fields(line)
    if len(fields) < 3 or fields[0] not in _OVER_NETWORK:
        return False
    databases, roles = (re.split(r"\s*,\s*", field) for field in fields[1:3])
    names_role = role in roles or quote(role) in roles
    if database == "replication":
        return database in databases and (names_role or "all" in roles)
    return names_role and (database in databases or "all" in databases)


def is_closed(text: str) -> bool:
    """This is what `render` made to keep everybody out."""
    return CLOSED in text.splitlines()


def render_map(
    system_user: str,
    users: Sequence[Credentials],
    original: str = "",
    lines: Sequence[str] = (),
) -> str:
    """pg_ident.conf: the agent's line, those of users that only a certificate names, then the
    user's, else what the cluster had of its own."""
    certified = dict.fromkeys(quote(who.username) for who in users if who.has_only_certificate)
    own = (
        f"{MAP} {quote(system_user)} {quote(users[0].username)}",
        *(f"{CERTIFICATES} {name} {name}" for name in certified),
    )
    return _text((*own, *lines)) + ("" if lines else original)


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


def unreadable(lines: Sequence[str]) -> tuple[Problem, ...]:
    """The user's lines that no PostgreSQL would read. It goes on with the lines it had, and does
    not start with such a file; names of databases, roles and options are not looked into."""
    found = ((index, _why_unreadable(line)) for index, line in enumerate(lines))
    return tuple(
        Problem(f"postgresql.pg_hba[{index}]", f"{why}: {lines[index][:80]!r}")
        for index, why in found
        if why
    )


def unreadable_map(lines: Sequence[str]) -> tuple[Problem, ...]:
    """The same for lines of pg_ident.conf."""
    return tuple(
        Problem(
            f"postgresql.pg_ident[{index}]",
            f"needs a map, a system user and a role: {line[:80]!r}",
        )
        for index, line in enumerate(lines)
        if len(fields := _fields(line)) not in (0, 3) and fields[0] not in _INCLUDES
    )


def _fields(line: str) -> list[str]:
    return _FIELD.findall(line.partition("#")[0] if '"' not in line else line)


def _why_unreadable(line: str) -> str:
    fields = _fields(line)
    if not fields or (fields[0] in _INCLUDES and len(fields) == 2):
        return ""
    if fields[0] == "local":
        return _wrong_method(fields[3:], over_network=False)
    if fields[0] not in _OVER_NETWORK:
        return f"{fields[0]!r} is no type of connection"
    if len(fields) < 5:
        return "needs a database, a role, an address and a method"
    rest = fields[4:]
    address = fields[3].strip('"')
    if _is_ip(address):
        if not _is_ip(rest[0]):
            return f"the address {address} needs a mask, such as {address}/32"
        rest = rest[1:]
    elif "/" in address and not _is_network(address):
        return f"{address!r} is no network"
    return _wrong_method(rest, over_network=True)


def _wrong_method(rest: Sequence[str], *, over_network: bool) -> str:
    if not rest:
        return "the method is missing"
    method, options = rest[0].strip('"'), rest[1:]
    if method not in METHODS:
        return f"{method!r} is no method"
    if over_network and method == "peer":
        return "peer is for local connections"
    if not over_network and method in ("gss", "cert", "sspi"):
        return f"{method} is for connections over a network"
    odd = next((option for option in options if "=" not in option), None)
    return "" if odd is None else f"{odd!r} is no option, which are written name=value"


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _text(lines: Sequence[str]) -> str:
    return "# Written by raftha: changes made here are lost.\n" + "".join(
        f"{line}\n" for line in lines
    )
