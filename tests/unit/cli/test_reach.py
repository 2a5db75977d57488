"""`raftha uri`, `dsn`, `topology` and `version`, against a real server with a fake agent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from msgspec.structs import replace
from psycopg2.extensions import parse_dsn

from raftha import __version__
from raftha.api.server import ApiServer
from raftha.cli import render, show
from raftha.cli.discover import Contact
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.cli.reference import reference
from raftha.clock import SystemClock
from raftha.model.report import ClusterReport, ReportedRole
from tests.unit.api.fake_cluster import cluster_report, with_url, without_majority
from tests.unit.api.fake_responder import FakeResponder, primary_node, rest_config, witness_node

NOWHERE = "http://127.0.0.1:1"
HOSTS = "10.0.0.1:5432,10.0.0.2:5432,10.0.0.3:5432"
WRITING = "target_session_attrs=read-write&connect_timeout=3"
READING = "target_session_attrs=prefer-standby&connect_timeout=3"
WITNESS = {"role": ReportedRole.WITNESS, "address": "-", "state": "running"}


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[FakeResponder, str]]:
    """One for all tests, because its stop takes longer than a test."""
    responder = FakeResponder()
    server = ApiServer(rest_config(), responder, SystemClock())
    yield responder, f"http://{server.start()}"
    server.stop()


@pytest.fixture
def responder(node: tuple[FakeResponder, str]) -> FakeResponder:
    """The node's agent, as in the beginning; every member's address is this node's."""
    agent, url = node
    agent.report = primary_node(SystemClock().now())
    agent.cluster_report = with_url(cluster_report(), url)
    return agent


@pytest.fixture
def url(node: tuple[FakeResponder, str], responder: FakeResponder) -> str:
    assert responder is node[0]
    return node[1]


def raftha(*arguments: str, home: str = "/nonexistent") -> Result:
    return CliRunner(env={"RAFTHA_URL": "", "HOME": home}).invoke(cli, arguments)


def changed(report: ClusterReport, **members: dict[str, Any]) -> ClusterReport:
    """The report with these fields of these members."""
    return replace(
        report, members=tuple(replace(m, **members.get(m.name, {})) for m in report.members)
    )


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ((), f"postgresql://{HOSTS}/?{WRITING}"),
        (("--read-write",), f"postgresql://{HOSTS}/?{WRITING}"),
        (("-r", "leader"), f"postgresql://{HOSTS}/?{WRITING}"),
        (("-r", "replica"), f"postgresql://{HOSTS}/?{READING}"),
        (("-r", "standby"), f"postgresql://{HOSTS}/?{READING}"),
        (("--any",), f"postgresql://{HOSTS}/?target_session_attrs=any&connect_timeout=3"),
        (
            ("--dbname", "a b/ü", "--user", "me@home:x"),
            f"postgresql://me%40home%3Ax@{HOSTS}/a%20b%2F%C3%BC?{WRITING}",
        ),
    ],
)
def test_the_uri_names_all_members(url: str, options: tuple[str, ...], printed: str) -> None:
    result = raftha("uri", "--url", url, *options)

    assert (result.exit_code, result.stdout) == (Exit.DONE, printed + "\n")


def test_the_uri_is_the_same_whoever_leads(responder: FakeResponder, url: str) -> None:
    before = raftha("uri", "--url", url).stdout
    report = responder.cluster_report
    responder.cluster_report = replace(report, leader="n3", members=report.members[::-1])

    assert raftha("uri", "--url", url).stdout == before


def test_hosts_of_the_uri_are_written_as_libpq_reads_them(
    responder: FakeResponder, url: str
) -> None:
    """A witness is no host of it, and the percent sign of a zone is encoded."""
    responder.cluster_report = changed(
        responder.cluster_report,
        n1={"address": "[fd00::1]:5433"},
        n2={"address": "[fe80::1%eth0]:5432"},
        n3=WITNESS,
    )

    printed = raftha("uri", "--url", url).stdout

    assert printed == f"postgresql://[fd00::1]:5433,[fe80::1%25eth0]:5432/?{WRITING}\n"
    assert parse_dsn(printed.strip()) == {
        "host": "fd00::1,fe80::1%eth0",
        "port": "5433,5432",
        "target_session_attrs": "read-write",
        "connect_timeout": "3",
    }


def test_libpq_reads_back_what_was_asked_for(url: str) -> None:
    printed = raftha("uri", "--url", url, "--dbname", "a b+c/ü", "--user", "me@home:x%").stdout

    read = parse_dsn(printed.strip())

    assert (read["dbname"], read["user"]) == ("a b+c/ü", "me@home:x%")
    assert read["host"] == "10.0.0.1,10.0.0.2,10.0.0.3"


def test_a_member_that_is_not_to_be_read_from_is_asked_last(
    responder: FakeResponder, url: str
) -> None:
    responder.cluster_report = changed(
        responder.cluster_report, n1={"tags": {"noloadbalance": True}}
    )

    reading = raftha("uri", "--url", url, "-r", "replica").stdout

    assert reading.startswith("postgresql://10.0.0.2:5432,10.0.0.3:5432,10.0.0.1:5432/")
    assert HOSTS in raftha("uri", "--url", url).stdout


