"""Short builders of what a decision looks at: a healthy cluster of three, seen from n1.

Every builder takes overrides by keyword; what is not given is as in the healthy cluster, in which
n1 leads, n2 is its synchronous standby and n3 another standby.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from raftha.ha.decide import decide
from raftha.ha.keys import LEADER_LEASE, Keys
from raftha.ha.memory import Memory
from raftha.ha.plans import names_for, primary_plan, standby_plan
from raftha.ha.situation import Situation
from raftha.ha.table import Decision
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
)
from raftha.model.ids import Epoch, MemberName, Revision, Scope, Timeline
from raftha.model.operation import OperatorRequest, RequestKind
from raftha.model.postgres import ServerPlan
from raftha.model.settings import DynamicConfig, SynchronousMode
from raftha.model.store import Lease, RaftRole, RaftStatus, VoterStatus
from raftha.model.view import HeldLease, Identity, View
from tests.unit.ha.servers import (
    EPOCH,
    IDLE_GUARDIAN,
    N1,
    N2,
    N3,
    STANDBY_DIRECTORY,
    STANDBY_GUARDIAN,
    SYSTEM,
    T0,
    address,
    answers,
    at,
    directory,
    guardian,
    lsn,
    number,
    primary,
    receiver,
    report,
    standby,
)
from tests.unit.ha.servers import (
    cut as stream_cut,
)

NAMES: Final = (N1, N2, N3)
SCOPE: Final = Scope("demo")
KEYS: Final = Keys(SCOPE)
ON: Final = DynamicConfig(synchronous_mode=SynchronousMode.ON)
OFF: Final = DynamicConfig(synchronous_mode=SynchronousMode.OFF)
QUORUM: Final = DynamicConfig(synchronous_mode=SynchronousMode.QUORUM)


def identity(name: MemberName = N1, **more: Any) -> Identity:
    given: dict[str, Any] = {
        "name": name,
        "slot": name,
        "postgres": address(name),
        "api_url": f"http://127.0.0.1:{8000 + number(name)}",
        "raft": f"127.0.0.1:{2380 + number(name)}",
        "agent_version": "0.1",
    }
    return Identity(**{**given, **more})


def member(name: MemberName, **more: Any) -> Member:
    me = identity(name)
    is_primary = name == N1
    given: dict[str, Any] = {
        "name": name,
        "api_url": me.api_url,
        "postgres": me.postgres,
        "raft": me.raft,
        "slot": me.slot,
        "state": MemberState.RUNNING if is_primary else MemberState.STREAMING,
        "role": MemberRole.PRIMARY if is_primary else MemberRole.STANDBY,
        "timeline": Timeline(1),
        "postgres_version": 150018,
        "agent_version": "0.1",
        "revision": Revision(30 + number(name)),
    }
    return Member(**{**given, **more})


def members(*given: Member) -> dict[MemberName, Member]:
    """The three members, those given instead of the healthy ones."""
    return {name: member(name) for name in NAMES} | {m.name: m for m in given}


def leader(name: MemberName = N1, **more: Any) -> Leader:
    lease = Lease(id=LEADER_LEASE, holder=name, ttl=Seconds(5.0), revision=Revision(50))
    given: dict[str, Any] = {
        "name": name,
        "guardian": f"guardian-{name}",
        "epoch": EPOCH,
        "revision": Revision(EPOCH.revision),
        "lease": lease,
    }
    return Leader(**{**given, **more})


def record(timeline: int = 1, **more: Any) -> HistoryRecord:
    given: dict[str, Any] = {
        "timeline": Timeline(timeline),
        "parent": Timeline(timeline - 1) if timeline > 1 else None,
        "switch": lsn(5000 * (timeline - 1)) if timeline > 1 else None,
        "epoch": EPOCH,
        "leader": N1,
        "reason": "initialised",
        "wall": 1.7e9,
    }
    return HistoryRecord(**{**given, **more})


def sync(*standbys: MemberName, by: MemberName = N1, quorum: int = 0) -> SyncSet:
    return SyncSet(leader=by, standbys=standbys, revision=Revision(41), quorum=quorum)


BORN: Final = Initialize(by=N2, system_id=SYSTEM, revision=Revision(10), birth="n2@0f3c9a71")
"""Of a cluster that tells its own directories from those of before it."""


def cluster(**more: Any) -> Cluster:
    given: dict[str, Any] = {
        "revision": Revision(60),
        "generation": 1,
        "initialize": Initialize(by=N1, system_id=SYSTEM, revision=Revision(10)),
        "config": ON,
        "config_revision": Revision(11),
        "leader": leader(),
        "members": members(),
        "sync": sync(N2),
        "history": (record(),),
        "history_revision": Revision(12),
        "slots": ("n2", "n3"),
        "timeline": Timeline(1),
        "checkpointed": True,
        "status_revision": Revision(13),
    }
    return Cluster(**{**given, **more})


OLD: Final = Epoch(1, 20)
MINE: Final = record(2)
"""The record of the promotion that n1, as `won` shows it, is about to make or has made."""


def won(*records: HistoryRecord, **more: Any) -> Cluster:
    """n1 has won the key that was n2's."""
    given: dict[str, Any] = {
        "history": (record(1, epoch=OLD, leader=N2), *records),
        "sync": sync(by=N1),
        "slots": (),
        "checkpointed": False,
    }
    return cluster(**{**given, **more})


