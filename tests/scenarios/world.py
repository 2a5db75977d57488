"""A small world for `decide`: three members and one store, in which every act happens at once.

Nothing here is the product but `decide`, the documents and the state machine of the store; there is
no network and no PostgreSQL. WAL is a number of bytes, and a standby that streams has all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from raftha.consensus.commands import Expire, LogCommand
from raftha.consensus.machine import Happened, Machine
from raftha.ha import actions as act
from raftha.ha.announce import role, state
from raftha.ha.candidates import obstacle
from raftha.ha.decide import decide
from raftha.ha.documents import read_cluster
from raftha.ha.keys import LEADER_LEASE, encode_position
from raftha.ha.pledge import pledged
from raftha.ha.situation import Situation
from raftha.ha.table import Decision
from raftha.instants import Instant
from raftha.model.cluster import Cluster
from raftha.model.ids import Epoch, Lsn, MemberName, Revision, Timeline
from raftha.model.postgres import ControlState, ServerRole, ServerStatus
from raftha.model.report import PeerReport
from raftha.model.settings import DynamicConfig
from raftha.model.store import Command, Refresh, Revoke, Snapshot
from raftha.model.view import (
    HeldLease,
    JobKind,
    JobResult,
    PeerAnswer,
    StreamCut,
    View,
)
from tests.scenarios.machines import Node, Server
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg

TICK_S: Final = 0.25
HEARTBEAT_S: Final = 1.0
SHUTDOWN_RECORD: Final = 100
JOBS: Final = {
    act.InitDb: JobKind.INITDB,
    act.CreateRoles: JobKind.CREATE_ROLES,
    act.Clone: JobKind.CLONE,
    act.Rejoin: JobKind.REJOIN,
    act.Checkpoint: JobKind.CHECKPOINT,
}


class World:
    """Three members that tick in the order of their names."""

    def __init__(self, config: DynamicConfig) -> None:
        self.time = 0.0
        self.config = config
        self.machine = Machine(generation=1)
        self.voters = set(b.NAMES)
        self.nodes = {name: Node(name) for name in b.NAMES}
        self.renewed = (Revision(0), 0.0)
        self.processes = 0

    @property
    def now(self) -> Instant:
        return Instant(1000.0 + self.time, 1000.0 + self.time)

    def reachable(self) -> list[Node]:
        found = [n for n in self.nodes.values() if n.up and not n.cut and not n.ended]
        votes = sum(1 for node in found if node.name in self.voters)
        return found if votes > len(self.voters) / 2 else []

    def cluster(self) -> Cluster:
        snapshot = Snapshot(
            revision=self.machine.revision,
            generation=self.machine.generation,
            taken=self.now,
            entries=dict(self.machine.entries),
            leases=dict(self.machine.leases),
        )
        known = read_cluster(b.KEYS, snapshot)
        return known if known.config_revision is not None else replace(known, config=self.config)

    def commit(self, command: Command | Expire) -> Revision | None:
        """The revision it made; None if a guard did not hold."""
        result = self.machine.apply(LogCommand(body=command)).result
        lease = self.machine.leases.get(LEADER_LEASE)
        if lease is not None and lease.revision != self.renewed[0]:
            self.renewed = (lease.revision, self.time)
        return result.revision if isinstance(result, Happened) else None

    # Time.

    def tick(self) -> Iterator[tuple[Node, Decision]]:
        """Let a quarter of a second pass; the decisions that were news."""
        self.time = round(self.time + TICK_S, 3)
        self.voters |= {node.name for node in self.reachable()}
        self._keep_leases()
        for node in self.nodes.values():
            self._live(node)
        # All look before anybody acts: that is what makes a race.
        looking = [n for n in self.nodes.values() if n.up and not (n.ended or n.frozen)]
        for node, view in [(node, self._view(node)) for node in looking]:
            decision = self._decide(node, view)
            if decision is not None:
                yield node, decision

    def _keep_leases(self) -> None:
        majority = self.reachable()
        for node in self.nodes.values():
            if node.frozen:
                continue
            if node.lease is not None and node in majority:
                self._renew(node, node.lease)
            held, server = node.lease, node.server
            over = held is None or not held.is_valid(self.now.plus(self.config.fence_budget))
            is_guarded = server is not None and server.epoch is not None and not server.disarmed
            if server is not None and is_guarded and over:
                node.burned = (*node.burned, server.epoch)
                self.crash(node)
        lease = self.machine.leases.get(LEADER_LEASE)
        if majority and lease is not None and self.time - self.renewed[1] >= lease.ttl * 1.01:
            self.commit(Expire(LEADER_LEASE, lease.revision))

    def _renew(self, node: Node, held: HeldLease) -> None:
        if self.machine.leases.get(LEADER_LEASE) is None:
            node.lease = None
        elif self.time - self.renewed[1] >= HEARTBEAT_S:
            note = b""
            if node.server is not None and node.server.is_primary:
                note = encode_position(Timeline(node.server.timeline), Lsn(node.server.position))
            again = Refresh(LEADER_LEASE, held.revision, self.config.ttl, note)
            self._hold(node, held.epoch, again, armed=held.armed)

    def _hold(
        self, node: Node, epoch: Epoch | None, command: Command, *, armed: bool = True
    ) -> None:
        revision = self.commit(command)
        node.lease = None
        if revision is not None:
            node.lease = HeldLease(
                lease=LEADER_LEASE,
                epoch=epoch or Epoch(self.machine.generation, revision),
                revision=revision,
                valid_until=self.now.plus(self.config.holder_ttl),
                armed=armed,
            )
            if armed and node.server is not None and node.server.epoch is not None:
                node.server.disarmed, node.server.epoch = False, node.lease.epoch

    def _live(self, node: Node) -> None:
        """Promotions end, standbys receive."""
        server = node.server
        if server is None:
            return
        if server.promoting is not None:
            server.forks = {**server.forks, server.timeline: server.position}
            server.is_primary, server.timeline = True, server.promoting
            server.promoting = None
        source = self.nodes[server.upstream] if server.upstream else None
        primary = None if source is None or node.cut or source.cut else source.server
        server.streams = primary is not None and self._follows(server, primary)
        if primary is not None and server.streams and not node.lagging:
            server.timeline, server.position = primary.timeline, primary.position
            server.forks = dict(primary.forks)

    @staticmethod
    def _follows(standby: Server, primary: Server) -> bool:
        if not primary.is_primary:
            return False
        if standby.timeline == primary.timeline:
            return standby.position <= primary.position
        return standby.position <= primary.forks.get(standby.timeline, -1)

    # What one member sees, and does.

    def _decide(self, node: Node, view: View) -> Decision | None:
        decision = decide(view, node.memory, b.KEYS)
        node.memory = decision.memory
        for action in decision.actions:
            self._perform(node, action)
        said = (decision.rule, decision.reason)
        is_news = said[0] != node.said[0] or not {"AskPeers"}.issuperset(b.acts(decision))
        node.said = said
        return decision if is_news else None

    def _view(self, node: Node) -> View:
        server = node.server
        guardian = node.idle_guardian
        if server is not None:
            guardian = replace(
                guardian,
                running=True,
                primary=server.epoch is not None,
                armed=server.epoch is not None and not server.disarmed,
                disarmed=server.disarmed,
                epoch=server.epoch,
                process=server.process,
            )
        return View(
            now=self.now,
            wall=self.time,
            me=b.identity(node.name, bootstrap=self.config),
            raft=replace(b.raft(node.name, majority=node in self.reachable()), barred=node.barred),
            cluster=self._replica(node),
            guardian=guardian,
            directory=node.disk,
            lease=node.lease,
            server=None if server is None else self._status(node, server),
            server_seen=self.now,
            peers=dict(node.answers),
            finished=node.finished,
            stopping=node.stopping,
            wish=node.wish,
            cut=node.pledge,
            caught_up=node.is_current,
        )

    def _replica(self, node: Node) -> Cluster:
        """What the node's own replica holds: nothing new while nobody reaches it."""
        if node.known is None or node in self.reachable():
            node.known = self.cluster()
        return node.known

    def _status(self, node: Node, server: Server) -> ServerStatus:
        common = {"timeline": Timeline(server.timeline), "slots": node.slots}
        if not server.is_primary:
            source = server.upstream
            streams = pg.receiver(source) if server.streams and source else None
            return pg.standby(server.position, receiver=streams, **common)
        attached = tuple(
            pg.attached(other.name, other.server.position)
            for other in self.nodes.values()
            if other.server and other.server.streams and other.server.upstream == node.name
        )
        where = Lsn(server.position)
        return pg.primary(
            written=where,
            flushed=where,
            attached=attached,
            synchronous_standby_names=server.names,
            **common,
        )

    def _perform(self, node: Node, action: act.Action) -> None:
        server = node.server
        match action:
            case act.Submit() if node in self.reachable():
                self.commit(action.command)
            case act.AcquireLeader() if node in self.reachable():
                self._hold(node, None, action.command, armed=action.armed)
            case act.Readopt():
                again = Refresh(LEADER_LEASE, action.revision, self.config.ttl)
                self._hold(node, action.epoch, again, armed=action.armed)
            case act.Disarm() if node.lease is not None and server is not None:
                node.lease, server.disarmed = replace(node.lease, armed=False), True
            case act.Rearm() if node.lease is not None:
                again = Refresh(LEADER_LEASE, node.lease.revision, self.config.ttl)
                self._hold(node, node.lease.epoch, again)
            case act.ReleaseLeader() if node.lease is not None:
                self.commit(Revoke(LEADER_LEASE, node.lease.revision))
                node.lease = None
            case act.ReturnLeader(epoch, revision) if node in self.reachable():
                node.burned = (*node.burned, epoch)
                self.commit(Revoke(LEADER_LEASE, revision))
            case act.Start(plan, epoch):
                self.start(node, plan.role is ServerRole.PRIMARY, epoch)
                self._configure(node, plan)
            case act.Stop(mode):
                self.stop(node, clean=mode is act.StopMode.FAST)
            case act.Configure(plan):
                node.pledge = None
                self._configure(node, plan)
            case act.CutStream(plan, floor) if server is not None:
                self._configure(node, plan)
                server.streams = False
                node.pledge = StreamCut(process=server.process, floor=floor, at=self.now)
            case act.Promote(epoch, plan, _) if server is not None:
                server.epoch = epoch
                server.promoting = self.cluster().history[-1].timeline
                self._configure(node, plan)
                node.disk = replace(node.disk, standby_signal=False)
            case act.EnsureSlots(wanted) if server is not None:
                node.slots = tuple(sorted({*node.slots, *wanted}))
            case act.DropSlots(unwanted):
                node.slots = tuple(slot for slot in node.slots if slot not in unwanted)
            case act.AskPeers(names):
                node.answers.update({name: self._ask(node, name) for name in names})
            case act.EndAgent():
                node.ended = True
            case _:
                self._work(node, action)

    def _work(self, node: Node, action: act.Action) -> None:
        kind = JOBS.get(type(action))  # type: ignore[call-overload]
        if kind is None:
            return
        if isinstance(action, act.InitDb):
            self.fill(node, timeline=1, position=1000)
        if isinstance(action, act.Clone | act.Rejoin):
            source = self.nodes[action.source.name].server
            assert source is not None
            self.fill(node, source.timeline, source.position, standby=True)
            node.disk = replace(node.disk, birth=self.nodes[action.source.name].disk.birth)
            node.forks = dict(source.forks)
        node.finished = JobResult(kind=kind, ended=self.now)

    def _configure(self, node: Node, plan: act.ServerPlan) -> None:
        node.disk = replace(node.disk, birth=plan.birth or node.disk.birth)
        if node.server is not None:
            names = {pg.address(name): name for name in self.nodes}
            node.server.names = plan.synchronous_standby_names
            node.server.upstream = names[plan.upstream.address] if plan.upstream else None

    def _ask(self, asker: Node, name: MemberName) -> PeerAnswer:
        node = self.nodes[name]
        is_there = node.up and not (node.cut or asker.cut or node.ended)
        return PeerAnswer(asked=self.now, report=self._report(node) if is_there else None)

    def _report(self, node: Node) -> PeerReport:
        s = Situation(self._view(node), node.memory, b.KEYS)
        server = s.server
        return pg.report(
            node.name,
            None if server is None or server.position is None else server.position.value,
            state=state(s),
            role=role(s),
            timeline=None if server is None else server.timeline,
            primary_alive=s.view.guardian.primary,
            obstacle=obstacle(s),
            wants_lead=s.view.me.tags.may_lead,
            pledged=pledged(node.pledge, s.view.guardian.process, server, self.now),
        )

    # Disks and processes.

    def fill(self, node: Node, timeline: int, position: int, *, standby: bool = False) -> None:
        """What a data directory holds from now on."""
        node.position = position
        control = pg.control(
            state=ControlState.ARCHIVE_RECOVERY if standby else ControlState.PRODUCTION,
            timeline=Timeline(timeline),
            checkpoint=Lsn(position),
            minimum_recovery_end=Lsn(position if standby else 0),
        )
        node.disk = pg.directory(control=control, standby_signal=standby, birth=node.disk.birth)

    def start(self, node: Node, is_primary: bool, epoch: Epoch | None) -> None:
        control = node.disk.control
        assert control is not None
        assert node.server is None
        self.processes += 1
        node.server = Server(
            is_primary=is_primary,
            timeline=control.timeline,
            position=node.position,
            process=f"p{self.processes}",
            epoch=epoch,
            forks=dict(node.forks),
        )
        node.disk = replace(node.disk, standby_signal=not is_primary)

    def stop(self, node: Node, *, clean: bool) -> None:
        """A clean stop of a primary writes a last record, which whoever streams receives."""
        server = node.server
        if server is None:
            return
        if not (clean and server.is_primary):
            self.crash(node)
            return
        before = Lsn(server.position)
        server.position += SHUTDOWN_RECORD
        for other in self.nodes.values():
            if other.server is not None and other.server.upstream == node.name:
                self._live(other)
        self.crash(node)
        assert node.disk.control is not None
        record = replace(node.disk.control, state=ControlState.SHUT_DOWN, checkpoint=before)
        node.disk = replace(node.disk, control=record)

    def crash(self, node: Node) -> None:
        """The server is gone; what it had written is on disk."""
        server = node.server
        if server is not None:
            self.fill(node, server.timeline, server.position, standby=not server.is_primary)
            node.forks = dict(server.forks)
            node.server = None

    def die(self, node: Node) -> None:
        """The machine is gone: its agent, guardian and server."""
        self.crash(node)
        fresh = Node(node.name)
        node.up, node.lease, node.memory, node.said = False, None, fresh.memory, fresh.said
        node.answers, node.finished, node.boots = {}, None, node.boots + 1
