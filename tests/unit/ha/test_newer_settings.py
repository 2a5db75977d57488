"""Settings that a newer release wrote: what an older one makes of them."""

from __future__ import annotations

from raftha.model.settings import DynamicConfig
from tests.unit.ha.builders import KEYS
from tests.unit.ha.test_documents import read


def test_settings_of_a_newer_version_count_as_far_as_they_are_understood() -> None:
    """A pause above all: an older agent that did not know of it would promote in it."""
    stored = b'{"format_version":1,"pause":true,"ttl":30,"synchronous_mode":"twice","new_key":{}}'
    found = read({KEYS.config: stored})

    assert (found.config.pause, found.config.ttl) == (True, 30)
    assert found.config.synchronous_mode is DynamicConfig().synchronous_mode
    (problem,) = found.problems
    assert "new_key" in problem
    assert "synchronous_mode" in problem
    assert "is in force here" in problem
    assert KEYS.config in found.unreadable, "and so nobody writes over it"


def test_timings_that_do_not_fit_together_without_what_is_unknown_are_the_usual_ones() -> None:
    stored = b'{"format_version":1,"profile":"quickest","ttl":2,"fence_budget":1.9,"pause":true}'
    found = read({KEYS.config: stored})

    assert found.config == DynamicConfig(pause=True)
    assert KEYS.config in found.unreadable
