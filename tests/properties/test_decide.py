"""`decide` on any view and memory: total, pure, and never an act without its proof."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from raftha.consensus.limits import fault
from raftha.ha.actions import (
    AcquireLeader,
    CancelJob,
    Clone,
    Configure,
    Disarm,
    EndAgent,
    InitDb,
    Promote,
    Readopt,
    Rejoin,
    ReleaseLeader,
    RestoreGuardian,
    ReturnLeader,
    Start,
    Stop,
    StopMode,
    Submit,
)
from raftha.ha.decide import RULES, decide, observe_memory
from raftha.ha.memory import Memory
from raftha.ha.pausing import others_disarmed
from raftha.ha.situation import Situation
from raftha.ha.table import Decision
from raftha.instants import longest
from raftha.model.cluster import SyncSet
from raftha.model.ids import Revision
from raftha.model.postgres import ServerRole
from raftha.model.store import Grant, KeyAbsent, KeyAt, KeyCreatedAt, Put, Remove, Transact
from raftha.model.view import GuardianView, View
from tests.properties.memories import MEMORIES
from tests.properties.views import BASES, CLUSTERS, SERVING, VIEW_PARTS, VIEWS, variants
from tests.unit.ha import builders as b
from tests.unit.ha import test_logical_slots as logical
from tests.unit.ha.builders import KEYS, LOST
from tests.unit.ha.servers import at, lsn
from tests.unit.ha.test_election import preferring
from tests.unit.ha.test_founding import alone

FROM_BEFORE: Final[st.SearchStrategy[View]] = st.builds(
    lambda view, cluster: replace(view, cluster=replace(cluster, initialize=b.BORN)),
    variants(
        b.from_before(),
        **{n: p for n, p in VIEW_PARTS.items() if n not in ("directory", "guardian", "cluster")},
    ),
    CLUSTERS,
)
"""Of a node whose directory was a primary's before the cluster."""

UNARMED: Final = b.lease(armed=False)


def is_proven(view: View, decision_epoch: object) -> bool:
    """The lease is held at this instant, under that epoch."""
    return (
        view.lease is not None
        and view.lease.is_valid(view.now)
        and view.lease.epoch == decision_epoch
    )


@given(VIEWS, MEMORIES)
def test_every_view_gets_one_decision_and_always_the_same(view: View, memory: Memory) -> None:
    before = deepcopy((view, memory))

    first = decide(view, memory, KEYS)

    assert (view, memory) == before, "the input was changed"
    assert decide(view, memory, KEYS) == first
    assert first.rule in {rule.id for rule in RULES}
    assert first.reason


@given(VIEWS, MEMORIES)
def test_the_first_rule_that_matches_decides(view: View, memory: Memory) -> None:
    decision = decide(view, memory, KEYS)
    situation = Situation(view, observe_memory(view, memory), KEYS)

    matching = [rule.id for rule in RULES if rule.check(situation) is not None]

    assert decision.rule == matching[0]


@given(VIEWS, MEMORIES)
def test_no_primary_is_started_or_promoted_without_a_lease(view: View, memory: Memory) -> None:
    for action in decide(view, memory, KEYS).actions:
        match action:
            case Promote(epoch):
                assert is_proven(view, epoch)
            case Start(plan, epoch):
                assert (plan.role is ServerRole.PRIMARY) == (epoch is not None)
                assert epoch is None or is_proven(view, epoch)
            case ReturnLeader(epoch):
                server = view.server
                assert not view.guardian.primary, "the key is given back under a primary"
                assert not view.guardian.running or server is None or server.in_recovery
                assert view.lease is None
                leader = view.cluster.leader
                assert leader is not None
                known = leader.guardian in view.guardian.predecessors
                assert known or epoch in view.guardian.burned, "what lives elsewhere is given back"
            case ReleaseLeader(epoch):
                assert not view.guardian.running, "the key is given back under a running server"
                assert is_proven(view, epoch)


@given(FROM_BEFORE, MEMORIES)
def test_what_was_a_primary_before_the_cluster_is_not_touched(view: View, memory: Memory) -> None:
    """S10: but for a copy beside it, which an operator wished."""
    kinds = {type(action) for action in decide(view, memory, KEYS).actions}

    assert kinds.isdisjoint({Start, Rejoin, Promote, InitDb})
    assert Clone not in kinds or memory.wal_gone


