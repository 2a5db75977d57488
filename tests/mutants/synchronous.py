"""Mutants of the synchronous set: whom commits wait for, and who may be promoted; and of the bound
of loss without one."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_SYNC: Final = "unit/ha/test_sync.py::"
_STANDBYS: Final = "unit/ha/test_standbys.py::"
_HEARING: Final = "unit/ha/test_hearing.py::"
_QUORUM: Final = (
    "properties/test_quorum_steps.py::test_whoever_can_acknowledge_meets_whoever_can_promote"
)

SYNC: Final = (
    Mutant(
        file="ha/sync.py",
        without="R4: `sync` is written without the guard on the epoch",
        text="guards = (s.epoch_guard(lease), guard, *(stays",
        instead="guards = (guard, *(stays",
        caught_by=_SYNC + "test_a_standby_counts_once_it_has_flushed_what_is_required",
    ),
    Mutant(
        file="ha/quorum.py",
        without="R18: a standby enters the store before commits wait for it",
        text="return SetNames(wanted) if is_safe else",
        instead="return StoreSet(goal(wanted)) if is_safe else",
        caught_by=_SYNC + "test_a_standby_enters_the_setting_before_the_store",
    ),
    Mutant(
        file="ha/sync.py",
        without="R18: a standby counts without a checkpoint after the reload",
        text="    if not arming.checkpointed:\n        asked",
        instead="    if arming is None:\n        asked",
        caught_by=_SYNC + "test_the_proof_begins_with_a_checkpoint_after_the_reload",
    ),
    Mutant(
        file="ha/sync.py",
        without="R18: a checkpoint that ran before the setting was seen proves it",
        text="(not arming.checkpointed and s.view.job is not None)",
        instead="s.view.job is arming",
        caught_by=_SYNC + "test_a_checkpoint_that_runs_already_proves_nothing",
    ),
    Mutant(
        file="ha/sync.py",
        without="R18: a checkpoint from before the reload proves it",
        text="        and longest(arming.since, done.ended) >= 0\n",
        instead="",
        caught_by=_SYNC + "test_a_checkpoint_from_before_the_reload_proves_nothing",
    ),
    Mutant(
        file="ha/sync.py",
        without="R18: a checkpoint that failed proves it",
        text="        and done.error is None\n",
        instead="",
        caught_by=_SYNC + "test_a_checkpoint_that_failed_proves_nothing",
    ),
    Mutant(
        file="ha/sync.py",
        without="R18: what was proved for one setting counts for another",
        text="if arming is None or arming.names != names:",
        instead="if arming is None:",
        caught_by=_SYNC + "test_a_proof_for_another_standby_does_not_count",
    ),
    Mutant(
        file="ha/sync.py",
        without="R18: a standby counts before it has flushed what is required",
        text="and row.flush is not None and row.flush >= required",
        instead="and row.flush is not None",
        caught_by=_SYNC + "test_a_standby_counts_once_it_has_flushed_what_is_required",
    ),
    Mutant(
        file="ha/quorum.py",
        without="S6: a standby leaves the setting before the store",
        text="return SetNames(wanted) if is_safe else StoreSet(weakened(stored, wanted))",
        instead="return SetNames(wanted)",
        caught_by=_SYNC + "test_a_standby_gone_for_longer_leaves_the_store_first",
    ),
    Mutant(
        file="ha/sync.py",
        without="S6: the setting is emptied before the store when the mode goes off",
        text="    if sync is not None:\n        guards",
        instead="    if sync is not None and waits_for_nobody(server):\n        guards",
        caught_by=_SYNC + "test_switching_the_mode_off_empties_the_store_before_the_setting",
    ),
    Mutant(
        file="ha/sync.py",
        without="S6: a second write of `sync` goes out while one is open",
        text="if not WRITES_OF_SYNC.isdisjoint(s.view.pending) or not",
        instead="if not",
        caught_by=_SYNC + "test_one_write_at_a_time",
    ),
    Mutant(
        file="ha/sync.py",
        without="S6: the set of another leader is taken for ours",
        text="if s.cluster.sync is None or s.cluster.sync.leader != s.me:",
        instead="if s.cluster.sync is None:",
        caught_by=_SYNC + "test_the_set_of_another_leader_is_taken_over_empty",
    ),
    Mutant(
        file="ha/standbys.py",
        without="R23: a standby that is gone is waited for without end",
        text="or longest(absent.get(member.name, s.now), s.now) < SYNC_WAIT_S",
        instead="or not absent.get(member.name, s.now) < s.now",
        caught_by=_SYNC + "test_a_standby_gone_for_longer_leaves_the_store_first",
    ),
)

FLOOR: Final = (
    Mutant(
        file="ha/candidates.py",
        without="S6: who was put back from an older copy leads, for the store names it",
        text="if floor is None or position is None or position >= floor:",
        instead="if floor is None or position is None or position:",
        caught_by="unit/ha/test_candidates.py::"
        "test_who_was_put_back_from_an_older_copy_does_not_lead",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="S6: a winner forgets what it was judged by",
        text="encode_sync(s.me, (), floor=floor_of(s))",
        instead="encode_sync(s.me, ())",
        caught_by="unit/ha/test_candidates.py::"
        "test_what_the_winner_was_judged_by_holds_for_the_next_one",
    ),
    Mutant(
        file="ha/candidates.py",
        without="who leads after a loss that was accepted could not lead again",
        text="return None if sync is None or loss_is_accepted(s) else sync.floor",
        instead="return None if sync is None else sync.floor",
        caught_by="unit/ha/test_candidates.py::test_an_operator_may_accept_an_older_copy",
    ),
    Mutant(
        file="ha/sync.py",
        without="who may lead is to hold what was proved for others",
        text="floor = sync.floor if is_implied(aim, stored) else arming.redo",
        instead="floor = arming.redo",
        caught_by=_SYNC + "test_what_follows_from_the_store_keeps_its_floor",
    ),
    Mutant(
        file="ha/sync.py",
        without="a standby that comes back is to hold the beginning of a record that was cut off",
        text="required=server.flushed, redo=server.redo)",
        instead="required=server.flushed, redo=server.flushed)",
        caught_by=_SYNC + "test_what_was_flushed_after_the_checkpoint_is_required",
    ),
)

QUORUM: Final = (
    Mutant(
        file="ha/quorum.py",
        without="S6: a majority of either set is enough, whoever they have in common",
        text="> len(waits.names | stored.names)",
        instead="> len(waits.names & stored.names)",
        caught_by=_QUORUM,
    ),
    Mutant(
        file="ha/quorum.py",
        without="S6: one answer too few is heard",
        text="len(waits.names) - waits.count + 1)",
        instead="max(1, len(waits.names) - waits.count))",
        caught_by=_QUORUM,
    ),
    Mutant(
        file="ha/quorum.py",
        without="S6: a standby is added to the store for nothing",
        text="new.heard - len(new.names - old.names) >= old.heard",
        instead="new.heard >= old.heard",
        caught_by=_QUORUM,
    ),
    Mutant(
        file="ha/quorum.py",
        without="R18: the store follows a setting that may not be in force",
        text="    if holders is None:\n        return Prove()\n",
        instead="    holders = holders or frozenset()\n",
        caught_by=_QUORUM,
    ),
    Mutant(
        file="ha/quorum.py",
        without="R18: the store follows before enough hold what went before",
        text="if len(aim.names - holders) < aim.heard else None",
        instead="if len(aim.names - holders) <= aim.heard else None",
        caught_by=_QUORUM,
    ),
    Mutant(
        file="ha/quorum.py",
        without="S6: what the store promises under a setting of somebody else is left",
        text="if stored.names and setting is None:",
        instead="if setting is None and not stored.names:",
        caught_by=_STANDBYS + "test_a_setting_of_somebody_else_is_none_of_ours",
    ),
    Mutant(
        file="ha/keys.py",
        without="S6: a version without quorums promotes any standby of one",
        text='return encode({**document, "quorum": quorum, "format_version": QUORUM_FORMAT})',
        instead='return encode({**document, "quorum": quorum})',
        caught_by="unit/ha/test_documents.py::test_a_set_with_a_quorum_is_one_that_older_versions"
        "_refuse",
    ),
    Mutant(
        file="ha/hearing.py",
        without="S6: one too few is heard",
        text="if len(others) - len(silent) >= sync.quorum:",
        instead="if len(others) - len(silent) >= sync.quorum - 1:",
        caught_by=_HEARING + "test_one_that_has_not_heard_the_other_waits_and_asks_again",
    ),
    Mutant(
        file="ha/hearing.py",
        without="S6: one that holds more counts as heard",
        text='bytes ahead" if told > position else None',
        instead='bytes ahead" if told is position else None',
        caught_by=_HEARING + "test_who_may_hold_more_is_never_overtaken",
    ),
    Mutant(
        file="ha/hearing.py",
        without="R17: a position that may still grow counts as heard",
        text="if not pledge.counts(s.cluster, report):",
        instead="if s.server is None:",
        caught_by=_HEARING + "test_who_may_hold_more_is_never_overtaken",
    ),
    Mutant(
        file="ha/hearing.py",
        without="S6: what was told before the key was gone counts",
        text="if answer is None or lost is None or longest(lost, answer.asked) < 0:",
        instead="if answer is None:",
        caught_by=_HEARING + "test_what_was_told_before_the_leader_was_gone_does_not_count",
    ),
    Mutant(
        file="ha/hearing.py",
        without="S6: WAL that this node does not hold counts as less",
        text="if switch is not None and told <= switch:",
        instead="if switch is not None:",
        caught_by=_HEARING + "test_one_on_an_older_timeline_of_the_same_line_holds_no_more",
    ),
    Mutant(
        file="ha/decide.py",
        without="S6: what was told in an earlier vacancy counts in a later one",
        text="goes_on = memory.lost_at == cluster.status_revision",
        instead="goes_on = memory.lost_at is not None",
        caught_by=_HEARING + "test_another_vacancy_begins_with_each_leader_that_was_there"
        "_meanwhile",
    ),
    Mutant(
        file="ha/standbys.py",
        without="strict: the primary goes on alone",
        text="return _with_none(s, server, shown) if s.config.synchronous_mode_strict else",
        instead="return",
        caught_by=_STANDBYS + "test_strict_commits_wait_for_whoever_may_come_back",
    ),
    Mutant(
        file="ha/standbys.py",
        without="a higher sync_priority counts for nothing while another standby is waited for",
        text="self.may_lead, self.near, self.priority, self.kept",
        instead="self.may_lead, self.near, self.kept, self.priority",
        caught_by=_STANDBYS + "test_a_higher_priority_takes_the_place_of_one_that_is_waited_for",
    ),
    Mutant(
        file="ha/standbys.py",
        without="L1: while a standby replaces another there is nobody to take over",
        text="    return [*chosen, *replaced], count + len(replaced)\n",
        instead="    return chosen, count\n",
        caught_by=_STANDBYS + "test_while_they_are_exchanged_there_is_always_one_to_take_over",
    ),
    Mutant(
        file="ha/standbys.py",
        without="L1: commits rest on one that may not lead beside one that may",
        text="group = [standby for standby in pool if standby.may_lead] or pool",
        instead="group = pool",
        caught_by=_STANDBYS + "test_one_that_may_not_lead_is_in_no_quorum_with_one_that_may",
    ),
    Mutant(
        file="ha/rules/handover.py",
        without="L1: an heir in a quorum has to hear others that may be gone",
        text="if sync is not None and (heir not in sync.standbys or sync.quorum > 0):",
        instead="if sync is not None and heir not in sync.standbys:",
        caught_by="unit/ha/test_handover.py::test_an_heir_in_a_quorum_is_said_to_hold_everything_by"
        "_itself",
    ),
)

LOSS: Final = (
    Mutant(
        file="ha/candidates.py",
        without="S7: a leader that told nothing had nothing",
        text="return record.switch if server.timeline < record.timeline else None",
        instead="return None",
        caught_by="unit/ha/test_telling.py::test_who_told_nothing_had_what_it_took_over_with",
    ),
    Mutant(
        file="ha/losses.py",
        without="S7: what was lost with a timeline that nobody went on from is told nowhere",
        text="line.append(record.parent)",
        instead="pass",
        caught_by="unit/ha/test_losses.py::"
        "test_a_timeline_that_nobody_went_on_from_is_left_by_the_next_promotion_beside_it",
    ),
    Mutant(
        file="agent/jobs.py",
        without="S7: what a failed rejoin had to undo is forgotten",
        text="            self._worker.found(_end_of(comparison))\n            done =",
        instead="            done =",
        caught_by="unit/agent/test_jobs.py::"
        "test_what_was_to_be_undone_is_told_though_the_copy_that_undoes_it_fails",
    ),
)

MUTANTS: Final = (*SYNC, *FLOOR, *QUORUM, *LOSS)
