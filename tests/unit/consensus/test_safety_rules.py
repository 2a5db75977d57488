"""One scenario for each safety rule that the key store keeps: R1, R3, R4, R5 and R8.

The rules are listed in `docs/promises.md`, with the tests of those that other parts keep; R2 and R6
need a lease keeper too and are in `unit/agent/test_lease_rules.py`.
"""

from __future__ import annotations

from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.settings import DynamicConfig, RaftTimings
from raftha.model.store import (
    Command,
    Committed,
    Grant,
    Key,
    KeyAbsent,
    KeyAt,
    KeyCreatedAt,
    LeaseId,
    Outcome,
    Put,
    Refresh,
    Rejected,
    Remove,
    Transact,
    Unknown,
)
from tests.sim.group import Group

LEADER = Key("leader")
SYNC = Key("sync")
LEASE = LeaseId("leader")
TTL = Seconds(5.0)
STEP_S = 0.02


def led_by_a(timings: RaftTimings | None = None) -> Group:
    group = Group() if timings is None else Group(timings=timings)
    group.elect("a")
    assert group.leads("a")
    return group


def submit(group: Group, name: str, command: Command, timeout: float = 1e5) -> list[Outcome]:
    outcomes: list[Outcome] = []
    group.node(name).store.submit(command, timeout=Seconds(timeout), done=outcomes.append)
    group.step(name)
    return outcomes


def do(group: Group, name: str, command: Command) -> Committed:
    """A command that all voters apply."""
    outcomes = submit(group, name, command)
    group.settle()
    group.settle()
    assert isinstance(outcomes[0], Committed)
    return outcomes[0]


def pass_time(group: Group, seconds: float) -> None:
    for name in group.seats:
        group.pass_time(name, seconds)


def leases(group: Group, name: str) -> set[str]:
    return set(group.node(name).store.peek().leases)


def test_r1_a_lease_counts_from_the_first_hand_over_of_its_command() -> None:
    """A command that is handed to a second raft leader is not younger for it."""
    group = led_by_a()
    group.create("b", "first")
    group.settle()
    group.isolate("b")
    group.join("a", "b")
    first_leaves = group.node("b")._clock.now()
    outcome = group.create("b", "k")
    group.kill("a")
    group.pass_time("b", 3.0)
    group.network.connect("b", "c")
    group.elect("c", "bc")
    group.settle("bc")

    assert isinstance(outcome[0], Committed)
    assert outcome[0].handed_over == first_leaves


def test_r3_a_command_given_up_never_happens_once_a_later_one_has_committed() -> None:
    """No clock is looked at when a command is applied. What settles one without an answer is the
    floor of a later command of the same session: the late copy does nothing, for ever."""
    group = led_by_a()
    group.create("b", "first")
    group.settle()
    given_up = group.create("b", "late")
    late = list(group.network.flying["b", "a"])
    group.network.flying["b", "a"].clear()
    group.pass_time("b", 2e5)
    group.step("b")
    assert [type(outcome) for outcome in given_up] == [Unknown]
    do(group, "b", Transact((KeyAbsent(Key("next")),), (Put(Key("next"), b""),)))

    group.network.flying["b", "a"].extend(late)
    group.settle()
    group.settle()

    assert late
    assert group.keys("a") == group.keys("b") == {"first", "next"}


def test_r3_a_command_given_up_may_happen_until_then() -> None:
    """The control: before a later command the late copy counts, which is why it is `Unknown`."""
    group = led_by_a()
    group.create("b", "first")
    group.settle()
    given_up = group.create("b", "late")
    late = list(group.network.flying["b", "a"])
    group.network.flying["b", "a"].clear()
    group.pass_time("b", 2e5)
    group.step("b")

    group.network.flying["b", "a"].extend(late)
    group.settle()
    group.settle()

    assert [type(outcome) for outcome in given_up] == [Unknown]
    assert group.keys("a") == {"first", "late"}


def ghost_write(*more: KeyCreatedAt) -> tuple[Group, list[Outcome]]:
    """A write of the old leader b reaches the log after the key has gone to c."""
    group = led_by_a()
    epoch = do(group, "b", Transact((KeyAbsent(LEADER),), (Put(LEADER, b"b"),))).revision
    guards = tuple(KeyCreatedAt(guard.key, epoch) for guard in more)
    ghost = submit(group, "b", Transact((KeyAbsent(SYNC), *guards), (Put(SYNC, b"b and c"),)))
    late = list(group.network.flying["b", "a"])
    group.network.flying["b", "a"].clear()
    for command in (
        Transact((KeyAt(LEADER, epoch),), (Remove(LEADER),)),
        Transact((KeyAbsent(LEADER),), (Put(LEADER, b"c"),)),
    ):
        submit(group, "c", command)
        group.settle("ac")
        group.settle("ac")
    assert group.node("c").store.peek().entries[LEADER].value == b"c"

    group.network.flying["b", "a"].extend(late)
    group.settle()
    group.settle()
    return group, ghost


