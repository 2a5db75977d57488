"""Strategies for what a member remembers, contradictory things too."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from raftha.ha.actions import StopMode
from raftha.ha.memory import Arming, LeaderSeen, Memory, PrePromoteAsked, StopSent
from raftha.ha.plans import names_for
from tests.properties.views import (
    EPOCHS,
    INSTANTS,
    LSNS,
    NAMES,
    REVISIONS,
    SETTINGS,
    TIMELINES,
    variants,
)
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg

MEMORY_PARTS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "plan": st.sampled_from([b.plan_of(b.view(), names) for names in ("", names_for(pg.N2))]),
    "stop": st.builds(
        StopSent,
        process=st.sampled_from(["77@1", "76@1"]),
        mode=st.sampled_from(StopMode),
        at=INSTANTS,
    ),
    "starts": st.integers(0, 4),
    "promoted": EPOCHS,
    "promoted_at": INSTANTS,
    "pre_promote_asked": st.builds(PrePromoteAsked, epoch=EPOCHS, at=INSTANTS),
    "pre_promote_refused": INSTANTS,
    "checkpoint_asked": INSTANTS,
    "lost_since": INSTANTS,
    "cutting_since": INSTANTS,
    "live_primary_since": INSTANTS,
    "alone_since": INSTANTS,
    "leader_seen": st.builds(
        LeaderSeen, revision=REVISIONS, at=INSTANTS, timeline=TIMELINES, position=LSNS
    ),
    "arming": st.builds(
        Arming,
        names=SETTINGS,
        since=INSTANTS,
        checkpointed=st.booleans(),
        required=st.none() | LSNS,
    ),
    "absent": st.dictionaries(NAMES, INSTANTS),
    "drained": st.sampled_from(["op1", "op2", "stop", "wish"]),
    "drain_since": INSTANTS,
    "wal_gone": st.booleans(),
    "remade": st.sampled_from(["", "w-1"]),
    "failures": st.integers(0, 3),
    "retry_at": INSTANTS,
}
MEMORIES: Final[st.SearchStrategy[Memory]] = variants(Memory(), **MEMORY_PARTS) | variants(
    b.LOST, **MEMORY_PARTS
)
