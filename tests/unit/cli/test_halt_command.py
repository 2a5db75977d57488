"""`raftha stop` and `raftha start`: what they say, whom they wait for, and how they end."""

from __future__ import annotations

import json

from msgspec.structs import replace

from raftha.cli import halt
from raftha.cli.discover import contact
from raftha.cli.exits import Exit
from raftha.cli.halt import Wish, late
from raftha.ha.halting import WORDS
from raftha.model.ids import MemberName
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
    nobody = replace(report, leader=None)
    assert late(replace(nobody, members=()), halts=False) == ("a leader",)


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
