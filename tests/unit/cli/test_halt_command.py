"""`raftha stop` and `raftha start`: what they say, whom they wait for, and how they end."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from raftha.cli import halt
from raftha.cli.discover import contact
from raftha.cli.exits import Exit
from raftha.cli.halt import Wish, late
from raftha.ha.halting import WORDS
from raftha.model.ids import MemberName
from raftha.model.report import Notice
from raftha.model.trouble import Trouble
from tests.unit.api.fake_cluster import cluster_report, with_url, without_majority
from tests.unit.api.fake_responder import FakeResponder
from tests.unit.cli.test_restart_command import raftha, responder, url
from tests.unit.ha.servers import FakeClock

__all__ = ("responder", "url")


def test_who_has_not_done_its_part_is_named() -> None:
    report = cluster_report()
    down = tuple(replace(m, state="stopped") for m in report.members)
    assert late(report, halts=True) == ("n1", "n2", "n3")
    assert late(replace(report, members=down), halts=True) == ()
    silent = (replace(report.members[0], answers=False, state="no answer"), *down[1:])
    assert late(replace(report, members=silent), halts=True) == ()
    assert late(report, halts=False) == ()
    assert late(replace(report, members=(report.members[0], *down[1:])), halts=False) == (
        "n2",
        "n3",
    )
    assert late(replace(report, leader=None), halts=False) == ("a leader",)


def test_it_is_explained_asked_for_and_waited_for(responder: FakeResponder, url: str) -> None:
    ways = contact(None, (url,), {}, ())
    clock = FakeClock()
    assert halt.change(ways, Wish(halts=True, yes=True), clock, clock.advance) is Exit.UNKNOWN
    assert responder.schedule_store.cluster.halt is not None
    told = raftha("stop", "--url", url, "--yes", "--no-wait")
    assert (told.exit_code, "stopped already" in told.stderr) == (Exit.REFUSED, True)
    assert "stays down until raftha start" in " ".join(told.stdout.split())

    assert halt.change(ways, Wish(halts=False), clock, clock.advance) is Exit.DONE
    assert responder.schedule_store.cluster.halt is None
    told = raftha("start", "--url", url)
    assert (told.exit_code, "not stopped" in told.stderr) == (Exit.REFUSED, True)


@pytest.mark.parametrize(
    ("state", "majority", "gives_up", "words"),
    [
        ("stopped", True, True, "outcome unknown: nothing is writable: start n1; the start holds"),
        ("stopped", False, True, "outcome unknown: no node that answers is in touch with a"),
        ("starting", True, False, "not every member within 120 s"),
    ],
)
def test_a_start_that_gets_no_leader_ends_with_the_reason(
    responder: FakeResponder,
    url: str,
    capsys: pytest.CaptureFixture[str],
    state: str,
    majority: bool,
    gives_up: bool,
    words: str,
) -> None:
    """Not while a server recovers, which may take long."""
    ways, clock = contact(None, (url,), {}, ()), FakeClock()
    why = Notice(
        code=Trouble.NO_LEADER, subject="cluster", what="nothing is writable", remedy="start n1"
    )
    report = responder.cluster_report
    members = tuple(replace(m, state=state) if m.name == "n2" else m for m in report.members)
    stuck = replace(report, leader=None, problems=(why,), members=members, majority=majority)

    def pass_(seconds: float) -> None:
        responder.cluster_report = stuck
        clock.advance(seconds)

    halt.change(ways, Wish(halts=True, yes=True, waiting=False), clock, clock.advance)
    begun = clock.now()
    assert halt.change(ways, Wish(halts=False), clock, pass_) is Exit.UNKNOWN
    took = clock.now().boot - begun.boot
    limit = halt.STANDSTILL_S + 2 * report.ttl if gives_up else halt.PATIENCE_S
    assert took == pytest.approx(limit, abs=1)
    printed = capsys.readouterr()
    assert printed.out.count("waiting for a leader") == 1
    assert words in printed.err


def test_a_stopped_cluster_says_so_first(responder: FakeResponder, url: str) -> None:
    stopped = replace(responder.cluster_report, stopped_by=MemberName("n3"))
    responder.cluster_report = stopped
    assert "STOPPED by an operator at n3" in raftha("status", "--url", url).stdout
    assert json.loads(raftha("status", "--url", url, "-o", "json").stdout)["stopped"] is True
    told = raftha("switchover", "--url", url, "--yes")
    assert (told.exit_code, WORDS in told.stderr) == (Exit.REFUSED, True)
    assert responder.requests == []


def test_nobody_to_confirm_nobody_to_ask_and_no_majority(
    responder: FakeResponder, url: str
) -> None:
    assert raftha("stop", "--url", url).exit_code == Exit.USAGE
    for verb in (("stop", "--yes"), ("start",)):
        gone = raftha(*verb, "--url", "http://127.0.0.1:9")
        assert gone.exit_code == Exit.UNREACHABLE
    responder.cluster_report = with_url(without_majority(), url)
    for verb in (("stop", "--yes"), ("start",)):
        assert raftha(*verb, "--url", url).exit_code == Exit.UNREACHABLE
    assert responder.schedule_store.cluster.halt is None
