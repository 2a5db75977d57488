"""Whether the users of PostgreSQL can log in from here as a node's file says: their certificates,
and what libpq takes. Told before anybody waits for a stream that never comes."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from raftha.account import own_name
from raftha.clock import Clock
from raftha.errors import CommandFailed, ConfigError, Problem
from raftha.model.postgres import Binaries
from raftha.model.settings import Authentication, Credentials
from raftha.pg import argv
from raftha.pg.run import run

PREFIX: Final = "postgresql.authentication"
_USERS: Final = ("superuser", "replication", "rewind")
_TRY_S: Final = 10.0
_REFUSED: Final = ("invalid", "not compiled in", "may not be used", "unsupported")
"""In what libpq says of parameters, before it looks for a server."""


def refused(
    authentication: Authentication, binaries: Binaries, clock: Clock
) -> tuple[Problem, ...]:
    """What keeps the users from logging in elsewhere; empty where that cannot be told from here."""
    problems: list[Problem] = []
    for number, (name, who) in enumerate(zip(_USERS, authentication.users, strict=True)):
        if not who.options or who in authentication.users[:number]:
            continue
        where = f"{PREFIX}.{name}"
        problems += [*_files(who, where)] or _refused_by_libpq(who, where, binaries, clock)
    return tuple(problems)


def require_logins(
    authentication: Authentication, binaries: Callable[[], Binaries], clock: Clock
) -> None:
    """Raises ConfigError with what `refused` finds; where nothing is to be tried, `binaries` is not
    asked for."""
    if any(who.options for who in authentication.users):
        problems = refused(authentication, binaries(), clock)
        if problems:
            raise ConfigError(problems)


def _files(who: Credentials, where: str) -> Iterator[Problem]:
    unreadable = [*_unreadable(who, where)]
    yield from unreadable
    if unreadable:
        return
    root = who.options.get("sslrootcert")
    if root is not None and Path(root).is_absolute():
        yield from _not_loaded(f"{where}.sslrootcert", root)
    if "sslcert" in who.options and "sslkey" in who.options:
        yield from _bad_key(who, where)


def _unreadable(who: Credentials, where: str) -> Iterator[Problem]:
    for option in ("sslcert", "sslkey", "sslrootcert", "sslcrl", "sslcrldir"):
        path = Path(who.options.get(option, ""))
        if not path.is_absolute():
            continue  # not given, or a word
        try:
            if option == "sslcrldir":
                os.listdir(path)
            else:
                path.open("rb").close()
        except OSError as error:
            what = f"{path} cannot be read by user {own_name()}: {error.strerror}"
            remedy = f"put it there, and give it to {own_name()}"
            yield Problem(f"{where}.{option}", what, remedy)


def _bad_key(who: Credentials, where: str) -> Iterator[Problem]:
    key = Path(who.options["sslkey"])
    found = key.stat()
    shared = stat.S_IRWXG | stat.S_IRWXO
    if found.st_uid == 0 and os.geteuid() != 0:
        shared = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
    if found.st_mode & shared:
        what = f"{key} can be read or written by others, and libpq refuses such a key"
        remedy = f"chmod 600 {key} (640 where it belongs to root)"
        yield Problem(f"{where}.sslkey", what, remedy)
        return
    yield from _not_together(who, where)


def _not_together(who: Credentials, where: str) -> Iterator[Problem]:
    asked: list[bool] = []

    def password() -> str:
        """Asked for an encrypted key alone; without this OpenSSL would ask on the terminal."""
        asked.append(True)
        return "" if who.key_password is None else who.key_password.reveal()

    certificate, key = who.options["sslcert"], who.options["sslkey"]
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password)
    except (OSError, ValueError) as error:  # ssl.SSLError is one; ValueError: 1024 bytes at most
        if asked and getattr(error, "reason", None) is None:
            what = f"does not open {key}" if who.key_password else f"is missing: {key} is encrypted"
            remedy = "give the password of that key, or a key without one"
            yield Problem(f"{where}.sslpassword", what, remedy)
            return
        what = f"{certificate} and {key} are no certificate with its key: {_said(error)}"
        yield Problem(f"{where}.sslcert", what, "both are PEM files, and the key that of the other")


def _not_loaded(where: str, root: str) -> Iterator[Problem]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(root)
    except OSError as error:
        what = f"{root} holds no certificate: {_said(error)}"
        yield Problem(where, what, "name the PEM file of the authority")


def _said(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error).lower().replace("_", " ")


def _refused_by_libpq(
    who: Credentials, where: str, binaries: Binaries, clock: Clock
) -> Iterator[Problem]:
    """A connection to where no server is fails in any case; what is of note is how."""
    try:
        run(argv.try_connection(binaries, who.options), clock=clock, timeout=_TRY_S)
    except CommandFailed as error:
        said = str(error).splitlines()[-1].partition("error: ")[2]
        if not any(word in said for word in _REFUSED):
            return
        option = next((o for o in who.options if o in said), "")
        place = f"{where}.{option}".rstrip(".")
        what = f"libpq of PostgreSQL {binaries.version} says: {said}"
        yield Problem(place, what, "correct it, or install a release that knows it")
