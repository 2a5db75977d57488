"""A settings document as a tree whose every node knows where it was written.

Built from the text of a YAML file (by `source`) or from plain values that came from the store or
over HTTP. It never judges what the keys mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

_TYPE_NAMES: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "a section",
    list: "a list",
    type(None): "nothing",
}


class Node(Struct, frozen=True):
    """A value and its place (`node.yml:12`, `environment RAFTHA_NAME`, `config`).

    `value` is a dict of nodes by key, a list of nodes, or a scalar.
    """

    value: object
    place: str

    @property
    def members(self) -> Mapping[str, Node] | None:
        """The nodes by key of a mapping; None for anything else."""
        return self.value if isinstance(self.value, dict) else None

    @property
    def items(self) -> list[Node] | None:
        """The nodes of a list; None for anything else."""
        return self.value if isinstance(self.value, list) else None


def from_plain(value: object, place: str) -> Node:
    """A tree of a decoded JSON document; every node has the same place."""
    if isinstance(value, Mapping):
        return Node({str(key): from_plain(child, place) for key, child in value.items()}, place)
    if isinstance(value, list | tuple):
        return Node([from_plain(child, place) for child in value], place)
    return Node(value, place)


def to_plain(node: Node) -> object:
    """The value without its places."""
    if node.members is not None:
        return {key: to_plain(child) for key, child in node.members.items()}
    if node.items is not None:
        return [to_plain(child) for child in node.items]
    return node.value


def describe(node: Node) -> str:
    """What a node holds, for a message to a person: its type and a short form of a scalar."""
    name = _TYPE_NAMES.get(type(node.value), f"a {type(node.value).__name__}")
    if node.value is None or isinstance(node.value, dict | list):
        return name
    if is_huge(node.value):
        return f"{name} (a very large one)"
    return f"{name} ({shown(node)})"


def shown(node: Node) -> str:
    """A short form of a scalar, for a message that names its type already."""
    if is_huge(node.value):
        return "a very large one"
    text = repr(node.value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_huge(value: object) -> bool:
    """An integer that no option needs; Python refuses to write one of some thousand digits."""
    return isinstance(value, int) and value.bit_length() > 128
