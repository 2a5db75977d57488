"""A guardian's word frees the leader key exactly of the life that it speaks of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raftha.agent.receipts import Receipts
from raftha.consensus.store import _committed
from raftha.ha.documents import read_cluster
from raftha.ha.keys import LEADER_LEASE, Keys, encode_disarmed, encode_leader
from raftha.instants import Seconds
from raftha.model.cluster import Cluster, Disarmed
from raftha.model.ids import MemberName, Revision, Scope
from raftha.model.store import (
    Command,
    Committed,
    Grant,
    Key,
    KeyAbsent,
    KeyAt,
    Outcome,
    Put,
    Refresh,
    Remove,
    Snapshot,
    Transact,
)
from tests.sim.group import Group

KEYS = Keys(Scope("sim"))
OWN = KEYS.disarmed_of(MemberName("n1"))
TTL = Seconds(1000.0)


class SteppedStore:
    """The real store of a lone voter, stepped by whoever asks it."""

    def __init__(self) -> None:
        self._group = Group("a")
        self._group.elect("a")
        for key in ("something", "and more"):
            self.execute(Transact((KeyAbsent(Key(key)),), (Put(Key(key), b""),)), timeout=TTL)

    def execute(self, command: Command, *, timeout: Seconds) -> Committed:
        assert timeout > 0
        outcomes: list[Outcome] = []
        self._group.node("a").store.submit(command, timeout=TTL, done=outcomes.append)
        self._group.step("a", 3)
        return _committed(outcomes[0])

    def peek(self) -> Snapshot:
        return self._group.node("a").store.peek()

    @property
    def cluster(self) -> Cluster:
        return read_cluster(KEYS, self.peek())


def led(store: SteppedStore, name: str = "n1", guardian: str = "g1") -> None:
    lease = Grant(LEADER_LEASE, name, TTL)
    key = Put(KEYS.leader, encode_leader(MemberName(name), guardian), LEADER_LEASE)
    store.execute(Transact((KeyAbsent(KEYS.leader),), (lease, key)), timeout=TTL)


def word(store: SteppedStore, **changes: Any) -> bytes:
    """What the guardian of the present leader would say."""
    leader = store.cluster.leader
    assert leader is not None
    said = {
        "epoch": [leader.epoch.generation, leader.epoch.revision],
        "renewal": leader.lease.revision,
        "guardian": leader.guardian,
    }
    return json.dumps({**said, **changes}).encode()


def test_the_leader_key_goes_at_the_word_of_its_guardian_and_the_history_can_tell() -> None:
    store = SteppedStore()
    led(store)
    leader = store.cluster.leader
    assert leader is not None

    assert Receipts(store, KEYS).take("n1", word(store)) is None

    assert store.cluster.leader is None
    receipt = store.cluster.receipt
    assert receipt is not None
    assert (receipt.name, receipt.epoch) == ("n1", leader.epoch)
    assert receipt.revision > leader.lease.revision


@pytest.mark.parametrize(
    ("changes", "name", "why"),
    [
        ({}, "n2", "n1 holds the leader key, not n2"),
        ({"guardian": "g0"}, "n1", "another guardian"),
        ({"epoch": [0, 1]}, "n1", "under epoch"),
        ({"epoch": [1, 10**9]}, "n1", "under epoch"),
        ({"renewal": 1}, "n1", "was renewed at revision"),
        ({"renewal": 10**9}, "n1", "was renewed at revision"),
        ({"more": 1}, "n1", "not a word of a guardian"),
    ],
)
def test_what_does_not_fit_the_present_leader_frees_nothing(
    changes: dict[str, Any], name: str, why: str
) -> None:
    store = SteppedStore()
    led(store)
    before = store.peek().revision

    refusal = Receipts(store, KEYS).take(name, word(store, **changes))

    assert refusal is not None
    assert why in refusal
    assert store.peek().revision == before


def test_a_word_from_before_the_last_renewal_frees_nothing() -> None:
    """Whoever renewed after the guardian was told knows more than the guardian."""
    store = SteppedStore()
    led(store)
    old = word(store)
    leader = store.cluster.leader
    assert leader is not None
    store.execute(Refresh(LEADER_LEASE, leader.lease.revision, TTL), timeout=TTL)
    assert "was renewed" in (Receipts(store, KEYS).take("n1", old) or "")
    assert store.cluster.leader is not None


def test_a_word_that_is_repeated_frees_nothing_of_the_next_life() -> None:
    store = SteppedStore()
    led(store)
    old = word(store)
    receipts = Receipts(store, KEYS)
    assert receipts.take("n1", old) is None
    assert receipts.take("n1", old) == "nobody holds the leader key"
    led(store)
    assert "under epoch" in (receipts.take("n1", old) or "")
    assert store.cluster.leader is not None


def test_a_renewal_that_comes_between_keeps_the_key() -> None:
    """The store compares once more, at the very moment."""

    class Renewing(SteppedStore):
        def execute(self, command: Command, *, timeout: Seconds) -> Committed:
            leader = self.cluster.leader
            done = super().execute(command, timeout=timeout)
            if isinstance(command, Transact) and leader is not None:
                super().execute(Refresh(LEADER_LEASE, leader.lease.revision, TTL), timeout=TTL)
            return done

    store = Renewing()
    led(store)
    why = Receipts(store, KEYS).take("n1", word(store))
    assert "did not free the leader key" in (why or "")
    assert store.cluster.leader is not None


def about_to_be_disarmed(store: SteppedStore, guardian: str) -> None:
    """A maintenance pause has begun: the entry is committed, the deadline still stands."""
    leader = store.cluster.leader
    assert leader is not None
    entry = Disarmed(
        name=leader.name, revision=Revision(0), guardian=guardian, process="7@1", incarnation="i"
    )
    key = KEYS.disarmed_of(leader.name)
    put = Put(key, encode_disarmed(entry, leader.epoch))
    store.execute(Transact((KeyAbsent(key),), (put,)), timeout=TTL)


def test_a_server_that_died_before_it_was_disarmed_keeps_nobody_from_a_promotion() -> None:
    store = SteppedStore()
    led(store)
    about_to_be_disarmed(store, "g1")

    assert Receipts(store, KEYS).take("n1", word(store)) is None
    assert store.cluster.leader is None
    assert not store.cluster.disarmed


def test_a_guardian_vouches_for_no_server_of_another_one() -> None:
    """A machine that took the name of a lost one may lead beside what that one left running."""
    store = SteppedStore()
    led(store)
    about_to_be_disarmed(store, "guardian of the lost machine")

    assert Receipts(store, KEYS).take("n1", word(store)) is None
    assert store.cluster.leader is None
    assert set(store.cluster.disarmed) == {"n1"}


def test_an_entry_that_was_written_anew_meanwhile_stays_and_so_does_the_key() -> None:
    class Rewriting(SteppedStore):
        def execute(self, command: Command, *, timeout: Seconds) -> Committed:
            entry = self.cluster.disarmed.get(MemberName("n1"))
            if isinstance(command, Transact) and Remove(OWN) in command.writes and entry:
                same = self.peek().entries[OWN].value
                again = Transact((KeyAt(OWN, entry.revision),), (Put(OWN, same),))
                super().execute(again, timeout=timeout)
            return super().execute(command, timeout=timeout)

    store = Rewriting()
    led(store)
    about_to_be_disarmed(store, "g1")

    assert "did not free the leader key" in (Receipts(store, KEYS).take("n1", word(store)) or "")
    assert store.cluster.leader is not None
    assert set(store.cluster.disarmed) == {"n1"}


def test_a_refusal_is_logged_once_however_often_the_word_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = SteppedStore()
    led(store)
    receipts = Receipts(store, KEYS)
    for _ in range(3):
        assert receipts.take("n2", word(store))
    assert caplog.text.count("receipt refused") == 1
