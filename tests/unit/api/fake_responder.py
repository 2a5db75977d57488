"""A node's agent for the tests of HTTP and of the CLI: answers what it was told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from raftha.agent.readings import readings
from raftha.agent.stored import StoreReader
from raftha.clock import SystemClock
from raftha.errors import RafthaError
from raftha.instants import Instant, Seconds
from raftha.metrics import Metrics
from raftha.model.cluster import MemberRole, MemberState
from raftha.model.finding import Examination, Finding, Grade, Link
from raftha.model.happening import Chapter, Happening, Kind
from raftha.model.ids import Epoch, Lsn, MemberName, Timeline
from raftha.model.postgres import Attached, Receiver, ServerStatus, SyncState
from raftha.model.report import (
    ClusterReport,
    NodeReport,
    OperationReport,
    OperationRequest,
    OperationState,
    OperationStep,
    PeerReport,
    Reloaded,
    RequestKind,
    StepTaken,
)
from raftha.model.settings import Address, BasicAuth, RestConfig, TlsFiles, VerifyClient
from raftha.model.store import RaftRole, RaftStatus, VoterStatus
from tests.unit.api.fake_changes import FakeChanges, FakePauses, FakeWishes
from tests.unit.api.fake_cluster import SYSTEM, WALL, cluster_report
from tests.unit.api.fake_schedules import FakeScheduleStore, halts, schedules
from tests.unit.api.fake_settings import FakeSettings, configurations
from tests.unit.api.fake_store import FakeKeyStore

NOW = Instant(1000.0, 1000.0)


def rest_config(
    port: int = 0,
    authentication: BasicAuth | None = None,
    tls: TlsFiles | None = None,
    verify_client: VerifyClient = VerifyClient.NONE,
    host: str = "127.0.0.1",
    allowlist: tuple[str, ...] = (),
    allowlist_include_members: bool = False,
    authenticate_reads: bool = False,
    **more: Any,
) -> RestConfig:
    return RestConfig(
        listen=Address(host, port),
        connect_address=Address(host, port),
        authentication=authentication,
        tls=tls,
        verify_client=verify_client,
        allowlist=allowlist,
        allowlist_include_members=allowlist_include_members,
        authenticate_reads=authenticate_reads,
        **more,
    )


def raft_status(majority: bool = True) -> RaftStatus:
    voters = tuple(
        VoterStatus(
            address=f"10.0.0.{number}:2380",
            name=f"n{number}",
            is_self=number == 1,
            connected=majority,
            witness=False,
            last_contact=NOW.plus(-0.1),
        )
        for number in (1, 2, 3)
    )
    return RaftStatus(
        role=RaftRole.LEADER,
        leader="10.0.0.1:2380",
        term=4,
        commit_index=120,
        applied_index=120,
        majority=majority,
        voters=voters,
    )


def primary_server() -> ServerStatus:
    return ServerStatus(
        version=150018,
        system_id=SYSTEM,
        in_recovery=False,
        timeline=Timeline(2),
        started="2026-11-01 10:00:00+00",
        written=Lsn(0x3000060),
        flushed=Lsn(0x3000060),
        attached=(
            Attached(
                application_name="n2",
                state="streaming",
                sync_state=SyncState.QUORUM,
                flush=Lsn(0x3000060),
                replay=Lsn(0x3000060),
                pid=4711,
            ),
        ),
    )


def standby_server(behind_bytes: int = 0) -> ServerStatus:
    return ServerStatus(
        version=150018,
        system_id=SYSTEM,
        in_recovery=True,
        timeline=Timeline(2),
        started="2026-11-01 10:00:00+00",
        received=Lsn(0x3000060),
        replayed=Lsn(0x3000060 - behind_bytes),
        receiver=Receiver(status="streaming", host="10.0.0.1", port=5432, slot="n2", pid=4712),
    )


def primary_node(now: Instant = NOW) -> NodeReport:
    """A primary in the middle of its lease, as its agent saw it a moment before `now`."""
    return NodeReport(
        taken=now.plus(-0.2),
        scope="main",
        name=MemberName("n1"),
        agent_version="0.1.0",
        witness=False,
        state=MemberState.RUNNING,
        role=MemberRole.PRIMARY,
        ttl=Seconds(5.0),
        loop_wait=Seconds(1.0),
        raft=raft_status(),
        holds_leader_key=True,
        valid_until=now.plus(3.0),
        routed=True,
        server=primary_server(),
        server_answered=now.plus(-0.3),
        system_id=SYSTEM,
        leader=MemberName("n1"),
        leader_position=Lsn(0x3000060),
        store_seen=now.plus(-0.4),
        rule="lead-30",
        reason="the lease is renewed",
    )


def standby_node(now: Instant = NOW, behind_bytes: int = 0) -> NodeReport:
    return replace(
        primary_node(now),
        name=MemberName("n2"),
        state=MemberState.STREAMING,
        role=MemberRole.STANDBY,
        holds_leader_key=False,
        valid_until=None,
        routed=False,
        is_sync_standby=True,
        server=standby_server(behind_bytes),
        rule="follow-10",
        reason="streams from n1",
    )


def witness_node(now: Instant = NOW) -> NodeReport:
    return replace(
        primary_node(now),
        name=MemberName("n3"),
        witness=True,
        state=MemberState.RUNNING,
        role=MemberRole.NONE,
        holds_leader_key=False,
        valid_until=None,
        routed=False,
        server=None,
        server_answered=None,
        rule="",
        reason="",
    )


def peer_report() -> PeerReport:
    return PeerReport(
        name=MemberName("n2"),
        system_id=SYSTEM,
        state=MemberState.STREAMING,
        role=MemberRole.STANDBY,
        primary_alive=False,
        timeline=Timeline(2),
        position=Lsn(0x1_0300_0060),
        received=Lsn(0x1_0300_0060),
        replayed=Lsn(0x1_0300_0000),
        replay_lag_seconds=Seconds(0.25),
        pledged=Epoch(1, 60),
        streaming_from="n1",
        agent_version="0.1.0",
        rule="follow-10",
        reason="streams from n1",
    )


def running(steps: int = 0, kind: RequestKind = RequestKind.SWITCHOVER) -> OperationReport:
    """An accepted operation that has made so many steps."""
    taken = tuple(
        StepTaken(step=step, by=MemberName("n1"), seconds=Seconds(0.2 * index))
        for index, step in enumerate(OperationStep)
    )
    return OperationReport(
        id="op-1",
        kind=kind,
        state=OperationState.RUNNING,
        message="n1 hands over to n2",
        steps=taken[:steps],
    )


def finished(state: OperationState, message: str = "n2 is the primary") -> OperationReport:
    done = state is OperationState.DONE
    return replace(
        running(steps=6 if done else 1),
        state=state,
        message=message,
        write_gap_seconds=Seconds(0.8) if done else None,
    )


class FakeResponder:
    """Answers from its attributes. `progress` is what `operation` says, one call after another,
    the last for ever; `requests` keeps what was asked for."""

    def __init__(self) -> None:
        self.report: NodeReport = primary_node(SystemClock().now())
        self.peer_report = peer_report()
        self.cluster_report: ClusterReport = cluster_report()
        self.accepted: OperationReport = running()
        self.progress: list[OperationReport | None] = [None]
        self.requests: list[OperationRequest] = []
        self.failure: RafthaError | None = None
        self.changes = FakeChanges()
        self.pauses = FakePauses()
        self.wishes = FakeWishes()
        self.schedule_store = FakeScheduleStore()
        self.schedules = schedules(self.schedule_store)
        self.halts = halts(self.schedule_store)
        self.reloads = 0
        self.file: Reloaded | RafthaError = Reloaded()
        self.examination = Examination(
            node=MemberName("n1"),
            wall=SystemClock().wall(),
            findings=(Finding(check="clock", grade=Grade.OK, what="it is synchronised"),),
            links=(Link(to="n2", port="raft", address="10.0.0.2:2380"),),
        )
        self.happened: list[Happening] = []
        self.known_hosts: tuple[str, ...] = ("10.0.0.1", "10.0.0.2")
        self.settings = FakeSettings()
        self.configurations = configurations(self.settings)
        self.key_store = FakeKeyStore()
        self.stored = StoreReader(
            name=MemberName("n1"),
            below="/raftha/main/",
            store=self.key_store,
            clock=SystemClock(),
            timeout=lambda: Seconds(1.0),
        )

    def examine(self) -> Examination:
        return self.examination

    def events(self, count: int) -> Chapter:
        return Chapter(node=MemberName("n1"), events=tuple(self.happened[-count:]))

    def asked(self, act: str, caller: str) -> None:
        self._happen(f"{act} from {caller}")

    def declined(self, act: str, caller: str, status: int, why: str) -> None:
        self._happen(f"{status}: {act} from {caller}: {why}")

    def _happen(self, words: str) -> None:
        line = Happening(node=MemberName("n1"), wall=WALL, kind=Kind.ASKED, words=words)
        self.happened.append(line)

    def hosts(self) -> tuple[str, ...]:
        return self.known_hosts

    def reload(self) -> Reloaded:
        self.reloads += 1
        if isinstance(self.file, RafthaError):
            raise self.file
        return self.file

    def node(self) -> NodeReport:
        return self.report

    def peer(self) -> PeerReport:
        return self.peer_report

    def cluster(self) -> ClusterReport:
        if self.failure is not None:
            raise self.failure
        planned = self.schedule_store.cluster
        return replace(
            self.cluster_report,
            scheduled_switchover=planned.scheduled_switchover,
            scheduled_restarts=tuple(planned.scheduled_restarts.values()),
        )

    def metrics(self) -> bytes:
        metrics = Metrics(scope=self.report.scope, name=self.report.name, witness=False)
        return metrics.expose(readings(self.report, SystemClock().now(), WALL, first_term=1))

    def operate(self, request: OperationRequest) -> OperationReport:
        self.requests.append(request)
        return self.accepted

    def operation(self) -> OperationReport | None:
        return self.progress.pop(0) if len(self.progress) > 1 else self.progress[0]


def tls_files(directory: Path, name: str) -> TlsFiles:
    return TlsFiles(
        cafile=directory / "ca.pem",
        certfile=directory / f"{name}.pem",
        keyfile=directory / f"{name}.key",
    )