def unborn(**more: Any) -> Cluster:
    """The store before there is a cluster."""
    return Cluster(revision=Revision(0), generation=1, **more)


def vacant(**more: Any) -> Cluster:
    """The store after the leader key lapsed."""
    return cluster(**{"leader": None, **more})


def raft(me: MemberName = N1, *, majority: bool = True) -> RaftStatus:
    voters = tuple(
        VoterStatus(
            address=identity(name).raft,
            name=name,
            is_self=name == me,
            connected=majority,
            incarnation=f"directory-{name}" if name == me else None,
        )
        for name in NAMES
    )
    return RaftStatus(
        role=RaftRole.FOLLOWER,
        leader=voters[1].address if majority else None,
        term=3,
        commit_index=90,
        applied_index=90,
        majority=majority,
        voters=voters,
    )


def lease(**more: Any) -> HeldLease:
    given: dict[str, Any] = {
        "lease": LEADER_LEASE,
        "epoch": EPOCH,
        "revision": Revision(50),
        "valid_until": at(4.0),
    }
    return HeldLease(**{**given, **more})


def view(**more: Any) -> View:
    """n1 leads a healthy cluster."""
    given: dict[str, Any] = {
        "now": T0,
        "wall": 1.7e9,
        "me": identity(),
        "raft": raft(),
        "cluster": cluster(),
        "guardian": guardian(),
        "directory": directory(),
        "lease": lease(),
        "server": primary(),
        "server_seen": at(-0.1),
    }
    return View(**{**given, **more})


def following(**more: Any) -> View:
    """n1 is a standby, n2 leads."""
    settled = {
        "cluster": followed(),
        "guardian": STANDBY_GUARDIAN,
        "directory": STANDBY_DIRECTORY,
        "lease": None,
        "server": standby(receiver=receiver(N2)),
    }
    return view(**{**settled, **more})


def followed(**more: Any) -> Cluster:
    """The cluster when n2 leads it and n1 follows."""
    n1 = member(N1, state=MemberState.STREAMING, role=MemberRole.STANDBY)
    n2 = member(N2, state=MemberState.RUNNING, role=MemberRole.PRIMARY)
    given: dict[str, Any] = {
        "leader": leader(N2),
        "members": members(n1, n2),
        "sync": sync(N1, by=N2),
        "slots": ("n1", "n3"),
        "history": (record(leader=N2),),
    }
    return cluster(**{**given, **more})


def from_before(**more: Any) -> View:
    """As above, but n1's directory was a primary's before there was the cluster."""
    found = {"directory": directory(), "guardian": IDLE_GUARDIAN, "server": None, **more}
    return following(cluster=followed(initialize=BORN), **found)


def racing(**more: Any) -> View:
    """n1 is a standby, the key of n2 has lapsed, the stream was cut, and both others were asked."""
    given: dict[str, Any] = {
        "cut": stream_cut(),
        "cluster": followed(leader=None),
        "server": standby(),
        "peers": answers(report(N3), silent=(N2,)),
    }
    return following(**{**given, **more})


LOST: Final = Memory(
    lost_since=at(-0.5),
    lost_at=Revision(13),
    plan=standby_plan(followed(leader=None), identity(), None),
)
"""What a member remembers in `racing`: the key has been gone for half a second, and no upstream is
configured any more."""


def leading_memory(view: View, names: str = names_for(N2), **more: Any) -> Memory:
    """What a leader remembers that has written its configuration."""
    given: dict[str, Any] = {"plan": plan_of(view, names), "promoted": EPOCH}
    return Memory(**{**given, **more})


def plan_of(view: View, names: str) -> ServerPlan:
    return primary_plan(view.cluster, view.me, names)


def following_memory(view: View, **more: Any) -> Memory:
    source = view.cluster.members[N2]
    return Memory(**{"plan": standby_plan(view.cluster, view.me, source), **more})


def situation(view: View, memory: Memory | None = None) -> Situation:
    return Situation(view, memory or Memory(), KEYS)


def decided(view: View, memory: Memory | None = None) -> Decision:
    return decide(view, memory or Memory(), KEYS)


def request(
    kind: RequestKind = RequestKind.SWITCHOVER,
    by: MemberName | None = N1,
    to: MemberName | None = None,
) -> OperatorRequest:
    return OperatorRequest(id="op1", kind=kind, leader=by, candidate=to, revision=Revision(55))


def only(decision: Decision, kind: type) -> Any:
    """The one act of this kind, leaving the member's announcement aside."""
    found = [a for a in decision.actions if isinstance(a, kind)]
    found = [a for a in found if getattr(a, "intent", "") != "member"]
    assert len(found) == 1, decision
    return found[0]


def acts(decision: Decision) -> list[str]:
    """The names of the acts, the writes with their intent, without the member's announcement."""
    names = [getattr(a, "intent", type(a).__name__) for a in decision.actions]
    return [name for name in names if name != "member"]


def with_config(cluster_: Cluster, config: DynamicConfig) -> Cluster:
    return replace(cluster_, config=config)
