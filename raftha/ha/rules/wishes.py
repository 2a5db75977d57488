"""What an operator asks of the server of this member: a restart in place, or a new copy. PURE.

Nothing of it is kept but in the memory of the agent that took it. Whoever dies on the way leaves a
server that is down, and a server that is down is started again, or made anew, by the other rules.
"""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha.memory import WISHED
from raftha.ha.rules.handover import drain
from raftha.ha.situation import Situation
from raftha.ha.table import Rule, Verdict
from raftha.instants import remaining
from raftha.model.restarting import WishKind


def _restart(s: Situation) -> Verdict | None:
    if not s.view.restart_wished or s.cluster.paused:
        return None
    if s.lease is None and (s.is_primary or s.other_leader is None):
        return None
    return drain(s, WISHED, "restarting")


def _remake(s: Situation) -> Verdict | None:
    wish, leader = s.view.wish, s.leader_member
    if wish is None or wish.kind is not WishKind.REINITIALIZE or s.cluster.paused:
        return None
    if s.lease is not None or leader is None or not s.leader_is_ready:
        return None
    is_new = s.memory.remade != wish.id
    if is_new and remaining(wish.until, s.now) <= 0:
        return None
    if is_new:
        memory = replace(
            s.memory,
            remade=wish.id,
            wal_gone=True,
            from_leader=wish.from_leader,
            retry_at=None,
        )
        source = f", from {leader.name}" if wish.from_leader else ""
        return Verdict(f"an operator wants {s.me} made anew{source}", (), memory)
    if not s.memory.wal_gone or not s.running:
        return None
    return drain(s, WISHED, "making it anew: stopping")


RULES = (
    Rule(
        id="wish-10",
        when="an operator wants the server that runs here restarted",
        then="a standby leaves the synchronous set first, a primary writes a checkpoint and keeps "
        "the leader key; then a fast stop, after which it is started as any other that is down",
        why="one way to start a server; and commits should not wait for a standby that goes",
        check=_restart,
    ),
    Rule(
        id="wish-20",
        when="an operator wants the standby here made anew, and another member leads",
        then="stop it as for a restart; what is there is kept aside, and a new copy is made, of "
        "the leader where that is asked for",
        why="a leader is never made anew: it holds what the others are copied from",
        check=_remake,
    ),
)
