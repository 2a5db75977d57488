"""From whom a standby streams and is copied: the leader, or whom a tag names while it can serve."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import AdvanceSlots, Clone, Configure, DropSlots, EnsureSlots
from raftha.ha.memory import LeaderSeen, Memory
from raftha.ha.plans import standby_plan
from raftha.ha.slots import SEGMENT_BYTES, slot_steps
from raftha.ha.standbys import may_serve
from raftha.model.cluster import Cluster, Member, MemberRole, MemberState, SlotNote
from raftha.model.ids import Lsn, MemberName, Revision, Timeline
from raftha.model.postgres import DirectoryState, SlotState
from raftha.model.settings import Tags
from raftha.model.store import RaftStatus
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import N1, N2, N3

STANDBY: Any = {"state": MemberState.STREAMING, "role": MemberRole.STANDBY}
UNDER_N3 = Tags(replicatefrom=N3)


def cascade(**more: Any) -> Cluster:
    """n2 leads, n3 streams from it and n1 from n3; `more` changes n3."""
    n1 = b.member(N1, tags=UNDER_N3, **STANDBY)
    n2 = b.member(N2, role=MemberRole.PRIMARY, state=MemberState.RUNNING)
    return b.followed(members=b.members(n1, n2, b.member(N3, **more)))


def without(name: MemberName, raft: RaftStatus | None = None) -> RaftStatus:
    """That one is not in touch."""
    known = raft or b.raft()
    voters = tuple(replace(v, connected=v.connected and v.name != name) for v in known.voters)
    return replace(known, voters=voters)


def upstream_in(view: View) -> MemberName | None:
    """The member that n1, which streams from n2, is pointed at; None if it is left where it is."""
    before = standby_plan(view.cluster, view.me, view.cluster.members[N2])
    decision = b.decided(view, Memory(plan=before))
    found = [act.plan.upstream for act in decision.actions if isinstance(act, Configure)]
    if not found or found[0] is None:
        return None
    return next(m.name for m in view.cluster.members.values() if m.postgres == found[0].address)


def test_a_standby_follows_whom_its_tag_names() -> None:
    assert upstream_in(b.following(cluster=cascade())) == N3


@pytest.mark.parametrize(
    "change",
    [
        {"state": MemberState.RUNNING},
        {"state": MemberState.STOPPED},
        {"tags": Tags(replicatefrom=N1)},
    ],
)
def test_it_follows_the_leader_while_that_one_does_not_stream_or_leads_back(
    change: dict[str, Any],
) -> None:
    assert upstream_in(b.following(cluster=cascade(**change))) is None


def test_it_follows_the_leader_while_that_one_is_out_of_touch_or_lacks_wal() -> None:
    assert upstream_in(b.following(cluster=cascade(), raft=without(N3))) is None
    words = "requested WAL segment 000000010000000000000001 has already been removed"
    starved = b.following(cluster=cascade(), server=pg.standby(), last_words=words)
    assert upstream_in(starved) is None


def test_it_follows_the_leader_where_nobody_has_that_name() -> None:
    cluster = cascade()
    members = {name: m for name, m in cluster.members.items() if name != N3}
    assert upstream_in(b.following(cluster=replace(cluster, members=members))) is None


def test_no_commit_waits_for_it() -> None:
    cluster = b.cluster(members=b.members(b.member(N3, tags=Tags(replicatefrom=N2))))
    s = b.situation(b.view(cluster=cluster))
    assert may_serve(s, N2)
    assert not may_serve(s, N3)


def idle(name: str, position: int = 0) -> SlotState:
    return SlotState(name=name, active=False, position=Lsn(position), lost=False)


def led(member: Member, raft: RaftStatus | None = None) -> tuple[object, ...]:
    """What the leader n1 does about slots, where nobody streams through that of n3."""
    cluster = b.cluster(members=b.members(member))
    server = pg.primary(slots=("n2", "n3"), slot_states=(idle("n3"),))
    s = b.situation(b.view(cluster=cluster, server=server, raft=raft or b.raft()))
    return slot_steps(s, server)


def test_the_leader_keeps_no_slot_for_who_streams_elsewhere() -> None:
    below = b.member(N3, tags=Tags(replicatefrom=N2))
    assert led(below) == (DropSlots(("n3",)),)
    assert led(replace(below, state=MemberState.STARTING)) == ()
    assert led(below, without(N3)) == ()
    assert led(below, without(N2)) == ()


def test_a_standby_keeps_the_slot_of_who_streams_from_it_where_it_is() -> None:
    n3 = b.member(N3, tags=Tags(replicatefrom=N1))
    cluster = b.followed(slots=("n1",), members=b.members(*followers(), n3))
    there = idle("n3")
    told = LeaderSeen(
        revision=Revision(50),
        at=b.at(-0.1),
        name=N2,
        timeline=Timeline(1),
        slots={"n3": SlotNote(position=Lsn(3 * SEGMENT_BYTES))},
    )
    server = pg.standby(4 * SEGMENT_BYTES, slots=("n2",), slot_states=(there,))
    view = b.following(cluster=cluster, server=server)
    s = b.situation(view, Memory(leader_seen=told))
    assert EnsureSlots(("n3",)) in slot_steps(s, server)

    server = replace(server, slots=("n2", "n3"))
    steps = slot_steps(b.situation(replace(view, server=server), s.memory), server)
    assert not any(isinstance(step, AdvanceSlots | DropSlots) for step in steps)

    apart = replace(view, server=server, raft=without(N3))
    steps = slot_steps(b.situation(apart, s.memory), server)
    assert DropSlots(("n3",)) in steps, "its primary has given it up"


def followers() -> tuple[Member, Member]:
    cluster = b.followed()
    return cluster.members[N1], cluster.members[N2]


def empty(**more: Any) -> View:
    """n1 has no data yet, n3 is tagged."""
    n3 = b.member(N3, tags=Tags(clonefrom=True), **more)
    return b.following(
        cluster=b.followed(members=b.members(*followers(), n3)),
        directory=pg.directory(state=DirectoryState.EMPTY, control=None),
        guardian=pg.guardian(running=False),
        server=None,
    )


def copied_from(view: View, memory: Memory | None = None) -> MemberName:
    clone: Clone = b.only(b.decided(view, memory), Clone)
    return clone.source.name


def test_a_copy_is_taken_from_who_is_tagged_and_streams_on_the_same_timeline() -> None:
    assert copied_from(empty()) == N3
    assert copied_from(empty(state=MemberState.RUNNING)) == N2
    assert copied_from(empty(timeline=Timeline(2))) == N2
    assert copied_from(replace(empty(), raft=without(N3))) == N2


def test_after_a_copy_that_failed_the_leader_is_copied() -> None:
    assert copied_from(empty(), Memory(failures=1, failed="no")) == N2
