"""A view and a memory, with the facts that several rules ask for. PURE.

Each property states one fact, so that a rule reads as the sentence it implements.
"""

from __future__ import annotations

from functools import cached_property

from msgspec import Struct

from raftha.ha.actions import StopMode
from raftha.ha.keys import Keys
from raftha.ha.memory import Memory
from raftha.instants import Instant, Seconds, longest
from raftha.model.cluster import Cluster, Leader, Member, MemberRole
from raftha.model.ids import MemberName, Revision
from raftha.model.operation import OperatorRequest
from raftha.model.postgres import DirectoryState, ServerStatus
from raftha.model.report import PeerReport
from raftha.model.settings import DynamicConfig
from raftha.model.store import Guard, KeyCreatedAt
from raftha.model.view import HeldLease, View


class Situation(Struct, frozen=True, dict=True):
    """What many rules ask for is worked out once: nothing here ever changes."""

    view: View
    memory: Memory
    keys: Keys

    # Shorthands for what nearly every rule reads.

    @property
    def now(self) -> Instant:
        return self.view.now

    @property
    def me(self) -> MemberName:
        return self.view.me.name

    @property
    def cluster(self) -> Cluster:
        return self.view.cluster

    @property
    def config(self) -> DynamicConfig:
        return self.view.cluster.config

    def since(self, instant: Instant | None) -> Seconds:
        """Seconds since then, 0 if it never was."""
        return Seconds(0.0) if instant is None else longest(instant, self.now)

    # The lease.

    @cached_property
    def lease(self) -> HeldLease | None:
        """The leader lease if this node holds it validly at this instant, and the store agrees."""
        held = self.view.lease
        if held is None or not held.is_valid(self.now):
            return None
        leader = self.cluster.leader
        # The local replica may lag behind the grant; it must not name another epoch.
        if leader is not None and leader.epoch != held.epoch and leader.epoch > held.epoch:
            return None
        return held

    @cached_property
    def other_leader(self) -> Leader | None:
        """The leader key's holder if that is another member."""
        leader = self.cluster.leader
        return leader if leader is not None and leader.name != self.me else None

    @property
    def leader_member(self) -> Member | None:
        """The announced member that holds the leader key, if it is another one."""
        leader = self.other_leader
        return None if leader is None else self.cluster.members.get(leader.name)

    # PostgreSQL here.

    @property
    def running(self) -> bool:
        """A postmaster, or anything left of its tree, is there."""
        return self.view.guardian.running

    @cached_property
    def server(self) -> ServerStatus | None:
        """The last answer of the server that runs now."""
        return self.view.server if self.running else None

    @property
    def is_primary(self) -> bool:
        """A server that accepts writes runs here, or was promoted or started to do so."""
        server = self.server
        return self.view.guardian.primary or (server is not None and server.is_primary)

    @property
    def directory_empty(self) -> bool:
        return self.view.directory.state in (DirectoryState.ABSENT, DirectoryState.EMPTY)

    @property
    def directory_ready(self) -> bool:
        directory = self.view.directory
        is_present = directory.state is DirectoryState.PRESENT and directory.control is not None
        is_usable = directory.problem is None and not self.directory_older
        is_whole = not (self.directory_stillborn or self.directory_left)
        return is_present and is_usable and is_whole

    @property
    def directory_of_primary(self) -> bool:
        """What lies there was a primary, and nobody has made a standby of it since."""
        return self.view.directory.of_primary

    @property
    def directory_of_other_cluster(self) -> bool:
        """It has another system identifier."""
        control, initialize = self.view.directory.control, self.cluster.initialize
        if control is None or initialize is None or initialize.system_id is None:
            return False
        return control.system_id != initialize.system_id

    @property
    def directory_strange(self) -> bool:
        """No server of this cluster has run on it, though it has the cluster's system identifier:
        it is from before the cluster was brought in."""
        directory, initialize = self.view.directory, self.cluster.initialize
        if directory.control is None or directory.problem is not None or initialize is None:
            return False
        is_other = initialize.system_id is None or self.directory_of_other_cluster
        return not is_other and bool(initialize.birth) and directory.birth != initialize.birth

    @property
    def directory_older(self) -> bool:
        """Such a one that was a primary's: its rows may be nowhere else, and may be the newer."""
        return self.directory_strange and self.directory_of_primary

    @property
    def directory_stillborn(self) -> bool:
        """It was made here, but another cluster was announced: it holds nobody's data. Two
        that were restored from one backup have the same system identifier."""
        directory = self.view.directory
        is_restored = directory.in_one_go and self.directory_strange
        return directory.unborn and (self.directory_of_other_cluster or is_restored)

    @property
    def directory_left(self) -> bool:
        """A bootstrap began to make it, and came to nothing, or its agent or its lease ended: there
        is no telling how far it had come."""
        directory, lease = self.view.directory, self.lease
        if not (directory.unborn and directory.in_one_go and self.may_initialise):
            return False
        return lease is None or self.memory.making != lease.epoch

    @property
    def may_initialise(self) -> bool:
        """No cluster has been announced."""
        initialize = self.cluster.initialize
        return initialize is None or initialize.system_id is None

    @property
    def counts_as_remade(self) -> bool:
        """A program made the directory anew, and the store still names this member for what was in
        the one before."""
        sync = self.cluster.sync
        return self.view.directory.from_backup and sync is not None and self.me in sync.standbys

    @property
    def directory_interrupted(self) -> bool:
        """It can be read, but a rewind of it was cut short: only a new copy helps."""
        directory = self.view.directory
        return directory.control is not None and directory.problem is not None

    def stop_was_sent(self, mode: StopMode) -> bool:
        """This stop was asked of this very process."""
        sent = self.memory.stop
        return sent is not None and sent.process == self.view.guardian.process and sent.mode is mode

    # The others.

    @cached_property
    def other_members(self) -> tuple[Member, ...]:
        members = self.cluster.members
        return tuple(members[name] for name in sorted(members) if name != self.me)

    def peer(self, name: MemberName) -> PeerReport | None:
        """The last answer of a member, if it gave one."""
        answer = self.view.peers.get(name)
        return None if answer is None else answer.report

    def has_vote(self, member: Member) -> bool:
        """A voter of the Raft group is at the member's address: without one it cannot lead."""
        return any(voter.address == member.raft for voter in self.view.raft.voters)

    @property
    def request(self) -> OperatorRequest | None:
        return self.cluster.request

    @property
    def leader_is_ready(self) -> bool:
        """The leader runs as a primary, as it announced: others may clone or rewind from it."""
        member = self.leader_member
        return member is not None and member.role is MemberRole.PRIMARY

    def epoch_guard(self, lease: HeldLease) -> Guard:
        """What fences every write of a leader: the key is still the one of its epoch."""
        return KeyCreatedAt(self.keys.leader, Revision(lease.epoch.revision))

    def backing_off(self) -> bool:
        """A failed act is not due again yet."""
        retry = self.memory.retry_at
        return retry is not None and longest(self.now, retry) > 0
