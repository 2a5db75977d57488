"""The checkers of the integration tests find what is planted for them, and nothing else."""

from __future__ import annotations

import pytest

from tests.integration.losses import LATE_S, Bound, loss_violations, written_in
from tests.integration.ports import PortLeases, is_free
from tests.integration.workload import (
    Attempt,
    Ledger,
    Outcome,
    overlap_s,
    set_violations,
    writer_violations,
)


def attempt(
    number: int,
    server: str = "n1",
    at: float = 0.0,
    *,
    timeline: int = 1,
    word: str = "ok",
    position: int = 0,
) -> Attempt:
    return Attempt(
        id=number,
        server=server,
        started=at,
        ended=at + 0.01,
        outcome=Outcome(word),
        timeline=timeline,
        position=position,
    )


def test_a_lost_acknowledged_row_is_found() -> None:
    attempts = [attempt(1), attempt(2)]

    assert set_violations(attempts, {1}) == ["1 rows were acknowledged and are lost: [2]"]


def test_a_refused_row_that_is_there_is_found() -> None:
    assert set_violations([attempt(1, word="failed")], {1}) == [
        "1 rows were refused and are there: [1]"
    ]


def test_a_row_that_nobody_tried_is_found() -> None:
    assert set_violations([attempt(1)], {1, 7}) == ["1 rows are there and were never tried: [7]"]


@pytest.mark.parametrize("rows", [{1}, {1, 2}])
def test_a_row_with_unknown_outcome_may_be_there_or_not(rows: set[int]) -> None:
    assert set_violations([attempt(1), attempt(2, word="unknown")], rows) == []


def test_a_second_writer_within_a_reign_is_found() -> None:
    attempts = [attempt(1, "n1", 0.0), attempt(2, "n2", 1.0, timeline=2), attempt(3, "n1", 2.0)]

    (found,) = writer_violations(attempts)

    assert "within the reign of ('n1', 1)" in found


def test_the_time_with_two_writers_is_measured() -> None:
    """n2 serves from 1 to 4 s; n1 answers until 0.5 s, and once more at 3.5 s."""
    first = [attempt(1, "n1", 0.0), attempt(2, "n1", 0.5)]
    second = [attempt(3 + n, "n2", 1.0 + n, timeline=2) for n in range(4)]

    assert overlap_s([*first, *second]) == 0.0
    late = attempt(9, "n1", 3.5)
    assert overlap_s([*first, *second, late]) == pytest.approx(3.5 - 1.01)


def test_one_acknowledged_row_before_the_fault_and_one_after_it_are_no_two_writers() -> None:
    assert overlap_s([attempt(1, "n1", 0.0), attempt(2, "n2", 0.005, timeline=2)]) == 0.0
    assert overlap_s([]) == 0.0


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        (attempt(9, "n1", 3.5), "lie within the reign"),
        (attempt(9, "n2", 4.0, timeline=2), "are lost"),
    ],
)
def test_the_check_of_a_run_fails_on_what_is_planted(planted: Attempt, words: str) -> None:
    ledger = Ledger()
    honest = [attempt(1), attempt(2, "n2", 3.0, timeline=2), attempt(3, "n2", 4.0, timeline=2)]
    for each in honest:
        ledger.record(each)
    rows = {1, 2, 3}
    assert ledger.judge(rows, at_least=3).gap_s == pytest.approx(3.0)
    with pytest.raises(AssertionError, match="only 3 rows"):
        ledger.judge(rows, at_least=4)

    ledger.record(planted)
    with pytest.raises(AssertionError, match=words):
        ledger.judge(rows | ({9} if words != "are lost" else set()), at_least=3)


def test_rows_may_be_lost_where_nobody_waits_for_a_standby_but_nobody_may_write_beside() -> None:
    ledger = Ledger()
    for each in (attempt(1), attempt(2, "n2", 3.0, timeline=2), attempt(3, "n2", 4.0, timeline=2)):
        ledger.record(each)
    assert ledger.judge({2, 3}, at_least=3, may_lose=True).lost == 1

    ledger.record(attempt(4, "n1", 3.5))
    with pytest.raises(AssertionError, match="lie within the reign"):
        ledger.judge({2, 3}, at_least=3, may_lose=True)


