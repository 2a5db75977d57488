"""Slowing down what keeps failing: the pause before the next try. PURE.

Jobs and starts are counted by the node that fails at them. A primary that goes without being asked
to is counted by the cluster, in its history: each crash that is answered by a restart in place, and
each failover, is a strike. The leader takes the strikes back once it has served in peace for some
ttls, by its own clock; so no two clocks are compared, and no agent that is restarted forgets.
"""

from __future__ import annotations

from typing import Final

from raftha.ha.situation import Situation
from raftha.instants import Seconds
from raftha.model.cluster import Cluster

FREE_STRIKES: Final = 3
"""So many are answered at once: a fault seldom comes alone, such as a server that crashes, is
restarted and crashes again before its machine goes."""

PEACE_TTLS: Final = 10
"""For how many ttls a primary serves before the strikes are forgotten: a failover takes one or two
of them, so whoever fails over again within ten does little else."""

FIRST_PAUSE_TTLS: Final = 0.5
LONGEST_PAUSE_TTLS: Final = 2.0
"""The pause after those: doubled with each, up to the longest. It is no longer than
a failover whose poll is held up, so the way back to service stays within seconds (L1)."""

STOPPED: Final = "its agent was stopped"
"""How a leader ends that was asked to: no strike."""


def backoff(failures: int, first: float, longest: float) -> Seconds:
    """The pause after so many failures in a row: doubled with each, up to the longest."""
    return Seconds(min(first * 2 ** min(max(failures - 1, 0), 16), longest))


def strikes(cluster: Cluster) -> int:
    """How often the primary went unasked, without peace in between."""
    return cluster.history[-1].strikes if cluster.history else 0


def strikes_after(s: Situation) -> int:
    """The same once the present change of the leader is counted: a strike unless it was wished."""
    history = s.cluster.history
    is_wished = s.request is not None or (bool(history) and history[-1].ended == STOPPED)
    return strikes(s.cluster) + (0 if is_wished else 1)


def pause(s: Situation) -> Seconds:
    """How long the primary is left down before the next takeover, or restart in place."""
    count, ttl = strikes(s.cluster), s.config.ttl
    if count < FREE_STRIKES:
        return Seconds(0.0)
    past = count - FREE_STRIKES + 1
    return backoff(past, FIRST_PAUSE_TTLS * ttl, LONGEST_PAUSE_TTLS * ttl)


def peace_s(s: Situation) -> Seconds:
    """How long a primary has to serve before the strikes are forgotten."""
    return Seconds(PEACE_TTLS * s.config.ttl)
