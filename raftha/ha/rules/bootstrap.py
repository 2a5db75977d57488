"""How a cluster comes into being, and what a node does before it has one. PURE.

The node that initialises holds the leader key from the start, so that a second node can take over
when the first dies in the middle; `initialize` gets the system identifier once all is done.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from raftha.ha.actions import (
    AcquireLeader,
    Action,
    Clone,
    Configure,
    CreateRoles,
    InitDb,
    PostBootstrap,
    PutAside,
    ReleaseLeader,
    StopMode,
    Submit,
)
from raftha.ha.keys import (
    LEADER_LEASE,
    encode_config,
    encode_history,
    encode_initialize,
    encode_leader,
    encode_status,
    encode_sync,
)
from raftha.ha.plans import birth_of, primary_plan, recovery_plan
from raftha.ha.rules.server import start, start_standby, stop
from raftha.ha.situation import Situation
from raftha.ha.table import Rule, Verdict
from raftha.model.cluster import HistoryRecord
from raftha.model.postgres import ServerStatus
from raftha.model.settings import SynchronousMode
from raftha.model.store import Grant, Guard, KeyAbsent, KeyAt, Put, Transact, Write
from raftha.model.view import HeldLease, JobKind

LEFT_BEHIND: Final = "its agent, or its lease, ended in the middle of it"

NO_ROLE: Final = re.compile(r'role ".*" does not exist')
"""PostgreSQL's words when a directory that was brought in has another superuser."""


def _no_majority(s: Situation) -> Verdict | None:
    if s.view.raft.majority or s.lease is not None:
        return None
    raft = s.view.raft
    missing = [
        f"{voter.name} ({voter.address})" if voter.name else voter.address
        for voter in raft.voters
        if not voter.connected and not voter.is_self
    ]
    names = ", ".join(missing) or "an election"
    reason = f"waiting for a majority ({raft.connected} of {len(raft.voters)} voters): {names}"
    waited = s.since(s.memory.alone_since)
    # A directory that is to be brought in must not become a standby's before anybody knows of it.
    if s.running or not s.directory_ready or s.may_initialise or waited < s.config.ttl:
        return Verdict(reason)
    return start_standby(s, None, f"{reason}; PostgreSQL serves reads meanwhile")


def _behind(s: Situation) -> Verdict | None:
    if s.view.caught_up or s.lease is not None:
        return None
    return Verdict("just started: waiting to hold what the majority has committed")


def _unreadable(s: Situation) -> Verdict | None:
    if s.keys.initialize not in s.cluster.unreadable:
        return None
    return Verdict(f"the key {s.keys.initialize} cannot be read: this version is too old for it")


def _nobody_initialised(s: Situation) -> Verdict | None:
    initialize = s.cluster.initialize
    if not s.may_initialise or s.cluster.leader is not None or s.lease is not None:
        return None
    reason = _cannot_initialise(s) or _waits_for_data(s)
    if reason:
        return Verdict(reason)
    guards: tuple[Guard, ...] = (
        KeyAbsent(s.keys.initialize)
        if initialize is None
        else KeyAt(s.keys.initialize, initialize.revision),
        KeyAbsent(s.keys.leader),
    )
    writes: tuple[Write, ...] = (
        Put(s.keys.initialize, encode_initialize(s.me, None)),
        Grant(LEADER_LEASE, s.me, s.view.me.bootstrap.ttl),
        Put(s.keys.leader, encode_leader(s.me, s.view.guardian.nonce), LEADER_LEASE),
    )
    acquire = AcquireLeader(Transact(guards, writes), LEADER_LEASE, s.view.me.bootstrap.ttl)
    actions = () if "leader" in s.view.pending else (acquire,)
    return Verdict("no cluster yet: racing to initialise it", actions)


def _waits_for_data(s: Situation) -> str:
    """Whom the race is left to: by a node without data to a member that holds a cluster already,
    and by all for one ttl to whoever is in touch and has not said yet whether it does."""
    for member in s.other_members:
        if member.has_data and s.directory_empty:
            return (
                f"waiting for {member.name} to bring in the cluster in its data directory; to "
                "begin with an empty cluster instead, move that directory away"
            )
    announced = {member.raft for member in s.cluster.members.values()}
    silent = [
        voter.name or voter.address
        for voter in s.view.raft.voters
        if voter.connected and not (voter.is_self or voter.witness or voter.address in announced)
    ]
    if not silent or s.since(s.memory.together_since) >= s.config.ttl:
        return ""
    return f"waiting for {', '.join(silent)} to say what is in the data directory there"


