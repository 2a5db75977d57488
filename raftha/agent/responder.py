"""Answers HTTP for a member. Called from many threads; it reads published values, and measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from raftha.agent.chronicle import Chronicle
from raftha.agent.clockwatch import ClockWatch
from raftha.agent.configurations import Configurations
from raftha.agent.doctor import Doctor
from raftha.agent.guarding import Guarding
from raftha.agent.halts import Halts
from raftha.agent.membership import MemberChanges
from raftha.agent.observer import Observer
from raftha.agent.operations import Operations
from raftha.agent.pauses import Pauses
from raftha.agent.peers import ASK_S, Peers, Witness, hosts, witnesses
from raftha.agent.reader import ClusterReader, Store
from raftha.agent.readings import readings
from raftha.agent.release import of_server
from raftha.agent.reloading import Reloads, of_waiting
from raftha.agent.report import cluster_report, node_report, peer_report
from raftha.agent.schedules import Schedules
from raftha.agent.stored import StoreReader
from raftha.agent.timers import PENDING
from raftha.agent.wishes import ServerWishes
from raftha.clock import Clock
from raftha.errors import RafthaError
from raftha.ha.explain import cluster_problems
from raftha.ha.keys import Keys
from raftha.ha.serving import takes_writes
from raftha.ha.situation import Situation
from raftha.ha.table import Decision
from raftha.instants import Instant, Seconds
from raftha.metrics import Metrics
from raftha.model.finding import Examination
from raftha.model.happening import Chapter
from raftha.model.ids import MemberName
from raftha.model.report import (
    ClusterReport,
    NodeReport,
    Notice,
    OperationReport,
    OperationRequest,
    PeerReport,
    Reloaded,
)
from raftha.model.view import PeerAnswer, View

MEASURE_S = Seconds(0.4)


class Published(Struct, frozen=True):
    """The last tick: what was seen and decided, and what its clocks were found to do."""

    situation: Situation
    decision: Decision
    notices: tuple[Notice, ...]


class MemberResponder:
    """What a member tells. `publish` is the loop's; everything else is for others."""

    def __init__(
        self,
        *,
        scope: str,
        clock: Clock,
        keys: Keys,
        store: Store,
        reader: ClusterReader,
        observer: Observer,
        guarding: Guarding,
        peers: Peers,
        operations: Callable[[], Operations],
        stored: StoreReader,
        changes: MemberChanges,
        pauses: Pauses,
        halts: Halts,
        schedules: Schedules,
        configurations: Configurations,
        wishes: Callable[[], ServerWishes],
        reloads: Reloads,
        metrics: Metrics,
        first_term: int,
        clocks: ClockWatch,
        chronicle: Chronicle,
        doctor: Doctor,
    ) -> None:
        self._scope = scope
        self._clock = clock
        self._keys = keys
        self._store = store
        self._reader = reader
        self._observer = observer
        self._guarding = guarding
        self._peers = peers
        self._operations = operations
        self.stored = stored
        self.changes = changes
        self.pauses = pauses
        self.halts = halts
        self.schedules = schedules
        self.configurations = configurations
        self._wishes = wishes
        self._reloads = reloads
        self._metrics = metrics
        self._first_term = first_term
        self._clocks = clocks
        self._chronicle = chronicle
        self._doctor = doctor
        self._last: Published | None = None
        self._renewed: tuple[int, Instant] | None = None

    def publish(self, view: View, decision: Decision) -> Situation:
        """Take the last tick in. What is told of it is put together when somebody asks."""
        situation = Situation(view, decision.memory, self._keys)
        self._last = Published(situation, decision, self._clocks.look(view.now))
        self._chronicle.look(view, decision, takes_writes(situation))
        self._note_renewal(view)
        self._operations().notice()
        return situation

    @property
    def wishes(self) -> ServerWishes:
        return self._wishes()

    def seen(self) -> Situation:
        """The last view."""
        return self._now()[0]

    def node(self) -> NodeReport:
        return self._now()[1]

    def peer(self) -> PeerReport:
        situation, node = self._now()
        guardian = self._guarding.view()
        sample = self._observer.look(MEASURE_S)
        is_current = guardian.running and sample.process == guardian.process
        server = sample.status if is_current and not sample.problem else None
        return peer_report(situation, node, guardian, server, sample.asked)

    def cluster(self) -> ClusterReport:
        situation, node = self._now()
        cluster, raft = self._reader.read(), self._store.status()
        answers = self._answers(situation, witnesses(raft))
        notices = (*node.problems, *cluster_problems(cluster, raft, answers))
        return cluster_report(
            scope=self._scope,
            me=node.name,
            now=self._clock.now(),
            cluster=cluster,
            raft=raft,
            answers=answers,
            seen=self._renewed[1] if self._renewed else None,
            notices=notices,
            written=node.leader_position,
        )

    def examine(self) -> Examination:
        return self._doctor.examine()

    def events(self, count: int) -> Chapter:
        return self._chronicle.latest(count)

    def asked(self, act: str, caller: str) -> None:
        self._chronicle.asked(act, caller)

    def declined(self, act: str, caller: str, status: int, why: str) -> None:
        self._chronicle.declined(act, caller, status, why)

    def reload(self) -> Reloaded:
        return self._reloads.reload()

    def metrics(self) -> bytes:
        report = self.node()
        now, wall = self._clock.now(), self._clock.wall()
        names = self._reloads.config.restapi.patroni_metrics
        return self._metrics.expose(readings(report, now, wall, self._first_term, patroni=names))

    def hosts(self) -> tuple[str, ...]:
        return hosts(self._reader.read(), self._store.status())

    def operate(self, request: OperationRequest) -> OperationReport:
        return self._operations().operate(request)

    def operation(self) -> OperationReport | None:
        return self._operations().report()

    def situation(self) -> Situation:
        """The last view, with answers of the members asked for now."""
        situation = self._published().situation
        return _with_answers(situation, self._answers(situation))

    def _now(self) -> tuple[Situation, NodeReport]:
        last = self._published()
        s, waiting = last.situation, self._reloads.waiting
        behind = self._reloads.timers.behind(s.me, s.cluster)
        more = (*last.notices, *of_server(s), *of_waiting(s.me, waiting), *behind)
        pending = (*waiting, PENDING) if behind else waiting
        return s, node_report(s, last.decision, self._scope, more, pending)

    def _published(self) -> Published:
        if self._last is None:
            raise RafthaError("the agent is starting: it has not looked around yet")
        return self._last

    def _answers(
        self, situation: Situation, others: tuple[Witness, ...] = ()
    ) -> dict[MemberName, PeerAnswer]:
        asked = self._clock.now()
        answers = dict(self._peers.ask_now((*situation.other_members, *others), ASK_S))
        answers[situation.me] = PeerAnswer(asked=asked, report=self.peer())
        return answers

    def _note_renewal(self, view: View) -> None:
        leader = view.cluster.leader
        if leader is None:
            return
        revision = int(leader.lease.revision)
        if self._renewed is None or self._renewed[0] != revision:
            self._renewed = (revision, view.now)


def _with_answers(situation: Situation, answers: Mapping[MemberName, PeerAnswer]) -> Situation:
    view = replace(situation.view, peers={**situation.view.peers, **answers})
    return replace(situation, view=view)
