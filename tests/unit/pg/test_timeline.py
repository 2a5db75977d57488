"""Timeline histories, and which log is a beginning of which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftha.model.ids import Lsn, Timeline
from raftha.model.postgres import TimelineSwitch
from raftha.pg import timeline
from raftha.pg.timeline import Relation

HISTORY = (
    TimelineSwitch(timeline=Timeline(1), switch=Lsn(100), reason="no recovery target specified"),
    TimelineSwitch(timeline=Timeline(3), switch=Lsn(200)),
)
SWITCHES = st.lists(
    st.builds(
        TimelineSwitch,
        timeline=st.integers(1, 2**31).map(Timeline),
        switch=st.integers(0, 2**64 - 1).map(Lsn),
        reason=st.from_regex(r"[a-z0-9]{0,10}( [a-z0-9]{1,10}){0,3}", fullmatch=True).map(
            str.strip
        ),
    )
).map(tuple)


@given(SWITCHES)
def test_a_history_is_read_as_it_was_written(switches: tuple[TimelineSwitch, ...]) -> None:
    assert timeline.parse_history(timeline.render_history(switches)) == switches


def test_a_reservation_names_no_parent() -> None:
    assert timeline.parse_history(timeline.PLACEHOLDER) == ()


@pytest.mark.parametrize("text", ["one 0/0", "1", "1 nowhere x"])
def test_a_broken_history_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a line"):
        timeline.parse_history(text)


@pytest.mark.parametrize(
    ("number", "lsn", "expected"),
    [
        (1, 100, True),
        (1, 101, False),
        (2, 1, False),
        (3, 200, True),
        (3, 201, False),
        (4, 999, True),
    ],
)
def test_an_end_of_log_is_an_ancestor_up_to_the_switch(
    number: int, lsn: int, expected: bool
) -> None:
    found = timeline.is_ancestor(HISTORY, Timeline(number), Lsn(lsn), Timeline(4))
    assert found is expected


@pytest.mark.parametrize(
    ("number", "last_record", "expected"),
    [
        (1, 99, Relation.FOLLOWS),
        (1, 100, Relation.DIVERGED),
        (2, 10, Relation.DIVERGED),
        (3, 199, Relation.FOLLOWS),
        (3, 200, Relation.DIVERGED),
        (4, 299, Relation.FOLLOWS),
        (4, 300, Relation.DIVERGED),
    ],
)
def test_a_record_that_begins_at_the_switch_is_diverged(
    number: int, last_record: int, expected: Relation
) -> None:
    found = timeline.relation(
        timeline=Timeline(number),
        last_record=Lsn(last_record),
        history=HISTORY,
        upstream_timeline=Timeline(4),
        upstream_position=Lsn(300),
    )
    assert found is expected


def test_every_number_up_to_the_newest_burned_one_is_reserved() -> None:
    assert timeline.to_reserve(Timeline(2), [Timeline(1), Timeline(5)]) == (3, 4, 5)
    assert timeline.to_reserve(Timeline(5), [Timeline(5)]) == ()
    assert timeline.to_reserve(Timeline(1), []) == ()


def test_the_fork_is_where_the_upstream_left_the_timeline() -> None:
    assert timeline.fork_point(HISTORY, Timeline(3)) == Lsn(200)
    assert timeline.fork_point(HISTORY, Timeline(2)) is None


def test_segments_from_the_fork_on_are_chosen() -> None:
    names = [
        "000000010000000000000001",
        "000000010000000000000002",
        "000000010000000100000000.partial",
        "000000020000000000000002",
        "00000002.history",
        "archive_status",
    ]
    chosen = timeline.segments_from(names, Timeline(1), Lsn(0x2000010), 16 << 20)
    assert chosen == (names[1], names[2], names[3])
    assert timeline.segments_from(names, Timeline(2), Lsn(0), 16 << 20) == (names[3],)


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("000000010000000000000002", True),
        ("000000010000000000000003", False),
        ("000000010000000000000004", False),
        ("000000020000000000000005", True),
        ("000000020000000000000006", False),
        ("000000030000000000000002", False),
    ],
)
def test_a_segment_is_shared_that_ends_before_the_other_line_leaves_its_timeline(
    name: str, shared: bool
) -> None:
    history = (
        TimelineSwitch(timeline=Timeline(1), switch=Lsn(0x3000010)),
        TimelineSwitch(timeline=Timeline(2), switch=Lsn(0x6000000)),
    )
    assert timeline.is_shared(name, history, 16 << 20) is shared


def test_the_segments_before_one_are_those_of_its_timeline() -> None:
    names = timeline.segments_down_from("0000000A0000000100000001", 3, 16 << 20)
    assert list(names) == [
        "0000000A0000000100000001",
        "0000000A0000000100000000",
        "0000000A00000000000000FF",
    ]
    assert list(timeline.segments_down_from("000000010000000000000001", 9, 1 << 30)) == [
        "000000010000000000000001",
        "000000010000000000000000",
    ]


def test_names_of_history_files() -> None:
    assert timeline.history_file(Timeline(26)) == "0000001A.history"
    assert timeline.timeline_of_history("0000001A.history") == 26
    assert timeline.timeline_of_history("0000001A.history.tmp") is None
