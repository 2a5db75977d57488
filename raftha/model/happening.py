"""What happened on a node, as it is kept for people: one line of its chronicle."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from raftha.model.ids import MemberName


class Kind(StrEnum):
    """What sort of thing happened."""

    AGENT = "agent"
    ASKED = "asked"
    CONFIG = "config"
    DECISION = "decision"
    FENCE = "fence"
    JOB = "job"
    LEADER = "leader"
    PAUSE = "pause"
    RAFT = "raft"
    SYNC = "sync"
    TAKEOVER = "takeover"
    VOTERS = "voters"


class Happening(Struct, frozen=True, kw_only=True):
    """`wall` is Unix time by that node's clock, for people: clocks of two nodes differ. `kind` is a
    `Kind`, or the word of a newer version. `rule` is the rule that decided, if one did."""

    node: MemberName
    wall: float
    kind: str
    words: str
    rule: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


class Chapter(Struct, frozen=True, kw_only=True):
    """The latest that a node keeps, the oldest first."""

    node: MemberName
    events: tuple[Happening, ...]
