"""Programs in a node's file: their words, and what is said of those that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from raftha.config.changes import compare
from raftha.config.schema import Reload
from raftha.model.hooks import Callback

HOOKS = """\
  callbacks:
    on_start: /etc/raftha/hook --to 'the balancer'
    on_role_change: /etc/raftha/hook
  before_stop: sh -c "drain; true"
  pre_promote: /etc/raftha/fence
"""


def test_command_lines_are_cut_into_words_as_a_shell_does(load_text: Any, good: str) -> None:
    hooks = load_text(good + HOOKS).config.postgresql.hooks
    assert hooks.callbacks == {
        Callback.ON_START: ("/etc/raftha/hook", "--to", "the balancer"),
        Callback.ON_ROLE_CHANGE: ("/etc/raftha/hook",),
    }
    assert hooks.before_stop == ("sh", "-c", "drain; true")
    assert hooks.pre_promote == ("/etc/raftha/fence",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('  before_stop: "/x \'y"', "is no command line: No closing quotation"),
        ("  pre_promote: '  '", "names no program"),
        ("  pre_promote: [/x, y]", "must be a command line"),
        ("  callbacks: {on_stop: 3}", "must be a command line"),
        ("  callbacks: {on_strat: /x}", "on_start"),
        ("  callbacks: /x", "callbacks"),
    ],
)
def test_what_is_no_command_is_refused(refusals: Any, good: str, line: str, said: str) -> None:
    (problem,) = refusals(good + line + "\n")
    assert "node.yml" in problem
    assert said in problem


def test_they_change_on_a_reload(load_text: Any, good: str) -> None:
    before, after = load_text(good).config, load_text(good + HOOKS).config
    found = {change.path: change.reload for change in compare(before, after)}
    assert set(found.values()) == {Reload.RELOAD}
    assert set(found) == {
        "postgresql.callbacks.on_start",
        "postgresql.callbacks.on_role_change",
        "postgresql.before_stop",
        "postgresql.pre_promote",
    }
