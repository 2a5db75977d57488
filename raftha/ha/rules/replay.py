"""What a standby does whose replay stands still. PURE."""

from __future__ import annotations

from raftha.ha.actions import StopMode
from raftha.ha.rules.server import stop
from raftha.ha.situation import Situation
from raftha.ha.sizes import replay_stands
from raftha.ha.table import Rule, Verdict


def _stands(s: Situation) -> Verdict | None:
    if s.lease is not None or s.cluster.paused or not replay_stands(s):
        return None
    reason = "replay stands still for a size that a primary had: restarting to replay on"
    return stop(s, StopMode.FAST, reason)


RULES = (
    Rule(
        id="replay-10",
        when="replay here stands still, because a primary ran with more connections, workers, "
        "senders, prepared transactions or locks than this standby",
        then="restart the standby, which takes over what pg_control demands; in a pause leave it",
        why="nothing else lets it go on, and to be promoted it would have to replay; without a "
        "leader, too, for it may hold what nobody else does",
        check=_stands,
    ),
)
