"""How `slots` and `ignore_slots` are written, in Patroni's words. PURE."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from raftha.config.document import Node, describe
from raftha.config.invalid import Invalid
from raftha.model.settings import PermanentSlot, SlotMatcher, SlotType

_NAME: Final = re.compile(r"[a-z0-9_]{1,63}")
_PROPERTIES: Final = ("name", "type", "database", "plugin")
_OF_A_SLOT: Final = (*_PROPERTIES[1:], "cluster_type")


def read_slots(node: Node) -> tuple[PermanentSlot, ...]:
    """The slots of the section `slots`. Raises Invalid."""
    if node.members is None:
        raise Invalid(
            f"must be a section of slots by name, not {describe(node)}",
            "write `NAME: {type: physical}`, or `{type: logical, database: ..., plugin: ...}`",
        )
    return tuple(_slot(name, node.members[name]) for name in sorted(node.members))


def read_matchers(node: Node) -> tuple[SlotMatcher, ...]:
    """The entries of the list `ignore_slots`. Raises Invalid."""
    if node.items is None:
        raise Invalid(f"must be a list, not {describe(node)}", "write `- name: NAME`")
    return tuple(_matcher(item, f"entry {index + 1}") for index, item in enumerate(node.items))


def dump_slots(slots: Iterable[PermanentSlot]) -> dict[str, dict[str, str]]:
    """What `read_slots` reads as the same."""
    return {slot.name: _dumped(slot) for slot in slots}


def dump_matchers(matchers: Iterable[SlotMatcher]) -> list[dict[str, str]]:
    """What `read_matchers` reads as the same."""
    return [
        {name: value for name in _PROPERTIES if (value := getattr(matcher, name)) is not None}
        for matcher in matchers
    ]


def _dumped(slot: PermanentSlot) -> dict[str, str]:
    if not slot.is_logical:
        return {"type": SlotType.PHYSICAL.value}
    logical = SlotType.LOGICAL.value
    return {"type": logical, "database": slot.database, "plugin": slot.plugin}


def _slot(name: str, node: Node) -> PermanentSlot:
    if _NAME.fullmatch(name) is None:
        raise Invalid(
            f"has a slot with an impossible name: {name[:80]!r}",
            "PostgreSQL takes 1 to 63 of a-z 0-9 _",
        )
    given = {} if node.value is None else _texts(node, f"slot {name}", _OF_A_SLOT)
    if given.pop("cluster_type", "primary") != "primary":
        raise Invalid(f"slot {name} is for a standby cluster, which raftha has not", "remove it")
    logical = sorted({"database", "plugin"} & given.keys())
    kind = given.get("type", SlotType.LOGICAL if logical else SlotType.PHYSICAL)
    if kind == SlotType.PHYSICAL and logical:
        raise Invalid(
            f"slot {name} is physical and has a {logical[0]}",
            "remove that, or write type: logical",
        )
    missing = [word for word in ("database", "plugin") if not given.get(word)]
    if kind == SlotType.LOGICAL and missing:
        raise Invalid(f"slot {name} is logical and has no {missing[0]}", f"add its {missing[0]}")
    return PermanentSlot(
        name=name, plugin=given.get("plugin", ""), database=given.get("database", "")
    )


def _matcher(node: Node, where: str) -> SlotMatcher:
    given = _texts(node, where, _PROPERTIES)
    if not given:
        raise Invalid(f"{where} names nothing", f"name one or more of {', '.join(_PROPERTIES)}")
    kind = given.pop("type", None)
    return SlotMatcher(type=None if kind is None else SlotType(kind), **given)


def _texts(node: Node, where: str, known: tuple[str, ...]) -> dict[str, str]:
    """The texts of a section that may hold these keys."""
    if node.members is None:
        raise Invalid(f"{where} must be a section, not {describe(node)}")
    found: dict[str, str] = {}
    for key, child in node.members.items():
        if key not in known:
            raise Invalid(f"{where} has an unknown key: {key[:80]!r}", f"use {', '.join(known)}")
        if child.value is None:
            continue
        if not isinstance(child.value, str) or not child.value:
            raise Invalid(f"{where}: {key} must be text, not {describe(child)}")
        found[key] = child.value
    if found.get("type", SlotType.PHYSICAL) not in tuple(SlotType):
        raise Invalid(f"{where} has the type {found['type']!r}", "use physical or logical")
    return found
