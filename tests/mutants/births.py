"""Mutants of the birth of a cluster from directories that are there: which one it is made from."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_BIRTH: Final = "unit/ha/test_bootstrap.py::"

MUTANTS: Final = (
    Mutant(
        file="ha/rules/bootstrap.py",
        without="S10: of two primaries' directories the one that is quicker undoes the other",
        text="rival = next((m.name for m in s.other_members if m.is_origin), None)",
        instead="rival = None",
        caught_by=_BIRTH + "test_of_two_primaries_directories_neither_is_brought_in",
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
)
