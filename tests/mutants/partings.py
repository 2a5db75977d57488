"""Mutants of what is refused of an operator's wish, and of what a removed member leaves behind."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_PARTING: Final = "unit/ha/test_parting.py::"
_WISHING: Final = "unit/ha/test_wishing.py::"
_SYNC: Final = "unit/ha/test_sync.py::"

MUTANTS: Final = (
    Mutant(
        file="ha/standbys.py",
        without="commits go on waiting for a member that is to go",
        text="not member.tags.may_be_synchronous or is_leaving(s.cluster, name)",
        instead="not member.tags.may_be_synchronous",
        caught_by=_PARTING + "test_who_is_to_go_leaves_the_synchronous_set_at_once",
    ),
    Mutant(
        file="ha/standbys.py",
        without="S6: whatever streams under the name of a member that has no server is it",
        text="member.state not in _WITHOUT_SERVER",
        instead="member.state not in (MemberState.STOPPING, MemberState.STOPPED)",
        caught_by=_SYNC
        + "test_who_streams_under_the_name_of_a_member_that_copies_its_data_is_another",
    ),
    Mutant(
        file="ha/standbys.py",
        without="S6: whatever streams under the name of a member that does not stream is it",
        text="row.flush is not None and member.state is MemberState.STREAMING",
        instead="row.flush is not None",
        caught_by=_SYNC + "test_only_who_says_itself_that_it_streams_is_chosen",
    ),
    Mutant(
        file="ha/candidates.py",
        without="a member that is to go runs for the lead",
        text="if is_given_up(s.cluster, s.me):",
        instead="if False:",
        caught_by=_PARTING + "test_who_is_to_go_does_not_run_for_the_lead",
    ),
    Mutant(
        file="ha/standbys.py",
        without="L1: one that may not lead keeps the place of one that may",
        text="return self.may_lead, self.near, self.priority,",
        instead="return False, self.near, self.priority,",
        caught_by=_SYNC + "test_one_that_may_lead_takes_the_place_of_one_that_may_not",
    ),
    Mutant(
        file="ha/sync.py",
        without="L1: the store names a standby although its vote was just asked for",
        text="guard, *(stays(s, name) for name in standbys))",
        instead="guard)",
        caught_by=_SYNC + "test_a_standby_counts_once_it_has_flushed_what_is_required",
    ),
    Mutant(
        file="ha/heirs.py",
        without="L1: the lead is kept for one without a vote, or one that is to go",
        text="if is_leaving(s.cluster, member.name) or not (member.tags.may_lead and",
        instead="if not (True or",
        caught_by="unit/ha/test_stop.py::test_nobody_is_made_the_heir_who_may_not_lead",
    ),
    Mutant(
        file="ha/candidates.py",
        without="a node that nobody admitted runs for the lead",
        text="if not any(voter.is_self for voter in s.view.raft.voters):",
        instead="if False:",
        caught_by=_PARTING + "test_who_has_no_vote_yet_does_not_run_for_the_lead",
    ),
    Mutant(
        file="ha/parting.py",
        without="what a member left goes while commits wait for it",
        text="return in_store or (waits is not None and name in waits.names)",
        instead="return in_store",
        caught_by=_PARTING + "test_nothing_is_cleared_away_while_commits_wait_for_it",
    ),
    Mutant(
        file="ha/wishing.py",
        without="a seat is taken from whom commits wait for",
        text="released=not is_waited_for",
        instead="released=True",
        caught_by=_WISHING + "test_whom_commits_wait_for_has_to_be_released_first",
    ),
    Mutant(
        file="ha/parting.py",
        without="who alone holds every commit may not lead",
        text="return wish is not None and wish.unseats and wish.released",
        instead="return wish is not None and wish.unseats",
        caught_by=_PARTING + "test_who_alone_holds_every_commit_may_lead_until_it_is_released",
    ),
    Mutant(
        file="ha/parting.py",
        without="a key goes although the synchronous set has changed",
        text="else KeyAt(s.keys.sync, sync.revision),",
        instead="else KeyAt(key_of(s.keys.scope, wish.name), wish.revision),",
        caught_by=_PARTING + "test_its_key_goes_with_the_end_of_the_wish",
    ),
    Mutant(
        file="ha/parting.py",
        without="a key goes before its slot",
        text="if member is not None and member.slot in server.slots and",
        instead="if False and",
        caught_by=_PARTING + "test_the_slot_of_a_removed_member_goes_before_its_key",
    ),
    Mutant(
        file="ha/parting.py",
        without="the slot of a removed member is made anew",
        text="if not _is_unseated(s.cluster.wishes.get(m.name))",
        instead="if True",
        caught_by=_PARTING + "test_the_slot_of_a_removed_member_is_not_made_anew",
    ),
    Mutant(
        file="ha/parting.py",
        without="the primary may be removed",
        text="if leader is not None and leader.name == name:",
        instead="if False:",
        caught_by=_PARTING + "test_the_primary_is_neither_removed_nor_replaced",
    ),
    Mutant(
        file="ha/parting.py",
        without="without a leader those who alone may lead may be removed",
        text="if leader is None and sync is not None and name",
        instead="if False and name",
        caught_by=_PARTING + "test_without_a_leader_those_who_hold_every_commit_stay",
    ),
    Mutant(
        file="ha/rules/safety.py",
        without="a removed node serves on",
        text="if why is None or s.view.stopping or s.lease is not None:",
        instead="if True:",
        caught_by=_PARTING + "test_a_node_that_was_removed_stops_its_server_and_says_so",
    ),
    Mutant(
        file="ha/rules/safety.py",
        without="one peer's word ends a primary with a lease",
        text="if why is None or s.view.stopping or s.lease is not None:",
        instead="if why is None or s.view.stopping:",
        caught_by=_PARTING + "test_a_lease_is_not_cut_short_by_a_word_of_a_peer",
    ),
    Mutant(
        file="ha/wishing.py",
        without="a wish judged by one leader is written under another",
        text="if wish.verb is MemberVerb.ADD:",
        instead="if True:",
        caught_by=_WISHING + "test_a_wish_is_written_only_while_the_same_member_leads",
    ),
)
