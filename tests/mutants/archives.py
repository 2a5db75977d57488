"""Mutants of the member that follows an archive alone, and of copies and what they replace."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_ALONE: Final = "unit/ha/test_nostream.py::"
_JOBS: Final = "unit/agent/test_jobs.py::"

DECISIONS: Final = (
    Mutant(
        file="ha/plans.py",
        without="a member tagged nostream streams",
        text="if source is not None and not me.tags.nostream:",
        instead="if source is not None:",
        caught_by=_ALONE + "test_it_is_configured_without_an_upstream_though_it_follows_a_leader",
    ),
    Mutant(
        file="ha/plans.py",
        without="S10: the directory of a member without a stream is never marked as the cluster's",
        text='birth = "" if source is None else birth_of(cluster, me)',
        instead='birth = "" if upstream is None else birth_of(cluster, me)',
        caught_by=_ALONE + "test_it_is_configured_without_an_upstream_though_it_follows_a_leader",
    ),
    Mutant(
        file="ha/slots.py",
        without="a slot keeps WAL for a member that never streams",
        text="if not m.tags.nostream]",
        instead="if m.tags]",
        caught_by=_ALONE + "test_nobody_keeps_a_slot_for_it",
    ),
    Mutant(
        file="model/settings.py",
        without="commits wait for a member that never streams",
        text="return not (self.nosync or self.nostream or self.replicatefrom)",
        instead="return not (self.nosync or self.replicatefrom)",
        caught_by=_ALONE + "test_no_commit_waits_for_it",
    ),
    Mutant(
        file="model/settings.py",
        without="S7: a member that holds what the archive holds may lead",
        text="if self.nostream:",
        instead="if self is None:",
        caught_by=_ALONE + "test_it_is_no_candidate_and_says_why",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="L1: a race waits for a member that is no candidate",
        text="for member in s.other_members if not member.tags.nostream]",
        instead="for member in s.other_members]",
        caught_by=_ALONE + "test_no_race_waits_for_its_answer",
    ),
    Mutant(
        file="ha/rules/follower.py",
        without="L2: a burned number hides the next timeline from who follows the archive",
        text="return (FillHistories(newest),)",
        instead="return ()",
        caught_by=_ALONE + "test_a_burned_number_does_not_hide_the_next_timeline",
    ),
    Mutant(
        file="ha/decide.py",
        without="an old complaint about a stream has a member copied that has none",
        text="if view.me.tags.nostream:",
        instead="if view.me is None:",
        caught_by=_ALONE + "test_what_its_log_says_of_a_stream_it_had_is_no_reason_for_a_copy",
    ),
    Mutant(
        file="ha/upstreams.py",
        without="L2: a copy is taken of a member that is older than the slot made for the copy",
        text="if _serves(s, m) and not m.tags.nostream)",
        instead="if _serves(s, m))",
        caught_by=_ALONE + "test_another_standby_may_stream_from_it_and_none_is_copied_from_it",
    ),
    Mutant(
        file="ha/upstreams.py",
        without="a copy that an operator wants of the leader is taken of another one",
        text="if s.memory.failures > 0 or s.memory.from_leader:",
        instead="if s.memory.failures > 0:",
        caught_by="unit/ha/test_server_wishes.py::"
        "test_a_copy_is_of_the_leader_where_that_is_asked_for",
    ),
)

AGENT: Final = (
    Mutant(
        file="agent/jobs.py",
        without="a copy asks for a slot that nobody has made",
        text="if cluster.config.postgresql.use_slots and not me.tags.nostream:",
        instead="if cluster.config.postgresql is not None:",
        caught_by=_JOBS + "test_who_needs_no_slot_is_copied_without_one",
    ),
    Mutant(
        file="agent/jobs.py",
        without="what has diverged is kept under the name of what has not",
        text="copy = self._cloning(action.source, cluster, diverged=True)",
        instead="copy = self._cloning(action.source, cluster)",
        caught_by=_JOBS + "test_where_a_rewind_is_impossible_a_copy_is_made",
    ),
)