def test_r4_a_write_of_an_earlier_leader_has_no_effect() -> None:
    """Its own compare still holds; the guard on the leader's epoch does not."""
    group, ghost = ghost_write(KeyCreatedAt(LEADER, Revision(0)))

    assert [type(outcome) for outcome in ghost] == [Rejected]
    assert SYNC not in group.keys("a")


def test_r4_one_key_is_not_enough_to_fence_a_write() -> None:
    """The control: without that guard the ghost passes."""
    group, ghost = ghost_write()

    assert [type(outcome) for outcome in ghost] == [Committed]
    assert SYNC in group.keys("a")


def lease_received_early_and_committed_late() -> Group:
    """The grant reaches b at once; that it is committed, b learns 3 s later. Then a is gone."""
    group = led_by_a()
    do(group, "a", Transact((KeyAbsent(Key("k")),), (Put(Key("k"), b""),)))
    submit(group, "a", Transact((), (Grant(LEASE, "a", TTL),)))
    group.deliver("a", "b")
    pass_time(group, 3.0)
    group.settle()
    assert leases(group, "b") == {LEASE}
    group.kill("a")
    group.elect("b", "bc")
    return group


def test_r5_a_lease_is_stamped_when_its_entry_arrives() -> None:
    """So the loss of the machine that was raft leader and lease holder costs one ttl, not two."""
    group = lease_received_early_and_committed_late()
    pass_time(group, TTL * 1.01 - 3.0 - 0.05)
    group.settle("bc")
    assert leases(group, "b") == {LEASE}

    pass_time(group, 0.1)
    group.step("b")
    group.settle("bc")

    assert leases(group, "b") == set()


def test_r5_without_a_stamp_a_lease_counts_from_now() -> None:
    """Stamps are not stored: a restarted voter grants the whole ttl again, and is never early."""
    group = lease_received_early_and_committed_late()
    pass_time(group, 1.0)
    disks = {name: group.kill(name) for name in "bc"}
    for name, disk in disks.items():
        group.start(name, disk)
    group.elect("b", "bc")
    group.settle("bc")
    pass_time(group, TTL * 1.01 - 0.05)
    group.settle("bc")
    assert leases(group, "b") == {LEASE}

    pass_time(group, 0.1)
    group.step("b")
    group.settle("bc")

    assert leases(group, "b") == set()


class SlowDisk:
    """Three voters in real timings; a is the raft leader and holds a lease. Its disk takes so long
    for one sync that its thread does nothing else, and the others go on."""

    def __init__(self, stall: float) -> None:
        self.group = led_by_a(RaftTimings())
        self.granted = do(self.group, "a", Transact((), (Grant(LEASE, "a", TTL),)))
        self.new_leader_after = 0.0
        waited = 0.0
        while waited < stall:
            pass_time(self.group, STEP_S)
            waited += STEP_S
            for name in "bc":
                self.group.step(name)
            for source, target in ("bc", "cb"):
                self.group.deliver(source, target)
            if not self.new_leader_after and (self.group.leads("b") or self.group.leads("c")):
                self.new_leader_after = waited
        self.renewal = submit(self.group, "a", Refresh(LEASE, self.granted.revision, TTL, b""))
        self.group.settle()
        self.group.settle()
        self.group.settle()


def test_r8_a_slow_sync_moves_the_raft_leader_and_costs_no_lease() -> None:
    """The longest stall that a lease must survive is ttl - heartbeat - fence_budget: the renewal
    was due a heartbeat after the last one, and the fence must not have begun."""
    settings = DynamicConfig(ttl=TTL)
    stall = settings.ttl - settings.heartbeat - settings.fence_budget
    slow = SlowDisk(stall)

    assert 0 < slow.new_leader_after < 2 * RaftTimings().election_max
    assert not slow.group.leads("a")
    assert [type(outcome) for outcome in slow.renewal] == [Committed]
    assert leases(slow.group, "b") == {LEASE}


def test_r8_a_stall_longer_than_the_ttl_costs_the_lease() -> None:
    slow = SlowDisk(TTL * 1.01 + 0.5)

    assert [type(outcome) for outcome in slow.renewal] == [Rejected]
    assert leases(slow.group, "b") == set()
