"""Mutants of the maintenance pause: what must be committed before what, and who may lead."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_PAUSE: Final = "unit/ha/test_pausing.py::"
_OTHERS: Final = "unit/ha/test_pause_others.py::"
_KEEPER: Final = "unit/agent/test_keeper_pause.py::"

DECISIONS: Final = (
    Mutant(
        file="ha/rules/pause.py",
        without="R16: the deadline goes before the entry is committed",
        text='    if not covers(s, own_entry(s)):\n        return Verdict("maintenance',
        instead='    if s.now is None:\n        return Verdict("maintenance',
        caught_by=_PAUSE + "test_the_entry_is_committed_before_the_deadline_goes",
    ),
    Mutant(
        file="ha/rules/pause.py",
        without="R16: the deadline goes while a write of the entry is in flight",
        text='    if INTENT in s.view.pending:\n        return Verdict("maintenance pause: its',
        instead='    if s.now is None:\n        return Verdict("maintenance pause: its',
        caught_by=_PAUSE + "test_nothing_is_disarmed_while_a_write_of_the_entry_is_in_flight",
    ),
    Mutant(
        file="ha/rules/pause.py",
        without="an agent that is stopped in a pause stops its server",
        text="if not (s.view.stopping and s.cluster.paused and s.running) or _is_busy(s):",
        instead="if not (s.view.stopping and s.cluster.halt and s.running) or _is_busy(s):",
        caught_by=_PAUSE + "test_a_stopped_agent_leaves_its_server_in_a_pause",
    ),
    Mutant(
        file="ha/pausing.py",
        without="R16: the entry of an earlier server counts for this one",
        text="entry.guardian == guardian.nonce and entry.process == guardian.process",
        instead="entry.guardian == guardian.nonce",
        caught_by=_PAUSE + "test_an_entry_of_another_server_is_written_anew",
    ),
    Mutant(
        file="ha/pausing.py",
        without="R9: a primary that a recovery has left behind goes on",
        text="or entry.epoch.generation != s.cluster.generation:",
        instead="or entry.epoch is None:",
        caught_by=_PAUSE + "test_a_disarmed_primary_that_the_store_does_not_know_is_stopped",
    ),
    Mutant(
        file="ha/pausing.py",
        without="R16: the entry is not fenced by the epoch of its leader",
        text="        s.epoch_guard(lease),\n        *_same_config(s),\n",
        instead="        *_same_config(s),\n",
        caught_by=_PAUSE + "test_the_entry_is_committed_before_the_deadline_goes",
    ),
    Mutant(
        file="ha/pausing.py",
        without="R16: the entry goes before the guardian is armed again",
        text="return lease.armed and s.view.guardian.armed",
        instead="return s.lease is not None",
        caught_by=_PAUSE + "test_both_must_have_armed_before_the_entry_goes",
    ),
    Mutant(
        file="ha/pausing.py",
        without="R16: the entry goes at the word of the keeper, whatever the guardian says",
        text="return lease.armed and s.view.guardian.armed",
        instead="return lease.armed",
        caught_by=_PAUSE + "test_both_must_have_armed_before_the_entry_goes",
    ),
    Mutant(
        file="ha/pausing.py",
        without="R16: a slow removal is not undone by a new pause",
        text="guards = (here, s.epoch_guard(lease), *_same_config(s))",
        instead="guards = (here, s.epoch_guard(lease))",
        caught_by=_PAUSE + "test_the_entry_goes_once_the_deadline_stands",
    ),
    Mutant(
        file="ha/pausing.py",
        without="R16: a guardian that does not answer vouches for the end of a server",
        text="if not guardian.alive or guardian.primary:",
        instead="if guardian.primary:",
        caught_by=_PAUSE + "test_the_entry_stays_while_nobody_can_vouch_for_the_end",
    ),
    Mutant(
        file="ha/pausing.py",
        without="a machine does not know the entry of its guardian of before",
        text="guardians = (s.view.guardian.nonce, *s.view.guardian.predecessors)",
        instead="guardians = (s.view.guardian.nonce,)",
        caught_by=_PAUSE + "test_a_guardian_that_was_here_before_was_on_this_machine",
    ),
    Mutant(
        file="ha/pausing.py",
        without="R16: the machine that took the name of a lost one removes its entry",
        text="return entry if guarded or same_directory else None",
        instead="return entry",
        caught_by=_PAUSE + "test_another_machine_of_that_name_leaves_the_entry_alone",
    ),
    Mutant(
        file="ha/rules/pause.py",
        without="R16: a disarmed primary whose entry is gone is left running",
        text="is_ours = covers(s, own_entry(s)) and s.other_leader is None",
        instead="is_ours = s.other_leader is None",
        caught_by=_PAUSE + "test_a_disarmed_primary_that_the_store_does_not_know_is_stopped",
    ),
    Mutant(
        file="ha/rules/pause.py",
        without="R16: a disarmed primary is left running beside another leader",
        text="is_ours = covers(s, own_entry(s)) and s.other_leader is None",
        instead="is_ours = covers(s, own_entry(s))",
        caught_by=_PAUSE + "test_a_disarmed_primary_that_the_store_does_not_know_is_stopped",
    ),
    Mutant(
        file="ha/rules/pause.py",
        without="an old replica costs a disarmed primary its life",
        text="if s.view.caught_up and not is_ours:",
        instead="if not is_ours:",
        caught_by=_PAUSE + "test_a_disarmed_primary_is_left_running",
    ),
    Mutant(
        file="ha/rules/pause.py",
        without="R11: a server is started under a lease without a deadline",
        text="or not s.view.guardian.alive or _rests(s, lease):",
        instead="or not s.view.guardian.alive or not s.running:",
        caught_by=_PAUSE + "test_no_server_is_started_before_the_guardian_is_armed",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="R16: somebody is promoted while another is disarmed",
        text="if not _vacant(s) or not others:",
        instead="if not _vacant(s) or others:",
        caught_by=_OTHERS + "test_nobody_is_promoted_while_another_is_disarmed",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="R16: a claim does not name the entries of the others",
        text="        *claim_guards(s),\n",
        instead="",
        caught_by=_OTHERS + "test_a_claim_names_everybody_as_not_disarmed",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="somebody is promoted by itself in a pause",
        text="if not _vacant(s) or not s.cluster.paused:",
        instead="if not _vacant(s) or s.cluster.paused:",
        caught_by=_OTHERS + "test_nobody_is_promoted_by_itself_in_a_pause",
    ),
    Mutant(
        file="ha/documents.py",
        without="R16: an entry that cannot be read counts for nothing",
        text="found[name] = Disarmed(name=name, revision=revision)",
        instead="pass",
        caught_by="unit/ha/test_documents.py::test_an_entry_of_a_disarmed_member_that_cannot_be_read_counts",
    ),
    Mutant(
        file="ha/refusals.py",
        without="R16: an operator overrules an entry that he does not name",
        text="known = (leader, request.candidate, request.fenced)",
        instead="known = (leader, request.candidate, *s.cluster.disarmed)",
        caught_by=_OTHERS + "test_a_failover_is_refused_while_another_is_disarmed",
    ),
    Mutant(
        file="ha/refusals.py",
        without="R16: a machine that answers is taken for off",
        text="if report is not None and report.primary_alive:",
        instead="if report is not None and leader:",
        caught_by=_OTHERS + "test_a_machine_that_shows_signs_of_life_is_not_taken_for_off",
    ),
    Mutant(
        file="ha/operations.py",
        without="R16: the entry goes although its member has just taken the key again",
        text="if entry is not None or request.may_lose or old is not None:",
        instead="if request.may_lose or old is not None:",
        caught_by=_OTHERS + "test_the_entry_goes_with_the_request_or_neither_happens",
    ),
    Mutant(
        file="ha/parting.py",
        without="R16: a member whose primary may still run is removed",
        text="if name in cluster.disarmed:",
        instead="if name not in cluster.members:",
        caught_by=_OTHERS + "test_a_member_whose_primary_may_run_is_not_removed",
    ),
)

RECOVERY: Final = (
    Mutant(
        file="ha/recovery.py",
        without="R16: whoever is lost for good keeps everybody from a promotion for ever",
        text="        *_disarmed(keys, cluster, {survivor.name, *lost}),\n",
        instead="",
        caught_by="unit/ha/test_recovered_store.py::"
        "test_who_is_lost_for_good_keeps_nobody_from_a_promotion",
    ),
    Mutant(
        file="agent/operations.py",
        without="R16: nobody looks whether a machine that is said to be off answers",
        text="if not sign.is_alive:",
        instead="if sign:",
        caught_by="unit/agent/test_pauses.py::test_a_machine_that_answers_is_not_taken_for_off",
    ),
    Mutant(
        file="ha/configuring.py",
        without="a pause is written over settings that have just been changed",
        text="guard = KeyAt(keys.config, entry.mod_revision)",
        instead="guard = KeyAt(keys.config, entry.create_revision)",
        caught_by="unit/agent/test_pauses.py::test_a_pause_changes_nothing_else_of_the_settings",
    ),
)

LEASE: Final = (
    Mutant(
        file="agent/keeper.py",
        without="R16: a disarming that has yet to be done does not show",
        text="return held if held is None or not is_undone else replace(held, armed=False)",
        instead="return held if held is None or is_undone else held",
        caught_by=_KEEPER + "test_nobody_takes_the_lease_for_armed_from_the_very_call_on",
    ),
    Mutant(
        file="agent/keeper.py",
        without="a renewal arms the guardian of a paused primary",
        text="            self._arms = False\n",
        instead="            self._arms = True\n",
        caught_by=_KEEPER + "test_a_disarmed_lease_is_renewed_without_a_deadline",
    ),
    Mutant(
        file="agent/keeper.py",
        without="a guardian that did not hear of the pause kills the server",
        text="why=str(error))\n                self._arms = True\n",
        instead="why=str(error))\n",
        caught_by=_KEEPER + "test_a_guardian_that_does_not_answer_gets_its_deadline_as_ever",
    ),
    Mutant(
        file="agent/keeper.py",
        without="R16: a late disarming hits a later epoch",
        text="if held is not None and held.epoch == epoch:\n            self._arms",
        instead="if held is not None:\n            self._arms",
        caught_by=_KEEPER + "test_a_late_disarming_does_not_touch_a_later_epoch",
    ),
    Mutant(
        file="agent/guarding.py",
        without="a server that is being killed is taken for paused",
        text="disarmed=status.is_primary and status.kill_at is None and status.fencing is None,",
        instead="disarmed=status.is_primary and status.kill_at is None,",
        caught_by="unit/agent/test_guarding.py::"
        "test_a_primary_without_a_deadline_is_disarmed_unless_it_is_being_killed",
    ),
    Mutant(
        file="guardian/switch.py",
        without="the timer in the kernel kills a disarmed guardian",
        text="_replace(kill=None)\n        self._set_dead_man()\n",
        instead="_replace(kill=None)\n",
        caught_by="unit/guardian/test_kill_switch.py::"
        "test_a_disarmed_primary_has_no_deadline_and_no_timer",
    ),
)
