"""When a replica may propose the end of a lease."""

from __future__ import annotations

from raftha.consensus.commands import Expire
from raftha.consensus.lessor import REPROPOSE_AFTER, Lessor
from raftha.instants import Instant, Seconds
from raftha.model.ids import Revision
from raftha.model.store import Lease, LeaseId

ID = LeaseId("l")
AT_ONCE = Seconds(0.0)
START = Instant(100.0, 50.0)


def leases(revision: int = 1) -> dict[LeaseId, Lease]:
    return {ID: Lease(id=ID, holder="n1", ttl=Seconds(5.0), revision=Revision(revision))}


def stamped() -> Lessor:
    lessor = Lessor()
    lessor.received(7, START)
    lessor.applied(7, [(ID, Revision(1))], START.plus(1.0))
    return lessor


def test_a_lease_is_due_a_whole_ttl_after_its_entry_was_received() -> None:
    lessor = stamped()
    assert lessor.due(leases(), START.plus(5.049), AT_ONCE) == ()
    assert lessor.due(leases(), START.plus(5.051), AT_ONCE) == (Expire(ID, Revision(1)),)


def test_the_slower_of_the_two_clocks_decides() -> None:
    lessor = stamped()
    slewed = Instant(START.boot + 6.0, START.raw + 4.9)
    assert lessor.due(leases(), slewed, AT_ONCE) == ()


def test_a_replica_that_is_not_the_raft_leader_waits_longer() -> None:
    lessor = stamped()
    assert lessor.due(leases(), START.plus(5.1), Seconds(0.1)) == ()
    assert len(lessor.due(leases(), START.plus(5.2), Seconds(0.1))) == 1


def test_without_a_stamp_the_wait_begins_now() -> None:
    lessor = Lessor()
    assert lessor.due(leases(), START, AT_ONCE) == ()
    assert lessor.due(leases(), START.plus(5.0), AT_ONCE) == ()
    assert len(lessor.due(leases(), START.plus(5.1), AT_ONCE)) == 1


def test_a_stamp_of_another_revision_counts_for_nothing() -> None:
    lessor = stamped()
    assert lessor.due(leases(revision=2), START.plus(6.0), AT_ONCE) == ()


def test_an_entry_that_replaced_another_has_its_own_time() -> None:
    lessor = Lessor()
    lessor.received(7, START)
    lessor.received(7, START.plus(3.0))
    lessor.applied(7, [(ID, Revision(1))], START.plus(3.1))
    assert lessor.due(leases(), START.plus(6.0), AT_ONCE) == ()


def test_a_proposal_without_effect_is_repeated_after_a_while() -> None:
    lessor = stamped()
    late = START.plus(6.0)
    assert len(lessor.due(leases(), late, AT_ONCE)) == 1
    assert lessor.due(leases(), late.plus(REPROPOSE_AFTER / 2), AT_ONCE) == ()
    assert len(lessor.due(leases(), late.plus(REPROPOSE_AFTER), AT_ONCE)) == 1


def test_a_snapshot_makes_what_was_known_by_index_void() -> None:
    lessor = Lessor()
    lessor.received(7, START)
    lessor.loaded()
    lessor.applied(7, [(ID, Revision(1))], START.plus(2.0))
    assert lessor.due(leases(), START.plus(6.0), AT_ONCE) == ()
    assert lessor.next_due(leases(), START.plus(6.9)) < 0.2
