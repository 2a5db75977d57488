"""Mutants of the log, the votes and the disk of the consensus."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_LOG: Final = "unit/consensus/test_hazards_log.py::"
_CORE: Final = "unit/consensus/test_core.py::"
_VOTES: Final = "unit/consensus/test_hazards_votes.py::"
_DISK: Final = "unit/consensus/test_hazards_disk.py::"
_STORAGE: Final = "unit/consensus/test_storage_contract.py::"
_COMPACTION: Final = "unit/consensus/test_compaction.py::"

LOG: Final = (
    Mutant(
        file="consensus/core.py",
        without="H1: a snapshot chunk commits the tail it was not compared with",
        text="self.engine.hear_part(peer, message.term)",
        instead="self.engine.hear_leader(peer, message.term, self._journal.last_index)",
        caught_by=_LOG + "test_h1_a_snapshot_chunk_commits_nothing",
    ),
    Mutant(
        file="consensus/core.py",
        without="H2: an older snapshot is installed",
        text="if image.head.last.index <= self.engine.applied_index:",
        instead="if image.head.last.index < 0:",
        caught_by=_LOG + "test_h2_an_older_snapshot_is_not_installed",
    ),
    Mutant(
        file="consensus/core.py",
        without="H4: an append replaces what matches already",
        text="known = self._known_prefix(entries)",
        instead="known = 0",
        caught_by=_LOG + "test_h4_a_repeated_append_removes_nothing",
    ),
    Mutant(
        file="consensus/core.py",
        without="H4: a committed entry may be cut off",
        text="if before < max(self.engine.commit_index, self.engine.applied_index):",
        instead="if before < 0:",
        caught_by=_LOG + "test_h4_a_leader_that_contradicts_a_committed_entry_ends_the_process",
    ),
    Mutant(
        file="consensus/core.py",
        without="one (index, term) may have two contents",
        text="if self._journal.at(entry.index)[0] != entry.command:",
        instead="if self._journal.at(entry.index)[0] is None:",
        caught_by=_CORE + "test_one_entry_with_two_contents_ends_the_process",
    ),
    Mutant(
        file="consensus/core.py",
        without="H12: an acknowledgement counts in any term",
        text="if message.term != self.engine.term or not self.engine.is_leading:",
        instead="if not self.engine.is_leading:",
        caught_by=_LOG + "test_h12_an_acknowledgement_of_an_earlier_term_counts_for_nothing",
    ),
    Mutant(
        file="consensus/core.py",
        without="a follower may be ahead of its raft leader",
        text="if message.next_index > self._journal.last_index + 1:",
        instead="if message.next_index < 0:",
        caught_by=_CORE + "test_a_follower_ahead_of_its_leader_ends_the_process",
    ),
    Mutant(
        file="consensus/core.py",
        without="entries of an append may have gaps",
        text="if any(entry.index != previous + 1 + i for i, entry in enumerate(entries)):",
        instead="if any(entry.index < 0 for i, entry in enumerate(entries)):",
        caught_by=_CORE + "test_an_append_with_a_gap_is_refused",
    ),
    Mutant(
        file="consensus/journal.py",
        without="a tail is kept behind a snapshot that it does not follow",
        text="if self.term_at(image.head.last.index) == image.head.last.term:",
        instead="if self.term_at(image.head.last.index) is not None:",
        caught_by=_CORE + "test_a_tail_that_does_not_follow_a_snapshot_goes",
    ),
    Mutant(
        file="consensus/syncobj.py",
        without="H23: a reset goes back one entry at a time",
        text="self._progress(peer, common + 1, reset=True, success=False)",
        instead="self._progress(peer, max(common + 1, self._SyncObj__raftLog.last_index), "
        "reset=True, success=False)",
        caught_by=_LOG + "test_h23_a_long_backlog_behind_a_conflict_is_caught_up",
    ),
    Mutant(
        file="consensus/core.py",
        without="a part of a snapshot is not answered",
        text="self.engine.hear_part(peer, message.term)",
        instead="self.engine.hear_leader(peer, message.term, 0)",
        caught_by="unit/consensus/test_core.py::"
        "test_each_part_of_a_snapshot_is_answered_so_that_its_leader_stays_one",
    ),
    Mutant(
        file="consensus/snapshots.py",
        without="a stream of snapshot parts may have a hole",
        text="if self._source != source:",
        instead="if self._source is None:",
        caught_by=_CORE + "test_parts_of_two_snapshots_are_not_put_together",
    ),
    Mutant(
        file="consensus/state.py",
        without="a snapshot needs no checksum",
        text='if data[len(body) :] != zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big"):',
        instead="if not body:",
        caught_by=_CORE + "test_a_damaged_snapshot_is_refused_whole",
    ),
)

VOTES: Final = (
    Mutant(
        file="consensus/core.py",
        without="H3: two raft leaders in a term go on",
        text="if self.engine.is_leading and term == self.engine.term:",
        instead="if self.engine.is_leading and term < 0:",
        caught_by=_VOTES + "test_h3_two_raft_leaders_of_one_term_end_the_process",
    ),
    Mutant(
        file="consensus/journal.py",
        without="H3, H9: term and vote are not stored",
        text="self._store.save_ballot(term, vote)",
        instead="pass",
        caught_by=_VOTES + "test_h9_a_vote_outlives_the_process",
    ),
    Mutant(
        file="consensus/core.py",
        without="H9: the stored vote is not taken up at a start",
        text="vote = persisted.vote if term == persisted.term else None",
        instead="vote = None",
        caught_by=_VOTES + "test_h9_a_vote_outlives_the_process",
    ),
    Mutant(
        file="consensus/journal.py",
        without="H9: a second vote in a term is given",
        text="if term == known_term and known_vote is not None:",
        instead="if term < 0:",
        caught_by=_VOTES + "test_h9_a_second_vote_in_a_term_ends_the_process",
    ),
    Mutant(
        file="consensus/journal.py",
        without="H9: the term may fall",
        text="if term < known_term:",
        instead="if term < 0:",
        caught_by=_VOTES + "test_h9_a_second_vote_in_a_term_ends_the_process",
    ),
    Mutant(
        file="consensus/syncobj.py",
        without="H10: entries of any kind are applied",
        text="if command[:1] == REGULAR:",
        instead="if command:",
        caught_by=_VOTES + "test_h10_the_log_changes_no_members_and_unpickles_nothing",
    ),
    Mutant(
        file="consensus/elections.py",
        without="H13: a voter counts more than once",
        text="if peer not in self._ballots.voters:",
        instead="if peer is not None:",
        caught_by=_VOTES + "test_h13_a_voter_counts_once",
    ),
    Mutant(
        file="consensus/elections.py",
        without="H22: an election begins without asking for support",
        text="if self._engine.election_due < now and not self.has_support:",
        instead="if now < 0:",
        caught_by=_VOTES + "test_h22_a_voter_that_hears_the_leader_supports_nobody_else",
    ),
    Mutant(
        file="consensus/elections.py",
        without="H22: a voter that hears its leader supports another",
        text="is_free = self._membership.may_answer(peer, message.to) and not self.hears_leader()",
        instead="is_free = self._membership.may_answer(peer, message.to)",
        caught_by=_CORE + "test_support_is_given_only_without_a_leader_and_to_the_up_to_date",
    ),
    Mutant(
        file="consensus/elections.py",
        without="H22: a voter supports one that lacks its entries",
        text="granted = is_up_to_date and is_current and is_free",
        instead="granted = is_current and is_free",
        caught_by=_CORE + "test_support_is_given_only_without_a_leader_and_to_the_up_to_date",
    ),
    Mutant(
        file="consensus/elections.py",
        without="H22: a voter that hears its leader votes for another",
        text="if self._membership.may_answer(peer, message.to) and not is_loyal:",
        instead="if self._membership.may_answer(peer, message.to):",
        caught_by=_VOTES + "test_h22_a_voter_that_hears_the_leader_does_not_vote_either",
    ),
    Mutant(
        file="consensus/elections.py",
        without="H22: support of a minority is enough",
        text="if self._membership.is_majority(1 + len(canvass.supporters)):",
        instead="if canvass.supporters:",
        caught_by=_CORE + "test_an_election_begins_with_the_support_of_a_majority",
    ),
    Mutant(
        file="consensus/elections.py",
        without="H22: support for an earlier round counts",
        text="if (message.round, self._engine.term) != (canvass.round, canvass.term):",
        instead="if self._engine.term != canvass.term:",
        caught_by=_CORE + "test_an_election_begins_with_the_support_of_a_majority",
    ),
    Mutant(
        file="consensus/elections.py",
        without="H22: no time to read after a pause",
        text="if now - ticked > half:",
        instead="if now - ticked < 0:",
        caught_by=_VOTES + "test_h22_a_voter_that_was_paused_reads_before_it_asks",
    ),
    Mutant(
        file="consensus/membership.py",
        without="half of an even number of voters is a majority",
        text="return count > len(self.seats) / 2",
        instead="return count >= len(self.seats) / 2",
        caught_by=_CORE + "test_half_of_the_voters_are_no_majority",
    ),
)

DISK: Final = (
    Mutant(
        file="consensus/core.py",
        without="H5: entries overtake what waits for the disk",
        text="if not self.engine.is_leading or self.engine.out:",
        instead="if not self.engine.is_leading:",
        caught_by="unit/consensus/test_gate.py::"
        "test_with_anything_else_to_say_a_raft_leader_waits_for_its_disk",
    ),
    Mutant(
        file="consensus/core.py",
        without="H5: messages leave before the disk has what they show",
        text="self._sync()\n        return self.engine.take_out()",
        instead="return self.engine.take_out()",
        caught_by=_DISK + "test_h5_nothing_is_acknowledged_before_the_disk_has_it",
    ),
    Mutant(
        file="consensus/syncobj.py",
        without="H5: the first entry of a raft leader counts before it is durable",
        text="super()._SyncObj__onBecomeLeader()\n        self._make_durable()",
        instead="super()._SyncObj__onBecomeLeader()",
        caught_by=_DISK + "test_h5_the_raft_leader_counts_its_own_copy_only_once_durable",
    ),
    Mutant(
        file="consensus/core.py",
        without="H5: the raft leader counts its own copy before it is durable",
        text="if self.engine.is_leading:\n            self._sync()",
        instead="if self.engine.is_leading:\n            pass",
        caught_by=_DISK + "test_h5_a_later_entry_of_the_raft_leader_waits_for_the_disk_too",
    ),
    Mutant(
        file="consensus/syncobj.py",
        without="H6: what lies in the log at a start counts as committed",
        text="self._SyncObj__needLoadDumpFile = False",
        instead="self._SyncObj__needLoadDumpFile = False\n"
        "        self._SyncObj__raftCommitIndex = journal.last_index",
        caught_by=_DISK + "test_h6_the_commit_index_is_found_anew_after_a_restart",
    ),
    Mutant(
        file="consensus/journal.py",
        without="H7: entries behind a snapshot are not taken up at a start",
        text="self._entries = [_triple(entry) for entry in persisted.entries]",
        instead="self._entries = [_triple(entry) for entry in persisted.entries[:2]]",
        caught_by=_DISK + "test_h7_a_crash_after_a_snapshot_keeps_the_entries_behind_it",
    ),
    Mutant(
        file="consensus/storage.py",
        without="H8: a compaction is two transactions",
        text="self._shelf.put_in_use(Origin.OWN, first_index)",
        instead="self._shelf.put_in_use(Origin.OWN, first_index)\n            self.sync()",
        caught_by=_STORAGE + "test_a_compaction_is_whole_or_not_at_all",
    ),
    Mutant(
        file="consensus/compaction.py",
        without="a snapshot is written in one round, however long that takes",
        text="if len(part) >= size:",
        instead="if len(part) < 0:",
        caught_by=_COMPACTION + "test_a_round_makes_one_part",
    ),
    Mutant(
        file="consensus/state.py",
        without="a snapshot in the making follows the state",
        text="return _pieces(numbers, dict(machine.entries), dict(machine.leases), sessions)",
        instead="return _pieces(numbers, machine.entries, machine.leases, sessions)",
        caught_by=_COMPACTION
        + "test_a_snapshot_shows_the_state_at_its_index_whatever_is_written_meanwhile",
    ),
    Mutant(
        file="consensus/core.py",
        without="a snapshot in the making outlives the arrival of a newer one",
        text="self._compaction.abandon()",
        instead="pass",
        caught_by=_COMPACTION + "test_a_snapshot_that_is_received_ends_the_one_in_the_making",
    ),
    Mutant(
        file="consensus/snapshots.py",
        without="a snapshot that arrives is written down at its end",
        text="self._write(chunk.data, chunk.first)",
        instead="if chunk.last:\n            self._write(bytes(self._parts), True)",
        caught_by=_COMPACTION + "test_parts_are_on_the_disk_as_they_arrive",
    ),
    Mutant(
        file="consensus/shelf.py",
        without="what a snapshot replaced is taken away at once",
        text="min(self._oldest + gone, self._first)",
        instead="self._first",
        caught_by=_STORAGE + "test_what_a_snapshot_replaced_goes_little_by_little_with_new_entries",
    ),
    Mutant(
        file="consensus/storage.py",
        without="H5: SQLite does not sync each commit",
        text="PRAGMA synchronous = FULL",
        instead="PRAGMA synchronous = NORMAL",
        caught_by=_DISK + "test_h5_each_commit_of_the_file_is_synced",
    ),
    Mutant(
        file="consensus/records.py",
        without="H24: a log that begins late needs no snapshot",
        text="if first > 1 and not has_snapshot:",
        instead="if entries and entries[0].index < 0:",
        caught_by=_STORAGE + "test_a_changed_file_is_put_aside_and_never_voted_from",
    ),
    Mutant(
        file="consensus/records.py",
        without="a snapshot of another release is taken for damage",
        text='raise StorageFailed(f"{self._file}: {error}") from error',
        instead="raise self._damaged(str(error)) from error",
        caught_by="unit/consensus/test_versions.py::"
        "test_a_stored_snapshot_of_another_release_is_left_as_it_is",
    ),
    Mutant(
        file="consensus/records.py",
        without="a copy of another node's directory is voted from",
        text="if not (is_ours or self.is_anew):",
        instead="if owner is None:",
        caught_by="unit/consensus/test_records.py::"
        "test_the_directory_of_another_node_is_refused_and_left_as_it_is",
    ),
    Mutant(
        file="consensus/records.py",
        without="a promise does not bind a directory to the name of its node",
        text="self.is_anew = not is_ours and self._is_unused()",
        instead="self.is_anew = not is_ours",
        caught_by="unit/consensus/test_records.py::test_a_promise_binds_a_directory_to_its_name",
    ),
    Mutant(
        file="consensus/records.py",
        without="a file of another format is read as if it were ours",
        text="if not rows or rows[0][0] == FORMAT:",
        instead="if True:",
        caught_by="unit/consensus/test_records.py::"
        "test_a_directory_of_another_format_is_left_as_it_is",
    ),
    Mutant(
        file="consensus/records.py",
        without="H25: an entry needs no checksum",
        text="if crc != entry_crc(entry):",
        instead="if crc is None:",
        caught_by=_DISK + "test_h25_a_flipped_bit_is_never_voted_from",
    ),
    Mutant(
        file="consensus/records.py",
        without="H25: term and vote need no checksum",
        text="if crc != ballot_crc(term, vote):",
        instead="if crc is None:",
        caught_by=_STORAGE + "test_a_changed_file_is_put_aside_and_never_voted_from",
    ),
    Mutant(
        file="consensus/records.py",
        without="H25: a log may have gaps",
        text="if entries and index != entries[-1].index + 1:",
        instead="if entries and index < 0:",
        caught_by=_STORAGE + "test_a_changed_file_is_put_aside_and_never_voted_from",
    ),
    Mutant(
        file="consensus/records.py",
        without="R10: a damaged memory of promises speaks against others",
        text="if crc != mark_crc(address, mark):",
        instead="if crc is None:",
        caught_by=_STORAGE + "test_a_changed_file_is_put_aside_and_never_voted_from",
    ),
    Mutant(
        file="consensus/dirlock.py",
        without="two processes may use one directory",
        text="fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        instead="fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        caught_by=_STORAGE + "test_a_second_process_is_refused",
    ),
)

MUTANTS: Final = (*LOG, *VOTES, *DISK)
