"""How `log.loggers` and `log.static_fields` are written. PURE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from raftha.config.document import Node, describe
from raftha.config.invalid import Invalid
from raftha.config.schema import LEVELS
from raftha.logs import RESERVED

_LONGEST_FIELD: Final = 200
_PART: Final = re.compile(r"raftha(\.[a-z_]+)*")
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")


def read_levels(node: Node) -> Mapping[str, str]:
    """Levels by the part of the program. Raises Invalid."""
    return {_part(name): _level(child) for name, child in _members(node, "level").items()}


def read_fields(node: Node) -> Mapping[str, str]:
    """What stands in each line of the log, as text by name. Raises Invalid."""
    return {_field(name): _value(name, child) for name, child in _members(node, "value").items()}


def _members(node: Node, what: str) -> Mapping[str, Node]:
    if node.members is None:
        raise Invalid(f"must be a section of name: {what}, not {describe(node)}")
    return node.members


def _part(name: str) -> str:
    if _PART.fullmatch(name) is None:
        raise Invalid(f"has no part of the program: {name[:80]!r}", "write raftha.consensus")
    return name


def _level(node: Node) -> str:
    word = str(node.value).upper()
    if not isinstance(node.value, str) or word not in LEVELS:
        raise Invalid(f"has no level {describe(node)}", "use one of " + ", ".join(LEVELS))
    return word


def _field(name: str) -> str:
    if _FIELD.fullmatch(name) is None:
        raise Invalid(f"has an impossible name: {name[:80]!r}", "use letters, digits and _.-")
    if name in RESERVED:
        raise Invalid(f"has the name {name}, which each line of the log has", "choose another one")
    return name


def _value(name: str, node: Node) -> str:
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    if not isinstance(node.value, str | int | float):
        raise Invalid(f"has no value for {name}: {describe(node)}", "write text or a number")
    text = str(node.value)
    if len(text) > _LONGEST_FIELD or not text.isprintable():
        raise Invalid(
            f"has a value of {name} that does not fit a line",
            f"write at most {_LONGEST_FIELD} characters that can be printed",
        )
    return text
