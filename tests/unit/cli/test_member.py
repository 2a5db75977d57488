"""`raftha member` against a real server with a fake agent: what it prints, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml
from click.testing import CliRunner, Result
from msgspec.structs import replace

from raftha.api.server import ApiServer
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.clock import SystemClock
from raftha.model.ids import MemberName
from raftha.model.membership import MemberVerb
from raftha.model.operation import OperationState
from raftha.model.report import MemberChangeRequest, ReportedRole, Standing, VoterReport
from tests.unit.api.fake_changes import change
from tests.unit.api.fake_cluster import cluster_report, with_url, without_majority
from tests.unit.api.fake_responder import FakeResponder, rest_config

NEWCOMER = VoterReport(
    name="n4",
    address="10.0.0.4:2380",
    role="-",
    in_touch=True,
    behind_entries=7,
    last_contact_seconds=None,
    fsync_seconds=None,
    incarnation="0123456789abcdef",
    kind="witness",
    standing=Standing.NEWCOMER,
)


@pytest.fixture
def responder() -> FakeResponder:
    return FakeResponder()


@pytest.fixture
def url(responder: FakeResponder) -> Iterator[str]:
    server = ApiServer(rest_config(), responder, SystemClock())
    address = f"http://{server.start()}"
    report = replace(cluster_report(), without_vote=(NEWCOMER,), changes=(change(),))
    responder.cluster_report = with_url(report, address)
    yield address
    server.stop()


def member(*arguments: str) -> Result:
    return CliRunner(env={"RAFTHA_URL": ""}).invoke(cli, ["member", *arguments])


def test_the_list_tells_who_votes_and_who_does_not(url: str) -> None:
    lines = member("list", "--url", url).output.splitlines()

    assert lines[0] == "cluster main: 3 voters, 2 needed"
    assert lines[1].split()[:6] == ["member", "address", "directory", "role", "standing", "raft"]
    rows = {line.split()[0]: line.split() for line in lines[2:6]}
    assert rows["n1"][3:6] == ["data", "voter", "leader"]
    assert rows["n4"][1:6] == ["10.0.0.4:2380", "01234567", "witness", "newcomer", "-"]
    assert lines[6] == "add n4: running: add n4: asked for"


def test_json_and_yaml_are_the_page_of_members(url: str) -> None:
    as_json = json.loads(member("list", "--url", url, "-o", "json").output)
    as_yaml = yaml.safe_load(member("list", "--url", url, "-o", "yaml").output)

    assert as_json == as_yaml
    assert [node["standing"] for node in as_json["members"]] == ["voter"] * 3 + ["newcomer"]


def test_a_wish_is_explained_followed_and_its_end_printed(
    responder: FakeResponder, url: str
) -> None:
    responder.changes.progress = [None, change(), change(OperationState.DONE, "n4 votes")]
    result = member("add", "n4", "10.0.0.4:2380", "--yes", "--url", url)

    assert result.exit_code == Exit.DONE
    assert "n4 at 10.0.0.4:2380 gets a vote" in result.output
    assert "4 voters survive no more losses than 3" in result.output
    assert result.output.endswith("n4 votes\n")
    assert responder.changes.asked == [
        MemberChangeRequest(verb=MemberVerb.ADD, name="n4", address="10.0.0.4:2380")
    ]


def test_what_is_refused_is_not_explained_before(responder: FakeResponder, url: str) -> None:
    responder.changes.judgement = change(OperationState.REFUSED, "n1 is the primary: hand over")
    result = member("remove", "n1", "--yes", "--url", url)

    assert result.exit_code == Exit.REFUSED
    assert result.stderr == "refused: n1 is the primary: hand over\n"
    assert result.stdout == ""
    assert responder.changes.asked == []


def test_a_dry_run_explains_and_asks_for_nothing(responder: FakeResponder, url: str) -> None:
    result = member("remove", "n3", "--dry-run", "--url", url)

    assert result.exit_code == Exit.DONE
    assert "Two voters are left" in result.output
    assert "it would be asked for" in result.output
    assert (responder.changes.asked, len(responder.changes.judged)) == ([], 1)


def test_a_removal_says_what_goes_and_what_is_left(responder: FakeResponder, url: str) -> None:
    result = member("remove", "n3", "--yes", "--no-wait", "--url", url)

    assert result.exit_code == Exit.DONE
    assert "its replication slot and its key" in " ".join(result.output.split())
    assert "Two voters are left" in result.output
    assert "accepted as c-1" in result.output
    assert responder.changes.asked[0].verb is MemberVerb.REMOVE


def test_a_witness_has_nothing_but_its_vote_to_lose(responder: FakeResponder, url: str) -> None:
    report = responder.cluster_report
    group = (*report.group[:2], replace(report.group[2], kind="witness"))
    responder.cluster_report = replace(report, group=group)
    result = member("remove", "n3", "--yes", "--no-wait", "--url", url)

    assert "n3 loses its vote for ever" in result.output
    assert "slot" not in result.output


def test_a_replacement_names_both_and_asks_to_stop_the_old(
    responder: FakeResponder, url: str
) -> None:
    result = member("replace", "n3", "10.0.0.9:2380", "--yes", "--no-wait", "--url", url)

    assert "n3 at 10.0.0.3:2380" in result.output
    assert "the new node at 10.0.0.9:2380" in result.output
    assert "old machine" in result.output
    assert responder.changes.asked[0].address == "10.0.0.9:2380"


@pytest.mark.parametrize("has_member", [True, False], ids=["a dead member", "no member"])
def test_where_no_member_can_be_asked_a_witness_takes_the_wish(
    responder: FakeResponder, url: str, has_member: bool
) -> None:
    """It votes, and it knows the group as well as a member does; nobody else is left to ask."""
    report = responder.cluster_report
    dead = replace(report.members[0], api_url="http://127.0.0.1:1", answers=False)
    witness = replace(report.members[1], name="w1", role=ReportedRole.WITNESS)
    members = (dead, witness) if has_member else (witness,)
    responder.cluster_report = replace(
        report, members=members, answered_by=MemberName("w1"), leader=None
    )
    responder.changes.progress = [change(OperationState.DONE, "n1 is replaced")]
    result = member("replace", "n1", "10.0.0.9:2380", "--yes", "--url", url)

    assert (result.exit_code, result.stderr) == (Exit.DONE, "")
    assert result.output.endswith("n1 is replaced\n")
    assert [asked.verb for asked in responder.changes.asked] == [MemberVerb.REPLACE]


def test_nothing_is_sent_before_somebody_has_said_yes(responder: FakeResponder, url: str) -> None:
    for verb in (("add", "n4", "10.0.0.4:2380"), ("remove", "n3"), ("replace", "n3")):
        result = member(*verb, "--url", url)
        assert result.exit_code == Exit.USAGE
        assert "--yes" in result.stderr
    assert responder.changes.asked == []


@pytest.mark.parametrize(
    ("state", "code"),
    [(OperationState.REFUSED, Exit.REFUSED), (OperationState.UNKNOWN, Exit.UNKNOWN)],
)
def test_other_ends_have_their_codes(
    responder: FakeResponder, url: str, state: OperationState, code: Exit
) -> None:
    responder.changes.accepted = change(state, "because")
    result = member("add", "n4", "10.0.0.4:2380", "--yes", "--url", url)

    assert result.exit_code == code
    assert "because" in result.stderr


def test_an_address_that_is_none_is_refused_at_once(responder: FakeResponder, url: str) -> None:
    result = member("add", "n4", "10.0.0.4", "--yes", "--url", url)

    assert result.exit_code == Exit.USAGE
    assert "has no port" in result.stderr
    assert responder.changes.asked == []


def test_without_a_majority_nothing_is_asked(responder: FakeResponder, url: str) -> None:
    responder.cluster_report = with_url(without_majority(), url)
    result = member("remove", "n3", "--yes", "--url", url)

    assert result.exit_code == Exit.UNREACHABLE
    assert responder.changes.asked == []
