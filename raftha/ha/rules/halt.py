"""What a member does while an operator has stopped the whole cluster. PURE.

The primary goes first: a fast stop waits until its standbys have everything, the shutdown record
too, so all of them hold all there is when they stop. Had a synchronous standby gone first, commits
would wait for it.
"""

from __future__ import annotations

from raftha.ha.halting import WORDS
from raftha.ha.memory import WISHED
from raftha.ha.rules.handover import drain
from raftha.ha.situation import Situation
from raftha.ha.table import Rule, Verdict
from raftha.model.cluster import MemberRole


def _stop(s: Situation) -> Verdict | None:
    if s.cluster.halt is None or not s.running:
        return None
    if s.lease is not None:
        return drain(s, WISHED, "an operator stops the cluster: stopping")
    primary = _awaited(s)
    if primary is not None:
        return Verdict(f"an operator stops the cluster: {primary} goes first")
    return drain(s, WISHED, "an operator stops the cluster: stopping", leaves_set=False)


def _awaited(s: Situation) -> str | None:
    """The leader, while its server runs and its node is in touch."""
    leader = s.leader_member
    if leader is None or leader.name in s.memory.away or leader.role is MemberRole.NONE:
        return None
    return leader.name


def _rest(s: Situation) -> Verdict | None:
    return None if s.cluster.halt is None or s.running else Verdict(WORDS)


RULES = (
    Rule(
        id="halt-10",
        when="an operator has stopped the cluster and PostgreSQL runs here",
        then="the leader writes a checkpoint, stops, and keeps the leader key; the others stop "
        "once its server is down",
        why="whoever stops last then holds everything, and no commit waits for who went before",
        check=_stop,
    ),
    Rule(
        id="halt-20",
        when="an operator has stopped the cluster and PostgreSQL is down here",
        then="nothing, whoever holds the leader key or does not",
        why="it is down until the operator takes the word back; a leader that has kept its key "
        "then starts where it was, without a new timeline",
        check=_rest,
    ),
)
