"""From a node of a document to the typed value of one option. PURE.

Each reader raises `Invalid` with what is wrong and what to write instead; it never shows a secret.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from raftha.config.document import Node, describe, is_huge, shown
from raftha.config.header_values import read_headers
from raftha.config.hook_options import read_command
from raftha.config.invalid import Invalid as Invalid
from raftha.config.log_values import read_fields, read_levels
from raftha.config.schema import Kind, Option
from raftha.config.slots import read_matchers, read_slots
from raftha.instants import Seconds
from raftha.model.settings import (
    Address,
    PermanentSlot,
    Secret,
    SlotMatcher,
    SynchronousMode,
    VerifyClient,
)

POSTGRES_PORT: Final = 5432
NAMES: Final = "use 1 to 63 of A-Z a-z 0-9 . _ - and do not begin with a dash"
"""What to do about a name that is none."""


class Listen(Struct, frozen=True):
    """Hosts to listen on and their port."""

    hosts: tuple[str, ...]
    port: int


def convert(node: Node, option: Option) -> object:
    """The value of `option` as written in `node`. Raises Invalid."""
    return _READERS[option.kind](node, option)


def is_wildcard(host: str) -> bool:
    """The host stands for every address of the machine."""
    return host in ("*", "0.0.0.0", "::")


def is_loopback(host: str) -> bool:
    """Nothing outside this machine can reach the host; a name other than localhost is not trusted
    to be so."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_name(text: str) -> bool:
    """A node may be called so."""
    fits = re.fullmatch(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,62}", text) is not None
    return fits and text not in (".", "..")


def parse_address(text: str) -> Address:
    """Read `host:port` or `[v6]:port`. Raises Invalid."""
    host, port = _split(text)
    if port is None:
        raise Invalid(f"has no port: {text!r}", "write host:port, an IPv6 host in brackets")
    return Address(_host(host), port)


