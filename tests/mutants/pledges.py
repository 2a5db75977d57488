"""Mutants of the pledge (whose position counts in a race, and what keeps it the last word), and of
the releases that are refused in synchronous mode."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_PLEDGE: Final = "unit/ha/test_pledge.py::"
_PAST: Final = _PLEDGE + "test_a_cut_of_the_past_does_not_count"
_EFFECTS: Final = "unit/agent/test_effects_configuration.py::"
_TOLD: Final = "unit/agent/test_told_positions.py::"

DECISIONS: Final = (
    Mutant(
        file="ha/operations.py",
        without="a request that came to nothing is replaced though somebody leads by now",
        text="if entry is not None or request.may_lose or old is not None:",
        instead="if entry is not None or request.may_lose:",
        caught_by="unit/ha/test_refusals.py::"
        "test_a_request_that_came_to_nothing_is_replaced_unless_somebody_leads_by_now",
    ),
    Mutant(
        file="ha/refusals.py",
        without="an operator's failover waits for ever for members that do not answer",
        text="why_not, lack = report.obstacle, report.lacking\n    reason = why_not or lack",
        instead="why_not, lack = report.obstacle, report.lacking\n    reason = why_not",
        caught_by="unit/ha/test_refusals.py::"
        "test_who_cannot_hear_enough_is_refused_and_an_accepted_loss_overrules_that",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="a preferred member leads though it holds less",
        text="if holds_as_much and report.wants_lead",
        instead="if report.wants_lead",
        caught_by="unit/ha/test_election.py::"
        "test_of_those_that_hold_the_same_the_preferred_one_goes_first",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="R17: a standby races while it may still receive from the old leader",
        text="    if not _vacant(s) or server is None:\n        return None\n    plan",
        instead="    if not _vacant(s) or server:\n        return None\n    plan",
        caught_by=_PLEDGE + "test_before_its_position_counts_a_standby_cuts_its_old_stream",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="R17: a standby that got an upstream again since the cut races",
        text="if pledge.own(s) is not None and plan == s.memory.plan:",
        instead="if pledge.own(s) is not None:",
        caught_by=_PLEDGE + "test_an_upstream_that_was_configured_since_is_taken_out_again",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="R17: a receiver that does not end is waited for without bound",
        text="if s.since(since) >= CUT_PATIENCE_S:",
        instead="if s.since(since) >= 1e9:",
        caught_by=_PLEDGE + "test_a_server_whose_receiver_does_not_end_is_stopped",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="R17: the position of a member that may still receive counts",
        text="        if not pledge.counts(s.cluster, report):\n            continue\n",
        instead="",
        caught_by=_PLEDGE + "test_a_position_that_may_still_grow_does_not_count",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="R17: nobody is given the time to cut the old stream",
        text="is_early = s.since(s.memory.lost_since) < PLEDGE_WAIT_S",
        instead="is_early = s.since(s.memory.lost_since) < 0",
        caught_by=_PLEDGE
        + "test_a_standby_that_may_still_cut_its_stream_is_waited_for_and_asked_again",
    ),
    Mutant(
        file="ha/pledge.py",
        without="R17: a position from before the cut counts",
        text="if cut.process != process or longest(cut.at, asked) < 0:",
        instead="if cut.process != process:",
        caught_by=_PLEDGE + "test_a_position_that_was_asked_for_before_the_cut_is_read_again",
    ),
    Mutant(
        file="ha/pledge.py",
        without="R17: the cut of an earlier server counts",
        text="if cut.process != process or longest(cut.at, asked) < 0:",
        instead="if longest(cut.at, asked) < 0:",
        caught_by=_PAST,
    ),
    Mutant(
        file="ha/pledge.py",
        without="R17: a pledge about the leader before the last counts",
        text="return floor if floor is not None and covers(s.cluster, floor) else None",
        instead="return floor",
        caught_by=_PAST,
    ),
    Mutant(
        file="ha/pledge.py",
        without="R17: a cut counts although a receiver is there again",
        text="return cut.floor if server.receiver is None else None",
        instead="return cut.floor",
        caught_by=_PLEDGE + "test_a_receiver_that_is_back_is_cut_again",
    ),
    Mutant(
        file="ha/rules/bootstrap.py",
        without="R17: an agent that was just started follows the leader of the past",
        text="if s.view.caught_up or s.lease is not None:",
        instead="if s.view.caught_up or s.running:",
        caught_by=_PLEDGE + "test_an_agent_that_has_not_caught_up_follows_nobody",
    ),
)
AGENT: Final = (
    Mutant(
        file="agent/release.py",
        without="R18: an agent starts in synchronous mode on a release with the race",
        text="    if problem is not None:\n        raise",
        instead="    if problem is None and binaries.major == 0:\n        raise",
        caught_by="unit/agent/test_release.py::"
        "test_an_agent_does_not_start_in_synchronous_mode_on_a_release_with_the_race",
    ),
    Mutant(
        file="agent/release.py",
        without="R18: nobody is told that a server runs on such a release",
        text="    if problem is None:\n        return ()\n    return",
        instead="    if problem is None or s.running:\n        return ()\n    return",
        caught_by="unit/agent/test_release.py::"
        "test_a_server_that_runs_on_such_a_release_is_told_of",
    ),
    Mutant(
        file="agent/effects.py",
        without="R17: a stream counts as cut before its receiver is gone",
        text="        self._board.cut = None\n        process = self._board.process()\n",
        instead="        process = self._board.process()\n",
        caught_by=_EFFECTS + "test_a_receiver_that_does_not_end_leaves_nothing_pledged",
    ),
    Mutant(
        file="agent/effects.py",
        without="R17: a pledge outlives the next upstream",
        text="    def _configure(self, action: act.Configure) -> None:\n"
        "        self._board.cut = None\n",
        instead="    def _configure(self, action: act.Configure) -> None:\n",
        caught_by=_EFFECTS + "test_a_server_that_was_given_another_upstream_is_not_cut_any_more",
    ),
    Mutant(
        file="agent/effects.py",
        without="R17: an agent takes its replica for current before a barrier has committed",
        text="        self.caught_up = False\n",
        instead="        self.caught_up = True\n",
        caught_by="unit/agent/test_effects_store.py::"
        "test_a_new_agent_has_caught_up_once_a_barrier_of_its_own_has_committed",
    ),
    Mutant(
        file="agent/lookout.py",
        without="R17: an old replica counts as current if a barrier commits after it was read",
        text="caught_up=caught_up,",
        instead="caught_up=self._effects.caught_up,",
        caught_by="unit/agent/test_lookout.py::"
        "test_a_barrier_that_commits_after_the_replica_was_read_says_nothing_about_it",
    ),
    Mutant(
        file="agent/report.py",
        without="R17: a member tells a position as its last word without a cut",
        text="pledged=pledged(s.view.cut, guardian.process, server, asked),",
        instead="pledged=s.view.cut and s.view.cut.floor,",
        caught_by=_TOLD
        + "test_a_position_is_told_as_the_last_word_only_if_it_was_read_after_the_cut",
    ),
    Mutant(
        file="agent/observer.py",
        without="L1: nothing wakes the race once the position after the cut is known",
        text="if is_told or _differs(before, after):",
        instead="if _differs(before, after):",
        caught_by=_TOLD
        + "test_the_first_answer_after_a_cut_wakes_the_loop_though_nothing_else_changed",
    ),
)
