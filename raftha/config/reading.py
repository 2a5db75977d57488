"""Check a document against a schema and collect everything that is wrong with it. PURE.

It never stops at the first mistake, and it never decides what several options mean together.
"""

from __future__ import annotations

import difflib
from typing import TypeVar

from raftha.config.document import Node, describe, to_plain
from raftha.config.methods import is_method, read_method
from raftha.config.schema import Schema
from raftha.config.values import Invalid, convert
from raftha.errors import Problem
from raftha.model.methods import Method

T = TypeVar("T")


class Reading:
    """The values of one document by path, and what was found wrong on the way."""

    def __init__(self, place: str) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.extra: dict[str, str | int | float | bool] = {}
        self.methods: dict[str, Method] = {}
        self._values: dict[str, object] = {}
        self._places: dict[str, str] = {"": place}

    def get(self, path: str, kind: type[T]) -> T | None:
        """The value of an option; None if it is not given or was refused."""
        value = self._values.get(path)
        if value is None:
            return None
        assert isinstance(value, kind), f"{path} was read as {type(value).__name__}"
        return value

    def wrote(self, path: str) -> bool:
        """The document has this section or option, valid or not."""
        return path in self._places

    def place(self, path: str) -> str:
        """Where an option was written that was written."""
        return self._places[path]

    def refuse(self, path: str, what: str, remedy: str = "") -> None:
        """Add a problem at the option, or at the closest section that the document has."""
        self.problems.append(Problem(self._where(path), what, remedy))

    def warn(self, path: str, what: str, remedy: str = "") -> None:
        """Add a warning in the same way."""
        self.warnings.append(Problem(self._where(path), what, remedy))

    def note(self, path: str, place: str) -> None:
        """Remember where a key was written."""
        self._places[path] = place

    def keep(self, path: str, value: object) -> None:
        """Remember the valid value of an option."""
        self._values[path] = value

    def _where(self, path: str) -> str:
        known = path
        while known not in self._places:
            known = known.rpartition(".")[0]
        return f"{self._places[known]}: {path}" if path else self._places[known]


def read(document: Node, schema: Schema) -> Reading:
    """Walk the document. Missing required options are not looked for: see `require`."""
    reading = Reading(document.place)
    if document.members is not None:
        _walk(document, "", schema, reading)
    elif document.value is not None:
        reading.refuse("", f"must be a mapping of keys to values, not {describe(document)}")
    return reading


def require(reading: Reading, schema: Schema, skip: str = "-") -> None:
    """Refuse the absence of required options, once for a whole section that is absent."""
    told: set[str] = set()
    for path, option in schema.options.items():
        if not option.required or reading.wrote(path) or path.startswith(skip):
            continue
        missing = path
        while "." in missing and not reading.wrote(missing.rpartition(".")[0]):
            missing = missing.rpartition(".")[0]
        if missing not in told:
            told.add(missing)
            remedy = option.doc if missing == path else "add this section"
            reading.refuse(missing, "is missing", remedy)


def _walk(section: Node, prefix: str, schema: Schema, reading: Reading) -> None:
    members = section.members or {}
    # An old name is read after the one of today: whoever gives both is told so.
    for key in sorted(members, key=lambda key: _means(prefix + key, schema) != ""):
        path, child = prefix + key, members[key]
        known = path in schema.options or path in schema.sections or path in schema.foreign
        if child.value is None and (known or prefix[:-1] in schema.open_sections):
            continue
        reading.note(path, child.place)
        _key(path, child, schema, reading)


def _key(path: str, child: Node, schema: Schema, reading: Reading) -> None:
    if path in schema.options:
        _option(path, child, schema, reading)
    elif path in schema.foreign:
        _foreign(path, child, schema, reading)
    elif path in schema.sections and child.members is not None:
        _walk(child, path + ".", schema, reading)
    elif path in schema.sections:
        reading.refuse(path, f"must be a section, not {describe(child)}")
    elif path.rpartition(".")[0] in schema.open_sections:
        _extra(path, child, reading)
    elif schema.takes_methods and is_method(path, child):
        _method(path, child, reading)
    else:
        _unknown(path, schema, reading)


def _option(path: str, child: Node, schema: Schema, reading: Reading) -> None:
    try:
        reading.keep(path, convert(child, schema.options[path]))
    except Invalid as invalid:
        reading.refuse(path, invalid.what, invalid.remedy)


def _foreign(path: str, child: Node, schema: Schema, reading: Reading) -> None:
    answer = schema.foreign[path]
    plain = to_plain(child)
    if plain in ({}, []) or plain in answer.harmless:
        return
    if answer.means:
        _renamed(path, child, schema, reading)
        return
    if answer.refused:
        reading.refuse(path, answer.what, answer.remedy)
        return
    reading.warn(path, answer.what, answer.remedy)


def _means(path: str, schema: Schema) -> str:
    """The path of today of an old name; empty for any other."""
    known = schema.foreign.get(path)
    if known is None or not known.means:
        return ""
    section = path.rpartition(".")[0]
    return f"{section}.{known.means}" if section else known.means


def _renamed(path: str, child: Node, schema: Schema, reading: Reading) -> None:
    answer, today = schema.foreign[path], _means(path, schema)
    if reading.wrote(today):
        reading.refuse(path, f"{answer.what}, which is given too", "remove one of them")
        return
    reading.warn(path, answer.what, answer.remedy)
    reading.note(today, child.place)
    _option(today, child, schema, reading)


def _extra(path: str, child: Node, reading: Reading) -> None:
    if isinstance(child.value, str | int | float):
        reading.extra[path.rpartition(".")[2]] = child.value
        return
    reading.refuse(path, f"must be one value, not {describe(child)}")


def _method(path: str, section: Node, reading: Reading) -> None:
    for key, child in (section.members or {}).items():
        reading.note(f"{path}.{key}", child.place)
    reading.methods[path], mistakes = read_method(path, section)
    for key, invalid in mistakes:
        reading.refuse(f"{path}.{key}", invalid.what, invalid.remedy)


def _unknown(path: str, schema: Schema, reading: Reading) -> None:
    parent, _, key = path.rpartition(".")
    known = [*schema.options, *sorted(schema.sections)]
    siblings = {
        name.rpartition(".")[2]: name for name in known if name.rpartition(".")[0] == parent
    }
    elsewhere = {name.rpartition(".")[2]: name for name in reversed(known)}
    same = {key: elsewhere[key]} if key in elsewhere else {}
    for names in (same, siblings, elsewhere):
        close = difflib.get_close_matches(key[:80], names, n=1, cutoff=0.6)
        if close:
            reading.refuse(path, "is not an option of raftha", f"did you mean {names[close[0]]}?")
            return
    reading.refuse(path, "is not an option of raftha", "remove it")
