"""Mutants of which rounds of a node end early."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_ROUNDS: Final = "unit/consensus/test_rounds.py::"

MUTANTS: Final = (
    Mutant(
        file="consensus/core.py",
        without="rounds: a due answer to a heartbeat waits",
        text="return self.flush() if self.engine.out else []",
        instead="return self.flush() if self.engine.is_leading else []",
        caught_by=_ROUNDS + "test_a_heartbeat_without_news_and_its_answer_start_no_whole_round",
    ),
    Mutant(
        file="consensus/core.py",
        without="rounds: a heartbeat waits for a whole one",
        text="if self.heartbeat_due < self._ticked:",
        instead="if False:",
        caught_by=_ROUNDS + "test_a_raft_leader_speaks_in_time_without_whole_rounds",
    ),
    Mutant(
        file="consensus/node.py",
        without="rounds: nobody wakes for a heartbeat",
        text="left = min(self._due, self._core.heartbeat_due) - self._clock.raw()",
        instead="left = self._due - self._clock.raw()",
        caught_by=_ROUNDS + "test_a_raft_leader_speaks_in_time_without_whole_rounds",
    ),
    Mutant(
        file="consensus/core.py",
        without="rounds: a majority lapses unseen",
        text="due = self.council.answers_lapse() if leading else self.engine.election_due",
        instead="due = math.inf if leading else self.engine.election_due",
        caught_by=_ROUNDS
        + "test_a_raft_leader_that_nobody_answers_steps_down_when_its_majority_has_lapsed",
    ),
    Mutant(
        file="consensus/core.py",
        without="rounds: what a newcomer has got waits",
        text="or not self.council.is_settled",
        instead="",
        caught_by=_ROUNDS + "test_what_a_newcomer_has_got_is_looked_at_at_once",
    ),
    Mutant(
        file="consensus/core.py",
        without="rounds: the next part of a snapshot waits",
        text="if self._compaction.is_under_way:",
        instead="if False:",
        caught_by=_ROUNDS + "test_the_parts_of_a_snapshot_follow_one_another_soon",
    ),
    Mutant(
        file="consensus/proposals.py",
        without="rounds: what waited for the session waits on",
        text="self._is_open = isinstance(result, Happened)\n        self._has_changed = True",
        instead="self._is_open = isinstance(result, Happened)",
        caught_by=_ROUNDS + "test_what_waited_for_the_session_goes_as_soon_as_it_is_open",
    ),
    Mutant(
        file="consensus/node.py",
        without="rounds: leases end for a sync in which nobody was heard",
        text="self._propose_expiries()\n        self._steward.turn()\n"
        "        self._send(self._core.offer())\n        self._answer()",
        instead="self._steward.turn()\n        self._send(self._core.offer())\n"
        "        self._answer()\n        self._propose_expiries()",
        caught_by=_ROUNDS + "test_a_lease_does_not_end_for_a_sync_in_which_nobody_was_heard",
    ),
    Mutant(
        file="consensus/steward.py",
        without="rounds: a wish waits",
        text="return _LOOK_AGAIN if self._asked else Seconds(math.inf)",
        instead="return Seconds(math.inf)",
        caught_by=_ROUNDS + "test_a_wish_is_looked_at_again_soon",
    ),
    Mutant(
        file="consensus/core.py",
        without="rounds: what an answer commits waits",
        text="return message.next_index - 1 > self.engine.commit_index",
        instead="return False",
        caught_by=_ROUNDS + "test_an_entry_is_answered_and_the_answer_commits_it_at_once",
    ),
    Mutant(
        file="consensus/core.py",
        without="rounds: a node that only hears seems to have paused",
        text="self._ticked = self._now()\n        if self.heartbeat_due < self._ticked:",
        instead="if self.heartbeat_due < self._now():",
        caught_by=_ROUNDS + "test_a_node_that_only_hears_has_not_paused",
    ),
    Mutant(
        file="consensus/node.py",
        without="rounds: what others hold against a node waits",
        text="return is_told or self._clock.raw() + within >= self._due",
        instead="return self._clock.raw() + within >= self._due",
        caught_by=_ROUNDS + "test_what_others_hold_against_a_node_is_heeded_at_once",
    ),
    Mutant(
        file="consensus/node.py",
        without="rounds: the end of a lease waits",
        text="return min(_WHOLE_ROUND_S, self._core.wait, self._replica.wait, wishes, proposals)",
        instead="return min(_WHOLE_ROUND_S, self._core.wait, wishes, proposals)",
        caught_by=_ROUNDS + "test_the_end_of_a_lease_is_not_waited_past",
    ),
)