@given(VIEWS, MEMORIES)
def test_a_promotion_follows_its_own_history_record(view: View, memory: Memory) -> None:
    for action in decide(view, memory, KEYS).actions:
        if isinstance(action, Promote):
            mine = [r for r in view.cluster.history if r.epoch == action.epoch]
            assert mine, "promoted before the record was committed (R25)"
            others = {r.timeline for r in view.cluster.history if r.epoch != action.epoch}
            lower = {timeline for timeline in others if timeline < mine[-1].timeline}
            assert lower <= set(action.burned)


@given(VIEWS, MEMORIES)
def test_the_race_is_run_only_by_who_may_lead(view: View, memory: Memory) -> None:
    cluster, me = view.cluster, view.me.name
    for action in decide(view, memory, KEYS).actions:
        if not isinstance(action, AcquireLeader):
            continue
        assert cluster.leader is None
        assert view.raft.majority
        assert KeyAbsent(KEYS.leader) in action.command.guards
        assert [w.holder for w in action.command.writes if isinstance(w, Grant)] == [me]
        born = cluster.initialize is not None and cluster.initialize.system_id is not None
        if born:
            others = others_disarmed(Situation(view, memory, KEYS))
            assert not others, "another primary may run"
            if decide(view, memory, KEYS).rule == "safety-27":
                assert _is_covered(view)
                return
            assert not view.guardian.primary, "a primary without a lease races"
            assert not cluster.paused or (cluster.request and cluster.request.candidate == me)
            assert view.me.tags.may_lead
            sync = cluster.sync
            assert sync is None or me in (sync.leader, *sync.standbys)
            assert _is_pledged(view), "a position that may still grow races (R17)"
            assert sync is None or me == sync.leader or _heard(view, sync) > sync.quorum
            assert _names(KEYS.sync, action.command)
            assert _names(KEYS.config, action.command)


def _is_pledged(view: View) -> bool:
    """The stream of this very server was cut, under a store without a leader since the last
    promotion, before it was asked for its position."""
    cut, server, seen = view.cut, view.server, view.server_seen
    if cut is None or server is None or seen is None:
        return False
    is_last = all(record.epoch < cut.floor for record in view.cluster.history)
    was_gone = server.receiver is None and longest(cut.at, seen) >= 0
    return is_last and was_gone and cut.process == view.guardian.process


@given(VIEWS, MEMORIES)
def test_nobody_is_followed_before_the_agent_has_caught_up(view: View, memory: Memory) -> None:
    for action in decide(replace(view, caught_up=False), memory, KEYS).actions:
        if isinstance(action, Configure | Start) and action.plan.role is ServerRole.STANDBY:
            assert action.plan.upstream is None


def _heard(view: View, sync: SyncSet) -> int:
    """How many standbys of the set are known to hold no more than this one, itself included."""
    server, found = view.server, 1
    assert server is not None
    for name in set(sync.standbys) - {view.me.name}:
        answer = view.peers.get(name)
        told = None if answer is None else answer.report
        if told is None or told.position is None or told.timeline is None:
            continue
        mine = server.position is not None and told.position <= server.position
        found += told.timeline < server.timeline or (told.timeline == server.timeline and mine)
    return found


def _names(key: str, command: Transact) -> bool:
    return any(isinstance(g, KeyAbsent | KeyAt) and g.key == key for g in command.guards)


@given(VIEWS, MEMORIES)
def test_every_command_is_one_that_the_store_takes(view: View, memory: Memory) -> None:
    for action in decide(view, memory, KEYS).actions:
        if isinstance(action, Submit | AcquireLeader):
            assert fault(action.command) is None


@given(VIEWS | SERVING, MEMORIES)
def test_every_write_of_a_leader_is_fenced_by_its_epoch(view: View, memory: Memory) -> None:
    for action in decide(view, memory, KEYS).actions:
        if not isinstance(action, Submit) or action.intent == "member":
            continue
        if action.intent == "disarmed" and not view.guardian.primary:
            continue  # after a verified stop, for which no lease is needed
        assert action.intent not in view.pending, "a second write of the same intent"
        lease = view.lease
        assert lease is not None
        assert lease.is_valid(view.now)
        fence = KeyCreatedAt(KEYS.leader, Revision(lease.epoch.revision))
        assert fence in action.command.guards


@given(VIEWS, MEMORIES)
def test_a_member_announces_only_itself(view: View, memory: Memory) -> None:
    for action in decide(view, memory, KEYS).actions:
        if isinstance(action, Submit) and action.intent == "member":
            written = [w.key for w in action.command.writes if isinstance(w, Put)]
            assert written == [KEYS.member(view.me.name)]


