"""Mutants of what waits for its time, and of a cluster that an operator has stopped."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_SCHEDULED: Final = "unit/ha/test_scheduled.py::"
_HALT: Final = "unit/ha/test_halt.py::"

DECISIONS: Final = (
    Mutant(
        file="ha/rules/scheduled.py",
        without="L3: a switchover that was meant for one leader hits another",
        text="if plan.leader != s.me:",
        instead="if plan.leader is None:",
        caught_by=_SCHEDULED
        + "test_a_switchover_that_does_not_apply_any_more_is_dropped_with_the_reason",
    ),
    Mutant(
        file="ha/rules/scheduled.py",
        without="L3: a switchover is begun and stays on the schedule",
        text="(*opening.writes, *ending.writes)",
        instead="(*opening.writes,)",
        caught_by=_SCHEDULED
        + "test_a_switchover_whose_time_has_come_is_a_request_and_off_the_schedule_at_once",
    ),
    Mutant(
        file="ha/rules/scheduled.py",
        without="R4: a leader of an older epoch begins a switchover",
        text="guards = (s.epoch_guard(lease), *opening.guards, *ending.guards)",
        instead="guards = (*opening.guards, *ending.guards)",
        caught_by=_SCHEDULED
        + "test_a_switchover_whose_time_has_come_is_a_request_and_off_the_schedule_at_once",
    ),
    Mutant(
        file="ha/rules/scheduled.py",
        without="L1: members restart while another one is down for its restart",
        text="        if other.process:\n            return True\n",
        instead="",
        caught_by=_SCHEDULED + "test_members_take_turns_standbys_first",
    ),
    Mutant(
        file="ha/rules/halt.py",
        without="L1: in a cluster that is stopped commits wait for a standby that went first",
        text="or leader.role is MemberRole.NONE",
        instead="or leader.role is not MemberRole.NONE",
        caught_by=_HALT + "test_a_standby_waits_for_the_leader_and_not_for_its_place_in_the_set",
    ),
    Mutant(
        file="ha/operations.py",
        without="L3: a hand-over begins in a cluster that an operator has just stopped",
        text="        KeyAbsent(keys.halt),\n",
        instead="",
        caught_by=_HALT + "test_nothing_else_is_begun_meanwhile",
    ),
    Mutant(
        file="ha/documents.py",
        without="L3: the word that stops the cluster is not heard where it cannot be read",
        text='by = MemberName("somebody") if found is None else found[1].by',
        instead="if found is None:\n        return None\n    by = found[1].by",
        caught_by=_HALT + "test_the_word_survives_the_store_even_if_it_cannot_be_read",
    ),
)
