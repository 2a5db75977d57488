"""Mutants of the slots that nodes keep for one another and for readers."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_KEPT: Final = "unit/ha/test_kept_slots.py::"
_LOGICAL: Final = "unit/ha/test_logical_slots.py::"
_FILES: Final = "unit/pg/test_logical_files.py::"

DECISIONS: Final = (
    Mutant(
        file="ha/slots.py",
        without="L2: a standby's slot moves beyond what its member has confirmed",
        text="told = {name: min(note.position, replayed) for name, note in seen.slots.items()}",
        instead="told = {name: replayed for name in seen.slots}",
        caught_by=_KEPT + "test_a_slot_is_never_moved_beyond_what_its_member_has_confirmed",
    ),
    Mutant(
        file="ha/slots.py",
        without="L2: positions of a line that was left move the slots of the new one",
        text="if replayed is None or seen.timeline != server.timeline:",
        instead="if replayed is None:",
        caught_by=_KEPT + "test_positions_of_another_timeline_move_nothing",
    ),
    Mutant(
        file="ha/slots.py",
        without="a standby lets go of the WAL that a rewind of its primary will need",
        text="{**told, leader.slot: min(server.redo, replayed)}",
        instead="{**told, leader.slot: replayed}",
        caught_by=_KEPT + "test_the_slot_of_the_leader_stays_where_a_recovery_here_would_begin",
    ),
    Mutant(
        file="ha/slots.py",
        without="a slot that somebody else made is dropped",
        text="ours = {m.slot for m in s.cluster.members.values()} | s.view.made_slots",
        instead="ours = set(server.slots)",
        caught_by=_KEPT + "test_only_what_was_made_here_and_nobody_wants_is_dropped",
    ),
    Mutant(
        file="ha/slots.py",
        without="the slot of a server that streams without its agent is dropped",
        text="left = (left & (idle | _of_replaced(s))) - leaving",
        instead="left = left - leaving",
        caught_by=_KEPT + "test_a_slot_through_which_a_server_streams_without_its_agent_stays",
    ),
    Mutant(
        file="ha/slots.py",
        without="L2: a slot is made anew before its reader is where it then begins",
        text="if server.redo is not None and notes.get(slot.name, Lsn(0)) >= server.redo",
        instead="if server.redo is not None",
        caught_by=_KEPT
        + "test_a_slot_that_holds_back_the_primary_is_made_anew_once_its_reader_is_far_enough",
    ),
    Mutant(
        file="ha/decide.py",
        without="a leader that stops takes back what it told of its slots",
        text="slots = seen.slots",
        instead="slots = {}",
        caught_by=_LOGICAL
        + "test_a_leader_whose_server_is_gone_takes_back_nothing_that_it_told_of_its_slots",
    ),
    Mutant(
        file="ha/decide.py",
        without="what was told of slots in an earlier reign counts in this one",
        text="return seen.name == leader.name and seen.revision >= leader.epoch.revision",
        instead="return seen.name == leader.name",
        caught_by=_LOGICAL
        + "test_a_leader_whose_server_is_gone_takes_back_nothing_that_it_told_of_its_slots",
    ),
    Mutant(
        file="ha/logical.py",
        without="a copy counts as ready before the primary keeps the catalog for it",
        text="if state.catalog_xmin is None or _precedes(state.catalog_xmin, floor):",
        instead="if state.catalog_xmin is None:",
        caught_by=_LOGICAL
        + "test_a_copy_is_ready_once_it_is_where_the_primary_began_to_keep_the_catalog_for_it",
    ),
    Mutant(
        file="ha/logical.py",
        without="what the primary kept for another server process counts for this one",
        text="before = known.of if known is not None and known.where == where else {}",
        instead="before = known.of if known is not None else {}",
        caught_by=_LOGICAL + "test_what_the_primary_began_to_keep_stays_the_measure",
    ),
    Mutant(
        file="ha/logical.py",
        without="all standbys restart for their copies at once",
        text="s.since(memory.streaming_since) >= STREAMED_S + TURN_S * before",
        instead="s.since(memory.streaming_since) >= 0",
        caught_by=_LOGICAL + "test_standbys_restart_one_after_the_other",
    ),
    Mutant(
        file="ha/logical.py",
        without="the last copy of a former primary's slot is dropped",
        text="is_left = slot.failover and slot.name in told",
        instead="is_left = slot.failover",
        caught_by=_LOGICAL
        + "test_what_a_former_primary_has_left_makes_room_for_the_synchronised_copy",
    ),
    Mutant(
        file="ha/plans.py",
        without="a subscriber gets what a standby lacks that may still be promoted",
        text="        found.update(sync.standbys)\n",
        instead="        found.update(())\n",
        caught_by=_LOGICAL + "test_readers_get_only_what_is_held_by_all_who_may_be_promoted",
    ),
)

FILES: Final = (
    Mutant(
        file="pg/logical.py",
        without="a fetched slot takes the place of one that is there",
        text="if target.exists() or not state.exists():",
        instead="if not state.exists():",
        caught_by=_FILES + "test_nothing_is_put_in_the_place_of_a_slot_that_is_there",
    ),
)
