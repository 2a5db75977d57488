"""`raftha doctor`, against a real server with a fake agent, and before a start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from raftha.api.server import ApiServer
from raftha.cli import doctor
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.clock import SystemClock
from raftha.model.finding import Examination, Finding, Grade, Link
from raftha.model.report import ClusterReport
from raftha.model.settings import BasicAuth, Secret
from tests.unit.api.fake_cluster import cluster_report, with_url
from tests.unit.api.fake_responder import FakeResponder, rest_config

AUTH = BasicAuth(username="admin", password=Secret("geheim"))


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[FakeResponder, str, ClusterReport]]:
    responder = FakeResponder()
    server = ApiServer(rest_config(authentication=AUTH), responder, SystemClock())
    address = server.start()
    report = replace(with_url(cluster_report(), f"http://{address}"), problems=())
    yield responder, f"http://admin:geheim@{address}", report
    server.stop()


@pytest.fixture
def examined(node: tuple[FakeResponder, str, ClusterReport]) -> Examination:
    """What each of the three says, in the beginning: nothing is wrong."""
    responder, _, report = node
    named = f"http://admin:geheim@{report.members[0].api_url.removeprefix('http://')}"
    responder.cluster_report = with_url(report, named)
    responder.examination = replace(
        responder.examination, wall=SystemClock().wall(), findings=(), links=()
    )
    return responder.examination


def raftha(*arguments: str) -> Result:
    return CliRunner(env={"RAFTHA_URL": "", "HOME": "/nonexistent"}).invoke(cli, arguments)


def test_a_healthy_cluster_ends_with_zero(
    node: tuple[FakeResponder, str, ClusterReport], examined: Examination
) -> None:
    responder, url, _ = node
    fine = Finding(check="clock", grade=Grade.OK, what="synchronised")
    link = Link(to="n2", port="raft", address="10.0.0.2:2380")
    responder.examination = replace(examined, findings=(fine,), links=(link,))
    result = raftha("doctor", "--url", url)

    assert result.exit_code == Exit.DONE, result.output
    assert "ok      n1  clock: synchronised" in result.output
    assert "n3 -> n2: raft ok" in result.output
    assert result.output.endswith("0 problems, 0 warnings, 3 checks passed\n")


def test_a_problem_ends_with_its_own_code_and_a_remedy(
    node: tuple[FakeResponder, str, ClusterReport], examined: Examination
) -> None:
    responder, url, _ = node
    link = Link(to="n2", port="postgres", address="10.0.0.2:5432", problem="Connection refused")
    responder.examination = replace(examined, links=(link,))
    result = raftha("doctor", "--url", url)

    assert result.exit_code == Exit.UNWELL
    assert result.output.endswith("3 problems, 0 warnings, 0 checks passed\n")
    assert "PROBLEM n3  links: n2's postgres port 10.0.0.2:5432: Connection ref" in result.output
    assert "to do: open it from n3" in result.output
    found = json.loads(raftha("doctor", "--url", url, "-o", "json").output)
    assert [f["finding"]["grade"] for f in found["findings"]] == ["problem"] * 3
    assert found["links"]["n1"][0]["problem"] == "Connection refused"


def test_servers_of_different_releases_are_told() -> None:
    of_releases = [
        (n, (Finding(check="release", grade=Grade.OK, what=f"PostgreSQL 15.{minor}"),))
        for n, minor in (("n1", 18), ("n2", 17))
    ]
    (placed,) = doctor._of_releases(dict(of_releases))
    assert placed.finding.grade is Grade.WARNING
    assert "n1: PostgreSQL 15.18, n2: PostgreSQL 15.17" in placed.finding.what
    assert list(doctor._of_releases(dict(of_releases[:1]))) == []


def test_what_the_status_says_and_who_is_silent_counts_too(
    node: tuple[FakeResponder, str, ClusterReport], examined: Examination
) -> None:
    responder, url, report = node
    assert examined.findings == ()
    members = tuple(
        replace(m, api_url="http://127.0.0.1:1") if m.name == "n2" else m for m in report.members
    )
    responder.cluster_report = replace(report, members=members, problems=cluster_report().problems)
    result = raftha("doctor", "--url", url)

    assert result.exit_code == Exit.UNWELL
    assert "n2  agent: no answer: " in result.output
    assert "suspended: this machine was suspended" in result.output


def test_nobody_to_ask_is_told_apart_from_a_problem() -> None:
    result = raftha("doctor", "--url", "http://127.0.0.1:1")

    assert result.exit_code == Exit.UNREACHABLE
    assert "--before-start" in result.stderr


def test_a_machine_is_examined_before_its_first_start(tmp_path: Path) -> None:
    file = tmp_path / "n1.yml"
    file.write_text(
        "scope: demo\nname: n1\n"
        f"raft: {{self_addr: '127.0.0.1:1', data_dir: {tmp_path}/raft, allow_tmpfs: true}}\n"
        "restapi: {listen: '127.0.0.1:8008'}\n"
    )
    found = json.loads(raftha("doctor", "-c", str(file), "--before-start", "-o", "json").output)

    checks = {each["finding"]["check"] for each in found["findings"]}
    assert {"raft port", "http port", "raft disk", "clock", "ttl budget"} <= checks
    file.write_text("scope: demo\n")
    assert raftha("doctor", "-c", str(file), "--before-start").exit_code == Exit.UNWELL
    assert raftha("doctor", "--before-start").exit_code == Exit.USAGE
    assert raftha("doctor", "-c", str(file), "--wait", "9").exit_code == Exit.USAGE
