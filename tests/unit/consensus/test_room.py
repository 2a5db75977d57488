"""The store takes no more than its limit, and never refuses what keeps a cluster writable."""

from __future__ import annotations

import pytest

from raftha.consensus import commands, wire
from raftha.consensus.commands import Expire, LogCommand
from raftha.consensus.limits import (
    RESERVE_BYTES,
    Account,
    lack_of_room,
    most_added,
    size_of,
)
from raftha.consensus.machine import Happened, Machine
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.store import (
    MAX_STATE_BYTES,
    Committed,
    Grant,
    Key,
    KeyAbsent,
    KeyAt,
    KeyCreatedAt,
    LeaseAt,
    LeaseId,
    NotSent,
    Put,
    Refresh,
    Remove,
    Revoke,
    Transact,
)
from tests.sim.group import Group

K, LEADER, LEASE = Key("k"), Key("leader"), LeaseId("l")
BIG = b"v" * 10_000


def create(key: Key, value: bytes = b"v") -> Transact:
    return Transact((KeyAbsent(key),), (Put(key, value),))


def rewrite(value: bytes) -> Transact:
    return Transact((KeyAt(K, Revision(1)),), (Put(K, value),))


def store_of(size_bytes: int) -> Machine:
    """A store with one key, by its own account so large."""
    machine = Machine()
    machine.apply(LogCommand(body=create(K)))
    machine.size_bytes = size_bytes
    return machine


def fill(group: Group, size_bytes: int) -> None:
    """All copies of the store count so many bytes."""
    for seat in group.seats.values():
        seat.node._replica.machine.size_bytes = size_bytes


def led_by_a() -> Group:
    group = Group()
    group.elect("a")
    group.create("a", "k")
    group.create("b", "l")
    group.settle(rounds=8)
    return group


def test_a_new_key_is_refused_by_its_size() -> None:
    adds = most_added(create(LEADER))
    full = store_of(MAX_STATE_BYTES - adds + 1)
    assert lack_of_room(store_of(MAX_STATE_BYTES - adds), create(LEADER), 0) is None
    assert lack_of_room(full, create(LEADER), 0) == (
        f"refused: the store holds {full.size_bytes} of {MAX_STATE_BYTES} bytes, and this would "
        f"add {adds}; raftha store list shows what fills it, and what is removed makes room"
    )


@pytest.mark.parametrize(
    "body",
    [
        Refresh(LEASE, Revision(1), Seconds(5.0), BIG),
        Revoke(LEASE, Revision(1)),
        Expire(LEASE, Revision(1)),
        Transact((KeyAt(K, Revision(1)),), (Remove(K),)),
        rewrite(b"w"),
        Transact((KeyAbsent(LEADER),), (Grant(LEASE, "n1", Seconds(5.0)), Put(LEADER, BIG, LEASE))),
        Transact((KeyAbsent(Key("l")), KeyAt(K, Revision(1))), (Remove(K), Put(Key("l"), b"v"))),
    ],
)
def test_leases_and_whatever_makes_it_no_larger_never_lack_room(body: commands.Body) -> None:
    assert lack_of_room(store_of(10 * MAX_STATE_BYTES), body, 0) is None


@pytest.mark.parametrize(
    "body",
    [
        rewrite(BIG),
        Transact((KeyCreatedAt(K, Revision(1)), KeyAbsent(LEADER)), (Put(LEADER, BIG),)),
    ],
)
def test_what_a_failover_needs_has_a_reserve(body: commands.Body) -> None:
    assert lack_of_room(store_of(MAX_STATE_BYTES + RESERVE_BYTES // 2), body, 0) is None
    assert lack_of_room(store_of(MAX_STATE_BYTES + RESERVE_BYTES), body, 0) is not None


def test_a_lease_that_is_only_named_gives_no_room_to_a_new_key() -> None:
    command = Transact((LeaseAt(LEASE, Revision(1)), KeyAbsent(LEADER)), (Put(LEADER, BIG),))
    assert lack_of_room(store_of(MAX_STATE_BYTES), command, 0) is not None


def test_what_is_committed_is_applied_however_large_the_store_is() -> None:
    """A replica that refused it would differ from one whose release has another limit."""
    machine = store_of(2 * MAX_STATE_BYTES)
    assert machine.apply(LogCommand(body=create(LEADER, BIG))).result == Happened(Revision(2))


def test_where_the_store_is_full_every_node_says_so_and_the_others_learn_nothing() -> None:
    group = led_by_a()
    fill(group, MAX_STATE_BYTES)
    before = group.log("a")
    for name in "ab":
        [outcome] = group.create(name, "another")
        assert isinstance(outcome, NotSent)
        assert outcome.reason.startswith(f"refused: the store holds {MAX_STATE_BYTES} of")
    group.settle()
    assert group.log("a") == before


def test_what_is_removed_makes_room() -> None:
    group = led_by_a()
    key = group.node("a").store.peek().entries[K]
    fill(group, MAX_STATE_BYTES - size_of(key) + 1)
    refused = group.create("b", "m")
    assert [type(outcome) for outcome in refused] == [NotSent]

    command = Transact((KeyAt(K, key.mod_revision),), (Remove(K),))
    group.node("b").store.submit(command, timeout=Seconds(1e5), done=lambda _: None)
    group.step("b")
    group.settle()
    taken = group.create("b", "m")
    group.settle()

    assert group.keys("b") == {"l", "m"}
    assert [type(outcome) for outcome in taken] == [Committed]


def test_what_is_under_way_counts_until_it_is_applied() -> None:
    group = led_by_a()
    adds = most_added(create(Key("x0")))
    fill(group, MAX_STATE_BYTES - 2 * adds)
    group.isolate("a")
    outcomes = [group.create("a", f"x{number}") for number in range(3)]
    assert [len(got) for got in outcomes] == [0, 0, 1]
    assert isinstance(outcomes[2][0], NotSent)

    for name in "bc":
        group.join("a", name)
    group.settle()
    assert [type(got[0]) for got in outcomes] == [Committed, Committed, NotSent]
    assert group.node("b").store.status().state_bytes == MAX_STATE_BYTES


def test_the_raft_leader_takes_nothing_that_a_mad_voter_forwards_into_a_full_store() -> None:
    group = led_by_a()
    fill(group, MAX_STATE_BYTES)
    before = group.log("a")
    for number in range(50):
        payload = commands.encode(LogCommand(body=create(Key(f"x{number}"))))
        group.inject("b", "a", wire.Forward(payload, 10.0))
    group.deliver("b", "a")
    assert group.log("a") == before


def test_the_account_of_what_is_under_way_ends_with_the_term() -> None:
    account = Account()
    account.settle(1, 0)
    account.took(5, 100)
    account.took(6, 0)
    account.took(7, 30)
    account.settle(1, 5)
    assert account.under_way == 30
    account.settle(2, 5)
    assert account.under_way == 0
