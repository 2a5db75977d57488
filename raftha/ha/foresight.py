"""What can be known of a leader before its lease ends, so that nobody waits for it then. PURE.

From the first renewal that is missed the leader is asked whether it lives. Where it is silent it is
asked once more when the key is gone, as all members are, but the race does not wait for the answer:
that would be a whole time-out where its machine is off or cut off. The positions of the others are
of no use so early, for they may still grow (`pledge.py`).
"""

from __future__ import annotations

from typing import Final

from raftha.ha.actions import Action, AskPeers
from raftha.ha.situation import Situation
from raftha.instants import longest
from raftha.model.ids import MemberName

MISSED_HEARTBEATS: Final = 2
"""A renewal that is so many heartbeats old has had a successor that did not come."""

ASK_AGAIN_S: Final = 0.5


def early_questions(s: Situation) -> tuple[Action, ...]:
    """Ask the leader, if its renewal is overdue and it was not asked just now."""
    leader, seen = s.cluster.leader, s.memory.leader_seen
    is_calm = s.view.guardian.alive and s.view.raft.majority and not s.view.stopping
    if leader is None or seen is None or leader.name == s.me or not is_calm:
        return ()
    if s.since(seen.at) < MISSED_HEARTBEATS * s.config.heartbeat:
        return ()
    answer = s.view.peers.get(leader.name)
    is_fresh = answer is not None and s.since(answer.asked) < ASK_AGAIN_S
    if is_fresh or leader.name not in s.cluster.members:
        return ()
    return (AskPeers((leader.name,)),)


def was_silent(s: Situation, name: MemberName) -> bool:
    """This member held the key last, and did not answer when asked after its last renewal."""
    answer, seen = s.view.peers.get(name), s.memory.leader_seen
    if answer is None or seen is None or seen.name != name:
        return False
    return answer.report is None and longest(seen.at, answer.asked) >= 0
