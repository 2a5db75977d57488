"""Connection strings of libpq, and the files beside them that keep passwords out of them. PURE."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from raftha.model.postgres import Upstream
from raftha.model.settings import Credentials

KEY_PASSWORD: Final = "sslpassword"
"""The parameter for which libpq has neither a file of its own nor a variable."""


def conninfo(parameters: Mapping[str, str]) -> str:
    """A connection string of libpq: every value is quoted. Raises ValueError for a NUL."""
    if any("\0" in value for value in parameters.values()):
        raise ValueError("a connection string cannot hold a NUL character")
    escaped = {
        name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in parameters.items()
    }
    return " ".join(f"{name}='{value}'" for name, value in escaped.items())


def connection(
    upstream: Upstream, who: Credentials, passfile: Path, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """libpq parameters to reach an upstream. The password stays in `passfile`; that of a key is
    among them, and leaves this process by `handed_out` alone."""
    key_password = {} if who.key_password is None else {KEY_PASSWORD: who.key_password.reveal()}
    return {
        "host": upstream.address.host,
        "port": str(upstream.address.port),
        "user": who.username,
        "passfile": str(passfile),
        "application_name": upstream.application_name,
        "connect_timeout": "5",
        "gssencmode": "disable",  # asking a KDC that nobody configured costs seconds
        # The kernel's own two hours would let a copy or a stream hang on a peer that was cut off.
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "tcp_user_timeout": "15000",
        **who.options,
        **key_password,
        **(extra or {}),
    }


def handed_out(parameters: Mapping[str, str]) -> str:
    """The connection string for a program's arguments or a server's settings, which others may see:
    in the place of a key's password it names the entry of the service file that has it."""
    shown = {name: value for name, value in parameters.items() if name != KEY_PASSWORD}
    if KEY_PASSWORD in parameters:
        shown["service"] = _service_of(parameters["sslkey"])
    return conninfo(shown)


def services(users: Iterable[Credentials]) -> str:
    """A service file of libpq with the passwords of keys; empty if no key has one."""
    entries = (
        f"[{_service_of(who.options['sslkey'])}]\n{KEY_PASSWORD}={who.key_password.reveal()}\n"
        for who in users
        if who.key_password is not None
    )
    return "".join(dict.fromkeys(entries))


def _service_of(key: str) -> str:
    return "raftha-" + hashlib.sha256(key.encode()).hexdigest()[:16]


def pgpass(logins: Iterable[tuple[str, str]]) -> str:
    """A password file that answers for (user, password) at every host. Raises ValueError."""
    lines = []
    for user, password in logins:
        if any(letter in user + password for letter in "\n\r\0"):
            raise ValueError(f"the name or password of {user!r} holds a line break or a NUL")
        escaped = (text.replace("\\", "\\\\").replace(":", "\\:") for text in (user, password))
        lines.append("*:*:*:" + ":".join(escaped) + "\n")
    return "".join(dict.fromkeys(lines))
