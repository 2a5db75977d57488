"""R6 for any life of a host: suspended now and then, its clock slewed up and down, its oscillator
off by as much as `RHO` allows."""

from __future__ import annotations

from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from raftha.guardian import protocol
from raftha.guardian.protocol import Reading
from raftha.instants import RHO, Instant, longest, remaining, shortest
from tests.sim.clocks import FakeClock, TrueTime

SLACK_S: Final = 1e-6
"""For the rounding of sums of seconds since boot."""

Stretch = tuple[float, float, bool]
"""So many true seconds with CLOCK_BOOTTIME slewed by this share, suspended or not."""

STRETCHES = st.tuples(st.floats(0.0, 5.0), st.floats(-0.1, 0.1), st.booleans())
SLOW_THEN_SUSPENDED: Final = [(6.0, -0.1, False), (3.9, -0.1, True)]


def reading(at: Instant) -> Reading:
    """What the guardian of that host reads at this moment."""
    return Reading(at.boot, at.raw, at.slept)


@given(st.lists(STRETCHES, max_size=8), st.floats(1 - RHO, 1 + RHO), st.floats(0.5, 30.0))
@example(SLOW_THEN_SUSPENDED, 1.0, 9.95)
def test_no_holder_counts_less_and_no_one_who_ends_a_lease_more_than_has_passed(
    life: list[Stretch], drift: float, ttl: float
) -> None:
    """In true seconds, within what `RHO` allows. The guardian judges as the agent does."""
    time = TrueTime()
    clock = FakeClock(time, drift, drift, offset=1e5)
    began = clock.now()
    deadline = began.plus(ttl * (1 - RHO))
    passed = 0.0
    for seconds, slew, sleeps in life:
        clock.run_at(drift + slew, drift, sleeps=sleeps)
        time.now += seconds
        passed += seconds
        now = clock.now()
        assert longest(began, now) >= passed * (1 - RHO) - SLACK_S
        assert shortest(began, now) <= passed * (1 + RHO) + SLACK_S
        if passed > ttl + SLACK_S:
            assert remaining(deadline, now) <= 0
        is_due = protocol.is_past(reading(deadline), reading(now))
        assert is_due == (remaining(deadline, now) <= 0)
