"""Mutants of changes to the shared settings, and of what a server is given of them."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_CHANGES: Final = "unit/agent/test_configurations.py::"

AGENT: Final = (
    Mutant(
        file="agent/configurations.py",
        without="a change is made to other settings than those that were seen",
        text="if asked.revision is not None and asked.revision != entry.mod_revision:",
        instead="if asked.revision is not None and asked.revision < 0:",
        caught_by=_CHANGES + "test_a_change_to_other_settings_than_those_seen_is_refused",
    ),
    Mutant(
        file="agent/configurations.py",
        without="a change that was refused is written nevertheless",
        text="if problems:\n",
        instead="if len(problems) > 1:\n",
        caught_by=_CHANGES + "test_bad_values_are_refused_and_nothing_is_written",
    ),
    Mutant(
        file="config/proposal.py",
        without="R7: the ttl gets too short for the timers by which the agents run",
        text="if timers is config.profile or needed < config.ttl * (1 - RHO):",
        instead="if timers or needed < config.ttl * (1 - RHO):",
        caught_by=_CHANGES + "test_a_short_ttl_waits_until_the_agents_run_with_its_timers",
    ),
    Mutant(
        file="config/proposal.py",
        without="R18, R20: an operator sets a parameter that raftha owns",
        text="if name in MANAGED_PARAMETERS and name not in known",
        instead="if name in MANAGED_PARAMETERS and name in known",
        caught_by=_CHANGES + "test_bad_values_are_refused_and_nothing_is_written",
    ),
)