def _cannot_initialise(s: Situation) -> str:
    """Why the data directory here cannot be the origin of a cluster; empty if it can."""
    directory = s.view.directory
    if s.backing_off():
        return f"initialising failed here ({s.memory.failed}): waiting before the next try"
    if s.directory_empty:
        return ""
    if not s.directory_of_primary:
        return (
            f"{directory.path} holds a standby of a cluster that this store does not know: only "
            "the node with the primary's data directory can bring it in"
        )
    rival = next((m.name for m in s.other_members if m.is_origin), None)
    if rival is None:
        return ""
    return (
        f"{directory.path} holds a primary, and so does the data directory of {rival}: one of them "
        "alone can bring the cluster in, and the other's rows would be undone; move the older one "
        "away, its node makes a copy"
    )


def _somebody_initialises(s: Situation) -> Verdict | None:
    leader = s.other_leader
    if not s.may_initialise or leader is None:
        return None
    return Verdict(f"waiting for {leader.name} to initialise the cluster")


def _initialise(s: Situation) -> Verdict | None:
    lease = s.lease
    if not s.may_initialise or lease is None:
        return None
    failed = s.view.finished
    if failed is not None and failed.error:
        reason = f"{failed.kind} failed: {failed.error}"
        if failed.kind is JobKind.POST_BOOTSTRAP and not s.directory_empty:
            return _given_up(s, reason)
        if s.backing_off():
            return Verdict(reason, () if s.running else (ReleaseLeader(lease.epoch),))
    if s.directory_empty:
        # The plan of an attempt before this one says nothing of this one's server.
        memory = replace(s.memory, making=lease.epoch, plan=None)
        return Verdict("initialising a new cluster", (InitDb(),), memory)
    if not s.running:
        return _start(s, lease)
    server = s.server
    if server is None:
        return Verdict(
            f"the new primary is starting: {_explained(s.view.server_problem or 'no answer yet')}"
        )
    if s.memory.plan is not None and s.memory.plan.recovers:
        return _recovering(s, server)
    done = s.view.finished
    if done is not None and done.kind is JobKind.POST_BOOTSTRAP:
        return _finish(s, lease, server)
    if done is None or done.kind is not JobKind.CREATE_ROLES or done.error is not None:
        return Verdict("creating the roles", (CreateRoles(),))
    if s.view.me.post_bootstrap and s.view.directory.in_one_go:
        return Verdict("the roles are made: running post_bootstrap", (PostBootstrap(),))
    return _finish(s, lease, server)


def _start(s: Situation, lease: HeldLease) -> Verdict:
    """What was restored is recovered first, once. It is started again after that, so that nothing
    of the settings of that recovery is in force in any server that serves."""
    directory = s.view.directory
    if not (directory.recovery_signal and directory.in_one_go):
        plan = primary_plan(s.cluster, s.view.me, "", closed=True)
        return start(s, plan, lease.epoch, "starting the new primary")
    if s.memory.plan is not None and s.memory.plan.recovers:
        words = s.view.last_words or f"status {s.view.guardian.last_exit}, see postgresql.log"
        return _given_up(s, f"the recovery of what was restored failed: {words}")
    plan = recovery_plan(s.cluster, s.view.me)
    return start(s, plan, lease.epoch, "recovering what was restored")


def _recovering(s: Situation, server: ServerStatus) -> Verdict:
    if not server.is_primary:
        return Verdict("recovering what was restored, as far as recovery_conf says")
    return stop(s, StopMode.FAST, "recovered: starting again without the settings of the recovery")


def _given_up(s: Situation, why: str) -> Verdict:
    """Nobody goes on with what this attempt has made."""
    verdict = stop(s, StopMode.IMMEDIATE, why) if s.running else Verdict(why, (PutAside(why),))
    memory = verdict.memory or s.memory
    return replace(verdict, memory=replace(memory, making=None, failed=why))


def _left_behind(s: Situation) -> Verdict | None:
    if not s.directory_left:
        return None
    if not s.view.caught_up or "initialize" in s.view.pending:
        return Verdict("waiting to know whether the cluster in the data directory was announced")
    done = s.view.finished
    if done is None or done.kind is not JobKind.PUT_ASIDE:
        return _given_up(s, s.memory.failed or LEFT_BEHIND)
    if not s.backing_off() or s.running:
        return _given_up(s, LEFT_BEHIND)
    release = () if s.lease is None else (ReleaseLeader(s.lease.epoch),)
    return Verdict(f"{s.view.directory.path} cannot be put aside: {done.error}", release)


def _explained(problem: str) -> str:
    """What PostgreSQL said, and what to do where only a person can."""
    if not NO_ROLE.search(problem):
        return problem
    return f"{problem}: name its superuser in postgresql.authentication.superuser.username"


def _finish(s: Situation, lease: HeldLease, server: ServerStatus) -> Verdict:
    # Closed: who is let in before the cluster is known is told of commits that may be put aside.
    plan = primary_plan(s.cluster, s.view.me, "", closed=True)
    actions: tuple[Action, ...] = (Configure(plan), Submit("initialize", _birth(s, lease, server)))
    if "initialize" in s.view.pending:
        actions = ()
    memory = replace(s.memory, plan=plan)
    return Verdict("the cluster is initialised: saying so to everybody", actions, memory)


