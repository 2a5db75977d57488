"""Mutants of the commands and the leases of the consensus."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_FORWARDS: Final = "unit/consensus/test_forwards.py::"
_COMMANDS: Final = "unit/consensus/test_hazards_commands.py::"
_RULES: Final = "unit/consensus/test_safety_rules.py::"
_MACHINE: Final = "unit/consensus/test_machine.py::"
_LESSOR: Final = "unit/consensus/test_lessor.py::"

COMMANDS: Final = (
    Mutant(
        file="consensus/proposals.py",
        without="H11: an answer to another process is taken for ours",
        text="if command.session != self._session:\n            return",
        instead="if command.session is None:\n            return",
        caught_by=_COMMANDS + "test_h11_an_answer_to_an_earlier_process_is_not_taken_for_ours",
    ),
    Mutant(
        file="consensus/proposals.py",
        without="H14: callers are answered while an entry is applied",
        text="self._answers.append((pending, outcome))",
        instead="pending.settle(outcome)",
        caught_by=_COMMANDS + "test_h14_an_answer_is_given_after_its_entry_was_applied",
    ),
    Mutant(
        file="consensus/node.py",
        without="H14: callers are answered before the state is published",
        text="had_majority = self._facts.majority\n        self._replica.publish()",
        instead="had_majority = self._facts.majority\n        self._proposals.deliver()\n"
        "        self._replica.publish()",
        caught_by=_COMMANDS + "test_h14_an_answer_is_given_after_its_entry_was_applied",
    ),
    Mutant(
        file="consensus/forwards.py",
        without="H15: bytes that cannot be applied enter the log",
        text="except (WireError, NewerFormat):\n        return None",
        instead="except (WireError, NewerFormat):\n        return commands.OpenSession()",
        caught_by=_COMMANDS + "test_h15_bytes_that_are_no_command_never_enter_the_log",
    ),
    Mutant(
        file="consensus/replica.py",
        without="H15: an entry that cannot be read is skipped",
        text='self._fatal(f"the committed entry {index} cannot be read: {error}")\n',
        instead="",
        caught_by=_COMMANDS + "test_h15_bytes_that_are_no_command_never_enter_the_log",
    ),
    Mutant(
        file="consensus/core.py",
        without="H16: the raft leader appends what is out of time",
        text="if self.engine.is_leading and message.remaining > 0:",
        instead="if self.engine.is_leading:",
        caught_by=_COMMANDS + "test_h16_the_raft_leader_appends_nothing_whose_time_is_over",
    ),
    Mutant(
        file="consensus/forwards.py",
        without="a voter may fill the log with what it forwards",
        text="if len(indexes) < MAX_UNDER_WAY:",
        instead="if len(indexes) >= 0:",
        caught_by=_FORWARDS + "test_a_voter_that_floods_the_raft_leader_is_bounded_and_named_once",
    ),
    Mutant(
        file="consensus/forwards.py",
        without="what others forward leaves the raft leader no room for its own commands",
        text="if self._backlog >= MAX_UNCOMMITTED - MAX_PENDING:",
        instead="if self._backlog >= MAX_UNCOMMITTED:",
        caught_by=_FORWARDS + "test_however_many_voters_flood_the_raft_leader_has_room_for_its_own",
    ),
    Mutant(
        file="consensus/forwards.py",
        without="what a voter forwarded counts against it in a later term",
        text="self._under_way.clear()",
        instead="pass",
        caught_by=_FORWARDS + "test_the_account_of_an_earlier_term_is_closed",
    ),
    Mutant(
        file="consensus/proposals.py",
        without="H16: a command out of time is handed over",
        text="if pending.is_settled or remaining(pending.deadline, now) <= 0:",
        instead="if pending.is_settled:",
        caught_by=_COMMANDS + "test_h16_a_command_that_ran_out_of_time_is_not_handed_over",
    ),
    Mutant(
        file="consensus/proposals.py",
        without="H16: a command without an answer is said not to have happened",
        text="self.done(Unknown(reason) if left else NotSent(reason))",
        instead="self.done(NotSent(reason))",
        caught_by=_COMMANDS + "test_a_command_without_an_answer_is_reported_as_unknown",
    ),
    Mutant(
        file="consensus/store.py",
        without="H17: a read is the local replica",
        text="self.execute(Barrier(), timeout=timeout)",
        instead="assert timeout",
        caught_by=_COMMANDS + "test_h17_a_read_is_refused_where_no_majority_answers",
    ),
    Mutant(
        file="consensus/council.py",
        without="H17: a cut-off raft leader claims a majority",
        text="heard = [address for address in others if answers.get(address, horizon) > horizon]",
        instead="heard = others",
        caught_by=_COMMANDS + "test_h17_a_cut_off_leader_says_soon_that_it_has_no_majority",
    ),
    Mutant(
        file="consensus/core.py",
        without="H17: a follower that hears nobody claims a majority",
        text="return self.engine.leader is not None and self.elections.leader_heard > horizon",
        instead="return self.engine.leader is not None",
        caught_by="unit/consensus/test_core.py::"
        "test_a_cut_off_follower_says_soon_that_it_has_no_majority",
    ),
    Mutant(
        file="consensus/proposals.py",
        without="H31: answers that a snapshot holds are not given",
        text="pending = self._pending.pop(seq, None)\n            if pending is not None:",
        instead="pending = None\n            if pending is not None:",
        caught_by="unit/consensus/test_proposals.py::test_answers_that_a_snapshot_holds_are_given",
    ),
    Mutant(
        file="consensus/commands.py",
        without="H33, H34: a command of a newer release is taken for noise",
        text="if number > FORMAT:",
        instead="if number < 0:",
        caught_by=_COMMANDS + "test_h33_h34_a_command_of_another_release_is_never_guessed_at",
    ),
    Mutant(
        file="consensus/proposals.py",
        without="R1: a lease counts from the last hand-over",
        text="if self.handed_over is None:\n                self.handed_over = now",
        instead="self.handed_over = now",
        caught_by=_RULES + "test_r1_a_lease_counts_from_the_first_hand_over_of_its_command",
    ),
    Mutant(
        file="consensus/machine.py",
        without="R3: a command that was given up happens later",
        text="if command.seq <= max(session.floor, command.floor):",
        instead="if command.seq < 0:",
        caught_by=_RULES
        + "test_r3_a_command_given_up_never_happens_once_a_later_one_has_committed",
    ),
    Mutant(
        file="consensus/machine.py",
        without="a repeated command acts again",
        text="if known is not None:\n            return Applied(result=known)",
        instead="if known is None and command.seq < 0:\n            return Applied(result=known)",
        caught_by=_MACHINE + "test_the_same_number_gets_the_same_answer_and_no_second_effect",
    ),
    Mutant(
        file="consensus/machine.py",
        without="an older session of a voter may be opened again",
        text="return wanted.incarnation == present.incarnation and wanted.boot < present.boot",
        instead="return False",
        caught_by=_MACHINE + "test_opening_a_session_ends_the_older_one_of_the_voter",
    ),
    Mutant(
        file="consensus/machine.py",
        without="R4: the guard on the revision of creation always holds",
        text='return _differs(f"key {guard.key!r}", "created", guard.create_revision, found)',
        instead="return None",
        caught_by=_RULES + "test_r4_a_write_of_an_earlier_leader_has_no_effect",
    ),
    Mutant(
        file="consensus/machine.py",
        without="a key may be written that no guard names",
        text='return f"key {write.key!r} is written, but no guard names it"',
        instead="pass",
        caught_by=_MACHINE + "test_a_write_to_a_key_that_no_guard_names_is_refused",
    ),
)

LEASES: Final = (
    Mutant(
        file="consensus/machine.py",
        without="R5: `Expire` without its compare",
        text="lease = self.leases.get(lease_id)\n"
        "        found = None if lease is None else lease.revision",
        instead="lease = self.leases.get(lease_id)\n"
        "        found = None if lease is None else expect",
        caught_by=_MACHINE + "test_an_expiry_of_a_renewed_lease_has_no_effect",
    ),
    Mutant(
        file="consensus/lessor.py",
        without="R5: a lease is stamped when its entry is applied",
        text="at = self._received.pop(index, now)",
        instead="at = now",
        caught_by=_RULES + "test_r5_a_lease_is_stamped_when_its_entry_arrives",
    ),
    Mutant(
        file="consensus/lessor.py",
        without="R5: a stamp outlives its revision",
        text="if stamp is None or stamp.revision != lease.revision:",
        instead="if stamp is None:",
        caught_by=_LESSOR + "test_a_stamp_of_another_revision_counts_for_nothing",
    ),
    Mutant(
        file="consensus/lessor.py",
        without="R5: a lease may be ended after 0.9 ttl",
        text="if shortest(stamp.at, now) < lease.ttl * (1 + RHO) + patience:",
        instead="if shortest(stamp.at, now) < lease.ttl * 0.9 + patience:",
        caught_by=_LESSOR + "test_a_lease_is_due_a_whole_ttl_after_its_entry_was_received",
    ),
    Mutant(
        file="consensus/lessor.py",
        without="R6: whoever ends a lease counts on the faster clock",
        text="if shortest(stamp.at, now) < lease.ttl * (1 + RHO) + patience:",
        instead="if max(now.boot - stamp.at.boot, now.raw - stamp.at.raw) < "
        "lease.ttl * (1 + RHO) + patience:",
        caught_by=_LESSOR + "test_the_slower_of_the_two_clocks_decides",
    ),
    Mutant(
        file="consensus/lessor.py",
        without="R5: an entry that replaced another keeps its stamp",
        text="self._received[index] = now",
        instead="self._received.setdefault(index, now)",
        caught_by=_LESSOR + "test_an_entry_that_replaced_another_has_its_own_time",
    ),
    Mutant(
        file="consensus/lessor.py",
        without="R5: stamps by log index outlive a snapshot",
        text="self._received.clear()",
        instead="pass",
        caught_by=_LESSOR + "test_a_snapshot_makes_what_was_known_by_index_void",
    ),
)

MUTANTS: Final = (*COMMANDS, *LEASES)
