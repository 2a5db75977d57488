"""TLS contexts of both ends of the HTTP interface."""

from __future__ import annotations

import ssl

from raftha.errors import RafthaError
from raftha.model.settings import TlsFiles


class TlsError(RafthaError):
    """A certificate, key or authority cannot be used."""


def server_context(files: TlsFiles, verify_client: bool) -> ssl.SSLContext:
    """The context of a listener. Raises TlsError.

    A client certificate is asked for but not demanded: load balancers have none. One that is shown
    must be signed by the authority, else the handshake fails.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, files)
    context.verify_mode = ssl.CERT_OPTIONAL if verify_client else ssl.CERT_NONE
    return context


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
    try:
        context.load_cert_chain(files.certfile, files.keyfile)
        context.load_verify_locations(files.cafile)
    except OSError as error:  # ssl.SSLError is one
        raise TlsError(
            f"cannot use {files.certfile}, {files.keyfile} and {files.cafile}: {error}; they must "
            "be PEM files that this user can read, and the key that of the certificate"
        ) from error
