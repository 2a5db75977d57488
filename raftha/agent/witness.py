"""A voter without PostgreSQL: it votes, and tells about the group and the cluster it stores.

It holds the whole key store, so `status` works through it; it has no opinion of its own about
PostgreSQL, and cannot be asked to operate.
"""

from __future__ import annotations

from typing import NoReturn

from msgspec.structs import replace

from raftha import __version__
from raftha.agent.chronicle import Chronicle
from raftha.agent.clockwatch import ClockWatch
from raftha.agent.configurations import Configurations
from raftha.agent.doctor import Doctor
from raftha.agent.group import peer_group
from raftha.agent.halts import Halts
from raftha.agent.membership import MemberChanges
from raftha.agent.operations import Operations, witness_refusal
from raftha.agent.pauses import Pauses
from raftha.agent.peers import ASK_S, Asked, Peers, hosts, witnesses
from raftha.agent.reader import ClusterReader, Store
from raftha.agent.readings import readings
from raftha.agent.reloading import Reloads, of_waiting
from raftha.agent.report import cluster_report, system_id
from raftha.agent.schedules import Schedules
from raftha.agent.stored import StoreReader
from raftha.agent.timers import PENDING
from raftha.clock import Clock
from raftha.errors import RafthaError
from raftha.ha.explain import cluster_problems
from raftha.ha.voting import group_problems
from raftha.metrics import Metrics
from raftha.model.cluster import MemberRole, MemberState
from raftha.model.finding import Examination
from raftha.model.happening import Chapter
from raftha.model.report import (
    ClusterReport,
    NodeReport,
    OperationReport,
    OperationRequest,
    PeerReport,
    Reloaded,
)
from raftha.model.settings import NodeConfig
from raftha.model.view import PeerAnswer


class WitnessResponder:
    """What a witness tells."""

    def __init__(
        self,
        *,
        config: NodeConfig,
        reloads: Reloads,
        clock: Clock,
        store: Store,
        reader: ClusterReader,
        peers: Peers,
        operations: Operations,
        stored: StoreReader,
        changes: MemberChanges,
        pauses: Pauses,
        halts: Halts,
        schedules: Schedules,
        configurations: Configurations,
        metrics: Metrics,
        first_term: int,
        clocks: ClockWatch,
        chronicle: Chronicle,
        doctor: Doctor,
    ) -> None:
        self._config = config
        self._reloads = reloads
        self._clock = clock
        self._store = store
        self._reader = reader
        self._peers = peers
        self._operations = operations
        self.stored = stored
        self.changes = changes
        self.pauses = pauses
        self.halts = halts
        self.schedules = schedules
        self.configurations = configurations
        self._metrics = metrics
        self._first_term = first_term
        self._clocks = clocks
        self._chronicle = chronicle
        self._doctor = doctor

    @property
    def wishes(self) -> NoReturn:
        raise RafthaError(f"{self._config.name} is a witness: it has no PostgreSQL")

    def reload(self) -> Reloaded:
        return self._reloads.reload()

    def node(self) -> NodeReport:
        cluster, raft = self._reader.read(), self._store.status()
        now, waiting = self._clock.now(), self._reloads.waiting
        behind = self._reloads.timers.behind(self._config.name, cluster)
        notices = (*group_problems(raft, now), *self._clocks.look(now), *behind)
        return NodeReport(
            taken=now,
            scope=self._config.scope,
            name=self._config.name,
            agent_version=__version__,
            witness=True,
            state=MemberState.RUNNING,
            role=MemberRole.NONE,
            ttl=cluster.config.ttl,
            loop_wait=cluster.config.loop_wait,
            raft=raft,
            system_id=system_id(cluster),
            leader=None if cluster.leader is None else cluster.leader.name,
            store_seen=now if raft.majority else None,
            tags=self._config.tags,
            paused=cluster.paused,
            reason="a witness votes and stores; it has no PostgreSQL",
            agent_pending=(*waiting, PENDING) if behind else waiting,
            problems=(*notices, *of_waiting(self._config.name, waiting)),
        )

    def peer(self) -> PeerReport:
        report, raft = self.node(), self._store.status()
        return PeerReport(
            name=report.name,
            system_id=report.system_id,
            state=report.state,
            role=report.role,
            primary_alive=False,
            timeline=None,
            position=None,
            received=None,
            replayed=None,
            wants_lead=False,
            agent_version=report.agent_version,
            reason=report.reason,
            group=peer_group(raft),
            agent_pending=report.agent_pending,
            notices=tuple(notice for notice in report.problems if notice.subject == report.name),
        )

    def cluster(self) -> ClusterReport:
        cluster, raft = self._reader.read(), self._store.status()
        asked = self._clock.now()
        others: tuple[Asked, ...] = (*cluster.members.values(), *witnesses(raft))
        answers = dict(self._peers.ask_now(others, ASK_S))
        answers[self._config.name] = PeerAnswer(asked=asked, report=self.peer())
        notices = (*self.node().problems, *cluster_problems(cluster, raft, answers))
        report = cluster_report(
            scope=self._config.scope,
            me=self._config.name,
            now=self._clock.now(),
            cluster=cluster,
            raft=raft,
            answers=answers,
            seen=None,
            notices=notices,
        )
        return replace(report, lease_remaining_seconds=None)

    def examine(self) -> Examination:
        return self._doctor.examine()

    def events(self, count: int) -> Chapter:
        return self._chronicle.latest(count)

    def asked(self, act: str, caller: str) -> None:
        self._chronicle.asked(act, caller)

    def declined(self, act: str, caller: str, status: int, why: str) -> None:
        self._chronicle.declined(act, caller, status, why)

    def metrics(self) -> bytes:
        report = self.node()
        now, wall = self._clock.now(), self._clock.wall()
        return self._metrics.expose(readings(report, now, wall, self._first_term))

    def hosts(self) -> tuple[str, ...]:
        return hosts(self._reader.read(), self._store.status())

    def operate(self, request: OperationRequest) -> OperationReport:
        return witness_refusal(request.kind, self._config.name)

    def operation(self) -> OperationReport | None:
        return self._operations.report()
