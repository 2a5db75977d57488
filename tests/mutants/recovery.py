"""Mutants of the recovery after a majority is lost for good."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_REMAINS: Final = "unit/consensus/test_remains.py::"
_DISK: Final = "unit/consensus/test_refounding.py::"
_GREETED: Final = "unit/consensus/test_members.py::"
_STORE: Final = "unit/ha/test_recovered_store.py::"
_SERVER: Final = "unit/agent/test_oldserver.py::"
_COMMAND: Final = "unit/cli/test_recover_command.py::"
_REMOVAL: Final = "unit/cli/test_remove_command.py::"

MUTANTS: Final = (
    Mutant(
        file="consensus/remains.py",
        without="R9: the generation stays",
        text="machine.generation = remains.generation + 1",
        instead="machine.generation = remains.generation",
        caught_by=_REMAINS
        + "test_an_epoch_of_the_new_generation_is_above_those_that_the_survivor_never_saw",
    ),
    Mutant(
        file="consensus/remains.py",
        without="R9: a lease goes over into the new generation",
        text="machine.apply(LogCommand(body=Revoke(lease.id, lease.revision)))",
        instead="pass",
        caught_by=_REMAINS + "test_the_survivor_alone_goes_on_with_all_it_held_and_without_leases",
    ),
    Mutant(
        file="consensus/remains.py",
        without="R9: the last ttl counts and not the largest",
        text="largest = _largest_ttl(machine, largest)",
        instead="largest = _largest_ttl(machine, _NO_LEASE)",
        caught_by=_REMAINS + "test_the_largest_ttl_counts_and_not_the_last_one",
    ),
    Mutant(
        file="consensus/remains.py",
        without="R9: the new term may be one that has been",
        text="term = remains.term + 1",
        instead="term = 1",
        caught_by=_REMAINS + "test_whoever_had_a_seat_or_was_to_get_one_is_awaited_by_name_alone",
    ),
    Mutant(
        file="consensus/remains.py",
        without="an old incarnation is awaited with its memory",
        text='Seat(seat.address, seat.name, "", seat.witness)',
        instead="seat",
        caught_by=_REMAINS + "test_whoever_had_a_seat_or_was_to_get_one_is_awaited_by_name_alone",
    ),
    Mutant(
        file="consensus/lineage.py",
        without="R9: whoever the cluster was recovered without is let in",
        text="    if theirs.generation < ours.generation:\n        return left_behind(ours)",
        instead="    if theirs.generation < ours.generation:\n        return None",
        caught_by=_REMAINS
        + "test_a_majority_of_the_past_is_not_listened_to_and_joins_with_nothing",
    ),
    Mutant(
        file="consensus/members.py",
        without="R9: a voter of the past that knows no set of voters stays out for ever",
        text="elif ours.generation > 0 and not hello.is_new:",
        instead="elif False:",
        caught_by=_GREETED + "test_after_a_recovery_the_past_is_told_that_it_is_over",
    ),
    Mutant(
        file="consensus/refounding.py",
        without="the old file's write-ahead log is left beside the new file",
        text="            self._settle()\n",
        instead="",
        caught_by=_DISK + "test_the_new_content_is_in_place_and_the_old_one_is_kept",
    ),
    Mutant(
        file="consensus/refounding.py",
        without="the old file is moved away before the new one takes its name",
        text="shutil.copyfile(self._directory / FILE_NAME, folder / FILE_NAME)",
        instead="os.rename(self._directory / FILE_NAME, folder / FILE_NAME)",
        caught_by=_DISK + "test_killed_at_any_file_operation_it_is_the_old_state_or_the_new_one",
    ),
    Mutant(
        file="consensus/refounding.py",
        without="a directory that must not be voted from is recovered from",
        text="if salvage.is_condemned(self._directory):",
        instead="if False:",
        caught_by=_DISK + "test_what_must_not_be_voted_from_is_not_recovered_from",
    ),
    Mutant(
        file="ha/recovery.py",
        without="R9: what a lost leader had told keeps the survivor from leading",
        text="    if cluster.told is None or survivor.timeline is None:",
        instead="    if survivor.end is not None or cluster.told is None:",
        caught_by=_STORE + "test_what_a_lost_leader_had_told_stands_against_nobody_any_more",
    ),
    Mutant(
        file="ha/recovery.py",
        without="the survivor may not lead unless it holds every commit",
        text="encode_sync(survivor.name, ())",
        instead="encode_sync(sync.leader, sync.standbys)",
        caught_by=_STORE
        + "test_a_member_that_holds_less_than_others_may_lead_once_an_operator_says_so",
    ),
    Mutant(
        file="ha/recovery.py",
        without="R25: a timeline that a lost member may have used is promised again",
        text="last = first + SET_ASIDE - 1",
        instead="last = first",
        caught_by=_STORE + "test_timelines_that_the_lost_may_have_used_are_never_promised",
    ),
    Mutant(
        file="agent/recovery.py",
        without="R9: a recovery does not wait for the clocks of others",
        text="read.cluster.config.ttl) * (1 + RHO))",
        instead="read.cluster.config.ttl) * 0.99)",
        caught_by=_COMMAND + "test_it_waits_as_long_as_any_lease_may_be_believed_in",
    ),
    Mutant(
        file="agent/recovery.py",
        without="nobody looks for the living while leases lapse",
        text="            refuse_the_living(self.look())\n",
        instead="",
        caught_by=_COMMAND + "test_who_comes_back_while_leases_lapse_stops_it",
    ),
    Mutant(
        file="agent/recovery.py",
        without="a majority of survivors is given up",
        text="if survivors > len(seats) / 2:",
        instead="if survivors - 1 > len(seats) / 2:",
        caught_by=_COMMAND + "test_without_each_word_of_consent_nothing_happens",
    ),
    Mutant(
        file="agent/recovery.py",
        without="a survivor without a vote is taken for one of a majority",
        text="survivors = len(names) + found.has_seat",
        instead="survivors = len(kept) + found.has_seat",
        caught_by=_COMMAND + "test_a_survivor_without_a_vote_makes_no_majority",
    ),
    Mutant(
        file="agent/oldserver.py",
        without="a primary under an old epoch is left running",
        text="        guardian.kill(_KILL_TIMEOUT)\n",
        instead="",
        caught_by=_SERVER + "test_a_primary_under_an_old_epoch_is_killed_whole",
    ),
    Mutant(
        file="agent/recovery.py",
        without="a server that nobody guards may run on",
        text="        self._require_guardian()\n",
        instead="",
        caught_by=_COMMAND + "test_a_server_that_nobody_guards_has_to_be_stopped_first",
    ),
    Mutant(
        file="cli/recover.py",
        without="those who live are not found before anybody is asked",
        text="    signs = _signs(recovery, wait)\n    refuse_the_living(signs)\n",
        instead="    signs = _signs(recovery, wait)\n",
        caught_by=_COMMAND + "test_while_somebody_lives_it_is_refused",
    ),
    Mutant(
        file="cli/recover.py",
        without="a lost machine need not be fenced",
        text="if wanted - named:",
        instead="if False:",
        caught_by=_COMMAND + "test_without_each_word_of_consent_nothing_happens",
    ),
    Mutant(
        file="agent/removal.py",
        without="a node forgets a cluster that lives",
        text="        self._refuse_server()\n        self.look()\n        directory",
        instead="        self._refuse_server()\n        directory",
        caught_by=_REMOVAL + "test_whoever_came_back_while_it_was_asked_is_seen",
    ),
    Mutant(
        file="agent/removal.py",
        without="the directory of an agent that runs is put aside",
        text="        self._lock = dirlock.take(directory)\n",
        instead="",
        caught_by=_REMOVAL + "test_its_own_agent_has_to_be_stopped",
    ),
    Mutant(
        file="agent/removal.py",
        without="a server that runs loses its key store",
        text="        if pid is not None:\n",
        instead="        if False:\n",
        caught_by=_REMOVAL + "test_a_server_that_a_pause_left_behind_has_to_be_stopped",
    ),
)
