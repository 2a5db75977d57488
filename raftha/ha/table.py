"""What a rule is, and what comes of one. PURE."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from raftha.ha.actions import Action
from raftha.ha.memory import Memory
from raftha.ha.situation import Situation


class Verdict(Struct, frozen=True):
    """What a matching rule decided: the reason in a person's words, the acts, and the memory if it
    changes."""

    reason: str
    actions: tuple[Action, ...] = ()
    memory: Memory | None = None


class Rule(Struct, frozen=True, kw_only=True):
    """One line of the table. `check` answers None when the rule does not match."""

    id: str
    when: str
    then: str
    why: str
    check: Callable[[Situation], Verdict | None]


class Decision(Struct, frozen=True, kw_only=True):
    """The first rule that matched, and what is to be done."""

    rule: str
    reason: str
    actions: tuple[Action, ...]
    memory: Memory
