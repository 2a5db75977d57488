"""Mutants of the agent: from when a lease counts, what becomes of writes, what clients are told."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_KEEPER: Final = "unit/agent/test_keeper.py::"
_STORE: Final = "unit/agent/test_effects_store.py::"
_ROUTES: Final = "unit/api/test_routes.py::"
_CLOCKS: Final = "unit/test_instants.py::"

LEASE: Final = (
    Mutant(
        file="agent/loop.py",
        without="S1: a loop sleeps on when its lease ends",
        text="            rest = min(rest, left) if left > 0 else rest\n",
        instead="            rest = min(rest, rest if left > 0 else rest)\n",
        caught_by="unit/agent/test_loop.py::test_a_loop_is_awake_when_its_lease_ends",
    ),
    Mutant(
        file="agent/keeper.py",
        without="R1: a lease counts from the answer",
        text="valid_until=outcome.handed_over.plus(attempt.ttl * (1 - RHO)),",
        instead="valid_until=self._clock.now().plus(attempt.ttl * (1 - RHO)),",
        caught_by=_KEEPER + "test_a_lease_is_counted_from_the_hand_over_and_not_from_the_answer",
    ),
    Mutant(
        file="agent/keeper.py",
        without="R1: a lease counts its whole ttl",
        text="valid_until=outcome.handed_over.plus(attempt.ttl * (1 - RHO)),",
        instead="valid_until=outcome.handed_over.plus(attempt.ttl),",
        caught_by=_KEEPER + "test_a_lease_is_counted_from_the_hand_over_and_not_from_the_answer",
    ),
    Mutant(
        file="agent/keeper.py",
        without="R1: an unknown outcome extends the lease",
        text="self._held = replace(held, revision=lease.revision)\n",
        instead="self._held = replace(held, revision=lease.revision, "
        "valid_until=self._clock.now().plus(self._ttl))\n",
        caught_by=_KEEPER + "test_the_revision_of_a_renewal_unheard_is_taken_over",
    ),
    Mutant(
        file="agent/keeper.py",
        without="R1: a renewal goes out again while one is in flight",
        text="if held is None or self._attempt is not None:",
        instead="if held is None:",
        caught_by=_KEEPER + "test_each_renewal_is_a_new_command_that_expects_the_last_revision",
    ),
    Mutant(
        file="agent/keeper.py",
        without="S7: a renewal goes before what is to outlive it",
        text="        if told is not None:\n",
        instead="        if told is not None and self._ttl < 0:\n",
        caught_by=_KEEPER
        + "test_what_outlives_the_lease_goes_before_the_renewal_and_holds_none_up",
    ),
    Mutant(
        file="agent/keeper.py",
        without="R2: a shorter ttl is proposed before it is lived by",
        text="self._shorten(settings)\n",
        instead="pass\n",
        caught_by=_KEEPER + "test_a_shorter_ttl_is_lived_by_before_it_is_proposed",
    ),
    Mutant(
        file="agent/keeper.py",
        without="R2: a shorter ttl that is not lived by yet is proposed",
        text="ttl = max(settings.ttl, self._ttl)",
        instead="ttl = settings.ttl",
        caught_by=_KEEPER + "test_a_ttl_is_shortened_only_from_a_renewal_that_is_young_enough",
    ),
    Mutant(
        file="agent/keeper.py",
        without="L4: a ttl is shortened from a renewal so old that the lease is over at once",
        text="if longest(start, self._clock.now()) > settings.heartbeat:",
        instead="if settings.heartbeat < 0:",
        caught_by=_KEEPER + "test_a_ttl_is_shortened_only_from_a_renewal_that_is_young_enough",
    ),
    Mutant(
        file="agent/keeper.py",
        without="L4: a short lease is renewed at the heartbeat of a longer one, after its end",
        text="Seconds(settings.heartbeat * share_of(self._ttl, settings))",
        instead="settings.heartbeat",
        caught_by=_KEEPER
        + "test_while_a_longer_ttl_is_not_committed_the_short_lease_is_renewed_in_its_time",
    ),
    Mutant(
        file="agent/keeper.py",
        without="R2: a restarted agent takes a lease up with another ttl than it has",
        text="command = Refresh(lease, revision, ttl, self._note())",
        instead="command = Refresh(lease, revision, self._settings().ttl, self._note())",
        caught_by=_KEEPER + "test_a_restarted_agent_takes_its_lease_up_under_the_same_epoch",
    ),
    Mutant(
        file="agent/keeper.py",
        without="S8: a lease is believed before the guardian has its deadline",
        text="        if not self._arms or self._arm(held):\n",
        instead="        previous, self._held = self._held, held\n"
        "        if self._arm(held):\n            self._held = previous\n",
        caught_by=_KEEPER + "test_the_guardian_is_told_first_and_sooner_by_the_budget",
    ),
    Mutant(
        file="agent/keeper.py",
        without="S1: the guardian kills at the end of the lease, not a fence budget before",
        text="self._guard.arm(held.epoch, held.revision, held.valid_until.plus(-budget))",
        instead="self._guard.arm(held.epoch, held.revision, held.valid_until.plus(-0 * budget))",
        caught_by=_KEEPER + "test_the_guardian_is_told_first_and_sooner_by_the_budget",
    ),
    Mutant(
        file="agent/keeper.py",
        without="S8: a lease that the guardian refused is believed",
        text='self._forget(f"the guardian did not take the deadline: {error}")\n'
        "            return False",
        instead="return True",
        caught_by=_KEEPER + "test_a_lease_that_the_guardian_does_not_take_is_not_held",
    ),
    Mutant(
        file="agent/keeper.py",
        without="S1: an answer brings a forgotten lease back",
        text="if attempt is not self._attempt:",
        instead="if attempt is None:",
        caught_by=_KEEPER + "test_a_renewal_in_flight_does_not_bring_a_forgotten_lease_back",
    ),
    Mutant(
        file="agent/health.py",
        without="L1: a renewal goes out although the loop stands still",
        text="if stood > max(settings.primary_health_timeout, 2 * settings.loop_wait):",
        instead="if stood < 0:",
        caught_by="unit/agent/test_health.py::"
        "test_a_loop_that_stands_still_loses_the_lease_though_postgresql_serves",
    ),
    Mutant(
        file="agent/keeper.py",
        without="L1: a renewal goes out although PostgreSQL is not fit",
        text="if self._restraint.holds_back():",
        instead="if self._restraint.holds_back() and held is None:",
        caught_by=_KEEPER + "test_a_renewal_is_held_back_while_the_node_is_not_fit",
    ),
    Mutant(
        file="instants.py",
        without="R6: whoever holds a lease counts on the slower clock",
        text="return Seconds(min(deadline.boot - now.boot, deadline.steady - now.steady))",
        instead="return Seconds(deadline.boot - now.boot)",
        caught_by=_CLOCKS + "test_whoever_must_not_be_late_counts_on_the_faster_clock",
    ),
    Mutant(
        file="instants.py",
        without="R6: whoever holds a lease counts no suspend on the steady clock",
        text="return self.raw + self.slept",
        instead="return self.raw",
        caught_by=_CLOCKS
        + "test_a_suspend_of_a_slewed_host_counts_whole_for_whoever_must_not_be_late",
    ),
    Mutant(
        file="clock.py",
        without="R6: a reading that is interrupted shows more than it is",
        text="slept = boot - self._gettime(time.CLOCK_MONOTONIC)",
        instead="slept = -self._gettime(time.CLOCK_MONOTONIC) + self._gettime(time.CLOCK_BOOTTIME)",
        caught_by=_CLOCKS
        + "test_a_reading_that_takes_long_shows_no_more_than_it_is_when_it_is_over",
    ),
    Mutant(
        file="agent/effects.py",
        without="S4: a write without an answer is taken for done",
        text="if isinstance(outcome, Unknown):",
        instead="if outcome is None:",
        caught_by=_STORE + "test_a_lost_answer_keeps_the_write_pending_until_a_barrier_commits",
    ),
    Mutant(
        file="agent/effects.py",
        without="S4: a barrier settles although it did not commit",
        text="if isinstance(outcome, Committed):",
        instead="if outcome is not None:",
        caught_by=_STORE + "test_a_lost_answer_keeps_the_write_pending_until_a_barrier_commits",
    ),
)

CLIENTS: Final = (
    Mutant(
        file="api/standing.py",
        without="S1: `/primary` is said beyond the end of the lease",
        text="if left <= 0:",
        instead="if left is None:",
        caught_by=_ROUTES
        + "test_primary_is_never_said_without_lease_fresh_view_and_primary_server",
    ),
    Mutant(
        file="api/standing.py",
        without="S1: `/primary` is said from an old view",
        text="    limit = min(max(2 * report.loop_wait, LEAST_PATIENCE_S), report.ttl)\n",
        instead='    limit = float("inf")\n',
        caught_by=_ROUTES
        + "test_primary_is_never_said_without_lease_fresh_view_and_primary_server",
    ),
    Mutant(
        file="api/standing.py",
        without="R19: `/primary` is said before the gate is open",
        text="    if question.report.routed:\n        return None\n",
        instead="    if question.report:\n        return None\n",
        caught_by=_ROUTES + "test_each_check_says_yes_exactly_where_it_may",
    ),
    Mutant(
        file="api/standing.py",
        without="a replica of unknown lag is healthy",
        text='        return "its lag cannot be known now"',
        instead="        return None",
        caught_by=_ROUTES + "test_a_lag_that_is_not_known_is_too_much",
    ),
    Mutant(
        file="api/standing.py",
        without="a standby that is not synchronous is called so",
        text='None if question.report.is_sync_standby else "this standby is not synchronous"',
        instead='None if question.report else "this standby is not synchronous"',
        caught_by=_ROUTES + "test_each_check_says_yes_exactly_where_it_may",
    ),
)

MUTANTS: Final = (*LEASE, *CLIENTS)
