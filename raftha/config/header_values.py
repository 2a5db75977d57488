"""How `restapi.http_extra_headers` and `https_extra_headers` are written. PURE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from raftha.config.document import Node, describe
from raftha.config.invalid import Invalid

_LONGEST: Final = 1000
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
"""A token of RFC 9110, 5.6.2."""

_OURS: Final = frozenset(
    {
        *("allow", "cache-control", "connection", "content-length", "content-type", "date"),
        *("etag", "keep-alive", "retry-after", "transfer-encoding", "www-authenticate"),
    }
)
"""What the server says by itself."""


def read_headers(node: Node) -> Mapping[str, str]:
    """Values by header, as they are written. Raises Invalid."""
    if node.members is None:
        raise Invalid(f"must be a section of header: value, not {describe(node)}")
    found: dict[str, str] = {}
    known: set[str] = set()
    for name, child in node.members.items():
        _check_name(name)
        if name.lower() in known:
            raise Invalid(f"gives {name} twice", "names are the same in capitals and small letters")
        known.add(name.lower())
        found[name] = _value(name, child)
    return found


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise Invalid(f"has an impossible header: {name[:80]!r}", "write X-Frame-Options")
    if name.lower() == "server":
        raise Invalid("cannot set Server", "see restapi.server_tokens")
    if name.lower() in _OURS:
        raise Invalid(f"cannot set {name}: the server does", "remove it")


def _value(name: str, node: Node) -> str:
    if not isinstance(node.value, str | int | float) or isinstance(node.value, bool):
        raise Invalid(f"has no value for {name}: {describe(node)}", "write text, in quotes")
    text = str(node.value).strip()
    if not text or len(text) > _LONGEST or not (text.isascii() and text.isprintable()):
        raise Invalid(
            f"has a value of {name} that cannot be a header's",
            f"write 1 to {_LONGEST} printable ASCII characters on one line",
        )
    return text
