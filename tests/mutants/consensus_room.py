"""Mutants of how large the store may become."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_ROOM: Final = "unit/consensus/test_room.py::"
_PROPOSALS: Final = "unit/consensus/test_proposals.py::"

MUTANTS: Final = (
    Mutant(
        file="consensus/limits.py",
        without="a full store refuses the leader key and all that makes it no larger",
        text="if growth <= 0 or any(isinstance(write, Grant) for write in body.writes):",
        instead="if False:",
        caught_by=_ROOM + "test_leases_and_whatever_makes_it_no_larger_never_lack_room",
    ),
    Mutant(
        file="consensus/limits.py",
        without="whoever fills the store leaves no room for a failover",
        text="if _is_fenced(body) or _makes_no_key(body, store.entries):",
        instead="if False:",
        caught_by=_ROOM + "test_what_a_failover_needs_has_a_reserve",
    ),
    Mutant(
        file="consensus/limits.py",
        without="what is under way counts for nothing",
        text="held = store.size_bytes + under_way",
        instead="held = store.size_bytes",
        caught_by=_ROOM + "test_what_is_under_way_counts_until_it_is_applied",
    ),
    Mutant(
        file="consensus/forwards.py",
        without="a mad voter may fill the store",
        text="if self._backlog >= MAX_UNCOMMITTED or self.objection(body) is not None:",
        instead="if self._backlog >= MAX_UNCOMMITTED:",
        caught_by=_ROOM
        + "test_the_raft_leader_takes_nothing_that_a_mad_voter_forwards_into_a_full_store",
    ),
    Mutant(
        file="consensus/proposals.py",
        without="what was handed over and then lacks room is said not to have happened",
        text="courier.objection(pending.command) if pending.handed_over is None else None",
        instead="courier.objection(pending.command)",
        caught_by=_PROPOSALS + "test_an_objection_to_what_was_handed_over_once_does_not_deny_it",
    ),
    Mutant(
        file="consensus/machine.py",
        without="what is removed makes no room",
        text="self.size_bytes -= size_of(previous)",
        instead="pass",
        caught_by=_ROOM + "test_what_is_removed_makes_room",
    ),
)
