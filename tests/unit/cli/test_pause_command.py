"""`raftha pause`, `resume` and `failover --fenced`: what they print, and how they end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from raftha.api.server import ApiServer
from raftha.cli import operate, pause
from raftha.cli.discover import contact
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.clock import SystemClock
from raftha.model.operation import OperationState, RequestKind
from raftha.model.report import ClusterReport, OperationRequest, PauseChange
from tests.unit.api.fake_cluster import cluster_report, with_url, without_majority
from tests.unit.api.fake_responder import FakeResponder, finished, rest_config
from tests.unit.ha.servers import N1, N2, FakeClock


@pytest.fixture
def responder() -> FakeResponder:
    return FakeResponder()


@pytest.fixture
def url(responder: FakeResponder) -> Iterator[str]:
    server = ApiServer(rest_config(), responder, SystemClock())
    address = f"http://{server.start()}"
    responder.cluster_report = with_url(cluster_report(), address)
    yield address
    server.stop()


def raftha(*arguments: str) -> Result:
    return CliRunner(env={"RAFTHA_URL": ""}).invoke(cli, arguments)


def kept(report: ClusterReport, *, paused: bool, but: str = "") -> ClusterReport:
    """Every member keeps to it, but one."""
    members = [replace(m, paused=paused if m.name != but else not paused) for m in report.members]
    return replace(report, paused=paused, members=tuple(members))


def test_a_pause_is_begun_and_ended(responder: FakeResponder, url: str) -> None:
    result = raftha("pause", "--url", url)
    assert result.exit_code == Exit.DONE
    assert "the cluster is paused" in result.output
    assert "raftha resume" in result.output

    assert raftha("resume", "--url", url).exit_code == Exit.DONE
    assert responder.pauses.asked == [True, False]


@pytest.mark.parametrize(
    ("state", "code"),
    [(OperationState.REFUSED, Exit.REFUSED), (OperationState.UNKNOWN, Exit.UNKNOWN)],
)
def test_other_ends_have_their_codes(
    responder: FakeResponder, url: str, state: OperationState, code: Exit
) -> None:
    responder.pauses.answer = PauseChange(paused=True, state=state, message="because")
    result = raftha("pause", "--wait", "--url", url)

    assert result.exit_code == code
    assert "because" in result.stderr


def test_without_a_majority_nothing_is_asked(responder: FakeResponder, url: str) -> None:
    responder.cluster_report = with_url(without_majority(), url)

    assert raftha("pause", "--url", url).exit_code == Exit.UNREACHABLE
    assert responder.pauses.asked == []


def test_who_waits_stays_until_every_member_keeps_to_it(
    responder: FakeResponder, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = FakeClock()
    report = with_url(cluster_report(), url)
    progress = [
        kept(report, paused=False),
        kept(report, paused=True, but="n1"),
        kept(report, paused=True),
    ]
    responder.cluster_report = progress[0]

    def wait(seconds: float) -> None:
        clock.advance(seconds)
        progress.pop(0)
        responder.cluster_report = progress[0]

    chosen = contact(None, (url,), {}, (), verify=True)
    assert pause.change(chosen, paused=True, waiting=True, clock=clock, wait=wait) is Exit.DONE
    said = capsys.readouterr().out
    assert "waiting for the store" in said
    assert "waiting for n1" in said


def test_who_waits_in_vain_is_told_so(responder: FakeResponder, url: str) -> None:
    clock = FakeClock()
    report = kept(with_url(cluster_report(), url), paused=False)
    responder.cluster_report = replace(report, disarmed=("n9",))
    chosen = contact(None, (url,), {}, (), verify=True)

    ended = pause.change(
        chosen, paused=False, waiting=True, clock=clock, wait=lambda s: clock.advance(s + 9)
    )
    assert ended is Exit.UNKNOWN


def test_a_member_that_does_not_answer_is_not_waited_for_unless_it_is_disarmed() -> None:
    report = kept(cluster_report(), paused=True, but="n2")
    silent = replace(
        report,
        members=tuple(replace(m, answers=m.name != "n2") for m in report.members),
    )
    assert pause.behind(report, paused=True) == ("n2",)
    assert pause.behind(silent, paused=True) == ()

    resumed = replace(kept(cluster_report(), paused=False), disarmed=("n2",))
    assert pause.behind(resumed, paused=False) == ("n2",)


def lose_the_leader(responder: FakeResponder) -> None:
    """There is no leader, and n1 was left without a deadline."""
    report = replace(responder.cluster_report, leader=None, disarmed=("n1",))
    responder.cluster_report = report
    responder.accepted = finished(OperationState.DONE)


def test_the_word_that_a_member_is_off_is_sent_with_the_failover(
    responder: FakeResponder, url: str
) -> None:
    lose_the_leader(responder)
    words = ("failover", "--candidate", "n2", "--fenced", "n1", "--yes", "--url", url)
    result = raftha(*words)

    assert result.exit_code == Exit.DONE
    assert "must be off" in result.output
    assert responder.requests == [
        OperationRequest(kind=RequestKind.FAILOVER, candidate=N2, fenced=N1)
    ]


def test_a_member_that_nothing_waits_for_is_not_declared_off(
    responder: FakeResponder, url: str
) -> None:
    words = ("failover", "--candidate", "n2", "--fenced", "n1", "--yes", "--url", url)
    result = raftha(*words)

    assert result.exit_code == Exit.REFUSED
    assert "leave --fenced out" in result.stderr
    assert responder.requests == []


@pytest.mark.parametrize(("typed", "agreed"), [("n1", True), ("yes", False), ("n2", False)])
def test_the_name_has_to_be_typed(typed: str, agreed: bool) -> None:
    request = OperationRequest(kind=RequestKind.FAILOVER, candidate=N2, fenced=N1)
    wish = operate.Wish(
        kind=RequestKind.FAILOVER, leader=None, candidate=N2, fenced=N1, yes=False, wait=False
    )
    with CliRunner().isolation(input=f"{typed}\n"):
        assert operate._confirmed("demo", request, wish) is agreed