@given(VIEWS, MEMORIES)
def test_a_primary_without_a_lease_is_stopped_at_once(view: View, memory: Memory) -> None:
    server = view.server
    primary = view.guardian.primary or (server is not None and server.is_primary)
    leased = view.lease is not None and view.lease.is_valid(view.now)
    if not (view.guardian.alive and view.guardian.running and primary) or leased:
        return
    decision = decide(view, memory, KEYS)

    if decision.rule == "safety-20":
        assert _is_readoption(view, decision)
        return
    if decision.rule == "safety-27":
        assert view.guardian.disarmed
        assert not view.caught_up or _is_covered(view)
        return
    sent, leader = decision.memory.stop, view.cluster.leader
    assert decision.rule == "safety-30"
    if "keeps the deadline" in decision.reason:
        assert view.guardian.armed
        assert leader is None or leader.name == view.me.name
        return
    assert Stop(StopMode.IMMEDIATE) in decision.actions or (
        sent is not None
        and sent.process == view.guardian.process
        and sent.mode is StopMode.IMMEDIATE
        and sent == memory.stop
    )


def _is_readoption(view: View, decision: Decision) -> bool:
    """The key is this node's, and its guardian counts down under the very same epoch."""
    leader, guardian = view.cluster.leader, view.guardian
    if leader is None or leader.name != view.me.name or leader.guardian != guardian.nonce:
        return False
    asked = [a for a in decision.actions if isinstance(a, Readopt)]
    is_asked = all(a.epoch == leader.epoch for a in asked) and len(asked) <= 1
    if guardian.disarmed:
        return is_asked and _is_covered(view)
    return is_asked and (not guardian.primary or guardian.epoch == leader.epoch)


def _is_covered(view: View) -> bool:
    """The store says of this very server that it has no deadline."""
    entry, guardian = view.cluster.disarmed.get(view.me.name), view.guardian
    if entry is None or entry.process != guardian.process:
        return False
    return entry.guardian == guardian.nonce


@given(VIEWS, MEMORIES)
def test_a_deadline_is_taken_away_only_behind_its_entry(view: View, memory: Memory) -> None:
    for action in decide(view, memory, KEYS).actions:
        if isinstance(action, Disarm):
            assert view.cluster.paused
            assert is_proven(view, action.epoch)
            assert "disarmed" not in view.pending
            assert _is_covered(view)


@given(VIEWS, MEMORIES)
def test_an_entry_goes_only_when_no_primary_is_left_without_a_deadline(
    view: View, memory: Memory
) -> None:
    for action in decide(view, memory, KEYS).actions:
        if not isinstance(action, Submit) or action.intent != "disarmed":
            continue
        if not isinstance(action.command.writes[0], Remove):
            continue
        guardian, lease, server = view.guardian, view.lease, view.server
        is_armed = guardian.armed and lease is not None and lease.armed
        is_down = not guardian.running or (server is not None and not server.is_primary)
        assert guardian.alive
        assert (is_armed and not view.cluster.paused) or (is_down and not guardian.primary)


@given(VIEWS, MEMORIES)
def test_a_server_that_may_write_is_started_under_a_deadline(view: View, memory: Memory) -> None:
    for action in decide(view, memory, KEYS).actions:
        if isinstance(action, Start | Promote) and action.epoch is not None:
            assert view.lease is not None
            assert view.lease.armed or view.guardian.primary


@example(b.view(guardian=GuardianView(alive=False), lease=UNARMED, stopping=True), Memory())
@given(VIEWS, MEMORIES)
def test_without_a_guardian_nothing_else_is_done(view: View, memory: Memory) -> None:
    """An agent that is being stopped may still give up a job and end."""
    if view.guardian.alive:
        return
    done = decide(view, memory, KEYS).actions

    allowed = {CancelJob, EndAgent, Submit} if view.stopping else {RestoreGuardian, Submit}
    assert {type(a) for a in done} <= allowed
    assert all(a.intent == "member" for a in done if isinstance(a, Submit))


STARVED = Memory(starved_since=at(-60), starved_at=lsn(5000))
SCRIPTS = Path(__file__).parent.parent / "scenarios"


def test_every_rule_is_reached_by_a_scenario_or_a_view() -> None:
    reached = {
        line.split("->")[1].split()[0]
        for script in SCRIPTS.glob("*.txt")
        for line in script.read_text(encoding="utf-8").splitlines()
        if "->" in line
    }

    reached |= {
        decide(view, memory, KEYS).rule for view in BASES for memory in (Memory(), LOST, STARVED)
    }
    lacking = logical.following()
    reached.add(decide(lacking, logical.remembered(lacking), KEYS).rule)
    reached.add(decide(preferring(), LOST, KEYS).rule)
    reached.add(decide(*alone(60), KEYS).rule)

    assert {rule.id for rule in RULES} - reached == set()
