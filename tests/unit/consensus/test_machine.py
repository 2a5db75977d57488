"""What a committed command does, and what a repeated or refused one does not do."""

from __future__ import annotations

from raftha.consensus.commands import Body, Expire, LogCommand, OpenSession, SessionId
from raftha.consensus.machine import Applied, Happened, Machine, Refused, Superseded
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.store import (
    Barrier,
    Cause,
    Changed,
    Gone,
    Grant,
    Key,
    KeyAbsent,
    KeyAt,
    KeyCreatedAt,
    LeaseAt,
    LeaseId,
    Put,
    Refresh,
    Remove,
    Revoke,
    Transact,
)

K = Key("k")
LEASE = LeaseId("l")
ONE = SessionId(voter="n1", incarnation="i", boot=1)


class Bench:
    """A machine with one open session."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.seq = 0
        self.machine.apply(LogCommand(body=OpenSession(), session=ONE))

    def do(self, body: Body, *, seq: int | None = None, floor: int = 0) -> Applied:
        self.seq += 1
        number = self.seq if seq is None else seq
        return self.machine.apply(LogCommand(body=body, session=ONE, seq=number, floor=floor))


def create(key: Key = K, lease: LeaseId | None = None) -> Transact:
    return Transact((KeyAbsent(key),), (Put(key, b"v", lease),))


def grant(lease: LeaseId = LEASE) -> Transact:
    return Transact((), (Grant(lease, "n1", Seconds(5.0)),))


def test_create_then_compare_and_set_then_remove() -> None:
    bench = Bench()
    created = bench.do(create())
    entry = bench.machine.entries[K]
    assert created.result == Happened(Revision(1))
    assert created.events == (Changed(Revision(1), entry),)

    bench.do(Transact((KeyAt(K, Revision(1)),), (Put(K, b"w"),)))
    again = bench.machine.entries[K]
    assert (again.value, again.create_revision, again.mod_revision) == (b"w", 1, 2)

    removed = bench.do(Transact((KeyCreatedAt(K, Revision(1)),), (Remove(K),)))
    assert removed.events == (Gone(Revision(3), again, Cause.DELETED),)
    assert bench.machine.entries == {}


def test_one_broken_guard_leaves_everything_as_it_was() -> None:
    bench = Bench()
    bench.do(create())
    other = Key("other")
    outcome = bench.do(
        Transact((KeyAbsent(other), KeyAt(K, Revision(9))), (Put(other, b""), Put(K, b"w")))
    )
    assert isinstance(outcome.result, Refused)
    assert outcome.events == ()
    assert set(bench.machine.entries) == {K}
    assert bench.machine.revision == 1


def test_a_write_to_a_key_that_no_guard_names_is_refused() -> None:
    bench = Bench()
    assert isinstance(bench.do(Transact((), (Put(K, b""),))).result, Refused)
    assert isinstance(bench.do(Transact((), (Remove(K),))).result, Refused)
    assert bench.machine.revision == 0


def test_expiry_and_revocation_take_the_attached_keys() -> None:
    for body, cause in (
        (Expire(LEASE, Revision(1)), Cause.EXPIRED),
        (Revoke(LEASE, Revision(1)), Cause.REVOKED),
    ):
        bench = Bench()
        bench.do(grant())
        bench.do(create(lease=LEASE))
        entry = bench.machine.entries[K]
        assert bench.do(body).events == (Gone(Revision(3), entry, cause),)
        assert bench.machine.leases == {}


def test_the_keys_of_a_lease_go_in_one_order_wherever_they_were_put_first() -> None:
    """A replica that was restored from a snapshot holds them in another order."""
    told = []
    for keys in ("ab", "ba"):
        bench = Bench()
        bench.do(grant())
        for key in keys:
            bench.do(create(Key(key), LEASE))
        gone = bench.do(Revoke(LEASE, Revision(1)))
        told.append([event.previous.key for event in gone.events if isinstance(event, Gone)])

    assert told == [["a", "b"], ["a", "b"]]


def test_an_expiry_of_a_renewed_lease_has_no_effect() -> None:
    bench = Bench()
    bench.do(grant())
    renewed = bench.do(Refresh(LEASE, Revision(1), Seconds(7.0), b"note"))
    assert renewed.renewed == ((LEASE, 2),)

    late = bench.machine.apply(LogCommand(body=Expire(LEASE, Revision(1))))

    assert isinstance(late.result, Refused)
    lease = bench.machine.leases[LEASE]
    assert (lease.holder, lease.ttl, lease.note, lease.revision) == ("n1", 7.0, b"note", 2)


def test_a_lease_guard_and_a_missing_lease() -> None:
    bench = Bench()
    bench.do(grant())
    held = Transact((KeyAbsent(K), LeaseAt(LEASE, Revision(1))), (Put(K, b"", LEASE),))
    assert isinstance(bench.do(held).result, Happened)
    missing = create(Key("x"), LeaseId("nobody"))
    assert isinstance(bench.do(missing).result, Refused)
    assert isinstance(bench.do(grant()).result, Refused)


def test_a_removed_or_rewritten_key_is_detached_and_the_lease_lives_on() -> None:
    bench = Bench()
    bench.do(grant())
    bench.do(create(lease=LEASE))
    bench.do(Transact((KeyAt(K, Revision(2)),), (Put(K, b"w"),)))
    assert bench.do(Revoke(LEASE, Revision(1))).events == ()
    assert K in bench.machine.entries


def test_the_same_number_gets_the_same_answer_and_no_second_effect() -> None:
    bench = Bench()
    first = bench.do(create(), seq=1)
    again = bench.do(create(), seq=1)
    assert again.result == first.result
    assert again.events == ()
    refused = bench.do(create(), seq=2)
    bench.do(Transact((KeyAt(K, Revision(1)),), (Remove(K),)), seq=3)
    assert bench.do(create(), seq=2).result == refused.result


def test_a_number_that_was_given_up_never_happens() -> None:
    bench = Bench()
    bench.do(Barrier(), seq=5, floor=4)
    assert bench.do(create(), seq=3).result == Superseded()
    assert bench.machine.entries == {}


def test_opening_a_session_ends_the_older_one_of_the_voter() -> None:
    bench = Bench()
    newer = SessionId(voter="n1", incarnation="i", boot=2)
    bench.machine.apply(LogCommand(body=OpenSession(), session=newer))

    assert bench.do(create()).result == Superseded()
    reopened = bench.machine.apply(LogCommand(body=OpenSession(), session=ONE))
    assert reopened.result == Superseded()
    assert bench.machine.sessions["n1"].id == newer


def test_a_barrier_changes_no_revision() -> None:
    bench = Bench()
    bench.do(create())
    assert bench.do(Barrier()).result == Happened(Revision(1))
    assert bench.machine.revision == 1
