"""Why a node takes over, in words, for people who read the history later. PURE."""

from __future__ import annotations

from raftha.ha.situation import Situation
from raftha.instants import longest
from raftha.model.ids import MemberName
from raftha.model.report import PeerReport


def grounds(s: Situation) -> str:
    """Why this node takes over, for people who read the history later."""
    old = s.cluster.sync.leader if s.cluster.sync else None
    seen = [f"{name} {_told(answer.report)}" for name, answer in sorted(s.view.peers.items())]
    who = "nobody held the leader key"
    if old and s.memory.leader_seen is None:
        who = f"nobody held the leader key, which {old} had last"
    elif old:
        who = f"{old} gave the leader key back" if _given_back(s) else f"the lease of {old} ended"
    last = s.cluster.history[-1] if s.cluster.history else None
    if last is not None and last.leader == old and last.ended:
        who = f"{old} gave the leader key back: {last.ended}"
    if old and _is_buried(s, old):
        who = f"the guardian of {old} told that its agent and its primary are gone"
    if last is not None and not last.is_promotion:
        who = "an operator recovered the cluster"
    if s.request is not None:
        who = f"{s.request.kind} from {s.request.leader or 'nobody'}"
        if s.request.fenced is not None:
            who += f", an operator said that {s.request.fenced} is off"
        if s.request.may_lose:
            who += ", an operator accepted the loss of commits"
    position = s.server.position if s.server else None
    return f"{who}; positions: {s.me} {position}, " + (", ".join(seen) or "no other member")


def _is_buried(s: Situation, old: MemberName) -> bool:
    """The guardian's word came after the last renewal that was seen."""
    receipt, seen = s.cluster.receipt, s.memory.leader_seen
    if receipt is None or seen is None:
        return False
    return receipt.name == old and receipt.revision > seen.revision


def _given_back(s: Situation) -> bool:
    """The key went when its last renewal was younger than any that a lease ends by: renewals come
    each heartbeat. Told only by a node that saw renewals come; one just started cannot date them.
    """
    seen, lost, together = s.memory.leader_seen, s.memory.lost_since, s.memory.together_since
    if seen is None or lost is None or together is None:
        return False
    watched = longest(together, lost) >= s.config.ttl
    return watched and longest(seen.at, lost) < s.config.heartbeat + s.config.retry_timeout


def _told(report: PeerReport | None) -> str:
    if report is None:
        return "did not answer"
    return "unknown" if report.position is None else str(report.position)
