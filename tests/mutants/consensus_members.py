"""Mutants of who votes in the consensus, and of who is let in."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_SEATS: Final = "unit/consensus/test_membership.py::"
_GREETED: Final = "unit/consensus/test_members.py::"
_ATTACKS: Final = "unit/consensus/test_membership_attacks.py::"
_NAMES: Final = "unit/consensus/test_namesakes.py::"
_MARKS: Final = "unit/consensus/test_marks.py::"
_VOTES: Final = "unit/consensus/test_hazards_votes.py::"

MUTANTS: Final = (
    Mutant(
        file="consensus/membership.py",
        without="H35: an incarnation that forgot its promises counts as the voter it was",
        text="return seat.is_bound and seat.incarnation == party.incarnation",
        instead="return True",
        caught_by=_SEATS + "test_a_voter_with_an_emptied_directory_gets_its_seat_back_by_itself",
    ),
    Mutant(
        file="consensus/membership.py",
        without="H35: whoever answers at an address to which the log binds nobody votes there",
        text="if not seat.is_bound and self._log.latest is None:",
        instead="if not seat.is_bound:",
        caught_by=_ATTACKS
        + "test_two_incarnations_answer_in_turn_at_a_seat_that_nobody_is_bound_to",
    ),
    Mutant(
        file="consensus/membership.py",
        without="an empty node that has met a cluster may still found another",
        text="return self._is_founder and hello.configuration is not None and not is_over",
        instead="return False",
        caught_by=_ATTACKS + "test_who_has_met_a_cluster_founds_none_with_another_that_is_empty",
    ),
    Mutant(
        file="consensus/membership.py",
        without="who outlived a first set of voters gives up its vote for it",
        text="is_over = last_term > hello.last_term",
        instead="is_over = False",
        caught_by=_ATTACKS + "test_a_first_set_that_died_with_its_writer_costs_the_others_no_vote",
    ),
    Mutant(
        file="consensus/membership.py",
        without="who wrote a first set of voters in vain votes for nobody any more",
        text="(self._log.latest is None or self.votes(peer))",
        instead="self._log.latest is None",
        caught_by=_ATTACKS
        + "test_the_writer_of_a_first_set_that_died_votes_for_one_who_never_had_it",
    ),
    Mutant(
        file="consensus/membership.py",
        without="an expected node that was given its seat in vain never gets the log again",
        text="(party.is_new or self._is_expected(party))",
        instead="party.is_new",
        caught_by=_ATTACKS + "test_a_seat_that_was_granted_and_undone_keeps_nobody_out",
    ),
    Mutant(
        file="consensus/lineage.py",
        without="a first set of voters that was never committed shuts its writer out for ever",
        text="is_apart = certain or not ours.shares_voter(theirs)",
        instead="is_apart = True",
        caught_by=_ATTACKS + "test_a_first_set_that_no_majority_holds_shuts_nobody_out",
    ),
    Mutant(
        file="consensus/lineage.py",
        without="after a restart a node of another cluster is let in, and overwritten",
        text="is_apart = certain or not ours.shares_voter(theirs)",
        instead="is_apart = certain",
        caught_by=_ATTACKS + "test_after_a_restart_a_cluster_is_still_told_from_another",
    ),
    Mutant(
        file="consensus/node.py",
        without="after a restart nobody is dialled whom the log names and the file does not",
        text="        self._present = Present()\n",
        instead="        self._present = self._core.council.present\n",
        caught_by=_ATTACKS + "test_after_a_restart_links_are_kept_to_whom_the_log_names",
    ),
    Mutant(
        file="consensus/membership.py",
        without="H35: a vote is given to whoever asks the address",
        text="return to == self.own.incarnation",
        instead="return True",
        caught_by=_SEATS + "test_a_node_that_joins_neither_campaigns_nor_votes_nor_counts",
    ),
    Mutant(
        file="consensus/membership.py",
        without="H35: a node that joins votes like a founder",
        text="return not self.standing.joining and self._log.latest is None",
        instead="return True",
        caught_by=_SEATS + "test_a_node_that_joins_neither_campaigns_nor_votes_nor_counts",
    ),
    Mutant(
        file="consensus/elections.py",
        without="a node without a seat campaigns",
        text="        if not self._membership.is_voter:\n            return\n"
        "        _, index, term",
        instead="        _, index, term",
        caught_by=_SEATS + "test_a_node_that_joins_disturbs_nobody_however_long_it_waits",
    ),
    Mutant(
        file="consensus/members.py",
        without="a former voter is let in",
        text="        return self._refusal_of_former(hello, theirs)\n",
        instead="        return None\n",
        caught_by=_GREETED + "test_a_former_voter_stays_out_and_is_told_why",
    ),
    Mutant(
        file="consensus/members.py",
        without="a voter is turned away for good by a step that may be undone",
        text="settled = self._present.settled\n",
        instead="settled = self._present.latest\n",
        caught_by=_GREETED + "test_a_step_that_is_not_committed_turns_nobody_away_for_good",
    ),
    Mutant(
        file="consensus/members.py",
        without="H35: before the birth a voter may come back without its votes",
        text="if known is None or known.incarnation == hello.incarnation:",
        instead="if known is None or known.name == hello.name:",
        caught_by=_VOTES + "test_h35_before_the_voters_stand_in_the_log_an_emptied_one_is_refused",
    ),
    Mutant(
        file="consensus/members.py",
        without="lists of voters may differ at a birth",
        text="        if ours != theirs:\n",
        instead="        if not ours:\n",
        caught_by=_GREETED + "test_before_a_birth_a_refusal_says_why",
    ),
    Mutant(
        file="consensus/council.py",
        without="H10: a second change does not wait for the first",
        text="return self.membership.latest_index <= settled",
        instead="return True",
        caught_by=_SEATS + "test_a_second_step_waits_for_the_first",
    ),
    Mutant(
        file="consensus/council.py",
        without="H10: a raft leader changes voters before its term has committed",
        text="if self._journal.term_at(settled) != self._engine.term:",
        instead="if settled < 0:",
        caught_by=_SEATS + "test_a_raft_leader_changes_nothing_before_its_own_term_is_committed",
    ),
    Mutant(
        file="consensus/configuration.py",
        without="H10: one voter is exchanged for another in one step",
        text="+ 2 * len(exchanged)",
        instead="+ 0 * len(exchanged)",
        caught_by=_SEATS + "test_a_step_changes_one_voter_at_most",
    ),
    Mutant(
        file="consensus/membership.py",
        without="a seat is taken while the rest has no majority",
        text="if address not in outlook.answering and _has_majority(after, outlook.answering):",
        instead="if address not in outlook.answering:",
        caught_by=_SEATS + "test_a_seat_is_not_given_away_while_the_rest_has_no_majority",
    ),
    Mutant(
        file="consensus/membership.py",
        without="the next raft leader knows of no admission under way",
        text="after = latest.without(party.name).expecting(party.seat)",
        instead="after = latest.without(party.name)",
        caught_by=_SEATS + "test_an_admission_goes_on_under_the_next_raft_leader",
    ),
    Mutant(
        file="consensus/journal.py",
        without="a set of voters that was cut from the log stays in force",
        text="self.configurations.cut(self._entries[position][1])",
        instead="pass",
        caught_by=_SEATS + "test_a_configuration_that_is_cut_from_the_log_is_in_force_no_more",
    ),
    Mutant(
        file="consensus/compaction.py",
        without="a snapshot forgets who votes",
        text='packed = b"" if voters is None else configuration.encode(voters)',
        instead='packed = b""',
        caught_by=_SEATS
        + "test_voters_of_a_later_start_are_those_of_the_log_whatever_the_file_says",
    ),
    Mutant(
        file="consensus/council.py",
        without="H10: voters count once their entry is applied",
        text="self._engine.arrange(self.membership.others,",
        instead="late = self.membership.latest_index > self._engine.applied_index\n"
        "        self._engine.arrange([] if late else self.membership.others,",
        caught_by=_SEATS + "test_a_configuration_counts_from_the_moment_it_is_appended",
    ),
    Mutant(
        file="consensus/members.py",
        without="R10: a voter may forget what it promised to this node",
        text="missing = mark.contradicts(hello)",
        instead="missing = None",
        caught_by=_MARKS + "test_a_hello_below_the_mark_is_refused_with_the_reason",
    ),
    Mutant(
        file="consensus/marks.py",
        without="R10: a vote may be forgotten",
        text="if self.voted > 0 and (self.voted > hello.term or forgot_vote):",
        instead="if self.voted < 0:",
        caught_by=_MARKS + "test_a_promise_is_missing_below_it_in_its_term_or_in_an_earlier_one",
    ),
    Mutant(
        file="consensus/marks.py",
        without="R10: a log that was cut by a later raft leader counts as forgotten",
        text="if self.term == hello.term and self.index > hello.last_index:",
        instead="if self.index > hello.last_index:",
        caught_by=_MARKS + "test_a_promise_is_missing_below_it_in_its_term_or_in_an_earlier_one",
    ),
    Mutant(
        file="consensus/council.py",
        without="R10: what a voter says when it greets is no promise",
        text="            self._marks.greeted(voter, self._now())",
        instead="            del voter",
        caught_by=_MARKS + "test_a_copy_from_before_the_present_term_is_noticed_by_whom_the_voter_"
        "greeted_since",
    ),
    Mutant(
        file="consensus/marks.py",
        without="R10: a greeting promises that its log is never cut",
        text="hello.last_index if is_firm else 0",
        instead="hello.last_index",
        caught_by=_MARKS + "test_a_greeting_promises_its_term_and_a_vote_in_it",
    ),
    Mutant(
        file="consensus/members.py",
        without="R10: a greeting that arrives late is taken for an older copy",
        text="if self._doubts.is_first(hello):",
        instead="if not hello.scope:",
        caught_by=_MARKS + "test_a_greeting_that_arrives_late_is_not_taken_for_an_older_copy",
    ),
    Mutant(
        file="consensus/members.py",
        without="what a peer held against this node is held against it for ever",
        text="self._verdicts.lift(lambda address: address == hello.address)",
        instead="pass",
        caught_by=_GREETED + "test_a_verdict_is_over_once_the_peer_that_gave_it_lets_this_node_in",
    ),
    Mutant(
        file="consensus/core.py",
        without="R10: promises are forgotten with the process that heard them",
        text="self._store.save_marks(self._marks.take_unsaved())",
        instead="self._marks.take_unsaved()",
        caught_by=_MARKS + "test_marks_outlive_a_restart_of_those_who_keep_them",
    ),
    Mutant(
        file="consensus/node.py",
        without="R10: a voter that is told of its older copy votes on from it",
        text="if verdict.grounds.voids_directory:",
        instead='if verdict.why == "":',
        caught_by=_MARKS + "test_a_voter_put_back_from_a_copy_begins_anew_and_gets_its_seat_back",
    ),
    Mutant(
        file="consensus/salvage.py",
        without="a write-ahead log is left behind for the new file",
        text='    files = sorted(directory.glob(f"{file_name}*"))',
        instead="    files = sorted(directory.glob(file_name))",
        caught_by="unit/consensus/test_storage_contract.py::"
        "test_what_was_put_aside_half_way_is_put_aside_whole",
    ),
    Mutant(
        file="consensus/members.py",
        without="H35: a name is kept by a replaced machine, though its address is another's",
        text="return max(own, said), ours is not None and ours.home(hello.name) == hello.address",
        instead="return max(own, said), True",
        caught_by=_NAMES
        + "test_the_name_is_kept_for_its_address_where_both_machines_have_lost_their_directories",
    ),
)
