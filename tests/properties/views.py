"""Strategies for views, contradictory ones too; those for memories are in `memories.py`.

A view is a healthy one in which any part may have been exchanged for an arbitrary one; so the rules
are reached that stand far down the table, and every pair of parts comes together sometimes.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st
from msgspec.structs import replace

from raftha.ha.keys import LEADER_LEASE
from raftha.ha.plans import names_for, names_for_any
from raftha.instants import Seconds
from raftha.model.cluster import (
    Cluster,
    HistoryRecord,
    Initialize,
    Leader,
    Member,
    MemberRole,
    MemberState,
    SyncSet,
    Told,
)
from raftha.model.ids import Epoch, Lsn, Revision, SystemId, Timeline
from raftha.model.membership import MemberVerb, MemberWish, WishState
from raftha.model.operation import (
    Operation,
    OperationState,
    OperationStep,
    OperatorRequest,
    RequestKind,
    Step,
)
from raftha.model.postgres import (
    Attached,
    ControlState,
    DataDirectory,
    DirectoryState,
    ReplayPause,
    ServerStatus,
    StrainedSlot,
)
from raftha.model.report import PeerReport
from raftha.model.restarting import ServerWish, WishKind
from raftha.model.settings import DynamicConfig, SynchronousMode, Tags
from raftha.model.store import Lease
from raftha.model.view import (
    GuardianView,
    HeldLease,
    JobKind,
    JobResult,
    JobView,
    PeerAnswer,
    StreamCut,
    View,
)
from tests.properties import slotted
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.paused import IN_A_PAUSE, entry, with_entry

EPOCHS: Final = st.sampled_from([pg.EPOCH, Epoch(1, 30), Epoch(1, 44), Epoch(2, 40)])
NAMES: Final = st.sampled_from(b.NAMES)
LSNS: Final = st.sampled_from([0, 3999, 4000, 4001, 5000, 5001, 9_000_000]).map(Lsn)
TIMELINES: Final = st.integers(1, 4).map(Timeline)
INSTANTS: Final = st.sampled_from([-90.0, -9.0, -5.0, -0.6, -0.3, 0.0, 0.4, 7.0]).map(pg.at)
ANY: Final = names_for_any(1, (pg.N2, pg.N3))
SETTINGS: Final = st.sampled_from(
    ["", "raftha_nobody", *map(names_for, b.NAMES), '1 ("gone")', ANY]
)
SYSTEMS: Final = st.sampled_from([pg.SYSTEM, pg.SYSTEM, SystemId("8")])
REVISIONS: Final = st.integers(1, 60).map(Revision)
FLAG, RARELY = st.booleans(), st.sampled_from([*[False] * 5, True])
TAGS: Final = st.builds(
    Tags, nofailover=FLAG, nosync=FLAG, nostream=RARELY, failover_priority=st.integers(0, 2)
)


def variants(base: Any, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """`base` with up to three of its parts exchanged."""
    names = st.lists(st.sampled_from(sorted(parts)), max_size=3, unique=True)
    return names.flatmap(
        lambda chosen: st.fixed_dictionaries({name: parts[name] for name in chosen})
    ).map(lambda drawn: replace(base, **drawn))


RECORDS: Final[st.SearchStrategy[HistoryRecord]] = st.builds(
    b.record,
    TIMELINES,
    parent=st.none() | TIMELINES,
    switch=st.none() | LSNS,
    epoch=EPOCHS,
    leader=NAMES,
    strikes=st.integers(0, 5),
    restarts=st.sampled_from([(), ("PostgreSQL ended",)]),
    ended=st.sampled_from(["", "its agent was stopped", "PostgreSQL did not start"]),
)
LEADERS: Final[st.SearchStrategy[Leader]] = st.builds(
    lambda name, nonce, epoch, note: b.leader(
        name,
        guardian=nonce,
        epoch=epoch,
        lease=Lease(
            id=LEADER_LEASE, holder=name, ttl=Seconds(5.0), revision=Revision(50), note=note
        ),
    ),
    NAMES,
    st.sampled_from(["guardian-n1", "guardian-n2"]),
    EPOCHS,
    st.sampled_from([b"", b"[1,5000]", b"[2,9]", b'"x"', b"{"]),
)
MEMBERS: Final[st.SearchStrategy[Member]] = st.builds(
    lambda name, **more: b.member(name, **more),
    NAMES,
    state=st.sampled_from(MemberState),
    role=st.sampled_from(MemberRole),
    tags=TAGS,
    stream=st.sampled_from(["", "n2@0123abcd"]),
)
REQUESTS: Final = st.builds(
    OperatorRequest,
    id=st.sampled_from(["op1", "op2"]),
    kind=st.sampled_from(RequestKind),
    leader=st.none() | NAMES,
    candidate=st.none() | NAMES,
    revision=REVISIONS,
)
OPERATIONS: Final = st.builds(
    Operation,
    id=st.sampled_from(["op1", "op2"]),
    kind=st.sampled_from(RequestKind),
    leader=st.none() | NAMES,
    candidate=st.none() | NAMES,
    state=st.sampled_from(OperationState),
    message=st.just("so far"),
    steps=st.lists(st.builds(Step, step=st.sampled_from(OperationStep), by=NAMES), max_size=3).map(
        tuple
    ),
    revision=REVISIONS,
)
SYNCS: Final = st.builds(
    SyncSet,
    leader=NAMES,
    standbys=st.lists(NAMES, max_size=2, unique=True).map(tuple),
    revision=REVISIONS,
    quorum=st.integers(0, 1),
)
CONFIGS: Final = st.builds(
    DynamicConfig,
    synchronous_mode=st.sampled_from(SynchronousMode),
    synchronous_mode_strict=st.booleans(),
    synchronous_node_count=st.integers(1, 3),
    maximum_lag_on_syncnode=st.sampled_from([-1, 0, 1000]),
    ttl=st.sampled_from([Seconds(2.0), Seconds(5.0), Seconds(30.0)]),
    maximum_lag_on_failover=st.sampled_from([0, 1048576]),
    pause=st.booleans(),
    **slotted.SETTINGS,
)
DISARMED: Final = st.builds(
    entry,
    NAMES,
    revision=REVISIONS,
    guardian=st.sampled_from(["guardian-n1", "guardian-n9"]),
    process=st.sampled_from(["77@1", "78@2"]),
    incarnation=st.sampled_from(["directory-n1", "directory-n9"]),
)
WISHES: Final = st.builds(
    MemberWish,
    id=st.just("w"),
    verb=st.sampled_from(MemberVerb),
    name=NAMES,
    address=st.just("127.0.0.1:2384"),
    state=st.sampled_from(WishState),
    revision=REVISIONS,
)
CLUSTER_PARTS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "initialize": st.none()
    | st.builds(
        Initialize,
        by=NAMES,
        system_id=st.none() | SYSTEMS,
        revision=REVISIONS,
        birth=st.sampled_from(["", b.BORN.birth]),
    ),
    "config": CONFIGS,
    "config_revision": st.none() | REVISIONS,
    "leader": st.none() | LEADERS,
    "members": st.lists(MEMBERS, max_size=3).map(lambda found: {m.name: m for m in found}),
    "wishes": st.lists(WISHES, max_size=2).map(lambda found: {w.name: w for w in found}),
    "disarmed": st.lists(DISARMED, max_size=2).map(lambda found: {e.name: e for e in found}),
    "sync": st.none() | SYNCS,
    "told": st.none()
    | st.builds(Told, leader=NAMES, timeline=TIMELINES, position=LSNS, revision=REVISIONS),
    "request": REQUESTS,
    "operation": OPERATIONS,
    "history": st.lists(RECORDS, max_size=3).map(tuple),
    "history_revision": st.none() | REVISIONS,
    "slots": st.sampled_from([(), ("n1",), ("n1", "n2", "n3")]),
    "timeline": st.none() | TIMELINES,
    "checkpointed": st.booleans(),
    "status_revision": st.none() | REVISIONS,
}
CLUSTERS: Final[st.SearchStrategy[Cluster]] = st.sampled_from(
    [
        b.cluster(),
        b.followed(),
        b.vacant(),
        b.followed(leader=None),
        b.unborn(),
        with_entry(b.cluster(), entry()),
        with_entry(b.vacant(), entry()),
    ]
).flatmap(lambda base: variants(base, **CLUSTER_PARTS))

_LIVING_GUARDIANS: Final = st.builds(
    GuardianView,
    alive=st.just(True),
    nonce=st.sampled_from(["guardian-n1", "guardian-n9"]),
    running=st.booleans(),
    primary=st.booleans(),
    armed=st.booleans(),
    disarmed=st.booleans(),
    epoch=st.none() | EPOCHS,
    process=st.sampled_from(["77@1", "78@2", ""]),
    burned=st.lists(EPOCHS, max_size=1).map(tuple),
    predecessors=st.sampled_from([(), ("guardian-n1",), ("guardian-n0", "guardian-n9")]),
)
# One that does not answer says nothing at all.
GUARDIANS: Final[st.SearchStrategy[GuardianView]] = st.sampled_from(
    [True, True, True, False]
).flatmap(lambda alive: _LIVING_GUARDIANS if alive else st.just(GuardianView(alive=False)))
DIRECTORIES: Final[st.SearchStrategy[DataDirectory]] = st.builds(
    pg.directory,
    state=st.sampled_from(DirectoryState),
    control=st.none()
    | st.builds(
        pg.control,
        system_id=SYSTEMS,
        state=st.sampled_from(ControlState),
        timeline=TIMELINES,
        checkpoint=LSNS,
        minimum_recovery_end=LSNS,
    ),
    standby_signal=st.booleans(),
    problem=st.none() | st.just("cut short"),
) | st.just(pg.EMPTY)
ATTACHED: Final[st.SearchStrategy[Attached]] = st.builds(
    lambda name, flush, state: pg.attached(name, flush, state=state),
    NAMES,
    st.none() | st.integers(4000, 6000),
    st.sampled_from(["streaming", "catchup"]),
)
SERVERS: Final[st.SearchStrategy[ServerStatus]] = st.builds(
    pg.primary,
    in_recovery=st.booleans(),
    timeline=TIMELINES,
    written=st.none() | LSNS,
    flushed=st.none() | LSNS,
    received=st.none() | LSNS,
    replayed=st.none() | LSNS,
    replay_pause=st.sampled_from(ReplayPause),
    attached=st.lists(ATTACHED, max_size=3).map(tuple),
    slots=st.sampled_from([(), ("n2",), ("n1", "n2", "n3")]),
    **slotted.OF_A_SERVER,
    strained_slots=st.lists(
        st.builds(
            StrainedSlot,
            name=st.sampled_from(["n1", "n2", "n3", "other"]),
            kept_bytes=st.integers(0, 1 << 40),
            left_bytes=st.integers(0, 1 << 40),
        ),
        max_size=2,
    ).map(tuple),
    synchronous_standby_names=SETTINGS,
)
REPORTS: Final[st.SearchStrategy[PeerReport]] = st.builds(
    lambda name, position, **more: pg.report(name, position, **more),
    NAMES,
    st.none() | st.integers(4000, 6000),
    timeline=st.none() | TIMELINES,
    primary_alive=st.booleans(),
    obstacle=st.none() | st.just("it is tired"),
    wants_lead=st.booleans(),
    pledged=st.none() | EPOCHS | st.just(pg.PLEDGED),
)
PEERS: Final = st.dictionaries(
    NAMES, st.builds(PeerAnswer, asked=INSTANTS, report=st.none() | REPORTS), max_size=3
)
CUTS: Final = st.builds(
    StreamCut,
    process=st.sampled_from(["77@1", "76@1"]),
    floor=EPOCHS | st.just(pg.PLEDGED),
    at=INSTANTS,
)
LEASES: Final = st.builds(
    HeldLease,
    lease=st.just(LEADER_LEASE),
    epoch=EPOCHS,
    revision=REVISIONS,
    valid_until=INSTANTS,
    armed=st.booleans(),
)
INTENTS: Final = [
    "leader",
    "sync",
    "status",
    "history",
    "initialize",
    "operation",
    "member",
    "parting",
    "disarmed",
]
VIEW_PARTS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "me": st.builds(b.identity, tags=TAGS, pre_promote=st.booleans()),
    "raft": st.builds(b.raft, majority=st.booleans())
    | st.just(replace(b.raft(majority=False), barred="removed")),
    "cluster": CLUSTERS,
    "guardian": GUARDIANS,
    "directory": DIRECTORIES,
    "lease": st.none() | LEASES,
    "server": st.none() | SERVERS,
    "server_seen": st.none() | INSTANTS,
    "peers": PEERS,
    "job": st.builds(JobView, kind=st.sampled_from(JobKind), started=INSTANTS),
    "finished": st.builds(
        JobResult, kind=st.sampled_from(JobKind), ended=INSTANTS, error=st.none() | st.just("no")
    ),
    "pending": st.frozensets(st.sampled_from(INTENTS), max_size=2),
    "stopping": st.booleans(),
    "wish": st.builds(
        ServerWish,
        id=st.just("w-1"),
        kind=st.sampled_from(WishKind),
        process=st.sampled_from(["77@1", "76@1", ""]),
        until=INSTANTS,
    ),
    "cut": st.none() | CUTS,
    "caught_up": st.booleans(),
}
HALF_MADE: Final = pg.directory(unborn=True, in_one_go=True, recovery_signal=True)
FOREIGN: Final = Initialize(by=pg.N1, system_id=SystemId("8"), revision=Revision(9))
LARGER_ONCE: Final = pg.directory(control=pg.control(max_connections=200), standby_signal=True)
STUCK_SERVER: Final = pg.standby(sizes={"max_connections": 100}, replay_pause=ReplayPause.PAUSED)
BASES: Final = [
    b.view(),
    b.view(server=None),
    b.view(guardian=pg.IDLE_GUARDIAN, server=None),
    b.view(guardian=pg.IDLE_GUARDIAN, server=None, lease=b.lease(valid_until=pg.T0)),
    b.view(guardian=pg.STANDBY_GUARDIAN, directory=pg.STANDBY_DIRECTORY, server=pg.standby()),
    b.view(cluster=b.unborn(), directory=pg.EMPTY, guardian=pg.IDLE_GUARDIAN, server=None),
    b.view(cluster=b.unborn(), directory=HALF_MADE, guardian=pg.IDLE_GUARDIAN, server=None),
    b.following(),
    b.following(directory=LARGER_ONCE, server=STUCK_SERVER),
    b.following(guardian=pg.IDLE_GUARDIAN, server=None),
    b.racing(),
    b.view(lease=None, cluster=b.vacant()),
    b.view(lease=None),
    b.view(guardian=GuardianView(alive=False)),
    b.view(cluster=b.cluster(history=(b.record(2),))),
    b.view(stopping=True),
    b.view(stopping=True, guardian=pg.IDLE_GUARDIAN, server=None),
    b.view(cluster=b.cluster(request=b.request()), peers=pg.answers(pg.report(pg.N2))),
    b.following(cluster=b.followed(initialize=FOREIGN)),
    b.from_before(),
    b.following(directory=pg.EMPTY),
    b.following(server=None),
    b.following(cluster=b.followed(members={})),
    b.following(job=JobView(kind=JobKind.CLONE, started=pg.T0), stopping=True),
    b.following(job=JobView(kind=JobKind.CLONE, started=pg.T0)),
    b.following(cluster=b.followed(unreadable=frozenset({b.KEYS.initialize}))),
    b.racing(cluster=b.followed(leader=None, request=b.request(by=pg.N2, to=pg.N3))),
    b.racing(peers={}),
    b.racing(cut=None, server=pg.standby(receiver=pg.receiver(pg.N2))),
    b.following(caught_up=False),
    b.racing(
        cluster=b.followed(leader=None, sync=b.sync(pg.N1, pg.N3, by=pg.N2, quorum=1)),
        peers=pg.answers(silent=(pg.N2, pg.N3)),
    ),
    b.following(raft=replace(b.raft(), barred="it refuses this node: removed")),
    *IN_A_PAUSE,
]
VIEWS: Final[st.SearchStrategy[View]] = st.sampled_from(BASES).flatmap(
    lambda base: variants(base, **VIEW_PARTS)
)
SERVING_PARTS: Final = ("server", "server_seen", "peers", "finished", "pending")
SERVING: Final[st.SearchStrategy[View]] = st.sampled_from(
    [
        b.view(),
        b.view(cluster=b.cluster(sync=None)),
        b.view(cluster=b.cluster(sync=b.sync())),
        b.view(cluster=b.cluster(history=(b.record(2),))),
    ]
).flatmap(lambda base: variants(base, **{part: VIEW_PARTS[part] for part in SERVING_PARTS}))
"""Of a node that holds the lease: among all views such ones are few, and most writes are theirs."""
