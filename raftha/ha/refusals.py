"""Why an operator's request to change the leader cannot be done, in words for him. PURE."""

from __future__ import annotations

from raftha.ha.candidates import lacking, obstacle
from raftha.ha.halting import WORDS
from raftha.ha.hearing import never_heard
from raftha.ha.parting import is_leaving
from raftha.ha.pausing import words_for
from raftha.ha.situation import Situation
from raftha.model.ids import MemberName
from raftha.model.operation import OperatorRequest, RequestKind
from raftha.model.report import PeerReport


def may_lack(s: Situation) -> str | None:
    """Why this node may lack acknowledged commits, where nothing else stands against it: an
    operator may accept their loss. None also while it may still hear that it lacks none."""
    if obstacle(s) is not None:
        return lacking(s)
    why = never_heard(s)
    return None if why is None else f"it may lack acknowledged commits: {why}"


def in_the_way(s: Situation) -> str | None:
    """Why another request cannot take the place of the one under way; None if there is none, and if
    that had its chance: without a leader it may wait for ever."""
    request = s.request
    if request is None:
        return None
    if s.cluster.leader is None and s.since(s.memory.request_since) >= s.config.ttl:
        return None
    return f"a {request.kind} is under way already"


def refusal(s: Situation, request: OperatorRequest) -> str | None:
    """Why an operator's request cannot be done as things stand; None if it can."""
    leader = s.cluster.leader
    if not s.view.raft.majority:
        return "no majority of the voters is in touch: nothing can be changed safely"
    if s.cluster.halt is not None:
        return WORDS
    if request.leader is not None and (leader is None or leader.name != request.leader):
        holder = leader.name if leader else "nobody"
        return f"{request.leader} is not the leader: {holder} holds the leader key"
    if leader is None and request.kind is RequestKind.SWITCHOVER:
        return "there is no leader to switch over from: use failover --candidate"
    name = leader.name if leader is not None else None
    if request.may_lose and name is not None:
        return f"{name} leads: nothing has to be lost, leave --allow-data-loss out"
    reason = _fence_refusal(s, request, name) or _pause_refusal(s, request, name)
    if reason is not None:
        return reason
    if request.candidate is None:
        return _no_candidate(s, name) if name is not None else "name a candidate"
    return _candidate_refusal(s, request.candidate, name, may_lose=request.may_lose)


def _fence_refusal(s: Situation, request: OperatorRequest, leader: MemberName | None) -> str | None:
    """Why the word that a machine is off is not taken; None if it is, or if none was given."""
    name = request.fenced
    if name is None:
        return None
    if name not in s.cluster.disarmed:
        return f"nothing waits for the end of {name}: leave --fenced out"
    if name == request.candidate:
        return f"{name} cannot take over if it is off"
    if leader is not None:
        return f"{leader} holds the leader key: wait {s.config.ttl:g} s if it is off"
    report = s.peer(name)
    if report is not None and report.primary_alive:
        return f"{name} is not off: it answers, and runs a primary; stop that first"
    return None


def _pause_refusal(s: Situation, request: OperatorRequest, leader: MemberName | None) -> str | None:
    known = (leader, request.candidate, request.fenced)
    others = tuple(name for name in sorted(s.cluster.disarmed) if name not in known)
    if others:
        return words_for(others)
    if s.cluster.paused and request.candidate is None:
        return "the cluster is paused: name the candidate"
    return None


def _no_candidate(s: Situation, leader: MemberName) -> str | None:
    reasons = []
    for member in s.cluster.members.values():
        if member.name == leader:
            continue
        reason = _candidate_refusal(s, member.name, leader)
        if reason is None:
            return None
        reasons.append(reason)
    return "no member can take over: " + ("; ".join(reasons) or "there is no other member")


def _candidate_refusal(
    s: Situation, name: MemberName, leader: MemberName | None, *, may_lose: bool = False
) -> str | None:
    member = s.cluster.members.get(name)
    if member is None:
        known = ", ".join(sorted(s.cluster.members))
        return f"{name} is not a member of this cluster (members: {known})"
    if name == leader:
        return f"{name} is the leader already"
    if is_leaving(s.cluster, name):
        return f"{name} is being removed from the cluster"
    if not s.has_vote(member):
        return f"{name} has no vote in the Raft group: raftha member add gives it one"
    if (forbidden := member.tags.against_leading) is not None:
        return f"{name} may not lead: {forbidden}"
    report = s.peer(name) if name != s.me else None
    if name != s.me and report is None:
        return f"{name} does not answer"
    why_not, lack = obstacle(s), may_lack(s)
    if report is not None:
        why_not, lack = report.obstacle, report.lacking
    reason = why_not or lack
    if leader is None and reason is not None and not (may_lose and reason == lack):
        remedy = "; raftha failover --allow-data-loss would overrule that" if lack else ""
        return f"{name} cannot take over: {reason}{remedy}"
    return None if report is None else _lagging(s, name, report)


def _lagging(s: Situation, name: MemberName, report: PeerReport) -> str | None:
    server = s.server
    if report.position is None:
        return f"{name} has no known WAL position: {report.state}"
    if server is None or not server.is_primary or server.written is None:
        return None
    lag = report.position.behind(server.written)
    if lag > s.config.maximum_lag_on_failover:
        return f"{name} lags {lag} bytes behind the primary, more than maximum_lag_on_failover"
    if report.timeline is not None and report.timeline != server.timeline:
        return f"{name} is on timeline {report.timeline}, the primary on {server.timeline}"
    return None
