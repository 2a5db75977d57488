"""Mutants of the pauses after losses of the primary, and of what is chosen after a crash."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_RESTART: Final = "unit/ha/test_restart.py::"
_BACKOFF: Final = "unit/ha/test_backoff.py::"

MUTANTS: Final = (
    Mutant(
        file="ha/rules/election.py",
        without="repeated failovers do not slow down",
        text="left = pause(s) - s.since(s.memory.lost_since)",
        instead="left = 0.0",
        caught_by=_BACKOFF
        + "test_three_losses_are_answered_at_once_and_the_others_after_growing_pauses",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="an operator's failover is delayed",
        text="if not _vacant(s) or s.request is not None:\n        return None\n    left",
        instead="if not _vacant(s):\n        return None\n    left",
        caught_by=_BACKOFF + "test_what_an_operator_asks_for_is_not_delayed",
    ),
    Mutant(
        file="ha/backoff.py",
        without="the pauses of a failing cluster grow without bound",
        text="return backoff(past, FIRST_PAUSE_TTLS * ttl, LONGEST_PAUSE_TTLS * ttl)",
        instead="return backoff(past, FIRST_PAUSE_TTLS * ttl, 3600.0)",
        caught_by=_BACKOFF
        + "test_three_losses_are_answered_at_once_and_the_others_after_growing_pauses",
    ),
    Mutant(
        file="ha/backoff.py",
        without="a switchover counts as a primary lost",
        text="is_wished = s.request is not None or ",
        instead="is_wished = ",
        caught_by=_BACKOFF + "test_a_loss_is_counted_and_what_was_wished_is_not",
    ),
    Mutant(
        file="ha/rules/leader.py",
        without="peace does not end the pauses",
        text="if records and s.since(s.memory.serving_since) >= peace_s(s):",
        instead="if records and s.since(s.memory.serving_since) < 0:",
        caught_by=_BACKOFF + "test_after_ten_ttls_of_service_the_strikes_are_forgotten",
    ),
    Mutant(
        file="ha/rules/leader.py",
        without="peace does not count after a maintenance pause",
        text="records = (*records[:-1], replace(records[-1], strikes=0))",
        instead="records = tuple(replace(r, strikes=0) if r.epoch == lease.epoch else r "
        "for r in records)",
        caught_by=_BACKOFF
        + "test_peace_counts_for_a_primary_that_took_its_key_again_after_a_maintenance_pause",
    ),
    Mutant(
        file="ha/decide.py",
        without="peace is counted through a crash",
        text="serving_since=(memory.serving_since or view.now) if serves else None,",
        instead="serving_since=memory.serving_since or view.now,",
        caught_by=_BACKOFF + "test_peace_begins_anew_once_a_primary_did_not_serve",
    ),
    Mutant(
        file="ha/rules/restart.py",
        without="a crash that takes long to recover from is waited for",
        text="if limit <= 0 or expected > limit:",
        instead="if limit <= 0:",
        caught_by=_RESTART + "test_a_crash_that_takes_long_to_recover_from_is_handed_over",
    ),
    Mutant(
        file="ha/rules/restart.py",
        without="S6: a crashed primary is handed over to a standby that may miss commits",
        text="        return member.name in sync.standbys\n",
        instead="        return True\n",
        caught_by=_RESTART
        + "test_without_a_standby_that_is_ready_it_is_restarted_in_place_after_all",
    ),
    Mutant(
        file="ha/rules/restart.py",
        without="an answer from before the crash makes an heir",
        text="return answer is not None and down is not None and longest(down, answer.asked) >= 0",
        instead="return answer is not None and down is not None",
        caught_by=_RESTART + "test_who_could_go_on_is_asked_after_the_crash_and_for_a_moment_only",
    ),
    Mutant(
        file="ha/rules/restart.py",
        without="a primary that keeps crashing is restarted without a pause",
        text="left = pause(s) - s.since(s.memory.down_since)",
        instead="left = 0.0",
        caught_by=_RESTART
        + "test_a_primary_that_keeps_crashing_and_has_no_heir_is_started_ever_later",
    ),
    Mutant(
        file="ha/rules/restart.py",
        without="L1: a primary that cannot start is tried again while a standby is ready",
        text='    if s.memory.starts > 0:\n        return "a start came to nothing"\n',
        instead="",
        caught_by=_RESTART + "test_a_start_that_came_to_nothing_is_reason_enough_to_hand_over",
    ),
    Mutant(
        file="agent/health.py",
        without="L1: a primary that has not served since its start has the time of a start for it",
        text="if sample.answered is None:",
        instead="if sample.probed is None:",
        caught_by="unit/agent/test_health.py::"
        "test_a_primary_that_has_answered_has_started_though_it_never_served",
    ),
    Mutant(
        file="ha/rules/restart.py",
        without="W1: a restart in place leaves no word in the history",
        text="actions=(*verdict.actions, *amended(s, lease, changed))",
        instead="actions=verdict.actions",
        caught_by=_RESTART
        + "test_a_crash_that_is_soon_recovered_from_is_restarted_in_place_and_noted",
    ),
    Mutant(
        file="ha/keys.py",
        without="a history outgrows the command that has to carry it",
        text="> LONGEST_HISTORY_BYTES:\n        del rows[0]",
        instead="> LONGEST_HISTORY_BYTES * 9:\n        del rows[0]",
        caught_by="unit/ha/test_documents.py::"
        "test_a_history_never_outgrows_what_one_command_can_carry",
    ),
)
