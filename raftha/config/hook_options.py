"""The options of programs that run when something happens to the server, and how they are written.
PURE."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from raftha.config.document import Node, describe
from raftha.config.invalid import Invalid
from raftha.config.schema import Kind, Option, Reload
from raftha.model.hooks import Callback

PREFIX: Final = "postgresql.callbacks."

_WHEN: Final[Mapping[Callback, str]] = {
    Callback.ON_START: "after the server has started, or was found when the agent started",
    Callback.ON_STOP: "after the server has ended, however it did; not in a restart",
    Callback.ON_RESTART: "after a restart that was asked for, in the same role",
    Callback.ON_RELOAD: "after the server was told to read its configuration",
    Callback.ON_ROLE_CHANGE: "after a promotion, or the start of a former primary as a standby",
}


def _command(path: str, doc: str) -> Option:
    return Option(path=path, kind=Kind.COMMAND, reload=Reload.RELOAD, doc=doc, default="none")


HOOK_OPTIONS: Final = (
    *(
        _command(
            PREFIX + callback,
            f"A program that runs {when}, with three more arguments: `{callback}`, the role"
            " (`primary` or `replica`) and the scope. Nothing waits for it; the next one kills it"
            " with its process group if it still runs"
            + (
                ", if that is of the same kind."
                if callback is Callback.ON_RELOAD
                else ", unless that is `on_reload`."
            ),
        )
        for callback, when in _WHEN.items()
    ),
    _command(
        "postgresql.before_stop",
        "A program that runs before the server is stopped in order, which waits for it for 30 s at"
        " most, however it ends. What has to be stopped at once never waits.",
    ),
    _command(
        "postgresql.pre_promote",
        "A program that runs on a standby that has won the leader key, before it is promoted. If it"
        " does not end with 0 within a ttl, the key is given back, and this node stands back for"
        " one ttl.",
    ),
)


def read_command(node: Node) -> tuple[str, ...]:
    """The words of a command line, by the quoting of a shell; no shell runs it. Raises Invalid."""
    text = node.value
    if not isinstance(text, str):
        raise Invalid(f"must be a command line, not {describe(node)}", "write it as one text")
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        what = f"is no command line: {error}"
        raise Invalid(what, "close each quote, and write a backslash twice") from error
    if not words or not words[0]:
        raise Invalid("names no program", "write its path, or remove the key")
    if "\0" in text:
        raise Invalid("holds a zero byte")
    return words