def _split(text: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(\[[^\[\]]*\]|[^\[\]]*?)(?::([0-9]{1,5}))?", text.strip())
    if match is None:
        raise Invalid(f"is not an address: {text!r}", "write host:port, an IPv6 host in brackets")
    host, digits = match.groups()
    if digits is None:
        return host, None
    port = int(digits)
    if not 1 <= port <= 65535:
        raise Invalid(f"has a port out of range: {port}", "ports go from 1 to 65535")
    return host, port


def _host(text: str) -> str:
    if text.startswith("["):
        return _ipv6(text[1:-1])
    if re.fullmatch(r"\*|[A-Za-z0-9_]([A-Za-z0-9._-]{0,252}[A-Za-z0-9_.])?", text) is None:
        remedy = "put an IPv6 address in brackets" if ":" in text else "write a name or an IP"
        raise Invalid(f"has no valid host: {text!r}", remedy)
    if re.fullmatch(r"[0-9.]+", text):
        try:
            ipaddress.IPv4Address(text)
        except ValueError as error:
            raise Invalid(f"is not an IPv4 address: {text!r}", str(error)) from error
    return text


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError as error:
        raise Invalid(f"is not an IPv6 address: {text!r}", str(error)) from error


def _wrong_type(node: Node, wanted: str, option: Option) -> Invalid:
    found = "something else" if option.kind is Kind.SECRET else describe(node)
    quoting = isinstance(node.value, bool | int | float) and wanted.startswith("text")
    return Invalid(f"must be {wanted}, not {found}", "put it in quotes" if quoting else "")


def _text(node: Node, option: Option) -> str:
    if not isinstance(node.value, str):
        raise _wrong_type(node, "text", option)
    if not node.value:
        raise Invalid("is empty", "give a value or remove the key")
    if any(ord(character) < 32 for character in node.value):
        raise Invalid("holds a line break or a control character", "write it on one line")
    return node.value


def _secret(node: Node, option: Option) -> Secret:
    return Secret(_text(node, option))


def _name(node: Node, option: Option) -> str:
    text = _text(node, option)
    if not is_name(text):
        raise Invalid(f"is not a valid name: {text!r}", NAMES)
    return text


def _path(node: Node, option: Option) -> Path:
    return Path(_text(node, option))


def _number(node: Node, option: Option) -> float:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(node, "a number", option)
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid("must be a finite number")
    low, high = option.minimum, option.maximum
    if low is not None and value < low:
        raise Invalid(f"must be at least {low:g}, not {shown(node)}")
    if high is not None and value > high:
        raise Invalid(f"must be at most {high:g}, not {shown(node)}")
    return value


def _seconds(node: Node, option: Option) -> Seconds:
    return Seconds(float(_number(node, option)))


_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(ms|s|min|h|d)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def _duration(node: Node, option: Option) -> Seconds:
    """Seconds, or a text with one of PostgreSQL's units."""
    if not isinstance(node.value, str):
        return _seconds(node, option)
    match = _DURATION.fullmatch(node.value.strip())
    if match is None:
        raise Invalid(f"is no length of time: {node.value[:80]!r}", "write 1800 or 30min")
    return _seconds(Node(float(match[1]) * _UNITS[match[2]], node.place), option)


def _slots(node: Node, option: Option) -> tuple[PermanentSlot, ...]:  # noqa: ARG001
    return read_slots(node)


def _matchers(node: Node, option: Option) -> tuple[SlotMatcher, ...]:  # noqa: ARG001
    return read_matchers(node)


def _integer(node: Node, option: Option) -> int:
    value = _number(node, option)
    if not isinstance(value, int):
        raise _wrong_type(node, "a whole number", option)
    return value


def _boolean(node: Node, option: Option) -> bool:
    words = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
    if isinstance(node.value, bool):
        return node.value
    if isinstance(node.value, str) and node.value.lower() in words:
        return words[node.value.lower()]
    raise _wrong_type(node, "true or false", option)


def _word(node: Node, option: Option) -> str:
    text = _text(node, option)
    for word in option.words:
        if word.lower() == text.lower():
            return word
    raise Invalid(f"cannot be {text!r}", "use one of " + ", ".join(option.words))


def _synchronous(node: Node, option: Option) -> SynchronousMode:
    if isinstance(node.value, str) and node.value.lower() == "quorum":
        return SynchronousMode.QUORUM
    try:
        return SynchronousMode.ON if _boolean(node, option) else SynchronousMode.OFF
    except Invalid:
        raise _wrong_type(node, Kind.SYNCHRONOUS.value, option) from None


def _verify(node: Node, option: Option) -> VerifyClient:
    if isinstance(node.value, bool):
        return VerifyClient.REQUIRED if node.value else VerifyClient.NONE
    for wanted in VerifyClient:
        if isinstance(node.value, str) and node.value.lower() == wanted:
            return wanted
    raise _wrong_type(node, "none, optional or required", option)


def _hosts(node: Node, option: Option) -> tuple[str, ...]:
    if node.items is None:
        raise _wrong_type(node, "a list of addresses, networks and names", option)
    return tuple(_caller(_text(item, option)) for item in node.items)


def _caller(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError as error:
        if "/" in text or ":" in text:
            raise Invalid(f"is not a network: {text!r}", "write 10.0.0.0/24") from error
        return _host(text)


def _address(node: Node, option: Option) -> Address:
    address = parse_address(_text(node, option))
    if is_wildcard(address.host):
        raise Invalid(
            f"must name one host, not {address.host!r}", "write the address that others connect to"
        )
    return address


def _bind(node: Node, option: Option) -> Address:
    address = parse_address(_text(node, option))
    return Address("0.0.0.0", address.port) if address.host == "*" else address


def _addresses(node: Node, option: Option) -> tuple[Address, ...]:
    if isinstance(node.value, str):
        items = [Node(part, node.place) for part in node.value.split(",") if part.strip()]
        return tuple(_address(item, option) for item in items)
    if node.items is None:
        raise _wrong_type(node, "a list", option)
    return tuple(_address(item, option) for item in node.items)


def _listen(node: Node, option: Option) -> Listen:
    *front, last = _text(node, option).split(",")
    host, port = _split(last)
    hosts = tuple(_host(part.strip()) for part in [*front, host])
    return Listen(hosts, POSTGRES_PORT if port is None else port)


def _lines(node: Node, option: Option) -> tuple[str, ...]:
    if node.items is None:
        raise _wrong_type(node, "a list of lines", option)
    return tuple(_text(item, option) for item in node.items)


def _parameters(node: Node, option: Option) -> Mapping[str, str]:
    if node.members is None:
        raise _wrong_type(node, "a section of name: value", option)
    found: dict[str, str] = {}
    for key, child in node.members.items():
        name = key.lower()
        if re.fullmatch(r"[a-z_][a-z0-9_$]*(\.[a-z_][a-z0-9_$]*)?", name) is None:
            raise Invalid(f"has a parameter with an impossible name: {key[:80]!r}")
        if name in found:
            raise Invalid(f"gives {name} twice", "names are the same in capitals and small letters")
        if child.value is not None:
            found[name] = _scalar(child, f"parameter {name}")
    return found


def _scalar(node: Node, what: str) -> str:
    """A scalar as PostgreSQL writes it: booleans are on and off."""
    value = node.value
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float) and not is_huge(value):
        return str(value)
    if not isinstance(value, str):
        raise Invalid(f"{what} must be one value, not {describe(node)}")
    if any(ord(character) < 32 for character in value):
        raise Invalid(f"{what} holds a line break or a control character")
    return value


_Options = tuple[tuple[str, str | None], ...]
_INITDB_RESERVED: Final = frozenset(
    {"pgdata", "nosync", "no-sync", "pwfile", "pwprompt", "sync-only", "version", "username"}
)
_BASEBACKUP: Final = frozenset(
    {
        *("checkpoint", "compress", "manifest-checksums", "max-rate", "no-estimate-size"),
        *("no-manifest", "no-verify-checksums", "waldir"),
    }
)


def _initdb(node: Node, option: Option) -> _Options:
    found = _program_options(node, option)
    for name, _ in found:
        if name in _INITDB_RESERVED:
            raise Invalid(f"cannot set {name}: raftha chooses it", "remove it")
    return found


def _basebackup(node: Node, option: Option) -> _Options:
    found = _program_options(node, option)
    for name, value in found:
        if name not in _BASEBACKUP:
            known = ", ".join(sorted(_BASEBACKUP))
            raise Invalid(f"cannot set {name}: raftha chooses it", f"these may be set: {known}")
        if name == "compress" and not (value or "").startswith("server-"):
            raise Invalid("a copy is not stored compressed", "write `compress: server-...`")
    return found


def _program_options(node: Node, option: Option) -> _Options:
    if node.members is not None:
        return tuple(_program_option(key, child) for key, child in node.members.items())
    if node.items is None:
        raise _wrong_type(node, "a list", option)
    return tuple(_program_item(item) for item in node.items)


def _program_item(item: Node) -> tuple[str, str | None]:
    if isinstance(item.value, str):
        return _program_option(item.value, Node(None, item.place))
    if item.members is not None and len(item.members) == 1:
        ((key, child),) = item.members.items()
        return _program_option(key, child)
    raise Invalid(f"holds {describe(item)}", "write `- option` or `- option: value`")


def _program_option(key: str, child: Node) -> tuple[str, str | None]:
    name = key.removeprefix("--")
    if re.fullmatch(r"[a-z][a-z-]*", name) is None:
        raise Invalid(f"has an impossible option: {key[:80]!r}", "write its long name")
    given = not (child.value is None or child.value is True)
    value = _scalar(child, f"option {name}") if given else None
    if name == "waldir" and not (value or "").startswith("/"):
        raise Invalid("option waldir must be an absolute path", "write it from / on")
    return name, value


_READERS: Final[Mapping[Kind, Callable[[Node, Option], object]]] = {
    Kind.TEXT: _text,
    Kind.SECRET: _secret,
    Kind.NAME: _name,
    Kind.PATH: _path,
    Kind.SECONDS: _seconds,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.WORD: _word,
    Kind.SYNCHRONOUS: _synchronous,
    Kind.VERIFY: _verify,
    Kind.HOSTS: _hosts,
    Kind.LEVELS: lambda node, _option: read_levels(node),
    Kind.FIELDS: lambda node, _option: read_fields(node),
    Kind.HEADERS: lambda node, _option: read_headers(node),
    Kind.ADDRESS: _address,
    Kind.ADDRESSES: _addresses,
    Kind.BIND: _bind,
    Kind.LISTEN: _listen,
    Kind.LINES: _lines,
    Kind.PARAMETERS: _parameters,
    Kind.INITDB: _initdb,
    Kind.DURATION: _duration,
    Kind.SLOTS: _slots,
    Kind.SLOT_MATCHERS: _matchers,
    Kind.BASEBACKUP: _basebackup,
    Kind.COMMAND: lambda node, _option: read_command(node),
    Kind.FORMAT: _integer,
}
