"""`raftha failover --allow-data-loss`: what is told, typed, sent and refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from raftha.api.server import ApiServer
from raftha.cli import operate
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.clock import SystemClock
from raftha.model.ids import Lsn
from raftha.model.operation import OperationState, RequestKind
from raftha.model.report import OperationRequest
from tests.unit.api.fake_cluster import cluster_report, with_url
from tests.unit.api.fake_responder import FakeResponder, finished, rest_config
from tests.unit.ha.servers import N2

ASKED = OperationRequest(kind=RequestKind.FAILOVER, candidate=N2, may_lose=True)
COMMAND = ("failover", "--candidate", "n2", "--allow-data-loss")


@pytest.fixture
def responder() -> FakeResponder:
    return FakeResponder()


@pytest.fixture
def url(responder: FakeResponder) -> Iterator[str]:
    """A node of a cluster whose leader is gone."""
    server = ApiServer(rest_config(), responder, SystemClock())
    address = f"http://{server.start()}"
    report = with_url(cluster_report(), address)
    held = {member.name: member.position for member in report.members}
    written = (held["n2"] or Lsn(0)).value + 4096
    responder.cluster_report = replace(report, leader=None, last_written=Lsn(written))
    yield address
    server.stop()


def raftha(*arguments: str) -> Result:
    return CliRunner(env={"RAFTHA_URL": ""}).invoke(cli, arguments)


def test_the_loss_is_told_and_sent_with_the_name_of_the_cluster(
    responder: FakeResponder, url: str
) -> None:
    responder.progress = [finished(OperationState.DONE)]
    scope = responder.cluster_report.scope
    result = raftha(*COMMAND, "--confirm", scope, "--url", url)

    assert result.exit_code == Exit.DONE
    assert "are lost: 4096 bytes of WAL at least" in result.output
    assert responder.requests == [ASKED]


def test_who_holds_all_that_anybody_knows_of_loses_nothing_known() -> None:
    report = replace(cluster_report(), last_written=None)
    members = tuple(replace(member, position=Lsn(4096)) for member in report.members)
    assert "are lost: none is known of" in operate._stake(replace(report, members=members), "n2")


def test_nobody_can_tell_how_much_is_lost_where_nobody_knows() -> None:
    report = cluster_report()
    members = tuple(replace(member, position=None) for member in report.members)
    told = operate._stake(replace(report, members=members), "n2")
    assert "nobody who answers can tell" in told


@pytest.mark.parametrize("words", [("--confirm", "other"), ("--confirm", "other", "--yes")])
def test_another_name_changes_nothing(
    responder: FakeResponder, url: str, words: tuple[str, ...]
) -> None:
    result = raftha(*COMMAND, *words, "--url", url)

    assert result.exit_code == Exit.USAGE
    assert f"--confirm other: the cluster is {responder.cluster_report.scope}" in result.stderr
    assert responder.requests == []


def test_yes_alone_is_not_enough(responder: FakeResponder, url: str) -> None:
    result = raftha(*COMMAND, "--yes", "--url", url)

    assert result.exit_code == Exit.USAGE
    assert "--confirm" in result.stderr
    assert responder.requests == []


def test_where_somebody_leads_nothing_has_to_be_lost(responder: FakeResponder, url: str) -> None:
    responder.cluster_report = replace(responder.cluster_report, leader="n1")
    result = raftha(*COMMAND, "--confirm", responder.cluster_report.scope, "--url", url)

    assert result.exit_code == Exit.REFUSED
    assert "n1 leads" in result.stderr
    assert responder.requests == []


def test_a_name_to_confirm_without_a_loss_is_a_mistake(responder: FakeResponder, url: str) -> None:
    result = raftha("failover", "--candidate", "n2", "--confirm", "demo", "--url", url)

    assert result.exit_code == Exit.USAGE
    assert responder.requests == []


@pytest.mark.parametrize(("typed", "agreed"), [("demo", True), ("y", False), ("yes", False)])
def test_the_name_of_the_cluster_has_to_be_typed(typed: str, agreed: bool) -> None:
    wish = operate.Wish(
        kind=RequestKind.FAILOVER, leader=None, candidate=N2, yes=True, wait=False, may_lose=True
    )
    with CliRunner().isolation(input=f"{typed}\n"):
        assert operate._confirmed("demo", ASKED, wish) is agreed


@pytest.mark.parametrize(("typed", "picked"), [("n3\n", "n3"), ("n1\nn2\n", "n2")])
def test_on_a_terminal_a_failover_asks_for_its_candidate(typed: str, picked: str) -> None:
    """As patronictl does; the leader is no answer."""
    wish = operate.Wish(
        kind=RequestKind.FAILOVER, leader=None, candidate=None, yes=False, wait=False
    )
    with CliRunner().isolation(input=typed):
        assert operate._request(cluster_report(), wish).candidate == picked
