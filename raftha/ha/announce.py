"""What a member says of itself in the store: written when it changes, and only then. PURE."""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha.actions import Action, Submit
from raftha.ha.keys import encode_member
from raftha.ha.memory import WISHED
from raftha.ha.situation import Situation
from raftha.model.cluster import Member, MemberRole, MemberState
from raftha.model.ids import Revision
from raftha.model.store import KeyAbsent, KeyAt, Put, Transact
from raftha.model.view import JobKind

_JOB_STATES = {
    JobKind.INITDB: MemberState.INITIALIZING,
    JobKind.RESTORE: MemberState.INITIALIZING,
    JobKind.TAKE_OVER: MemberState.STOPPING,
    JobKind.CREATE_ROLES: MemberState.INITIALIZING,
    JobKind.POST_BOOTSTRAP: MemberState.INITIALIZING,
    JobKind.CLONE: MemberState.CREATING,
    JobKind.REJOIN: MemberState.REWINDING,
}


def announcement(s: Situation) -> tuple[Action, ...]:
    """The write that brings `members/<name>` up to date, if it is not."""
    if not s.view.raft.majority or "member" in s.view.pending:
        return ()
    wanted = member(s)
    known = s.cluster.members.get(s.me)
    if known is not None and replace(known, revision=Revision(0)) == wanted:
        return ()
    key = s.keys.member(s.me)
    guard = KeyAbsent(key) if known is None else KeyAt(key, known.revision)
    return (Submit("member", Transact((guard,), (Put(key, encode_member(wanted)),))),)


def member(s: Situation) -> Member:
    """This node as it should be announced now."""
    me, server = s.view.me, s.server
    return Member(
        name=me.name,
        api_url=me.api_url,
        postgres=me.postgres,
        raft=me.raft,
        slot=me.slot,
        state=state(s),
        role=role(s),
        timeline=None if server is None else server.timeline,
        postgres_version=None if server is None else server.version,
        agent_version=me.agent_version,
        tags=me.tags,
        has_data=_has_data(s),
        is_origin=_has_data(s) and s.directory_of_primary,
        stream=me.stream,
        proxy_url=me.proxy_url,
        sizes={} if server is None else server.sizes,
    )


def _has_data(s: Situation) -> bool:
    """There is no cluster yet, and a data directory that was not made for it."""
    initialize = s.cluster.initialize
    is_unborn = initialize is None or initialize.system_id is None
    return is_unborn and s.directory_ready and not s.view.directory.unborn


def state(s: Situation) -> MemberState:
    """One word for what PostgreSQL does here."""
    job, server = s.view.job, s.server
    is_leaving = s.view.stopping or s.memory.drained == WISHED
    if is_leaving or (s.running and s.memory.stop is not None and _stopping(s)):
        return MemberState.STOPPING if s.running else MemberState.STOPPED
    if job is not None and job.kind in _JOB_STATES:
        return _JOB_STATES[job.kind]
    if not s.running and s.counts_as_remade:
        return MemberState.CREATING
    if not s.running:
        return MemberState.WAITING if s.directory_empty else MemberState.STOPPED
    if server is None:
        return MemberState.HUNG if s.view.server_seen is not None else MemberState.STARTING
    if server.is_primary:
        return MemberState.RUNNING
    if s.lease is not None:
        return MemberState.PROMOTING
    streams = server.receiver is not None and server.receiver.status == "streaming"
    return MemberState.STREAMING if streams else MemberState.RUNNING


def _stopping(s: Situation) -> bool:
    sent = s.memory.stop
    return sent is not None and sent.process == s.view.guardian.process


def role(s: Situation) -> MemberRole:
    """The PostgreSQL role of what runs here."""
    server = s.server
    if server is None:
        return MemberRole.NONE
    return MemberRole.PRIMARY if server.is_primary else MemberRole.STANDBY
