"""What a rule is, and what comes of one. PURE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raftha.ha.actions import Action
from raftha.ha.memory import Memory
from raftha.ha.situation import Situation


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a matching rule decided: the reason in a person's words, the acts, and the memory if it
    changes."""

    reason: str
    actions: tuple[Action, ...] = ()
    memory: Memory | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the table. `check` answers None when the rule does not match."""

    id: str
    when: str
    then: str
    why: str
    check: Callable[[Situation], Verdict | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The first rule that matched, and what is to be done."""

    rule: str
    reason: str
    actions: tuple[Action, ...]
    memory: Memory
