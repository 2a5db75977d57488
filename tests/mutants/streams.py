"""Mutants of the names of streams: what counts for a member, and what only calls itself so."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_STREAMS: Final = "unit/ha/test_streams.py::"

DECISIONS: Final = (
    Mutant(
        file="ha/streams.py",
        without="R21: whatever calls itself like a member counts for it",
        text="return stream + OF_ANOTHER if stream.lower() in members else stream",
        instead="return stream if stream.lower() in members else stream",
        caught_by=_STREAMS + "test_a_stream_that_only_calls_itself_like_a_member_is_a_strangers",
    ),
    Mutant(
        file="ha/streams.py",
        without="R21: a setting that waits for a stranger passes for one that waits for the member",
        text="lambda stream: _owner(stream, owners, cluster)",
        instead="lambda stream: owners.get(stream, stream)",
        caught_by=_STREAMS + "test_a_setting_that_waits_for_a_stranger_waits_for_no_member",
    ),
    Mutant(
        file="ha/streams.py",
        without="R21: two streams of one name both count",
        text="return owner + TWICE if owner in cluster.members and counts",
        instead="return owner if owner in cluster.members and counts",
        caught_by=_STREAMS + "test_two_streams_of_one_name_count_for_nobody_until_one_is_ended",
    ),
    Mutant(
        file="ha/plans.py",
        without="R21: commits wait for the name that any machine could carry",
        text="synchronous_standby_names=as_streams(names, cluster),",
        instead="synchronous_standby_names=names or as_streams(names, cluster),",
        caught_by=_STREAMS + "test_the_setting_names_exactly_the_stream_that_the_member_announced",
    ),
    Mutant(
        file="ha/plans.py",
        without="R21: a standby streams under its bare name",
        text="application_name=me.stream or me.name",
        instead="application_name=me.name",
        caught_by=_STREAMS + "test_a_standby_streams_under_the_name_that_it_announces",
    ),
    Mutant(
        file="ha/rules/leader.py",
        without="R21: streams of one name are left beside each other",
        text="return (EndDoubles(streams),) if streams else ()",
        instead="return () if streams else ()",
        caught_by=_STREAMS + "test_two_streams_of_one_name_count_for_nobody_until_one_is_ended",
    ),
)
