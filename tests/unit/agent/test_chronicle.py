"""The chronicle of a node: what is kept of a tick, where it is bounded, and what outlives it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from raftha.agent.chronicle import KEPT, LONGEST_BYTES, LONGEST_WORDS, Chronicle
from raftha.ha.memory import Memory, Served
from raftha.ha.table import Decision
from raftha.instants import Seconds
from raftha.model.happening import Kind
from raftha.model.ids import Epoch
from tests.unit.ha import builders as b
from tests.unit.ha.servers import EPOCH, N1, N2, FakeClock, at


def decision(reason: str, rule: str = "follow-60") -> Decision:
    return Decision(rule=rule, reason=reason, actions=(), memory=Memory())


def words(chronicle: Chronicle) -> list[str]:
    return [event.words for event in chronicle.latest(10 * KEPT).events]


@pytest.fixture
def chronicle(tmp_path: Path) -> Chronicle:
    return Chronicle(tmp_path / "events.jsonl", N1, FakeClock())


def run(chronicle: Chronicle) -> None:
    """Its thread, from the beginning to the end."""
    ended = threading.Event()
    ended.set()
    chronicle.run(ended)


def test_a_decision_is_kept_when_it_is_another_one(chronicle: Chronicle) -> None:
    for reason in ("waits 1.0 s at 0/5000", "waits 2.5 s at 0/6000", "streams from n2"):
        chronicle.look(b.following(), decision(reason), routed=False)

    assert words(chronicle) == ["waits 1.0 s at 0/5000", "streams from n2"]


def test_the_figures_of_a_long_copy_are_no_news(chronicle: Chronicle) -> None:
    for done in range(1, 100):
        told = f"running for {done} s: {done} % of 7.5 GiB are copied, {done} MiB a second"
        chronicle.look(b.following(), decision(told), routed=False)
    assert len(words(chronicle)) == 1

    for waited in ("waiting for 2 standbys", "waiting for 3 standbys"):
        chronicle.look(b.following(), decision(waited), routed=False)
    assert len(words(chronicle)) == 3


def test_a_race_is_kept_with_the_positions_that_it_rests_on(chronicle: Chronicle) -> None:
    chronicle.look(b.racing(), decision("no other holds more", "elect-70"), routed=False)

    (kept,) = chronicle.latest(1).events
    assert kept.rule == "elect-70"
    assert kept.facts["positions"].startswith("n1 0/")


def test_restless_decisions_do_not_displace_a_fence(chronicle: Chronicle) -> None:
    chronicle.note(Kind.FENCE, "the guardian killed the server: deadline")
    for number in range(3 * KEPT):
        chronicle.look(b.following(), decision(f"reason {'x' * (number % 7)}"), routed=False)

    assert len(words(chronicle)) == KEPT + 1
    assert "the guardian killed the server: deadline" in words(chronicle)


def test_the_time_without_writes_is_told_once_for_each_lease(tmp_path: Path) -> None:
    took: list[float] = []
    chronicle = Chronicle(tmp_path / "events.jsonl", N1, FakeClock(), took.append)
    served = Served(epoch=EPOCH, at=at(0), gap_seconds=Seconds(6.0))
    serving = replace(decision("-"), memory=Memory(served=served))
    for routed in (False, True, False, True):
        chronicle.look(b.view(), serving, routed)

    assert took == [6.0]
    kept = [event for event in chronicle.latest(50).events if event.kind == Kind.TAKEOVER]
    assert [(event.words, event.facts.get("seconds")) for event in kept] == [
        ("clients may write here, after nobody took writes", "6.0"),
        ("clients may not write here any more", None),
        ("clients may write here", None),
    ]


def test_a_time_without_writes_before_another_lease_is_not_told(tmp_path: Path) -> None:
    took: list[float] = []
    chronicle = Chronicle(tmp_path / "events.jsonl", N1, FakeClock(), took.append)
    others = Served(epoch=Epoch(1, 7), at=at(0), gap_seconds=Seconds(6.0))
    for served in (None, others, replace(others, epoch=EPOCH, gap_seconds=None)):
        memory = replace(decision("-"), memory=Memory(served=served))
        chronicle.look(b.view(), memory, routed=False)
        chronicle.look(b.view(), memory, routed=True)

    assert took == []


def test_it_is_remembered_by_the_next_agent_but_for_a_line_that_was_cut_short(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.jsonl"
    first = Chronicle(path, N1, FakeClock())
    first.note(Kind.FENCE, "one\nwith a break", seconds="0.1")
    run(first)
    first.flush()
    path.write_bytes(path.read_bytes() + b'{"node": "n1", "wal')

    second = Chronicle(path, N1, FakeClock())
    second.note(Kind.AGENT, "agent started")
    run(second)

    assert words(second) == ["one\nwith a break", "agent started"]


def test_file_and_words_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    chronicle = Chronicle(path, N2, FakeClock())
    for _ in range(10):
        for _ in range(KEPT):
            chronicle.note(Kind.ASKED, "x" * (4 * LONGEST_WORDS))
        chronicle.flush()

    files = sorted(tmp_path.iterdir())
    assert sum(file.stat().st_size for file in files) < 4 * LONGEST_BYTES
    assert {len(each) for each in words(chronicle)} == {LONGEST_WORDS}


def test_without_a_disk_it_is_kept_in_memory(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path / "gone" / "events.jsonl", N1, FakeClock())
    chronicle.note(Kind.FENCE, "deadline")
    chronicle.flush()
    run(chronicle)

    assert words(chronicle) == ["deadline"]


def test_a_lease_is_told_by_its_epoch(chronicle: Chronicle) -> None:
    chronicle.look(b.view(lease=b.lease(epoch=Epoch(1, 40))), decision("leads"), routed=True)

    facts = {event.kind: event.facts for event in chronicle.latest(5).events}
    assert facts["decision"] == {"epoch": "1.40"}
