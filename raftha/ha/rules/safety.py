"""What must never be: checked before anything else. PURE."""

from __future__ import annotations

from raftha.ha.actions import CancelJob, Readopt, RestoreGuardian, ReturnLeader, StopMode
from raftha.ha.complaints import words_of_other_cluster
from raftha.ha.pausing import covers, own_entry
from raftha.ha.rules.pause import WITHOUT_LEASE
from raftha.ha.rules.server import stop
from raftha.ha.situation import Situation
from raftha.ha.table import Rule, Verdict
from raftha.model.postgres import DirectoryState


def _no_guardian(s: Situation) -> Verdict | None:
    if s.view.guardian.alive or s.view.stopping:
        return None
    return Verdict("starting a guardian for the data directory", (RestoreGuardian(),))


def _readopt(s: Situation) -> Verdict | None:
    leader = s.cluster.leader
    guardian = s.view.guardian
    if s.view.lease is not None or leader is None or s.view.stopping:
        return None
    is_ours = leader.name == s.me and leader.guardian == guardian.nonce
    if not is_ours or leader.epoch in guardian.burned:
        return None
    if guardian.disarmed:
        if not covers(s, own_entry(s)):
            return None
    elif guardian.primary and guardian.epoch != leader.epoch:
        return None
    reason = f"the leader key is this node's, under epoch {leader.epoch}: renewing its lease"
    if "leader" in s.view.pending:
        return Verdict("the store's answer about the leader key is under way")
    is_armed = not (guardian.disarmed and s.cluster.paused)
    readopt = Readopt(leader.epoch, leader.lease.revision, leader.lease.ttl, is_armed)
    return Verdict(reason, (readopt,))


def _give_back(s: Situation) -> Verdict | None:
    leader, guardian = s.cluster.leader, s.view.guardian
    if leader is None or leader.name != s.me or s.view.lease is not None or s.view.stopping:
        return None
    is_lost = leader.guardian in guardian.predecessors or leader.epoch in guardian.burned
    if not is_lost or s.is_primary or not s.view.raft.majority:
        return None
    if "leader" in s.view.pending:
        return Verdict("the leader key is being given back: its guardian is gone, and its server")
    return Verdict(
        f"giving the leader key back at once: the guardian of epoch {leader.epoch} is gone, or has "
        "burned it, and no primary is left here",
        (ReturnLeader(leader.epoch, leader.lease.revision),),
    )


def _primary_without_lease(s: Situation) -> Verdict | None:
    if not (s.running and s.is_primary) or s.lease is not None:
        return None
    holder = s.other_leader
    guardian = s.view.guardian
    if guardian.armed and s.view.lease is None and holder is None:
        return Verdict("a primary runs here without a lease: its guardian keeps the deadline")
    why = f"{holder.name} holds the leader key" if holder else "no valid lease is held here"
    return stop(s, StopMode.IMMEDIATE, f"a primary runs here, but {why}: stopping it at once")


def _is_ending(s: Situation) -> bool:
    """The agent is being stopped and nothing runs: no more is to be said of the directory."""
    return s.view.stopping and not s.running


def _other_cluster(s: Situation) -> Verdict | None:
    if not s.directory_of_other_cluster or _is_ending(s):
        return None
    if s.directory_stillborn and not s.running:
        return None
    what, remedy = words_of_other_cluster(s)
    reason = f"{what}: {remedy}"
    return stop(s, StopMode.FAST, reason) if s.running else Verdict(reason)


def _directory_unusable(s: Situation) -> Verdict | None:
    directory = s.view.directory
    gone_under_server = s.running and directory.state in (
        DirectoryState.ABSENT,
        DirectoryState.EMPTY,
    )
    if gone_under_server:
        return stop(s, StopMode.IMMEDIATE, f"{directory.path} is gone while PostgreSQL runs")
    if directory.state in (DirectoryState.ABSENT, DirectoryState.EMPTY):
        return None
    if s.running or directory.control is not None or _is_ending(s) or s.directory_left:
        return None
    return Verdict(f"{directory.path} cannot be used: {directory.problem or directory.state}")


def _barred(s: Situation) -> Verdict | None:
    why = s.view.raft.barred
    if why is None or s.view.stopping or s.lease is not None:
        return None
    reason = f"nothing runs here any more: {why}"
    if s.running:
        return stop(s, StopMode.FAST, reason)
    return Verdict(reason, (CancelJob(),) if s.view.job is not None else ())


RULES = (
    Rule(
        id="safety-10",
        when="no guardian answers, and the agent is not being stopped",
        then="start one; nothing else is done before",
        why="nobody would stop a primary whose agent dies: no guardian, no server",
        check=_no_guardian,
    ),
    Rule(
        id="safety-20",
        when="the leader key names this node and this guardian, but no lease is held: the agent "
        "was restarted, or the answer to the race was lost",
        then="renew the lease; from then on it is held",
        why="the guardian keeps the deadline of a running primary meanwhile, so a restarted agent "
        "need not interrupt it; one that a pause left without a deadline stays so",
        check=_readopt,
    ),
    Rule(
        id="safety-25",
        when="the leader key names this node, but a guardian that was here before this one, or an "
        "epoch that this one has burned; no lease is held, no primary runs, and a majority is in "
        "touch",
        then="have the guardian burn the epoch, and give the key back",
        why="an epoch dies with its guardian, so the lease can only run out; the guardian that is "
        "here has proved that nothing is left of the server before it, and nobody need wait. Of a "
        "guardian on another machine, which this node may have replaced, it has proved nothing",
        check=_give_back,
    ),
    WITHOUT_LEASE,
    Rule(
        id="safety-30",
        when="a primary runs here and no valid lease is held",
        then="stop it at once (immediate); leave it to an armed guardian while the store names no "
        "other leader and this process never held the lease",
        why="another node may already be the primary (S1); but an agent that was just restarted "
        "knows nothing yet, and the guardian's deadline is the fence",
        check=_primary_without_lease,
    ),
    Rule(
        id="safety-40",
        when="the data directory has another system id than the cluster",
        then="stop a server that runs on it; touch nothing",
        why="its rows are not this cluster's, and are not ours to destroy (S10)",
        check=_other_cluster,
    ),
    Rule(
        id="safety-50",
        when="the data directory is gone under a running server, or cannot be used",
        then="stop the server; touch nothing",
        why="a server without its files loses what it acknowledges",
        check=_directory_unusable,
    ),
    Rule(
        id="safety-60",
        when="the others say that this node was removed or replaced",
        then="stop the server; touch nothing",
        why="it would go on to serve what grows old, and its stream could be taken for that of the "
        "node which has its name now",
        check=_barred,
    ),
)