def test_a_cluster_without_members_has_no_uri(responder: FakeResponder, url: str) -> None:
    responder.cluster_report = replace(responder.cluster_report, members=())

    result = raftha("uri", "--url", url)

    assert (result.exit_code, result.stdout) == (Exit.REFUSED, "")
    assert "cluster main has no member" in result.stderr


@pytest.mark.parametrize(
    ("options", "host"),
    [
        ((), "10.0.0.1"),
        (("-r", "primary"), "10.0.0.1"),
        (("-r", "any"), "10.0.0.1"),
        (("-r", "standby"), "10.0.0.2"),
        (("-r", "sync"), "10.0.0.2"),
        (("-m", "n3"), "10.0.0.3"),
    ],
)
def test_the_dsn_is_that_of_one_member(url: str, options: tuple[str, ...], host: str) -> None:
    result = raftha("dsn", "--url", url, *options)

    assert (result.exit_code, result.stdout) == (Exit.DONE, f"host={host} port=5432\n")


def test_of_the_standbys_the_least_behind_is_named(responder: FakeResponder, url: str) -> None:
    def named(**members: dict[str, Any]) -> str:
        responder.cluster_report = changed(with_url(cluster_report(), url), **members)
        return raftha("dsn", "--url", url, "-r", "replica").stdout

    assert "10.0.0.3" in named(n2={"lag_bytes": 2500001})
    assert "10.0.0.3" in named(n2={"lag_bytes": None})
    assert "10.0.0.3" in named(n2={"state": "starting"})
    assert "10.0.0.3" in named(n2={"tags": {"noloadbalance": True}})
    assert "host=fd00::2 port=5432" in named(n2={"address": "[fd00::2]:5432"})


@pytest.mark.parametrize(
    ("options", "members", "said"),
    [
        (("-m", "n9"), {}, "there is no member n9; there are: n1, n2"),
        (("-m", "n3"), {}, "n3 is a witness, without PostgreSQL"),
        (("-m", "n2"), {"n2": {"address": "-"}}, "n2's PostgreSQL is not known: -"),
        (("-r", "standby"), {"n2": {"state": "starting"}}, "no standby that streams"),
        (("-r", "sync"), {"n2": {"role": ReportedRole.STANDBY}}, "no sync that streams"),
    ],
)
def test_nobody_is_what_was_asked_for(
    responder: FakeResponder,
    url: str,
    options: tuple[str, ...],
    members: dict[str, dict[str, Any]],
    said: str,
) -> None:
    responder.cluster_report = changed(responder.cluster_report, n3=WITNESS, **members)

    result = raftha("dsn", "--url", url, *options)

    assert (result.exit_code, result.stdout) == (Exit.REFUSED, "")
    assert said in result.stderr


def test_without_a_leader_any_member_is_a_standby(responder: FakeResponder, url: str) -> None:
    responder.cluster_report = replace(
        changed(responder.cluster_report, n1={"role": ReportedRole.NONE, "state": "stopped"}),
        leader=None,
    )

    leader = raftha("dsn", "--url", url)

    assert (leader.exit_code, leader.stdout) == (Exit.REFUSED, "")
    assert "there is no leader now" in leader.stderr
    assert raftha("dsn", "--url", url, "-r", "any").stdout == "host=10.0.0.2 port=5432\n"


def test_without_a_majority_nobody_says_who_leads(responder: FakeResponder, url: str) -> None:
    """The last known leader may be one no more; addresses are told, with their age."""
    last_known = replace(without_majority(), leader="n1")
    responder.cluster_report = with_url(last_known, url)

    leader = raftha("dsn", "--url", url)
    member, uri = raftha("dsn", "--url", url, "-m", "n1"), raftha("uri", "--url", url)

    assert (leader.exit_code, leader.stdout) == (Exit.REFUSED, "")
    assert "nobody can say who is leader now" in leader.stderr
    assert (member.exit_code, member.stdout) == (Exit.DONE, "host=10.0.0.1 port=5432\n")
    assert uri.stdout == f"postgresql://{HOSTS}/?{WRITING}\n"
    for result in (member, uri):
        assert "no majority: this is what n1 last knew, 42.0 s ago" in result.stderr


def tree(report: ClusterReport) -> list[str]:
    """The first column, below its heading."""
    lines = render.topology(report, render.PLAIN_WIDTH, colour=False).splitlines()
    return [line.partition("  ")[0] for line in lines[3:]]


def test_the_standbys_stand_below_the_leader(url: str) -> None:
    result = raftha("topology", "--url", url)

    lines = result.output.splitlines()
    assert result.exit_code == Exit.DONE
    assert lines[0] == "cluster main; leader n1; 3.4 s left of its lease of 5 s"
    assert [line[:14].rstrip() for line in lines[2:]] == [
        "member  addres",
        "n1      10.0.0",
        "+ n2    10.0.0",
        "+ n3    10.0.0",
    ]
    assert lines[4].split()[2:6] == ["10.0.0.2:5432", "sync", "standby", "streaming"]


