"""The TLS contexts of a node's Raft links, made anew when their files change.

What a peer would refuse is refused here first, and in words: at each load the certificate goes
through a handshake with itself in memory, so its chain, its key, its uses and its names are checked
by the same code that the peers run. Only the dates are left out, for two reasons: a clock that is
wrong at boot must not keep a node down, and a certificate that has run out is replaced while the
node runs.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from raftha.instants import in_days
from raftha.model.settings import TlsFiles

WARN_BEFORE_S: Final = 30 * 86400.0
_IGNORE_DATES: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL; the ssl module has no name for it."""
_FLIGHTS: Final = 4

Signature = tuple[tuple[int, int, int], ...]


class CertificateError(Exception):
    """The files cannot be used, for this reason."""


class Credentials(Struct, frozen=True, kw_only=True):
    """Contexts for both ends of a link; who the certificate is for; when it can be used, in Unix
    time: the narrowest of the certificate's own dates and its authority's."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    names: frozenset[str]
    begins: float
    ends: float


def signature_of(files: TlsFiles) -> Signature:
    """What changes when a file does. Raises OSError."""
    found = [path.stat() for path in _paths(files)]
    return tuple((stat.st_ino, stat.st_size, stat.st_ctime_ns) for stat in found)


def load_credentials(files: TlsFiles, name: str) -> Credentials:
    """Read and check the files of the node of this name. Raises CertificateError."""
    server = _context(ssl.PROTOCOL_TLS_SERVER, files)
    server.num_tickets = 0  # every link is greeted in full
    client = _context(ssl.PROTOCOL_TLS_CLIENT, files)
    certificate = _greet_oneself(files)
    names = names_in(certificate)
    if name.casefold() not in names:
        raise CertificateError(
            f"{files.certfile} names {', '.join(sorted(names)) or 'nobody'}, not {name}: a "
            "certificate of a node must carry the node's name as its common name or as a DNS name"
        )
    dated = [certificate, *server.get_ca_certs()]
    return Credentials(
        server=server,
        client=client,
        names=frozenset(names),
        begins=max(ssl.cert_time_to_seconds(str(each["notBefore"])) for each in dated),
        ends=min(ssl.cert_time_to_seconds(str(each["notAfter"])) for each in dated),
    )


def names_in(certificate: Mapping[str, Any]) -> set[str]:
    """The common name and the DNS names, in lower case. Addresses say where a node is, not who."""
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    names = {value for kind, value in subject if kind == "commonName"}
    names |= {value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}
    return {str(name).casefold() for name in names}


def date_problem(credentials: Credentials, wall: float) -> str | None:
    """What is wrong, or soon will be, with the dates; `wall` is Unix time."""
    if wall < credentials.begins:
        return "this node's certificate is not valid yet: check its dates and this host's clock"
    left = credentials.ends - wall
    if left <= 0:
        return (
            "this node's certificate, or its authority's, has expired: no new link is possible; "
            "put a new one in its place"
        )
    if left <= WARN_BEFORE_S:
        return (
            f"this node's certificate, or its authority's, expires in {in_days(left)}: "
            "put a new one in its place, it is read without a restart"
        )
    return None


def _context(protocol: Any, files: TlsFiles, *, ignore_dates: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    if ignore_dates:
        context.verify_flags |= _IGNORE_DATES
    for path in _paths(files):
        _must_be_readable(path)
    try:
        context.load_verify_locations(files.cafile)
    except OSError as error:
        raise CertificateError(f"{files.cafile} holds no certificate: {_said(error)}") from error
    asked: list[bool] = []

    def password() -> str:
        """Asked for an encrypted key alone; without this OpenSSL would ask on the terminal."""
        asked.append(True)
        return "" if files.password is None else files.password.reveal()

    try:
        context.load_cert_chain(files.certfile, files.keyfile, password=password)
    except (OSError, ValueError) as error:  # ValueError: a password has 1024 bytes at most
        if asked and getattr(error, "reason", None) is None:
            raise CertificateError(_closed(files)) from error
        raise CertificateError(
            f"{files.certfile} and {files.keyfile} are no certificate with its key: {_said(error)}"
        ) from error
    return context


def _closed(files: TlsFiles) -> str:
    """What to say of a key that stays encrypted."""
    if files.password is None:
        return f"{files.keyfile} is encrypted: write its password in raft.keyfile_password"
    return (
        f"raft.keyfile_password does not open {files.keyfile}: write the password that this key "
        f"was encrypted with (openssl pkey -noout -in {files.keyfile} tries one)"
    )


def _greet_oneself(files: TlsFiles) -> dict[str, Any]:
    """The certificate as a peer sees it. Raises CertificateError if a peer would refuse it."""
    client = _context(ssl.PROTOCOL_TLS_CLIENT, files, ignore_dates=True)
    server = _context(ssl.PROTOCOL_TLS_SERVER, files, ignore_dates=True)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(_FLIGHTS):
        for end in ends:
            _advance(end, files)
    return dict(ends[0].getpeercert() or {})


def _advance(end: ssl.SSLObject, files: TlsFiles) -> None:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return
    except ssl.SSLError as error:
        raise CertificateError(
            f"other nodes would refuse {files.certfile}: {_said(error)}; is it signed by an "
            f"authority in {files.cafile}, for servers and clients?"
        ) from error


def _must_be_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from error


def _said(error: Exception) -> str:
    names = ("verify_message", "reason", "strerror")
    return str(next(filter(None, (getattr(error, name, None) for name in names)), error))


def _paths(files: TlsFiles) -> tuple[Path, Path, Path]:
    return files.cafile, files.certfile, files.keyfile
