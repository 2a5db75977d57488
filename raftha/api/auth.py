"""Who may ask for changes, and look into the store. All other reading is open, as in Patroni,
unless `restapi.authenticate_reads` is on.

PURE. A change needs all that is configured, as in Patroni: a certificate of the authority where
`restapi.verify_client` asks for one, and the name and password where there are any. With neither it
is refused off the loopback interface, unless `restapi.allowlist` names those who may. For reading
one of the two is enough: balancers have no more, and nothing is changed by it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from ipaddress import IPv6Address, ip_address

from msgspec import Struct

from raftha.api.reply import Reply, refusal
from raftha.model.settings import BasicAuth, RestConfig, VerifyClient


class Caller(Struct, frozen=True, kw_only=True):
    """Whom a request came from: its address, `Authorization` header, and whether TLS verified a
    certificate of it."""

    address: str
    authorization: str | None
    verified: bool


def objection(config: RestConfig, caller: Caller, act: str = "this change") -> Reply | None:
    """Why this caller may not do what only the operators may; None if it may."""
    wants_certificate = config.verify_client is not VerifyClient.NONE
    if wants_certificate and not caller.verified:
        return _no_certificate(config, act)
    if config.authentication is not None:
        return _wrong_credentials(config.authentication, caller.authorization, act)
    if wants_certificate or is_loopback(caller.address) or config.is_limited:
        return None
    return refusal(
        403,
        f"{act} is accepted from this machine only, because no way to know the caller is "
        "configured: set restapi.authentication, or TLS with restapi.verify_client, on every node",
    )


def objection_to_reading(config: RestConfig, caller: Caller) -> Reply | None:
    """Why this caller may not read where `authenticate_reads` is on; None if it may. A name and
    password that are sent must be right, whatever else is shown."""
    wants_certificate = config.verify_client is not VerifyClient.NONE
    is_known = wants_certificate and caller.verified
    if config.authentication is None:
        return None if is_known else _no_certificate(config, "reading")
    if is_known and caller.authorization is None:
        return None
    return _wrong_credentials(config.authentication, caller.authorization, "reading")


def strange_address(address: str, act: str) -> Reply:
    """The refusal of a caller whose address is not allowed."""
    return refusal(403, f"{act} is not accepted from {address}: restapi.allowlist does not name it")


def is_loopback(address: str) -> bool:
    """The address is one of this machine alone, also as IPv4 inside IPv6."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback


def basic(auth: BasicAuth) -> str:
    """The value of the `Authorization` header."""
    pair = f"{auth.username}:{auth.password.reveal()}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")


def _no_certificate(config: RestConfig, act: str) -> Reply:
    return refusal(
        403,
        f"{act} needs a client certificate that restapi.cafile has signed: restapi.verify_client "
        f"is {config.verify_client}",
    )


def _wrong_credentials(auth: BasicAuth, header: str | None, act: str) -> Reply | None:
    if header is not None and hmac.compare_digest(_pair(header), _pair(basic(auth))):
        return None
    return refusal(
        401,
        f"{act} needs the name and password of restapi.authentication"
        + ("" if header is None else "; those given are not right"),
        (("WWW-Authenticate", 'Basic realm="raftha"'),),
    )


def _pair(header: str) -> bytes:
    """The name and password in a header; empty, which matches nobody, if it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
