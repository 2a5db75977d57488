"""Mutants of the birth of a cluster from directories that are there: which one it is made from,
and what becomes of one that comes too late."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_BIRTH: Final = "unit/ha/test_bootstrap.py::"
_LATE: Final = "unit/ha/test_follower.py::"
_TAKEN: Final = "unit/pg/test_takeover.py::"

MUTANTS: Final = (
    Mutant(
        file="agent/guarding.py",
        without="a new guardian kills the server that is to be taken over",
        text="server is None and not self._spares():",
        instead="server is None:",
        caught_by="unit/agent/test_guarding.py::"
        "test_what_runs_without_a_guardian_is_ended_unless_it_is_to_be_taken_over",
    ),
    Mutant(
        file="ha/rules/follower.py",
        without="what runs already is stopped before it can follow",
        text="if stranger is not None and s.leader_is_ready and not _slot_missing(s):",
        instead="if stranger is not None:",
        caught_by=_LATE + "test_a_server_that_somebody_else_started_is_stopped_once_it_can_follow",
    ),
    Mutant(
        file="ha/rules/server.py",
        without="what runs already is stopped while nobody leads",
        text="if stranger is not None and epoch is None:",
        instead="if False:",
        caught_by=_LATE + "test_a_server_that_somebody_else_started_goes_on_while_nobody_leads",
    ),
    Mutant(
        file="pg/takeover.py",
        without="what runs already is killed where it should end in order",
        text="signal.pidfd_send_signal(process, signal.SIGINT)",
        instead="signal.pidfd_send_signal(process, signal.SIGQUIT)",
        caught_by=_TAKEN + "test_it_is_asked_for_a_fast_shutdown_and_for_nothing_more",
    ),
    Mutant(
        file="pg/takeover.py",
        without="another process that has the number of a server is ended",
        text="if running_pid(data_dir) != pid:",
        instead="if not pid:",
        caught_by=_TAKEN + "test_a_process_that_only_has_its_number_is_left_alone",
    ),
    Mutant(
        file="pg/takeover.py",
        without="a server that was started by mistake on a directory of the cluster is taken over",
        text="if not config.take_over or birth(layout.data_dir):",
        instead="if not config.take_over:",
        caught_by=_TAKEN + "test_what_was_part_of_a_cluster_once_is_not_taken_over",
    ),
    Mutant(
        file="ha/rules/bootstrap.py",
        without="S10: a standby's directory founds the cluster, and the primary's is undone",
        text="    if not s.directory_of_primary:\n        return (",
        instead="    if s.directory_empty:\n        return (",
        caught_by=_BIRTH + "test_a_standby_s_directory_cannot_be_the_origin",
    ),
    Mutant(
        file="ha/rules/bootstrap.py",
        without="S10: an empty node founds a cluster beside the one that is to be brought in",
        text="if member.has_data and s.directory_empty:",
        instead="if member.has_data and not s.directory_empty:",
        caught_by=_BIRTH
        + "test_an_empty_node_leaves_the_race_to_whoever_has_a_cluster_to_bring_in",
    ),
    Mutant(
        file="ha/rules/bootstrap.py",
        without="S10: of two primaries' directories the one that is quicker undoes the other",
        text="rival = next((m.name for m in s.other_members if m.is_origin), None)",
        instead="rival = None",
        caught_by=_BIRTH + "test_of_two_primaries_directories_neither_is_brought_in",
    ),
    Mutant(
        file="ha/rules/bootstrap.py",
        without="S10: who waits for the others makes a primary's directory a standby's",
        text="or not s.directory_ready or s.may_initialise or",
        instead="or not s.directory_ready or",
        caught_by="unit/ha/test_bootstrap.py::"
        "test_a_directory_that_is_to_be_brought_in_stays_that_of_a_primary",
    ),
    Mutant(
        file="ha/rules/bootstrap.py",
        without="S10: who has a primary's directory waits for nobody to say what is elsewhere",
        text="reason = _cannot_initialise(s) or _waits_for_data(s)\n",
        instead="reason = _cannot_initialise(s) or s.directory_empty and _waits_for_data(s)\n",
        caught_by=_BIRTH + "test_a_primary_s_directory_waits_a_ttl_for_the_others_to_say_what_"
        "they_have",
    ),
    Mutant(
        file="ha/announce.py",
        without="a standby's directory stands in the way of the primary's",
        text="is_origin=_has_data(s) and s.directory_of_primary,",
        instead="is_origin=_has_data(s),",
        caught_by=_BIRTH + "test_a_node_says_whether_it_could_bring_a_cluster_in",
    ),
    Mutant(
        file="ha/rules/follower.py",
        without="S10: what was a primary before the cluster is rewound to it",
        text="if not _follows(s) or s.running or not s.directory_older:",
        instead="if not _follows(s) or s.running or s.directory_older:",
        caught_by=_LATE + "test_what_was_a_primary_before_the_cluster_is_left_alone",
    ),
    Mutant(
        file="ha/situation.py",
        without="S10: without a leader, what was a primary before the cluster is started as a "
        "standby",
        text="is_usable = directory.problem is None and not self.directory_older",
        instead="is_usable = directory.problem is None",
        caught_by=_LATE + "test_nothing_starts_what_was_a_primary_before_the_cluster",
    ),
    Mutant(
        file="ha/situation.py",
        without="S10: a directory of an earlier cluster counts as of this one",
        text="bool(initialize.birth) and directory.birth != initialize.birth",
        instead="bool(initialize.birth) and not directory.birth",
        caught_by=_LATE + "test_what_was_a_primary_before_the_cluster_is_left_alone",
    ),
    Mutant(
        file="ha/rules/follower.py",
        without="S10: a standby from before the cluster that has diverged is rewound",
        text="rejoin = Rejoin(leader, forced, spares=s.directory_strange)",
        instead="rejoin = Rejoin(leader, forced)",
        caught_by=_LATE + "test_a_standby_from_before_the_cluster_is_compared_and_spared",
    ),
    Mutant(
        file="ha/rules/follower.py",
        without="a standby from before the cluster is not compared with the leader",
        text="    if s.directory_strange:\n        return True\n",
        instead="",
        caught_by=_LATE + "test_a_standby_from_before_the_cluster_is_compared_and_spared",
    ),
    Mutant(
        file="ha/plans.py",
        without="S10: a standby from before the cluster counts as of it before it follows anybody",
        text='birth = "" if source is None else birth_of(cluster, me)',
        instead="birth = birth_of(cluster, me)",
        caught_by=_LATE + "test_a_standby_is_the_cluster_s_only_once_it_follows_somebody",
    ),
    Mutant(
        file="ha/plans.py",
        without="a cluster that has just begun takes its own first directory for an older one",
        text="if initialize.system_id is not None else me.stream or me.name",
        instead='if initialize.system_id is not None else ""',
        caught_by=_BIRTH + "test_the_cluster_is_called_after_the_raft_directory_that_it_began_with",
    ),
    Mutant(
        file="agent/jobs.py",
        without="S10: a rejoin undoes what this cluster has not written",
        text="            if action.spares:\n",
        instead="            if action.spares is None:\n",
        caught_by="unit/agent/test_jobs.py::test_what_this_cluster_did_not_write_is_not_undone",
    ),
)
