"""What a member does, and leaves, in a maintenance pause; and how it comes out of one. PURE.

What makes a pause safe is told in `raftha/ha/pausing.py`.
"""

from __future__ import annotations

from raftha.ha.actions import (
    AcquireLeader,
    Disarm,
    EndAgent,
    Rearm,
)
from raftha.ha.annals import giving_back
from raftha.ha.keys import LEADER_LEASE
from raftha.ha.parting import is_given_up
from raftha.ha.pausing import (
    INTENT,
    covers,
    entering,
    is_armed,
    others_disarmed,
    own_entry,
    words_for,
)
from raftha.ha.rules.election import claim
from raftha.ha.situation import Situation
from raftha.ha.table import Rule, Verdict
from raftha.model.view import HeldLease

_RUNS_ON = "PostgreSQL runs here without a deadline, from a maintenance pause"


def _without_lease(s: Situation) -> Verdict | None:
    if not (s.running and s.view.guardian.disarmed) or s.lease is not None:
        return None
    if s.view.raft.barred is not None or s.directory_empty:
        return None
    is_ours = covers(s, own_entry(s)) and s.other_leader is None
    if s.view.caught_up and not is_ours:
        return None
    if s.view.stopping:
        return _end() if s.cluster.paused or not s.view.caught_up else None
    if not s.view.caught_up:
        return Verdict(f"{_RUNS_ON}: left alone until the store has been read")
    why_not = _cannot_lead(s)
    if why_not is not None:
        return Verdict(f"{_RUNS_ON}, and {why_not}")
    if "leader" in s.view.pending:
        return Verdict("taking the leader key again")
    acquire = AcquireLeader(claim(s), LEADER_LEASE, s.config.ttl, armed=not s.cluster.paused)
    return Verdict(f"{_RUNS_ON}, and nobody holds the leader key: taking it again", (acquire,))


def _end() -> Verdict:
    return Verdict("stopped in a maintenance pause: PostgreSQL runs on", (EndAgent(),))


def _cannot_lead(s: Situation) -> str | None:
    """Why the key cannot be taken for the primary that runs here. It need not fit a promotion."""
    server, sync, others = s.server, s.cluster.sync, others_disarmed(s)
    if not s.view.raft.majority:
        return "no majority of the voters is in touch"
    if s.view.lease is not None or s.cluster.leader is not None:
        return "its lease is over"
    if is_given_up(s.cluster, s.me):
        return "an operator removes this node"
    if server is None or not server.is_primary:
        return f"it does not answer: {s.view.server_problem or 'starting'}"
    if sync is not None and sync.leader != s.me:
        return f"{sync.leader} led last"
    return words_for(others) if others else None


def _stopping(s: Situation) -> Verdict | None:
    if not (s.view.stopping and s.cluster.paused and s.running) or _is_busy(s):
        return None
    if s.view.guardian.disarmed and not covers(s, own_entry(s)):
        return None
    if s.is_primary and not s.view.guardian.disarmed:
        return None
    return _end()


def _down(s: Situation) -> Verdict | None:
    if not s.cluster.paused or s.running or s.view.stopping or _is_busy(s):
        return None
    if s.memory.stop is not None:
        return None
    lease = s.lease
    if lease is None:
        return Verdict("PostgreSQL does not run here, and is not started in a maintenance pause")
    why = "PostgreSQL does not run, and is not started in a maintenance pause"
    return giving_back(s, lease, why)


def _is_busy(s: Situation) -> bool:
    return s.view.job is not None and not s.view.job.kind.disturbs_nothing


def _disarm(s: Situation) -> Verdict | None:
    lease, guardian, server = s.lease, s.view.guardian, s.server
    if not s.cluster.paused or lease is None or _hands_over(s):
        return None
    if not guardian.primary or server is None or not server.is_primary:
        return None
    if guardian.disarmed and not lease.armed and covers(s, own_entry(s)):
        return None
    if INTENT in s.view.pending:
        return Verdict("maintenance pause: its entry in the store is under way")
    if not covers(s, own_entry(s)):
        return Verdict("maintenance pause: saying so in the store first", (entering(s, lease),))
    if not is_armed(s, lease):
        return Verdict("maintenance pause: the guardian's deadline is being taken away")
    return Verdict("maintenance pause: taking the guardian's deadline away", (Disarm(lease.epoch),))


def _hands_over(s: Situation) -> bool:
    """The server is about to be stopped for another leader."""
    request = s.request
    return s.memory.drained is not None or (request is not None and request.leader == s.me)


def _arm(s: Situation) -> Verdict | None:
    lease = s.lease
    if lease is None or lease.armed or not s.view.guardian.alive or _rests(s, lease):
        return None
    return Verdict("the guardian gets a deadline again before anything else", (Rearm(),))


def _rests(s: Situation, lease: HeldLease) -> bool:
    """The deadline is away because a pause has it so, and a primary still runs."""
    return s.cluster.paused and s.running and s.view.guardian.primary and not lease.armed


WITHOUT_LEASE = Rule(
    id="safety-27",
    when="a primary runs here without a deadline, from a maintenance pause, and no lease is held; "
    "and its entry in the store stands, or the store was not read yet since the agent's start",
    then="leave it running; where nobody holds the leader key take it again, under a new epoch",
    why="PostgreSQL outlives agent and store in a pause; the entry keeps everybody else from a "
    "promotion meanwhile (R16), and once it is gone the next rule applies",
    check=_without_lease,
)

RULES = (
    Rule(
        id="pause-10",
        when="the agent is being stopped in a pause, and PostgreSQL runs as a standby or disarmed",
        then="end the agent alone",
        why="maintenance of the agent must not cost the server; a primary whose deadline still "
        "stands is stopped in order, for its guardian would kill it",
        check=_stopping,
    ),
    Rule(
        id="pause-20",
        when="the cluster is paused and PostgreSQL does not run here, and not because this agent "
        "stopped it",
        then="leave it down; the leader gives the key up",
        why="whoever works on the server wants it to stay as it is; with the key free an operator "
        "can name another leader",
        check=_down,
    ),
    Rule(
        id="pause-30",
        when="the cluster is paused, and the guardian of the primary here has a deadline",
        then="commit `disarmed/<name>`, naming this very server; only once that is read back, and "
        "nothing is in flight that would remove it, have the deadline taken away",
        why="from then on no lease bounds the life of this primary: who might be promoted must "
        "know before (R16); a write whose outcome is unknown may not have happened",
        check=_disarm,
    ),
    Rule(
        id="pause-40",
        when="the leader lease is held without a deadline, and no primary runs in a pause",
        then="renew it now and arm the guardian; the entry in the store goes afterwards",
        why="after a resume, and before a server is started again, the old order comes first: "
        "the deadline, then everybody else's freedom (R16)",
        check=_arm,
    ),
)
