"""`--scheduled`, `raftha flush` and `--dry-run`: what is sent, what is said, and how they end."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raftha.cli.exits import Exit
from raftha.errors import OutcomeUnknown
from raftha.model.operation import OperationState
from tests.unit.api.fake_cluster import cluster_report, with_url, without_majority
from tests.unit.api.fake_responder import FakeResponder, finished
from tests.unit.cli.test_restart_command import raftha, responder, url

__all__ = ("responder", "url")

AT = "2999-05-17T03:00+02:00"


def test_a_switchover_is_scheduled_shown_and_flushed(responder: FakeResponder, url: str) -> None:
    asked = ("switchover", "--url", url, "--candidate", "n2", "--scheduled", AT, "--yes")
    told = raftha(*asked)
    assert told.exit_code == Exit.DONE, told.output
    assert "scheduled: switchover from n1 to n2 at 2999-05-17T01:00:00+00:00" in told.stdout
    assert responder.requests == []
    assert "scheduled: switchover from n1 to n2" in raftha("status", "--url", url).stdout

    again = raftha(*asked)
    assert (again.exit_code, "raftha flush" in again.stderr) == (Exit.REFUSED, True)
    flushed = raftha("flush", "switchover", "--url", url, "--yes")
    assert (flushed.exit_code, "off the schedule" in flushed.stdout) == (Exit.DONE, True)
    assert responder.schedule_store.cluster.scheduled_switchover is None
    nothing = raftha("flush", "switchover", "--url", url, "--yes")
    assert (nothing.exit_code, "Nothing of that kind" in nothing.stdout) == (Exit.DONE, True)


def test_restarts_are_scheduled_and_flushed_by_member(responder: FakeResponder, url: str) -> None:
    told = raftha("restart", "--url", url, "n1", "--pending", "--scheduled", AT, "--yes")
    assert told.exit_code == Exit.DONE, told.output
    plan = responder.schedule_store.cluster.scheduled_restarts["n1"]
    assert plan.restart_pending, "judged when its time has come, not now"
    assert responder.wishes.asked == []

    for words in (("n2", "restart"), ("restart", "-r", "replica")):
        other = raftha("flush", *words, "--url", url, "--yes")
        assert "Nothing of that kind" in other.stdout
    assert raftha("flush", "n1", "restart", "--url", url, "--yes").exit_code == Exit.DONE
    assert responder.schedule_store.cluster.scheduled_restarts == {}


def test_a_role_is_a_condition_of_that_time_too(responder: FakeResponder, url: str) -> None:
    report = responder.cluster_report
    alone = tuple(m for m in report.members if m.is_leader)
    responder.cluster_report = replace(report, members=alone)
    assert (
        raftha("restart", "--url", url, "-r", "leader", "--scheduled", AT, "--yes").exit_code == 0
    )
    assert responder.schedule_store.cluster.scheduled_restarts["n1"].role == "leader"


def test_what_a_member_refuses_does_not_keep_the_others(responder: FakeResponder, url: str) -> None:
    """Everybody's address is that of n1, which takes its own alone."""
    told = raftha("restart", "--url", url, "--scheduled", AT, "--yes")
    assert (told.exit_code, "this is n1, not n2" in told.stderr) == (Exit.REFUSED, True)
    assert set(responder.schedule_store.cluster.scheduled_restarts) == {"n1"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("switchover", "--scheduled", "2999-05-17T03:00"), "no time zone"),
        (("switchover", "--scheduled", "2001-05-17T03:00Z"), "has passed"),
        (("restart", "--scheduled", "tonight"), "no time as ISO 8601"),
        (("restart", "--scheduled", AT, "--dry-run"), "leave --scheduled out"),
        (("switchover", "--scheduled", AT, "--dry-run"), "leave --scheduled out"),
        (("flush",), "say what"),
        (("flush", "restart", "switchover"), "say what"),
        (("flush", "switchover", "n2"), "whole cluster"),
    ],
)
def test_wrong_words_are_a_usage_error(
    responder: FakeResponder, url: str, arguments: tuple[str, ...], words: str
) -> None:
    told = raftha(*arguments, "--url", url, "--yes")
    assert told.exit_code == Exit.USAGE
    assert words in " ".join(told.stderr.split())
    assert responder.schedule_store.cluster.scheduled_switchover is None


def test_nobody_to_confirm_nobody_to_ask_and_no_majority(
    responder: FakeResponder, url: str
) -> None:
    at = ("--scheduled", AT)
    for verb in (("switchover", *at), ("restart", *at), ("flush", "restart")):
        assert raftha(*verb, "--url", url).exit_code == Exit.USAGE
        gone = raftha(*verb, "--url", "http://127.0.0.1:9", "--yes")
        assert gone.exit_code == Exit.UNREACHABLE
    responder.cluster_report = with_url(without_majority(), url)
    for verb in (("switchover", *at), ("restart", *at), ("flush", "restart")):
        assert raftha(*verb, "--url", url, "--yes").exit_code == Exit.UNREACHABLE
    responder.cluster_report = with_url(cluster_report(), url)
    wrong = raftha("flush", "restart", "n9", "--url", url, "--yes")
    assert (wrong.exit_code, "there is no member n9" in wrong.stderr) == (Exit.REFUSED, True)


def test_now_is_now(responder: FakeResponder, url: str) -> None:
    responder.progress = [finished(OperationState.DONE)]
    asked = ("switchover", "--url", url, "--candidate", "n2", "--scheduled", "now", "--yes")
    assert raftha(*asked).exit_code == Exit.DONE
    assert len(responder.requests) == 1


def test_a_dry_run_asks_nobody_and_tells_what_the_cluster_says(
    responder: FakeResponder, url: str
) -> None:
    responder.accepted = finished(OperationState.REFUSED, "n2 lags 5 bytes")
    told = raftha("switchover", "--url", url, "--candidate", "n2", "--dry-run")
    assert (told.exit_code, "n2 lags 5 bytes" in told.stderr) == (Exit.REFUSED, True)
    responder.accepted = finished(OperationState.DONE, "it would begin now")
    assert raftha("failover", "--url", url, "--candidate", "n2", "--dry-run").exit_code == 0
    assert [asked.dry_run for asked in responder.requests] == [True, True]
    responder.accepted = finished(OperationState.DONE, "it would begin now")
    assert raftha("switchover", "--url", url, "--dry-run").exit_code == 0, "nobody is asked whom"
    told = raftha("restart", "--url", url, "--dry-run")
    assert told.exit_code == Exit.REFUSED, "the fake takes it for done, and says that it runs"
    assert [asked.dry_run for asked in responder.wishes.asked] == [True, True, True]
    done = replace(responder.wishes.answers, state=OperationState.DONE, message="n2 would do it")
    responder.wishes.answers = done
    told = raftha("restart", "--url", url, "n2", "--dry-run")
    assert (told.exit_code, told.stdout.splitlines()[-1]) == (Exit.DONE, "n2 would do it")


def test_an_answer_that_was_lost_is_no_refusal(responder: FakeResponder, url: str) -> None:
    responder.schedule_store.error = OutcomeUnknown("no answer in time")
    for words in (
        ("switchover", "--scheduled", AT),
        ("restart", "n1", "--scheduled", AT),
        ("stop",),
    ):
        told = raftha(*words, "--url", url, "--yes")
        assert told.exit_code == Exit.UNKNOWN, told.output
        assert "may have been accepted: see raftha status" in " ".join(told.stderr.split())
