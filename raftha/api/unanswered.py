"""Why an exchange over HTTP came to nothing, in words for an operator."""

from __future__ import annotations

import http.client
import ssl
from typing import Final

_PLAIN: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")
"""What OpenSSL calls an answer that is no TLS."""
_BROKEN_OFF: Final = (
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ConnectionResetError,
    BrokenPipeError,
)
"""The third is also what comes of an end where an answer should begin."""


def reason(error: OSError | http.client.HTTPException, *, over_tls: bool) -> str:
    """What became of a connection, or of what was asked through it."""
    if isinstance(error, _BROKEN_OFF) and over_tls:
        return "it broke off the TLS connection: does it accept the certificate shown, if any?"
    if isinstance(error, _BROKEN_OFF):
        return "it closed the connection without an answer: is this restapi's port, and no https?"
    if isinstance(error, ssl.SSLError):
        return _of_tls(error)
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return str(error) or type(error).__name__


def _of_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if error.reason in _PLAIN:
        return "it does not speak TLS: is this restapi's port, and http:// without an s?"
    alert = (error.reason or "").lower().partition("_alert_")[2]
    if alert:
        return f"it does not accept the certificate shown: {alert.replace('_', ' ')}"
    return f"no TLS with it: {(error.reason or str(error)).lower().replace('_', ' ')}"
