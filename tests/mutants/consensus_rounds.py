"""Mutants of which rounds of a node end early."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_ROUNDS: Final = "unit/consensus/test_rounds.py::"

MUTANTS: Final = (
    Mutant(
        file="consensus/core.py",
        without="rounds: a due answer to a heartbeat waits",
        text="return bool(self.engine.out) or self._gist() != before",
        instead="return self._gist() != before",
        caught_by=_ROUNDS + "test_a_heartbeat_without_news_and_its_answer_start_no_round",
    ),
    Mutant(
        file="consensus/core.py",
        without="rounds: what an answer commits waits",
        text="return message.next_index - 1 > self.engine.commit_index",
        instead="return False",
        caught_by=_ROUNDS + "test_an_entry_is_answered_and_the_answer_commits_it_at_once",
    ),
    Mutant(
        file="consensus/node.py",
        without="rounds: a node that only hears seems to have paused",
        text="self._core.breathe()",
        instead="pass",
        caught_by=_ROUNDS + "test_a_node_that_only_hears_has_not_paused",
    ),
    Mutant(
        file="consensus/node.py",
        without="rounds: what others hold against a node waits",
        text="return is_told or self._clock.raw() >= self._due",
        instead="return self._clock.raw() >= self._due",
        caught_by=_ROUNDS + "test_what_others_hold_against_a_node_is_heeded_at_once",
    ),
    Mutant(
        file="consensus/node.py",
        without="rounds: the end of a lease waits",
        text="return min(_WHOLE_ROUND_S, self._core.wait, self._replica.wait, proposals)",
        instead="return min(_WHOLE_ROUND_S, self._core.wait, proposals)",
        caught_by=_ROUNDS + "test_the_end_of_a_lease_is_not_waited_past",
    ),
)
