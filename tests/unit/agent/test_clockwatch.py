"""Clocks that go apart are told, and nothing else is."""

from __future__ import annotations

from raftha.agent.clockwatch import ClockWatch
from raftha.instants import Instant
from raftha.model.report import Level, Notice


def watched(rate: float, seconds: int, sleeps_at: int = -1, sleep: float = 0.0) -> list[Notice]:
    """What is told, second by second, while BOOTTIME runs at `rate`, and may be suspended once."""
    watch, boot, slept, told = ClockWatch("n1"), 100.0, 0.0, []
    for second in range(seconds):
        jump = sleep if second == sleeps_at else 0.0
        boot, slept = boot + rate + jump, slept + jump
        told += watch.look(Instant(boot, 100.0 + second, slept))
    return told


def test_steady_clocks_and_those_within_the_bound_are_not_told() -> None:
    assert watched(1.0, 200) == []
    assert watched(1.009, 200) == []
    assert watched(0.991, 200) == []


def test_a_slewed_clock_is_told_either_way() -> None:
    for rate, words in ((1.08, "slewed: +4.8 s within 60 s"), (0.92, "slewed: -4.8 s within 60 s")):
        told = watched(rate, 61)
        assert told
        assert told[-1].what.endswith(words)
        assert (told[-1].subject, told[-1].level) == ("n1", Level.WARNING)


def test_a_suspend_is_told_for_a_minute() -> None:
    told = watched(1.0, 300, sleeps_at=100, sleep=30.0)
    assert 55 <= len(told) <= 66
    assert "was suspended for 30.0 s" in told[0].what


def test_a_suspend_and_a_slew_are_told_apart() -> None:
    told = [notice.what for notice in watched(0.92, 61, sleeps_at=30, sleep=30.0)[-2:]]
    assert "was suspended for 30.0 s" in told[0]
    assert "slewed: -4.8 s" in told[1]


def test_whoever_looks_rarely_is_not_told_of_what_was_long_ago() -> None:
    watch = ClockWatch("n1")
    assert watch.look(Instant(0.0, 0.0)) == ()
    assert watch.look(Instant(1030.0, 1000.0)) == ()
