"""`raftha why` and `raftha history --events`, against a real server with a fake agent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from raftha.api.server import ApiServer
from raftha.cli import show
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.cli.why import BadTime, moment, stamp
from raftha.clock import SystemClock
from raftha.instants import Seconds
from raftha.model.cluster import HistoryRecord
from raftha.model.happening import Happening, Kind
from raftha.model.ids import Epoch, Lsn, MemberName, Revision, Timeline
from tests.unit.api.fake_cluster import WALL, cluster_report, with_url
from tests.unit.api.fake_responder import FakeResponder, peer_report, rest_config

N1 = MemberName("n1")
NOON = datetime(2030, 1, 31, 12, 0, tzinfo=UTC)
PROMOTION = HistoryRecord(
    timeline=Timeline(2),
    parent=Timeline(1),
    switch=Lsn(0x5000060),
    epoch=Epoch(1, 57),
    leader=N1,
    reason="the lease of n3 ended; positions: n1 0/5000060, n2 0/5000000",
    wall=WALL,
    gap_seconds=4.8,
)


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[FakeResponder, str]]:
    responder = FakeResponder()
    server = ApiServer(rest_config(), responder, SystemClock())
    url = f"http://{server.start()}"
    report = with_url(cluster_report(), url)
    responder.cluster_report = replace(report, history=(PROMOTION,))
    yield responder, url
    server.stop()


@pytest.fixture
def url(node: tuple[FakeResponder, str]) -> str:
    node[0].peer_report = replace(peer_report(), obstacle="its tags forbid it (nofailover)")
    node[0].happened = [
        happening(-3600, Kind.FENCE, "an old fence"),
        happening(-2, Kind.LEADER, "n3 is not the leader any more"),
        happening(1, Kind.DECISION, "no other holds more", rule="elect-70"),
        happening(3, Kind.TAKEOVER, "clients may write here", seconds="4.8"),
    ]
    return node[1]


def happening(after: float, kind: Kind, words: str, rule: str = "", **facts: str) -> Happening:
    return Happening(node=N1, wall=WALL + after, kind=kind, words=words, rule=rule, facts=facts)


def raftha(*arguments: str) -> Result:
    return CliRunner(env={"RAFTHA_URL": "", "HOME": "/nonexistent"}).invoke(cli, arguments)


def test_the_leader_is_explained_by_its_promotion_and_the_others_by_what_they_say(url: str) -> None:
    result = raftha("why", "--url", url)

    assert result.exit_code == Exit.DONE
    lines = result.output.splitlines()
    assert lines[0] == "cluster main: n1 leads"
    told = f"{PROMOTION.reason}; no writes for 4.8 s, at {stamp(WALL)}"
    assert f"  n1 took over at 0/5000060, timeline 2; {told}" in lines
    assert "  elect-70: no other holds more" in lines
    assert lines.count("  it is no candidate: its tags forbid it (nofailover)") == 2


def test_one_node_is_asked_about_with_what_it_did_last(url: str) -> None:
    found = json.loads(raftha("why", "n3", "--url", url, "-o", "json").output)

    assert [each["name"] for each in found["nodes"]] == ["n3"]
    assert found["nodes"][0]["because"] == ["it is no candidate: its tags forbid it (nofailover)"]
    assert found["nodes"][0]["events"] == []
    assert raftha("why", "n9", "--url", url).exit_code == Exit.REFUSED


def test_a_time_shows_the_promotion_and_what_happened_around_it(url: str) -> None:
    result = raftha("why", "--url", url, "--at", stamp(WALL), "--around", "30")

    assert "took over at 0/5000060" in result.output
    assert f"{stamp(WALL + 1)} n1 decision: no other holds more [elect-70]" in result.output
    assert "an old fence" not in result.output
    assert "nothing was recorded" in raftha("why", "--url", url, "--at", "2001-01-01").output
    assert raftha("why", "--url", url, "--at", "soon").exit_code == Exit.USAGE


def test_the_history_shows_at_a_glance_what_each_change_of_the_leader_cost() -> None:
    (first,) = cluster_report().history
    second = replace(
        first,
        timeline=Timeline(3),
        leader=MemberName("n2"),
        gap_seconds=Seconds(4.75),
        lost_bytes=0,
    )
    unused = replace(second, epoch=Epoch(2, Revision(0)), gap_seconds=None, lost_bytes=None)

    head, *rows = (line.split("  ") for line in show.history_lines((first, second, unused)))

    assert [cell.strip() for cell in head if cell][3:6] == ["leader", "no writes", "left behind"]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert [row[3:-1] for row in cells] == [["n1"], ["n1 -> n2", "4.8 s", "0 bytes"], ["n2"]]
    assert cells[2][1] == "not used"
    assert {row[-1] for row in cells} == {first.reason}


def test_history_shows_the_events_of_all_nodes(url: str) -> None:
    lines = raftha("history", "--events", "--last", "2", "--url", url).output.splitlines()

    assert [line.split(": ")[1] for line in lines][-1] == "clients may write here seconds=4.8"
    assert len(lines) == 2
    assert raftha("history", "--events", "-o", "yaml", "--url", url).exit_code == Exit.USAGE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("11:59", "2030-01-31T11:59:00Z"),
        ("12:01", "2030-01-30T12:01:00Z"),
        ("03:12:05", "2030-01-31T03:12:05Z"),
        ("2030-01-01T02:00:00+02:00", "2030-01-01T00:00:00Z"),
        ("2030-01-01T02:00", "2030-01-01T02:00:00Z"),
    ],
)
def test_a_time_of_day_is_the_last_one_that_has_passed(text: str, expected: str) -> None:
    assert stamp(moment(text, NOON).timestamp()) == expected


@pytest.mark.parametrize("text", ["", "noon", "25:00", "2030-13-01", "1:2:3:4"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadTime):
        moment(text, NOON)
