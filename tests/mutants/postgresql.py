"""Mutants of what is done to PostgreSQL: its settings, who comes in, timelines, directories."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_CONF: Final = "unit/pg/test_conf.py::"
_EXPLAIN: Final = "unit/ha/test_explain.py::"
_FILES: Final = "unit/pg/test_files.py::"
_PARTS: Final = "unit/pg/test_elsewhere.py::"
_REWIND: Final = "unit/pg/test_rewind.py::"
_SHARED: Final = "unit/pg/test_shared_wal.py::"
_TEXTS: Final = "unit/pg/test_texts.py::"
_TIMELINE: Final = "unit/pg/test_timeline.py::"
_LAYER: Final = "integration/test_pg_layer.py::"

MUTANTS: Final = (
    Mutant(
        file="pg/timeline.py",
        without="S9: WAL from behind the fork is fetched for a rewind",
        text="return left is not None and end <= left.value",
        instead="return left is not None",
        caught_by=_TIMELINE
        + "test_a_segment_is_shared_that_ends_before_the_other_line_leaves_its_timeline",
    ),
    Mutant(
        file="pg/shared_wal.py",
        without="S9: WAL is fetched that is cut short",
        text="if path.stat().st_size != size or not",
        instead="if not",
        caught_by=_SHARED + "test_what_is_not_that_whole_segment_is_not_taken",
    ),
    Mutant(
        file="pg/shared_wal.py",
        without="S9: WAL of another cluster is fetched",
        text="and system == int(system_id)",
        instead="",
        caught_by=_SHARED + "test_what_is_not_that_whole_segment_is_not_taken",
    ),
    Mutant(
        file="ha/explain.py",
        without="a copy that filled its disk is told without what to do",
        text="if NO_SPACE in s.memory.failed:",
        instead="if not s.memory.failed:",
        caught_by=_EXPLAIN + "test_a_job_that_failed_is_told_with_what_to_do",
    ),
    Mutant(
        file="pg/conf.py",
        without="R11: a recovery target of before raftha has a standby promote itself",
        text='**dict.fromkeys(ENDS_OF_RECOVERY, ""),',
        instead="**{},",
        caught_by=_CONF + "test_what_is_included_ends_no_recovery",
    ),
    Mutant(
        file="pg/conf.py",
        without="L2: the slot of a member that is gone may fill the disk of the primary",
        text='"max_slot_wal_keep_size": slot_limit(volume_bytes),',
        instead='"max_slot_wal_keep_size": "-1",',
        caught_by=_CONF
        + "test_a_slot_may_keep_a_fifth_of_the_volume_unless_somebody_says_otherwise",
    ),
    Mutant(
        file="pg/queries.py",
        without="L2: a slot that lost its WAL looks like a sound one",
        text="WHEN p.wal_status = 'lost' THEN 0",
        instead="WHEN p.wal_status = 'lost' THEN NULL",
        caught_by=_LAYER + "test_a_slot_that_lost_its_wal_is_told_and_made_anew",
        limit_s=100,
    ),
    Mutant(
        file="pg/rewind.py",
        without="S9: a record cut short by a full disk counts as the first after the checkpoint",
        text="return Lsn(end.value - 1), end",
        instead="return start, end",
        caught_by=_REWIND
        + "test_a_record_that_goes_on_in_a_segment_never_made_counts_as_late_as_it_may_begin",
    ),
    Mutant(
        file="pg/conf.py",
        without="R20: PostgreSQL restarts itself after a crash",
        text='"restart_after_crash": "off",',
        instead='"restart_after_crash": "on",',
        caught_by=_TEXTS + "test_the_server_never_restarts_itself_after_a_crash",
    ),
    Mutant(
        file="pg/conf.py",
        without="what ALTER SYSTEM set undoes the plan",
        text="if name not in MANAGED | ENFORCED.keys()",
        instead="if name",
        caught_by=_CONF + "test_alter_system_keeps_what_is_not_ours",
    ),
    Mutant(
        file="pg/conf.py",
        without="R26: a standby may have less shared memory than replay needs",
        text="wanted |= shared_memory(wanted, plan, control)",
        instead="wanted |= {}",
        caught_by=_CONF + "test_a_standby_never_has_less_shared_memory_than_pg_control_demands",
    ),
    Mutant(
        file="pg/hba.py",
        without="R20: a closed server lets everybody in",
        text="    if closed:\n",
        instead="    if closed is None:\n",
        caught_by=_TEXTS + "test_the_agent_comes_first_in_pg_hba_and_alone_when_closed",
    ),
    Mutant(
        file="pg/hba.py",
        without="a closed primary keeps its standbys' streams out",
        text="return _text((*agent, *streams, *rejected, CLOSED))",
        instead="return _text((*agent, *rejected, CLOSED))",
        caught_by=_TEXTS + "test_a_closed_server_lets_the_streams_of_its_standbys_in",
    ),
    Mutant(
        file="pg/versions.py",
        without="R18: a release that may acknowledge alone is taken for synchronous mode",
        text="if minor >= first_safe:",
        instead="if minor >= 0:",
        caught_by=_TEXTS + "test_synchronous_mode_wants_the_minor_release_with_the_fix",
    ),
    Mutant(
        file="pg/timeline.py",
        without="R25: burned timeline numbers are taken again",
        text="newest = max((number for number in burned), default=current)",
        instead="newest = current",
        caught_by=_TIMELINE + "test_every_number_up_to_the_newest_burned_one_is_reserved",
    ),
    Mutant(
        file="pg/timeline.py",
        without="S9: a log whose last record begins at the switch follows",
        text="return Relation.FOLLOWS if last_record < end else Relation.DIVERGED",
        instead="return Relation.FOLLOWS if last_record <= end else Relation.DIVERGED",
        caught_by=_TIMELINE + "test_a_record_that_begins_at_the_switch_is_diverged",
    ),
    Mutant(
        file="pg/timeline.py",
        without="S9: a timeline that the upstream never was on follows",
        text="        if not ends:\n            return Relation.DIVERGED\n        end = ends[-1]",
        instead="        end = ends[-1] if ends else end",
        caught_by=_TIMELINE + "test_a_record_that_begins_at_the_switch_is_diverged",
    ),
    Mutant(
        file="pg/directory.py",
        without="S10: a running server is not noticed under its directory",
        text='    if pid is not None:\n        raise PostgresError(f"PostgreSQL (pid',
        instead='    if pid == 0:\n        raise PostgresError(f"PostgreSQL (pid',
        caught_by=_FILES + "test_a_pid_file_counts_only_with_its_process",
    ),
    Mutant(
        file="pg/configuration.py",
        without="R11: a standby is not marked as one",
        text='changed |= _written(data_dir / "standby.signal", "")',
        instead="assert data_dir",
        caught_by=_FILES + "test_no_plan_takes_the_signal_away_by_itself",
    ),
    Mutant(
        file="pg/probe.py",
        without="L1: a disk that refuses writes is not noticed",
        text="            self.error = error\n",
        instead="            assert error\n",
        caught_by=_FILES + "test_a_disk_that_refuses_is_reported",
    ),
    Mutant(
        file="pg/probe.py",
        without="L1: the probe of a full disk lives on the block that it had before",
        text="        _write(fresh)\n",
        instead="        (wal / FILE_NAME).unlink(missing_ok=True)\n        _write(fresh)\n",
        caught_by=_FILES + "test_a_full_disk_is_noticed_though_the_probe_has_a_block_there",
    ),
    Mutant(
        file="pg/receiver.py",
        without="R17: a stream counts as cut while its receiver lives",
        text="signal.pidfd_send_signal(handle, signal.SIGTERM)",
        instead="return True",
        caught_by=_LAYER + "test_a_stream_is_cut_even_while_replay_is_paused",
        limit_s=100,
    ),
    Mutant(
        file="pg/hba.py",
        without="R19: sessions come in at a start behind the gate",
        text='everybody = ("all all", "replication all")',
        instead='everybody = ("replication all",)',
        caught_by=_LAYER + "test_a_closed_server_admits_only_the_agent",
        limit_s=100,
    ),
    Mutant(
        file="pg/histories.py",
        without="R25: PostgreSQL is not made to skip burned timelines",
        text="return self.reserve(current, burned)",
        instead="return tuple(burned)",
        caught_by="integration/test_pg_rejoin.py::test_burned_timelines_are_skipped_and_followed",
        limit_s=100,
    ),
    Mutant(
        file="pg/elsewhere.py",
        without="a copy is filled where the tablespace of the directory it replaces may lie",
        text='return plain.with_name(f"{plain.name}{_SUFFIX}{attempt}")',
        instead="return plain",
        caught_by=_PARTS
        + "test_a_place_in_use_is_left_alone_by_a_copy_that_succeeds_and_one_that_fails",
    ),
    Mutant(
        file="pg/elsewhere.py",
        without="whatever the marker of a copy lists is removed",
        text="if part.is_absolute() and _OURS.search(part.name) and part.is_dir():",
        instead="if part.is_dir():",
        caught_by=_PARTS
        + "test_what_a_killed_attempt_left_elsewhere_is_removed_and_nothing_besides",
    ),
    Mutant(
        file="pg/kept.py",
        without="of undone WAL the newest is removed first",
        text="for kept in found[:-1]:",
        instead="for kept in found[:0:-1]:",
        caught_by="unit/pg/test_kept.py::test_of_undone_wal_the_oldest_goes_where_there_is_a_limit",
    ),
    Mutant(
        file="pg/histories.py",
        without="R25: whoever was away over a burned timeline misses its file for ever",
        text="self._missing(map(Timeline, range(2, current)))",
        instead="self._missing(map(Timeline, range(2, 2)))",
        caught_by="unit/pg/test_histories.py::"
        + "test_a_follower_of_any_age_finds_a_file_of_each_timeline",
    ),
)
