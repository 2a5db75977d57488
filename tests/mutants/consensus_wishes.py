"""Mutants of what a raft leader makes of an operator's wish about the voters."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_WISHES: Final = "unit/consensus/test_wishes.py::"
_ANSWERS: Final = "unit/consensus/test_wish_answers.py::"
_NAMESAKES: Final = "unit/consensus/test_namesakes.py::"
_DIALING: Final = "unit/consensus/test_dialing.py::"
_RULINGS: Final = "unit/consensus/test_rulings.py::"

MUTANTS: Final = (
    Mutant(
        file="consensus/wishes.py",
        without="members: a step may leave too few voters who answer",
        text="if len(after.seats) - len(silent) > len(after.seats) / 2:",
        instead="if True:",
        caught_by=_WISHES + "test_a_removal_that_leaves_too_few_who_answer_is_refused_by_name",
    ),
    Mutant(
        file="consensus/configuration.py",
        without="members: an heir may spell its name in another way",
        text="return name if not same or name in same else same[0]",
        instead="return name",
        caught_by=_WISHES + "test_an_heir_spells_its_name_as_the_cluster_does",
    ),
    Mutant(
        file="consensus/council.py",
        without="members: a new raft leader counts on who has not answered it",
        text="for address in self.answering() if self._has_answered(address)]",
        instead="for address in self.answering() if self.membership.votes(address)]",
        caught_by=_WISHES + "test_a_new_raft_leader_counts_on_nobody_who_has_not_answered_it",
    ),
    Mutant(
        file="consensus/wishes.py",
        without="members: the last voter may be removed",
        text="if not after.seats:",
        instead="if False:",
        caught_by=_WISHES + "test_the_last_voter_is_not_removed",
    ),
    Mutant(
        file="consensus/wishes.py",
        without="members: a raft leader takes its own seat",
        text="if seat is not None and seat.address == scene.own.address:",
        instead="if False:",
        caught_by=_WISHES + "test_the_raft_leader_hands_over_before_its_seat_goes",
    ),
    Mutant(
        file="consensus/wishes.py",
        without="members: a raft leader hands over to whoever comes",
        text="return HandOver() if scene.heirs else Waiting()",
        instead="return HandOver()",
        caught_by=_RULINGS + "test_a_raft_leader_hands_over_to_nobody_who_lacks_something",
    ),
    Mutant(
        file="consensus/wishes.py",
        without="members: one that is alive is replaced",
        text="if seat.address in scene.answering:",
        instead="if False:",
        caught_by=_RULINGS + "test_who_is_alive_is_not_replaced",
    ),
    Mutant(
        file="consensus/wishes.py",
        without="members: a replacement takes the seat from whoever has it",
        text="if seat.incarnation != wish.barred:",
        instead="if seat.address == wish.address:",
        caught_by=_RULINGS + "test_one_that_took_the_seat_meanwhile_is_not_thrown_out_again",
    ),
    Mutant(
        file="consensus/wishes.py",
        without="members: the old seat goes before the new node holds the log",
        text="if newcomer.address not in scene.ready:",
        instead="if False:",
        caught_by=_RULINGS + "test_the_old_seat_is_kept_until_the_new_node_holds_the_log",
    ),
    Mutant(
        file="consensus/steward.py",
        without="members: what may pass in a moment is refused",
        text="PATIENCE: Final = Seconds(2.0)",
        instead="PATIENCE: Final = Seconds(0.0)",
        caught_by=_WISHES + "test_what_stands_against_a_wish_may_pass",
    ),
    Mutant(
        file="consensus/steward.py",
        without="members: who was refused is admitted later",
        text="if ruling.undo is not None:",
        instead="if False:",
        caught_by=_WISHES + "test_who_was_refused_is_not_admitted_later",
    ),
    Mutant(
        file="consensus/wishes.py",
        without="members: a seat is taken before its holder is released",
        text="if not wish.released:",
        instead="if False:",
        caught_by=_WISHES + "test_a_seat_is_not_taken_before_its_holder_is_released",
    ),
    Mutant(
        file="consensus/dialing.py",
        without="members: who has gone is dialled for ever",
        text="for peer in self._wanted.keys() - known.keys():",
        instead="for peer in ():",
        caught_by=_DIALING + "test_who_is_known_is_dialled_until_it_is_known_no_more",
    ),
    Mutant(
        file="consensus/dialing.py",
        without="members: a removed node knocks without a pause",
        text="is_out = self._registry.barred is not None",
        instead="is_out = False",
        caught_by=_DIALING + "test_a_node_that_is_out_for_good_asks_now_and_then_only",
    ),
    Mutant(
        file="consensus/council.py",
        without="members: a wish does not wait for the step before",
        text="if latest is None or not self._engine.is_leading or not self._may_step():",
        instead="if latest is None or not self._engine.is_leading:",
        caught_by=_WISHES + "test_two_wishes_are_done_one_after_the_other",
    ),
    Mutant(
        file="consensus/verdicts.py",
        without="members: a removed node is not told that it is out",
        text="worst.grounds is Grounds.REMOVED",
        instead="False",
        caught_by=_WISHES + "test_a_removed_voter_disturbs_nobody_and_is_told",
    ),
    Mutant(
        file="consensus/node.py",
        without="members: a newcomer knows only whom its file names",
        text="self._links.know(self._core.membership.named_by(event.hello))",
        instead="pass",
        caught_by=_WISHES + "test_a_newcomer_whose_file_names_one_voter_finds_the_others",
    ),
    Mutant(
        file="consensus/members.py",
        without="members: who was replaced keeps its heir from a node that has just started",
        text="if other is None or self._is_heir(hello, other):",
        instead="if other is None:",
        caught_by=_NAMESAKES
        + "test_who_was_replaced_keeps_its_heir_from_nobody_that_has_just_started",
    ),
    Mutant(
        file="consensus/membership.py",
        without="members: who was replaced stays on a link that it got before that was known",
        text="(not party.is_new and party.voters_index <= now_index)",
        instead="False",
        caught_by=_NAMESAKES
        + "test_who_was_replaced_is_let_go_as_soon_as_that_is_known_to_be_committed",
    ),
    Mutant(
        file="consensus/membership.py",
        without="members: one that got and lost its seat while a node was behind stays on a link",
        text="party.voters_index <= now_index)",
        instead="before is None)",
        caught_by=_NAMESAKES
        + "test_who_lost_its_seat_is_let_go_by_one_that_knew_of_neither_when_it_started",
    ),
    Mutant(
        file="consensus/members.py",
        without="members: whom the log names counts as of no set of voters",
        text="own = self._present.latest_index if ours is not None and",
        instead="own = 0 if ours is not None and",
        caught_by=_NAMESAKES
        + "test_whom_the_log_names_takes_its_place_though_nothing_is_known_to_be_committed",
    ),
    Mutant(
        file="consensus/steward.py",
        without="members: a step is taken for a wish whose refusal is under way",
        text="if wish.revision in self._answering or self._is_doubtful(wish):",
        instead="if self._is_doubtful(wish):",
        caught_by=_WISHES + "test_who_comes_while_its_refusal_is_under_way_is_not_admitted",
    ),
    Mutant(
        file="consensus/proposals.py",
        without="members: a refusal outlives the lead of whoever ruled so",
        text="if pending.only is not None and pending.only != route[:2]:",
        instead="if False:",
        caught_by=_ANSWERS
        + "test_a_refusal_that_its_raft_leader_could_not_commit_does_not_follow_a_step",
    ),
)
