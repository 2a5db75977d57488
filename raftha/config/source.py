"""The text of a YAML file, and environment variables, as a document tree. PURE.

It reads YAML's safe subset only: a document can never make an object of a Python class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import yaml

from raftha.config.document import Node
from raftha.config.schema import TEXTUAL, Kind, Schema
from raftha.errors import ConfigError, Problem

PREFIX: Final = "RAFTHA_"

RESERVED: Final = frozenset({"RAFTHA_URL", "RAFTHA_CONFIG"})
"""Variables of the command line, which are no settings."""


def parse_yaml(text: str, name: str) -> Node:
    """The tree of one YAML document; `name` is what messages call the file.

    Raises ConfigError, with every duplicate key and every value that YAML cannot make.
    """
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return Node({}, name)
        return _Composer(loader, name).build(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        what = f"is not valid YAML: {error.problem}"
        remedy = "put a value that begins with * & ! [ or { in quotes"
        raise ConfigError([Problem(place, what, remedy)]) from error
    except yaml.YAMLError as error:
        raise ConfigError([Problem(name, f"is not valid YAML: {error}")]) from error
    except RecursionError as error:
        raise ConfigError([Problem(name, "is nested too deeply")]) from error
    finally:
        if loader is not None:
            loader.dispose()


class _Composer:
    """Turns YAML's nodes into ours, remembers anchors, and collects what is wrong."""

    def __init__(self, loader: yaml.SafeLoader, name: str) -> None:
        self._loader = loader
        self._name = name
        self._done: dict[int, Node] = {}
        self._open: set[int] = set()
        self._problems: list[Problem] = []

    def build(self, root: yaml.Node) -> Node:
        tree = self._node(root)
        if self._problems:
            raise ConfigError(self._problems)
        return tree

    def _node(self, node: yaml.Node) -> Node:
        if id(node) in self._done:
            return self._done[id(node)]
        if id(node) in self._open:
            self._refuse(node, "an alias refers to a value that contains it")
            return Node(None, self._place(node))
        self._open.add(id(node))
        built = Node(self._value(node), self._place(node))
        self._open.discard(id(node))
        self._done[id(node)] = built
        return built

    def _value(self, node: yaml.Node) -> object:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return [self._node(child) for child in node.value]
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, ArithmeticError, LookupError):
            self._refuse(node, "YAML cannot read this value: put it in quotes")
            return None

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(key, "a key must be a word")
            elif key.value in found:
                self._refuse(
                    key, f"the key {key.value!r} was given before, in {found[key.value].place}"
                )
            else:
                found[key.value] = Node(self._node(child).value, self._place(key))
        return found

    def _place(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}"

    def _refuse(self, node: yaml.Node, what: str) -> None:
        self._problems.append(Problem(self._place(node), what))


def together(first: Node, second: Node) -> Node:
    """Two documents as one: sections are merged, anything else of the second counts. A document
    that is no section stays alone, to be refused."""
    if first.members is None or second.members is None:
        return first if first.members is None else second
    return _merged(first, second)


def _merged(first: Node, second: Node) -> Node:
    if first.members is None or second.members is None:
        return second
    both = {
        key: _merged(first.members[key], child) if key in first.members else child
        for key, child in second.members.items()
    }
    return Node({**first.members, **both}, first.place)


def overlay(document: Node, environ: Mapping[str, str], schema: Schema) -> Node:
    """The document with what `RAFTHA_*` variables say put over it. Raises ConfigError.

    Names that are no option are put in too, so that the check against the schema refuses them.
    """
    problems: list[Problem] = []
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in RESERVED:
            continue
        keys = variable[len(PREFIX) :].lower().split("__")
        option = schema.options.get(".".join(keys))
        try:
            value = _variable(variable, environ[variable], option.kind if option else None)
            document = _put(document, keys, value)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return document


def _variable(variable: str, text: str, kind: Kind | None) -> Node:
    """Textual options are taken as they stand, so that no password needs YAML's quoting."""
    place = f"environment {variable}"
    if not text.strip():
        return Node(None, place)
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""
    if kind in TEXTUAL and not quoted:
        return Node(text, place)
    try:
        tree = parse_yaml(text, place)
    except ConfigError as error:
        # The text may hold a secret, and the line within a variable says nothing.
        raise ConfigError([Problem(place, "is not valid YAML", "quote the value")]) from error
    return _placed(tree, place)


def _placed(node: Node, place: str) -> Node:
    if node.members is not None:
        return Node({key: _placed(child, place) for key, child in node.members.items()}, place)
    if node.items is not None:
        return Node([_placed(child, place) for child in node.items], place)
    return Node(node.value, place)


def _put(node: Node, keys: list[str], value: Node) -> Node:
    if not keys:
        return value
    members = dict(node.members or {})
    if node.value is not None and node.members is None:
        # The file has a scalar where a section belongs: the check will say so, at its line.
        return node
    key = keys[0]
    members[key] = _put(members.get(key, Node(None, value.place)), keys[1:], value)
    return Node(members, node.place)