def test_who_streams_from_nobody_stands_beside_the_leader() -> None:
    """The leader stands first, whatever its name, and a witness nowhere."""
    moved = replace(
        changed(
            cluster_report(),
            n1={"role": ReportedRole.NONE},
            n2={"role": ReportedRole.PRIMARY},
        ),
        leader="n2",
    )
    witness = changed(cluster_report(), n3=WITNESS)

    assert tree(moved) == ["n2", "+ n3", "n1"]
    assert tree(witness) == ["n1", "+ n2"]
    assert tree(replace(moved, leader=None)) == ["n1", "n2", "n3"]


def test_the_tree_without_a_majority_is_marked_as_old(responder: FakeResponder, url: str) -> None:
    responder.cluster_report = with_url(without_majority(), url)

    assert raftha("topology", "--url", url).output.startswith("NO MAJORITY")


def test_programs_get_the_tree_in_the_words_of_the_cluster_page(url: str) -> None:
    members = json.loads(raftha("status", "--url", url, "-o", "json").output)["members"]

    told = json.loads(raftha("topology", "--url", url, "-o", "json").output)

    assert told["scope"] == "main"
    assert told["majority"] is True
    assert told["members"] == [{**members[0], "standbys": members[1:]}]
    assert yaml.safe_load(raftha("topology", "--url", url, "-o", "yaml").output) == told


def test_the_tree_is_watched_as_the_status_is(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    contact = Contact(stages=((url,),))

    code = show.repeat(lambda: show.topology(contact, "table"), 2.0, interrupted)

    assert code is Exit.DONE
    assert "+ n2" in capsys.readouterr().out


def test_the_version_tells_what_runs_on_each_member(responder: FakeResponder, url: str) -> None:
    responder.report = replace(responder.report, agent_version="0.0.9")
    responder.cluster_report = changed(responder.cluster_report, n3={"api_url": NOWHERE})

    result = raftha("version", "--url", url)
    told = json.loads(raftha("version", "--url", url, "-o", "json").output)

    assert result.exit_code == Exit.DONE
    lines = result.stdout.splitlines()
    assert lines[:4] == [
        f"raftha {__version__}",
        "cluster main",
        "  n1: raftha 0.0.9, PostgreSQL 15.18",
        "  n2: raftha 0.0.9, PostgreSQL 15.18",
    ]
    assert lines[4].startswith(f"  n3: raftha unknown, no answer: {NOWHERE}")
    assert (told["raftha"], told["cluster"]) == (__version__, "main")
    assert told["members"][1] == {
        "name": "n2",
        "agent": "0.0.9",
        "postgres": "15.18",
        "note": "",
    }
    assert told["members"][2]["agent"] is None


def test_the_version_of_an_agent_without_a_server_is_told(
    responder: FakeResponder, url: str
) -> None:
    responder.report = witness_node(SystemClock().now())
    responder.cluster_report = changed(responder.cluster_report, n3=WITNESS)

    lines = raftha("version", "--url", url).stdout.splitlines()

    assert lines[2] == "  n1: raftha 0.1.0, no server runs, or it does not answer"
    assert lines[4] == "  n3: raftha 0.1.0, witness"


def test_the_version_of_the_command_is_told_in_any_case(tmp_path: Path) -> None:
    alone, lost = raftha("version", home=str(tmp_path)), raftha("version", "--url", NOWHERE)
    wrong = raftha("version", "-c", str(tmp_path / "none.yml"))

    assert (alone.exit_code, alone.stdout) == (Exit.DONE, f"raftha {__version__}\n")
    assert (lost.exit_code, lost.stdout) == (Exit.UNREACHABLE, f"raftha {__version__}\n")
    assert NOWHERE in lost.stderr
    assert wrong.exit_code == Exit.USAGE


@pytest.mark.parametrize("command", ["uri", "dsn", "topology"])
def test_nobody_answers(command: str) -> None:
    result = raftha(command, "--url", NOWHERE)

    assert (result.exit_code, result.stdout) == (Exit.UNREACHABLE, "")
    assert NOWHERE in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("uri", "-r", "boss"),
        ("uri", "--any", "--read-write"),
        ("uri", "-r", "replica", "--any"),
        ("dsn", "-r", "leader", "-m", "n1"),
        ("topology", "-o", "xml"),
        ("version", "-o", "xml"),
    ],
)
def test_wrong_use_is_told_before_anybody_is_asked(arguments: tuple[str, ...]) -> None:
    assert raftha(*arguments, "--url", NOWHERE).exit_code == Exit.USAGE


@pytest.mark.parametrize("command", ["uri", "dsn", "topology", "version"])
def test_the_help_ends_with_an_example(command: str) -> None:
    end = raftha(command, "--help").output.partition("Example:\n")[2]

    assert f"raftha {command}" in end


def test_the_page_of_the_commands_is_fresh() -> None:
    page = Path(__file__).parents[3] / "docs" / "cli.md"

    assert page.read_text(encoding="utf-8") == reference(), (
        "run python -m raftha.cli.reference > docs/cli.md"
    )
