"""Clocks that go apart are told, and nothing else is."""

from __future__ import annotations

from raftha.agent.clockwatch import ClockWatch
from raftha.instants import Instant
from raftha.model.report import Level, Notice


def watched(rate: float, seconds: int, jump_at: int = -1, jump: float = 0.0) -> list[Notice]:
    """What is told, second by second, while BOOTTIME runs at `rate` and may jump once."""
    watch, boot, told = ClockWatch("n1"), 100.0, []
    for second in range(seconds):
        boot += rate + (jump if second == jump_at else 0.0)
        told += watch.look(Instant(boot, 100.0 + second))
    return told


def test_steady_clocks_and_those_within_the_bound_are_not_told() -> None:
    assert watched(1.0, 200) == []
    assert watched(1.009, 200) == []
    assert watched(0.991, 200) == []


def test_a_slewed_clock_is_told_either_way() -> None:
    for rate in (1.08, 0.92):
        told = watched(rate, 61)
        assert told
        assert told[-1].what.startswith(
            "the clocks of this machine went apart by 4.8 s within 60 s"
        )
        assert (told[-1].subject, told[-1].level) == ("n1", Level.WARNING)


def test_a_suspend_is_told_for_a_minute() -> None:
    told = watched(1.0, 300, jump_at=100, jump=30.0)
    assert 55 <= len(told) <= 66
    assert "apart by 30.0 s" in told[0].what


def test_whoever_looks_rarely_is_not_told_of_what_was_long_ago() -> None:
    watch = ClockWatch("n1")
    assert watch.look(Instant(0.0, 0.0)) == ()
    assert watch.look(Instant(1030.0, 1000.0)) == ()
