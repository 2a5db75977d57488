"""The sections in which a program of the operator's is described that fills a data directory: those
below `bootstrap` and `postgresql` that have a command, each called as its user likes. PURE."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from raftha.config.document import Node, describe, is_huge
from raftha.config.hook_options import read_command
from raftha.config.invalid import Invalid
from raftha.model.methods import RECOVERY_SETTINGS, TARGETS, Method

COMMAND: Final = "command"
BOOTSTRAP: Final = "bootstrap"
PLACES: Final = frozenset({BOOTSTRAP, "postgresql"})

_FLAGS: Final = ("no_params", "keep_existing_recovery_conf", "no_leader", "no_master", "keep_data")
_OF_BOOTSTRAP: Final = frozenset({COMMAND, "no_params", "keep_existing_recovery_conf"})
_OF_COPY: Final = frozenset({COMMAND, "no_params", "no_leader", "no_master", "keep_data"})
_GIVEN: Final = frozenset({"scope", "datadir", "role", "connstring"})
_WORDS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("true", "on", "yes", "1"), True),
    **dict.fromkeys(("false", "off", "no", "0"), False),
}

Mistake = tuple[str, Invalid]
"""The key within the section, and what is wrong with it."""


def is_method(path: str, section: Node) -> bool:
    """Whether an unknown key describes such a program."""
    place = path.rpartition(".")[0]
    return place in PLACES and section.members is not None and COMMAND in section.members


def read_method(path: str, section: Node) -> tuple[Method, list[Mistake]]:
    """The method as far as it can be read, and everything that is wrong with its section."""
    place, _, name = path.rpartition(".")
    members = {k: v for k, v in (section.members or {}).items() if v.value is not None}
    known = _OF_BOOTSTRAP if place == BOOTSTRAP else _OF_COPY
    values: dict[str, object] = {}
    mistakes: list[Mistake] = []
    arguments: list[str] = []
    for key, node in members.items():
        try:
            if key in known or (key == "recovery_conf" and place == BOOTSTRAP):
                values[key] = _value(key, node)
            else:
                arguments.append(_argument(key, node))
        except Invalid as invalid:
            mistakes.append((key, invalid))
    if COMMAND not in members:
        mistakes.append((COMMAND, Invalid("is empty", "write the program and its arguments")))
    command, recovery = values.get(COMMAND), values.get("recovery_conf")
    method = Method(
        name=name,
        command=command if isinstance(command, tuple) else (),
        arguments=tuple(arguments),
        no_params=bool(values.get("no_params")),
        no_leader=bool(values.get("no_leader") or values.get("no_master")),
        recovery=recovery if isinstance(recovery, dict) else {},
        keeps_recovery=bool(values.get("keep_existing_recovery_conf")),
    )
    return method, mistakes


def _value(key: str, node: Node) -> object:
    if key == COMMAND:
        return read_command(node)
    if key in _FLAGS:
        return _flag(key, node)
    return dict(_recovery(node))


def _flag(key: str, node: Node) -> bool:
    """Patroni's users write 1 as well as true."""
    wanted = (
        _WORDS.get(str(node.value).lower()) if isinstance(node.value, bool | int | str) else None
    )
    if wanted is None:
        raise Invalid(f"must be true or false, not {describe(node)}")
    if wanted and key == "keep_data":
        raise Invalid(
            "a copy is made beside what lies in the data directory, which is kept",
            "remove it: the program gets an empty directory, with `--delta` of pgBackRest as well",
        )
    return wanted


def _argument(key: str, node: Node) -> str:
    if key in _GIVEN:
        raise Invalid("is given to the program by raftha", "remove it, or set no_params")
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", key) is None:
        raise Invalid("is not the name of an option", "write letters, digits, dashes, underscores")
    return f"--{key}={_scalar(node)}"


def _scalar(node: Node) -> str:
    value = node.value
    if not isinstance(value, bool | int | float | str) or is_huge(value):
        raise Invalid(f"must be one value, not {describe(node)}", "it becomes --name=value")
    text = str(value)
    if any(ord(letter) < 32 for letter in text):
        raise Invalid("holds a line break or a control character", "write it on one line")
    return text


def _recovery(node: Node) -> Iterator[tuple[str, str]]:
    if node.members is None:
        raise Invalid(f"must be a section of settings, not {describe(node)}")
    names = {key.lower() for key in node.members}
    targets = sorted(names.intersection(TARGETS))
    if len(targets) > 1:
        raise Invalid(f"has more than one target: {', '.join(targets)}", "keep one of them")
    for key, child in node.members.items():
        name = key.lower()
        if name not in RECOVERY_SETTINGS:
            known = ", ".join(sorted(RECOVERY_SETTINGS))
            raise Invalid(f"{key[:80]} is no setting of recovery", f"these are: {known}")
        if child.value is None:
            continue
        text = _scalar(child)
        if name == "recovery_target_action" and text.lower() != "promote":
            raise Invalid(
                f"recovery_target_action cannot be {text[:80]}: the cluster would never begin",
                "write promote, or remove it",
            )
        yield name, text.lower() if isinstance(child.value, bool) else text
