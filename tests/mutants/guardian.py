"""Mutants of the guardian: deadlines, who may act, and that a fence leaves nobody."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_RULES: Final = "unit/guardian/test_guardian_protocol.py::"
_SWITCH: Final = "unit/guardian/test_kill_switch.py::"
_SAFETY: Final = "unit/ha/test_safety.py::"
_LINEAGE: Final = "unit/guardian/test_guardian_lineage.py::"
_RELEASE: Final = "unit/agent/test_keeper_release.py::"
_PROCESSES: Final = "unit/guardian/test_guardian_procs.py::"
_HANDLES: Final = "unit/guardian/test_guardian_handles.py::"

DEADLINES: Final = (
    Mutant(
        file="guardian/service.py",
        without="an agent of another release is served",
        text="if spoken != protocol.VERSION:",
        instead="if spoken == 0:",
        caught_by="unit/guardian/test_kill_switch.py::"
        "test_an_agent_of_another_release_is_refused_and_nothing_changes",
    ),
    Mutant(
        file="guardian/client.py",
        without="a guardian of another release is talked to",
        text="if spoken != protocol.VERSION:",
        instead="if spoken == 0:",
        caught_by="unit/guardian/test_kill_switch.py::"
        "test_a_guardian_of_another_release_is_not_talked_to",
    ),
    Mutant(
        file="guardian/protocol.py",
        without="R6: a deadline is kept by one clock alone",
        text="return min(kill.boot - now.boot, kill.steady - now.steady)",
        instead="return kill.boot - now.boot",
        caught_by=_RULES + "test_a_deadline_is_due_when_either_clock_reaches_it",
    ),
    Mutant(
        file="guardian/protocol.py",
        without="R6: a guardian counts no suspend on its steady clock",
        text="return self.raw + self.slept",
        instead="return self.raw",
        caught_by=_RULES + "test_a_deadline_is_due_though_neither_kernel_clock_saw_all_the_time",
    ),
    Mutant(
        file="guardian/protocol.py",
        without="R2: a deadline may be moved forward without a newer renewal",
        text="if request.renewal > proof.renewal:",
        instead="if request.renewal >= proof.renewal:",
        caught_by=_RULES + "test_moving_forward_on_either_clock_needs_a_newer_renewal",
    ),
    Mutant(
        file="guardian/protocol.py",
        without="R2: a deadline may not be moved back",
        text="    if is_back:\n",
        instead="    if is_back and proof.epoch is None:\n",
        caught_by=_RULES + "test_a_deadline_may_always_be_moved_back_within_its_epoch",
    ),
    Mutant(
        file="guardian/protocol.py",
        without="R2: moving back forgets the renewal that is known",
        text="renewal = max(proof.renewal, request.renewal) if same_epoch else request.renewal",
        instead="renewal = request.renewal",
        caught_by=_RULES + "test_moving_back_with_an_older_renewal_keeps_the_newer_one_in_mind",
    ),
    Mutant(
        file="guardian/protocol.py",
        without="an older epoch may be armed",
        text="if request.epoch < proof.epoch:",
        instead="if request.epoch < (0, 0):",
        caught_by=_RULES + "test_an_older_epoch_is_refused_even_with_a_newer_renewal",
    ),
    Mutant(
        file="guardian/protocol.py",
        without="a burned epoch may be armed",
        text="if highest_burned is not None and request.epoch <= highest_burned:",
        instead="if highest_burned is not None and request.epoch < (0, 0):",
        caught_by=_RULES + "test_an_epoch_at_or_below_a_burned_one_is_refused",
    ),
    Mutant(
        file="guardian/protocol.py",
        without="S8: a primary may be made after its deadline",
        text='    if is_past(proof.kill, now):\n        return f"the deadline of epoch',
        instead='    if epoch < (0, 0):\n        return f"the deadline of epoch',
        caught_by=_RULES + "test_a_primary_is_made_only_under_the_armed_epoch_before_its_deadline",
    ),
    Mutant(
        file="guardian/protocol.py",
        without="S8: a primary may be made under another epoch than the armed one",
        text="    if proof.epoch != epoch:\n        held",
        instead="    if proof.epoch is None:\n        held",
        caught_by=_RULES + "test_a_primary_is_made_only_under_the_armed_epoch_before_its_deadline",
    ),
    Mutant(
        file="guardian/protocol.py",
        without="S8: a primary may be made without a deadline in force",
        text='    if proof.kill is None:\n        return f"epoch',
        instead="    if proof.kill is None:\n        return None\n    if epoch < (0, 0):\n"
        '        return f"epoch',
        caught_by=_RULES + "test_a_primary_is_made_only_under_the_armed_epoch_before_its_deadline",
    ),
)

FENCE: Final = (
    Mutant(
        file="guardian/switch.py",
        without="R6: a guardian sleeps until its deadline",
        text="return max(0.0, min(left, max(far, GUARDING_PAUSE_S)))",
        instead="return max(0.0, left)",
        caught_by=_SWITCH + "test_whoever_guards_a_deadline_wakes_often",
    ),
    Mutant(
        file="guardian/switch.py",
        without="R12: a guardian sleeps on beyond its dead-man timer",
        text="self._dead_man_s * _DEAD_MAN_SHARE)",
        instead="FAR_PAUSE_S)",
        caught_by=_SWITCH + "test_a_guardian_is_awake_before_its_dead_man_timer_ends_it",
    ),
    Mutant(
        file="guardian/switch.py",
        without="S1: nobody acts at the deadline",
        text="if self._sweep is None and self._is_overdue(now):",
        instead="if self._sweep is None and now.boot < 0:",
        caught_by=_SWITCH + "test_at_its_deadline_every_process_of_a_primary_is_killed",
    ),
    Mutant(
        file="guardian/procs.py",
        without="S1: only the children of the guardian are killed, not their children",
        text="waiting.append(pid)",
        instead="pass",
        caught_by=_PROCESSES + "test_descendants_are_found_at_any_depth_and_nobody_else",
    ),
    Mutant(
        file="guardian/fence.py",
        without="S1: the fence asks, and kills nobody",
        text="            self._machine.kill_exactly(process)\n",
        instead="",
        caught_by=_SWITCH + "test_at_its_deadline_every_process_of_a_primary_is_killed",
    ),
    Mutant(
        file="guardian/switch.py",
        without="S1: what a dead postmaster leaves behind is left alone",
        text="if self._sweep is None and self._exit_status is not None:",
        instead="if self._sweep is None and now.boot < 0:",
        caught_by=_SWITCH + "test_what_a_dead_postmaster_leaves_behind_is_killed_at_once",
    ),
    Mutant(
        file="guardian/switch.py",
        without="a standby is killed at a deadline too",
        text="return self.is_guarding and protocol.is_due(self._proof, now)",
        instead="return self._server is not None and protocol.is_due(self._proof, now)",
        caught_by=_SWITCH + "test_a_standby_outlives_a_deadline",
    ),
    Mutant(
        file="guardian/protocol.py",
        without="a line nested too deeply ends the guardian, and its server with it",
        text="except (ValueError, RecursionError) as problem:",
        instead="except ValueError as problem:",
        caught_by=_SWITCH + "test_nonsense_from_an_agent_harms_nobody",
    ),
    Mutant(
        file="guardian/launch.py",
        without="R12: the postmaster outlives its guardian",
        text="kernel.die_with_parent(signal.SIGQUIT)",
        instead="pass",
        caught_by=_SWITCH + "test_a_server_is_asked_to_stop_when_its_guardian_is_killed",
    ),
    Mutant(
        file="guardian/launch.py",
        without="R15: a server inherits the scheduling class of its guardian",
        text="os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))",
        instead="pass",
        caught_by="unit/guardian/test_guardian_inheritance.py::"
        "test_a_server_has_the_usual_scheduling_class_whatever_its_guardian_has",
    ),
    Mutant(
        file="guardian/main.py",
        without="S1: a guardian that fails inside leaves its server to itself",
        text='switch.fail_safe(f"guardian failed: {problem!r}")',
        instead="pass",
        caught_by="unit/guardian/test_guardian_process.py::"
        "test_a_guardian_that_fails_inside_ends_its_server_first",
    ),
    Mutant(
        file="guardian/switch.py",
        without="R12: the dead-man timer is never set",
        text="kill = self._proof.kill if self.is_guarding else None",
        instead="kill = None",
        caught_by=_SWITCH + "test_a_guardian_that_is_stopped_dies_after_the_deadline",
    ),
    Mutant(
        file="guardian/switch.py",
        without="R12: the dead-man timer does not move with the deadline",
        text="            self._server = self._server._replace(epoch=request.epoch)\n"
        "        self._set_dead_man()",
        instead="            self._server = self._server._replace(epoch=request.epoch)",
        caught_by=_SWITCH + "test_a_guardian_that_is_stopped_dies_after_the_deadline",
    ),
    Mutant(
        file="guardian/switch.py",
        without="R12: the dead-man timer goes by the budget that its guardian was started with",
        text="self._dead_man_s = request.dead_man_s or self._dead_man_s",
        instead="self._dead_man_s = self._dead_man_s or request.dead_man_s or 0.0",
        caught_by=_SWITCH + "test_the_dead_man_timer_goes_by_what_was_said_last",
    ),
    Mutant(
        file="guardian/procs.py",
        without="R13: shared memory that a postmaster left attached is not looked for",
        text="is_ours = int(words[4]) == creator or int(words[1]) == segment",
        instead="is_ours = int(words[1]) == segment",
        caught_by=_PROCESSES + "test_attachments_are_counted_by_creator_or_by_id",
    ),
    Mutant(
        file="guardian/procs.py",
        without="R13: a process that cannot be looked at counts as gone",
        text="GONE_OR_ANOTHERS: Final = (FileNotFoundError, ProcessLookupError, PermissionError)",
        instead="GONE_OR_ANOTHERS: Final = (OSError,)",
        caught_by=_HANDLES + "test_what_cannot_be_read_is_not_taken_for_gone",
    ),
    Mutant(
        file="guardian/fence.py",
        without="S5: strays that nobody asked to stop are left alone for a grace",
        text="may_obey = self._has_asked and not is_postmaster_gone",
        instead="may_obey = not is_postmaster_gone",
        caught_by=_HANDLES + "test_a_grace_is_for_a_server_that_was_asked_to_stop",
    ),
    Mutant(
        file="guardian/fence.py",
        without="R13: a pass that could look at nothing ends the guardian",
        text="        except OSError:\n            self._empty_passes = 0",
        instead="        except ValueError:\n            self._empty_passes = 0",
        caught_by=_HANDLES + "test_a_pass_that_could_not_look_proves_nothing",
    ),
    Mutant(
        file="guardian/switch.py",
        without="S1: what is kept for a fence is not given to it",
        text="        self.machine.free(self._reserve)\n",
        instead="",
        caught_by=_HANDLES + "test_a_fence_needs_no_file_handle_but_those_kept_for_it",
    ),
    Mutant(
        file="guardian/switch.py",
        without="S1: a server is started without file handles for its fence",
        text="self._reserve = self._reserve or self.machine.reserve()",
        instead="self._reserve = ()",
        caught_by=_HANDLES + "test_a_fence_needs_no_file_handle_but_those_kept_for_it",
    ),
)

ORDER: Final = (
    Mutant(
        file="guardian/switch.py",
        without="R11: a directory without standby.signal is started without an epoch",
        text='if not self.machine.exists(os.path.join(self._files.pgdata, "standby.signal")):',
        instead="if not self.machine.exists(self._files.pgdata):",
        caught_by=_SWITCH + "test_a_primary_is_started_only_under_an_armed_epoch",
    ),
    Mutant(
        file="guardian/switch.py",
        without="R11: a primary is started without a look at the deadline",
        text="if epoch is not None:\n            self._refuse_act(epoch)\n            return",
        instead="if epoch is not None:\n            return",
        caught_by=_SWITCH + "test_a_primary_is_started_only_under_an_armed_epoch",
    ),
    Mutant(
        file="guardian/switch.py",
        without="R11: a standby is promoted without a look at the deadline",
        text="server = self._running()\n        self._refuse_act(epoch)",
        instead="server = self._running()",
        caught_by=_SWITCH + "test_a_standby_is_promoted_only_under_an_armed_epoch",
    ),
    Mutant(
        file="guardian/switch.py",
        without="R11: a promoted standby does not count as a primary",
        text="self._server = server._replace(is_primary=True, epoch=epoch)",
        instead="self._server = server._replace(epoch=epoch)",
        caught_by=_SWITCH + "test_a_standby_is_promoted_only_under_an_armed_epoch",
    ),
    Mutant(
        file="guardian/switch.py",
        without="R14: an epoch is not spent by a fence",
        text="self._proof = protocol.fenced(self._proof)",
        instead="pass",
        caught_by=_SWITCH + "test_a_fenced_epoch_is_spent_for_this_guardian_and_the_next",
    ),
    Mutant(
        file="guardian/switch.py",
        without="R14: the next guardian does not know of a spent epoch",
        text="            self.machine.burn(self._files.ledger, self._proof.burned)\n"
        "        if sweep",
        instead="            pass\n        if sweep",
        caught_by=_SWITCH + "test_a_fenced_epoch_is_spent_for_this_guardian_and_the_next",
    ),
)

BURNING: Final = (
    Mutant(
        file="guardian/protocol.py",
        without="an armed epoch may act on after a newer one was given back",
        text="is_over = proof.epoch is None or proof.epoch <= epoch",
        instead="is_over = proof.epoch is None",
        caught_by=_RULES + "test_an_epoch_that_is_given_back_is_spent_with_all_that_are_older",
    ),
    Mutant(
        file="guardian/protocol.py",
        without="an epoch that is given back may be armed again",
        text="spent = (*spent, epoch)[-BURNED_KEPT:]",
        instead="pass",
        caught_by=_RULES
        + "test_no_sequence_revives_a_burned_epoch_or_extends_one_without_a_renewal",
    ),
    Mutant(
        file="guardian/switch.py",
        without="the epoch of a running primary may be given back",
        text="        if self.is_guarding:\n            raise Refused",
        instead="        if self._sweep is not None:\n            raise Refused",
        caught_by=_SWITCH + "test_the_epoch_of_a_running_primary_cannot_be_given_back",
    ),
    Mutant(
        file="guardian/switch.py",
        without="the next guardian does not know of an epoch that was given back",
        text="            self.machine.burn(self._files.ledger, self._proof.burned)\n"
        "        except",
        instead="            pass\n        except",
        caught_by=_SWITCH
        + "test_an_epoch_that_is_given_back_is_spent_for_this_guardian_and_the_next",
    ),
    Mutant(
        file="agent/keeper.py",
        without="an epoch is given back unburned",
        text="            self._guard.burn(held.epoch)\n",
        instead="            pass\n",
        caught_by=_RELEASE + "test_an_epoch_is_burned_before_it_is_given_back",
    ),
    Mutant(
        file="agent/keeper.py",
        without="an epoch that could not be burned is given back",
        text='burned: {error}")\n            return False',
        instead='burned: {error}")',
        caught_by=_RELEASE
        + "test_an_epoch_that_is_not_burned_is_not_given_back_and_believed_no_more",
    ),
    Mutant(
        file="ha/rules/safety.py",
        without="the key of a dead guardian is given back while a primary is left",
        text="if not is_lost or s.is_primary or not s.view.raft.majority:",
        instead="if not is_lost or not s.view.raft.majority:",
        caught_by=_SAFETY + "test_a_key_is_given_back_only_where_nothing_is_left_of_its_holder",
    ),
    Mutant(
        file="ha/rules/safety.py",
        without="a node that took the place of another machine gives back what is held there",
        text="is_lost = leader.guardian in guardian.predecessors or",
        instead="is_lost = leader.guardian != guardian.nonce or",
        caught_by=_SAFETY + "test_a_key_is_given_back_only_where_nothing_is_left_of_its_holder",
    ),
    Mutant(
        file="guardian/lineage.py",
        without="what an earlier guardian left in another directory counts as proved dead",
        text="for before, directory in known if directory == pgdata)",
        instead="for before, _directory in known)",
        caught_by=_LINEAGE + "test_a_guardian_of_another_directory_is_no_predecessor",
    ),
    Mutant(
        file="agent/keeper.py",
        without="what a dead guardian left is given back unburned",
        text="if is_idle and self._burn(left):",
        instead="if is_idle:",
        caught_by=_RELEASE
        + "test_what_a_dead_guardian_left_is_burned_and_given_back_without_being_believed",
    ),
    Mutant(
        file="agent/keeper.py",
        without="a burned lease is given back only once",
        text="        self._revoke_again(settings)\n",
        instead="",
        caught_by=_RELEASE + "test_a_lease_is_given_back_until_it_is_gone",
    ),
)

MUTANTS: Final = (*DEADLINES, *FENCE, *ORDER, *BURNING)
