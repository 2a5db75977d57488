"""TLS contexts of both ends of the HTTP interface."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final

from raftha.account import own_name
from raftha.clock import Clock
from raftha.errors import RafthaError
from raftha.instants import Seconds, longest
from raftha.logs import event
from raftha.model.settings import TlsFiles, VerifyClient

LOG = logging.getLogger(__name__)

LOOK_S: Final = Seconds(1.0)
"""How long a certificate is used without a look at its files."""

_IGNORE_DATES: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL; the ssl module has no name for it."""

_FLIGHTS: Final = 4
_VERIFY: Final = {
    VerifyClient.NONE: ssl.CERT_NONE,
    VerifyClient.OPTIONAL: ssl.CERT_OPTIONAL,
    VerifyClient.REQUIRED: ssl.CERT_REQUIRED,
}


class TlsError(RafthaError):
    """A certificate, key or authority cannot be used."""


def server_context(files: TlsFiles, verify: VerifyClient, ciphers: str = "") -> ssl.SSLContext:
    """The context of a listener; no `ciphers` leaves those of TLS 1.2 to OpenSSL. Raises TlsError.

    With `optional` a client certificate is asked for but not demanded: load balancers have none.
    One that is shown must be signed by the authority, else the handshake fails.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, files)
    context.verify_mode = _VERIFY[verify]
    if ciphers:
        _limit(context, ciphers)
    return context


class Fresh:
    """The context of a listener, made anew when one of its files has changed."""

    def __init__(
        self, files: TlsFiles, verify: VerifyClient, clock: Clock, ciphers: str = ""
    ) -> None:
        """Raises TlsError."""
        self._files = files
        self._verify = verify
        self._ciphers = ciphers
        self._clock = clock
        self._lock = Lock()
        self._looked = clock.now()
        self._marks = _marks(files)
        self._context = server_context(files, verify, ciphers)

    def context(self) -> ssl.SSLContext:
        """What a new connection is to use. Files that cannot be used change nothing."""
        with self._lock:
            now = self._clock.now()
            if longest(self._looked, now) >= LOOK_S:
                self._looked = now
                self._look()
            return self._context

    @property
    def trust(self) -> tuple[Path, VerifyClient]:
        """Whose certificates count, and whether one is asked for."""
        with self._lock:
            return self._files.cafile, self._verify

    def change(self, files: TlsFiles, verify: VerifyClient, ciphers: str) -> None:
        """Use these from now on. Raises TlsError if they cannot be used, and nothing has changed
        then."""
        with self._lock:
            marks = _marks(files)
            self._context = server_context(files, verify, ciphers)
            self._files, self._verify, self._ciphers, self._marks = files, verify, ciphers, marks

    def _look(self) -> None:
        marks = _marks(self._files)
        if marks == self._marks:
            return
        self._marks = marks
        try:
            self._context = server_context(self._files, self._verify, self._ciphers)
        except TlsError as error:
            event(LOG, logging.ERROR, "new certificate refused, the old one stays", why=str(error))
        else:
            event(LOG, logging.INFO, "certificate read anew", file=str(self._files.certfile))


def _marks(files: TlsFiles) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(_mark(path) for path in (files.cafile, files.certfile, files.keyfile))


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def dates(files: TlsFiles) -> tuple[float, float]:
    """From when to when a certificate is good, in Unix time. Raises TlsError, also if it is not one
    that a client could accept, whatever its dates say."""
    seen = client_context(files, verify=True)
    seen.check_hostname = False
    seen.verify_flags |= _IGNORE_DATES
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context(files, VerifyClient.NONE).wrap_bio(
        to_server, to_client, server_side=True
    )
    client = seen.wrap_bio(to_client, to_server)
    try:
        for end in (client, server) * _FLIGHTS:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
        certificate: Mapping[str, Any] = client.getpeercert() or {}
        begins, ends = (str(certificate[key]) for key in ("notBefore", "notAfter"))
    except (OSError, KeyError, ValueError) as error:
        raise TlsError(f"no client would accept {files.certfile}: {error}") from error
    return ssl.cert_time_to_seconds(begins), ssl.cert_time_to_seconds(ends)


def client_context(files: TlsFiles | None, verify: bool) -> ssl.SSLContext:
    """The context of a caller: shows our certificate and checks the other's, against our authority
    or, without files, against the system's. `verify` false accepts anybody. Raises TlsError."""
    context = ssl.create_default_context()
    if files is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load(context, files)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    asked: list[bool] = []

    def password() -> str:
        """Asked for an encrypted key alone; without this OpenSSL would ask on the terminal."""
        asked.append(True)
        return "" if files.password is None else files.password.reveal()

    paths = dict.fromkeys((files.certfile, files.keyfile, files.cafile))
    if unreadable := [why for path in paths if (why := _unreadable(path))]:
        raise TlsError("; ".join(unreadable))
    try:
        context.load_cert_chain(files.certfile, files.keyfile, password=password)
        context.load_verify_locations(files.cafile)
    except (OSError, ValueError) as error:  # ssl.SSLError is one; ValueError: 1024 bytes at most
        closed = bool(asked) and getattr(error, "reason", None) is None
        raise TlsError(_closed(files) if closed else _unusable(files, error)) from error


def _closed(files: TlsFiles) -> str:
    """What to say of a key that stays encrypted."""
    if files.password is None:
        return (
            f"{files.keyfile} is encrypted and no password is given: write it in "
            "keyfile_password beside it, or use a key without one"
        )
    return (
        f"keyfile_password does not open {files.keyfile}: write the password that this key "
        f"was encrypted with (openssl pkey -noout -in {files.keyfile} tries one)"
    )


def _unusable(files: TlsFiles, error: Exception) -> str:
    why = (getattr(error, "reason", None) or str(error)).lower().replace("_", " ")
    return (
        f"cannot use {files.certfile}, {files.keyfile} and {files.cafile}: {why}; they must be PEM "
        "files, and the key that of the certificate"
    )


def _limit(context: ssl.SSLContext, ciphers: str) -> None:
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError as error:
        raise TlsError(f"restapi.ciphers: OpenSSL has none of {ciphers!r}: {error}") from error


def _unreadable(path: Path) -> str | None:
    try:
        with path.open("rb"):
            return None
    except OSError as error:
        return f"{path} cannot be read by user {own_name()}: {error.strerror}"
