"""The whole cluster stopped by an operator: what is committed, and what stands against it. PURE.

The word is in the store, so it outlives agents and machines: PostgreSQL is down everywhere until it
is taken back. The leader keeps the leader key meanwhile, if its agent goes on, and then starts its
server again where it was, on the same timeline. What each member does is in `rules/halt.py`.
"""

from __future__ import annotations

from typing import Final

from raftha.ha.keys import Keys, encode_halt
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName
from raftha.model.report import Level, Notice
from raftha.model.store import KeyAbsent, KeyAt, Put, Remove, Transact
from raftha.model.trouble import Trouble

WORDS: Final = "the cluster was stopped by an operator: raftha start"


def halting(keys: Keys, by: MemberName) -> Transact:
    """The command that stops the cluster; not while a hand-over is under way."""
    guards = (KeyAbsent(keys.halt), KeyAbsent(keys.failover))
    return Transact(guards, (Put(keys.halt, encode_halt(by)),))


def starting(keys: Keys, cluster: Cluster) -> Transact:
    """The command that takes it back."""
    assert cluster.halt is not None, "there is nothing to take back"
    return Transact((KeyAt(keys.halt, cluster.halt.revision),), (Remove(keys.halt),))


def objection(cluster: Cluster, *, halts: bool, majority: bool) -> str | None:
    """Why the cluster is not stopped, or started, as things stand; None if it may be."""
    if not majority:
        return "no majority of the voters is in touch: nothing can be changed safely"
    if not halts:
        return "the cluster is not stopped" if cluster.halt is None else None
    if cluster.halt is not None:
        return "the cluster is stopped already"
    if cluster.initialize is None or cluster.initialize.system_id is None:
        return "there is no cluster yet: nobody has initialised it"
    if cluster.paused:
        return "the cluster is in a maintenance pause, in which no server is touched: raftha resume"
    if cluster.request is not None:
        return f"a {cluster.request.kind} is under way"
    return None


def notices_of_halt(cluster: Cluster) -> list[Notice]:
    """A reminder that nothing is wrong, and nothing runs."""
    if cluster.halt is None:
        return []
    return [
        Notice(
            code=Trouble.STOPPED,
            subject="cluster",
            what=f"an operator has stopped it, at {cluster.halt.by}: PostgreSQL is down everywhere",
            remedy="raftha start",
            level=Level.WARNING,
        )
    ]