def _birth(s: Situation, lease: HeldLease, server: ServerStatus) -> Transact:
    """Everything that makes the cluster known, in one command."""
    keys, me, boot = s.keys, s.me, s.view.me.bootstrap
    record = HistoryRecord(
        timeline=server.timeline,
        parent=None,
        switch=None,
        epoch=lease.epoch,
        leader=me,
        reason="initialised",
        wall=s.view.wall,
    )
    initialize = s.cluster.initialize
    guards: list[Guard] = [s.epoch_guard(lease), KeyAbsent(keys.history), KeyAbsent(keys.status)]
    writes: list[Write] = [
        Put(
            keys.initialize, encode_initialize(me, server.system_id, birth_of(s.cluster, s.view.me))
        ),
        Put(keys.history, encode_history((record,))),
        Put(keys.status, encode_status((), server.timeline, checkpointed=True)),
    ]
    if initialize is not None:
        guards.append(KeyAt(keys.initialize, initialize.revision))
    if s.cluster.config_revision is None:
        guards.append(KeyAbsent(keys.config))
        writes.append(Put(keys.config, encode_config(boot, s.view.me.given_timings)))
    if boot.synchronous_mode is not SynchronousMode.OFF and s.cluster.sync is None:
        guards.append(KeyAbsent(keys.sync))
        writes.append(Put(keys.sync, encode_sync(me, ())))
    return Transact(tuple(guards), tuple(writes))


def _copies_alone(s: Situation) -> Verdict | None:
    """A leader that comes back within a ttl is the better source."""
    is_vacant = not s.may_initialise and s.cluster.leader is None and s.lease is None
    has_none = s.directory_empty and not s.running
    if not (is_vacant and has_none and s.view.me.copies_alone) or s.cluster.paused:
        return None
    if s.since(s.memory.lost_since) < s.config.ttl:
        return None
    if s.backing_off():
        return Verdict(f"there is no leader, and a copy without one failed: {s.memory.failed}")
    return Verdict("there is no leader: making a copy without one", (Clone(None),))


RULES = (
    Rule(
        id="boot-10",
        when="no majority of the voters is in touch and no lease is held",
        then="wait and name who is missing; after a ttl serve reads as a standby without upstream, "
        "if the cluster is known",
        why="nothing can be decided without a majority (a lone node of three must not initialise)",
        check=_no_majority,
    ),
    Rule(
        id="boot-12",
        when="this agent has not caught up with the store since its start, and no lease is held",
        then="wait",
        why="an earlier agent may have cut the stream of a leader that this replica still shows: "
        "to follow it again would break that pledge (R17)",
        check=_behind,
    ),
    Rule(
        id="boot-15",
        when="`initialize` is there but cannot be read",
        then="wait",
        why="a newer version wrote it; taking it for absent would initialise a second cluster",
        check=_unreadable,
    ),
    Rule(
        id="boot-18",
        when="a bootstrap by a program of the operator's, or with `post_bootstrap`, came to "
        "nothing here, or its agent or its lease ended in the middle",
        then="once it is certain that the cluster was not announced, stop its server at once, and "
        "put the directory aside",
        why="nobody knows how far such a program had come, and what it restored must not recover "
        "under anybody else; the others may begin anew",
        check=_left_behind,
    ),
    Rule(
        id="boot-20",
        when="the cluster is not initialised and nobody holds the leader key",
        then="race for `initialize` and the leader key in one command, with an empty directory or "
        "a primary's; of two primaries' directories neither, until one is moved away",
        why="exactly one node initialises; a standby's directory cannot be the origin, and of two "
        "primaries one would undo the other's rows",
        check=_nobody_initialised,
    ),
    Rule(
        id="boot-30",
        when="another node initialises",
        then="wait",
        why="there is nothing to clone from yet",
        check=_somebody_initialises,
    ),
    Rule(
        id="boot-40",
        when="this node won the race to initialise",
        then="initdb, or take over the server that runs on the directory, start closed to "
        "everybody, create the roles, run `post_bootstrap`, then store the system id, the "
        "configuration and the first history record in one command. It is opened after that. What "
        "`bootstrap.method` restores is recovered first, under the same lease, and started again "
        "without the settings of that recovery",
        why="the others must never see half a cluster, what is acknowledged must not be in a "
        "directory that may still be given up (S6), and no recovery target may outlast the "
        "recovery that it was given for (R11)",
        check=_initialise,
    ),
    Rule(
        id="boot-50",
        when="there is no data directory here, and for a ttl nobody has held the leader key of a "
        "cluster that is known, and a method of `create_replica_methods` has `no_leader`",
        then="make a copy by it",
        why="there is nobody to clone from, and a backup may be all that is left",
        check=_copies_alone,
    ),
)