def test_two_servers_on_one_timeline_are_found() -> None:
    attempts = [attempt(1, "n1", 0.0), attempt(2, "n2", 1.0)]

    assert writer_violations(attempts) == ["n1 and n2 both acknowledged on timeline 1"]


def test_a_server_may_reign_again_on_a_later_timeline() -> None:
    attempts = [
        attempt(1, "n1", 0.0),
        attempt(2, "n1", 1.0),
        attempt(3, "n2", 2.0, timeline=2),
        attempt(4, "n2", 3.0, timeline=2),
        attempt(5, "n1", 4.0, timeline=3),
    ]

    assert writer_violations(attempts) == []


def test_attempts_that_were_not_acknowledged_do_not_make_a_reign() -> None:
    attempts = [
        attempt(1, "n1", 0.0),
        attempt(2, "n2", 1.0, timeline=2, word="unknown"),
        attempt(3, "n1", 2.0),
    ]

    assert writer_violations(attempts) == []


def test_the_longest_outage_lies_between_two_acknowledgements() -> None:
    ledger = Ledger()
    for number, at in enumerate([0.0, 0.5, 3.0, 3.2]):
        ledger.record(attempt(number, at=at))

    assert ledger.longest_gap_s() == pytest.approx(2.5)


def test_two_holders_of_leases_never_share_a_port() -> None:
    first, second = PortLeases(), PortLeases()
    try:
        ports = [first.take() for _ in range(5)] + [second.take() for _ in range(5)]
        assert len(set(ports)) == 10
        assert all(map(is_free, ports))
    finally:
        first.close()
        second.close()


WRITTEN = [attempt(n, at=float(n), position=1000 * n) for n in range(1, 10)]
"""A thousand bytes of WAL each second, on timeline 1."""


def told(switch: str, lost_bytes: int | None) -> list[dict[str, object]]:
    first = {"timeline": 1, "parent": None, "switch": None, "lost_bytes": None}
    return [first, {"timeline": 2, "parent": 1, "switch": switch, "lost_bytes": lost_bytes}]


def test_the_most_wal_of_a_time_is_found() -> None:
    assert written_in(WRITTEN, 3.0) == 3000
    assert written_in(WRITTEN, 0.5) == 0
    assert written_in([], 3.0) == 0
    assert written_in([*WRITTEN, attempt(10, at=9.5, position=20_000)], 3.0) == 13_000


def test_a_loss_within_the_bound_that_is_told_is_none() -> None:
    rows, bound = {1, 2, 3, 4, 5}, Bound(lag_bytes=2500, ttl_s=2.0 - LATE_S)
    history = told(f"0/{4500:X}", 4500)

    assert loss_violations(WRITTEN, rows, history, bound) == []
    assert loss_violations(WRITTEN, {a.id for a in WRITTEN}, told("0/1", None), bound) == []


def test_a_loss_beyond_the_bound_is_found() -> None:
    rows, bound = {1, 2, 3, 4}, Bound(lag_bytes=2499, ttl_s=2.0 - LATE_S)
    history = told(f"0/{4500:X}", 4500)

    found = ["timeline 1 lost 4500 bytes, allowed: 4499"]
    assert loss_violations(WRITTEN, rows, history, bound) == found


@pytest.mark.parametrize("lost_bytes", [None, 0, 4499])
def test_a_loss_that_is_not_told_is_found(lost_bytes: int | None) -> None:
    bound = Bound(lag_bytes=1 << 20, ttl_s=2.0)
    history = told(f"0/{4500:X}", lost_bytes)

    found = [f"timeline 1 lost 4500 bytes, told: {lost_bytes}"]
    assert loss_violations(WRITTEN, {1, 2, 3, 4}, history, bound) == found


def test_a_loss_without_a_promotion_is_found() -> None:
    bound = Bound(lag_bytes=1 << 20, ttl_s=2.0)

    found = ["rows of timeline 1 are lost, and no promotion left it"]
    assert loss_violations(WRITTEN, {1}, told("0/1", 1)[:1], bound) == found
