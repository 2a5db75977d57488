"""What fingers used to patronictl type: its options, and the cluster's name before the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from raftha.api.server import ApiServer
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.cli.verbs.options import watch_option
from raftha.clock import SystemClock
from raftha.model.operation import OperationState
from raftha.model.postgres import PendingRestart
from tests.unit.api.fake_cluster import cluster_report, with_url
from tests.unit.api.fake_responder import FakeResponder, finished, rest_config

FILE = """\
{scope: SCOPE, name: w1, restapi: {listen: "127.0.0.1:PORT"},
raft: {self_addr: "127.0.0.1:1", partner_addrs: ["127.0.0.1:2"], data_dir: /nowhere}}
"""


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[FakeResponder, str]]:
    responder = FakeResponder()
    server = ApiServer(rest_config(), responder, SystemClock())
    yield responder, f"http://{server.start()}"
    server.stop()


@pytest.fixture
def responder(node: tuple[FakeResponder, str]) -> FakeResponder:
    responder, url = node
    responder.cluster_report = with_url(cluster_report(), url)
    responder.wishes.asked.clear()
    responder.wishes.answers = replace(responder.wishes.answers, state=OperationState.DONE)
    responder.reloads = 0
    return responder


@pytest.fixture
def url(node: tuple[FakeResponder, str], responder: FakeResponder) -> str:
    assert responder is node[0]
    return node[1]


def raftha(url: str, words: str, home: str = "/nowhere") -> Result:
    environment = {"RAFTHA_URL": url, "HOME": home}
    told = CliRunner(env=environment).invoke(cli, words.split())
    assert isinstance(told.exception, SystemExit | None), (words, told.exception)
    return told


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("list", Exit.DONE),
        ("list main", Exit.DONE),
        ("list main main -f json", Exit.DONE),
        ("list -f pretty", Exit.DONE),
        ("list main --format tsv", Exit.DONE),
        ("topology main", Exit.DONE),
        ("history main -f yaml", Exit.DONE),
        ("dsn main -r replica", Exit.DONE),
        ("uri main", Exit.DONE),
        ("version main", Exit.DONE),
        ("version main n2 n3", Exit.DONE),
        ("show-config main", Exit.DONE),
        ("edit-config main -s ttl=10 --force", Exit.DONE),
        ("switchover main --primary n1 --candidate n2 --force --dry-run", Exit.DONE),
        ("restart main --force --dry-run", Exit.DONE),
        ("restart main n1 --any --dry-run", Exit.DONE),
        ("reload main --force", Exit.DONE),
        ("flush main restart --force", Exit.DONE),
        ("flush main switchover --force", Exit.DONE),
        ("pause main", Exit.DONE),
    ],
)
def test_the_name_of_the_cluster_may_stand_where_patronictl_wants_it(
    responder: FakeResponder, url: str, words: str, code: Exit
) -> None:
    responder.accepted = finished(OperationState.DONE)
    told = raftha(url, words)
    assert told.exit_code == code, told.output


def test_members_after_the_name_are_meant_each_once(responder: FakeResponder, url: str) -> None:
    told = raftha(url, "restart main n3 n2 n3 --force --dry-run")
    assert told.exit_code == Exit.DONE, told.output
    assert [asked.name for asked in responder.wishes.asked] == ["n3", "n2"]
    assert raftha(url, "reload main n2 --force").exit_code == Exit.DONE
    assert responder.reloads == 1
    assert [line[:2] for line in raftha(url, "version main n3").stdout.split("  ")[1:]] == ["n3"]


def test_where_nobody_is_meant_it_is_said(responder: FakeResponder, url: str) -> None:
    told = raftha(url, "reload main n1 -r replica --force")
    assert (told.exit_code, told.stdout) == (Exit.DONE, "No member is meant.\n")
    assert responder.reloads == 0


def test_a_member_of_the_clusters_name_is_meant_by_it(responder: FakeResponder, url: str) -> None:
    report = responder.cluster_report
    renamed = tuple(replace(m, name="main") if m.name == "n2" else m for m in report.members)
    responder.cluster_report = replace(report, members=renamed)
    raftha(url, "restart main --force --dry-run")
    assert [asked.name for asked in responder.wishes.asked] == ["main"]


def test_several_standbys_are_made_anew_one_after_the_other(
    responder: FakeResponder, url: str
) -> None:
    """The first is waited for: it never comes back here, so the second is not touched."""
    responder.wishes.answers = replace(responder.wishes.answers, state=OperationState.RUNNING)
    told = raftha(url, "reinit main n2 n3 --force --timeout 0.1")
    assert told.exit_code == Exit.UNKNOWN, told.output
    assert [asked.name for asked in responder.wishes.asked] == ["n2"]


def test_of_those_with_an_older_server_one_is_restarted(responder: FakeResponder, url: str) -> None:
    """The choice falls on one that is older, not first on one and then on nobody."""
    report = responder.cluster_report
    elsewhere = tuple(
        replace(m, api_url="http://127.0.0.1:1") if m.name == "n3" else m for m in report.members
    )
    responder.cluster_report = replace(report, members=elsewhere)
    # n2 runs 15.18, which is no older; n3 does not say, and would judge it when it is asked.
    told = raftha(url, "restart --any --role replica --pg-version 15.18 --dry-run")
    assert "n3, standby" in told.stdout
    assert "n2" not in told.stdout.replace("n2 0/", "")


def test_the_extended_table_shows_what_waits(responder: FakeResponder, url: str) -> None:
    report = responder.cluster_report
    waits = PendingRestart(name="max_connections", running="100", wanted="200")
    members = tuple(replace(m, pending=(waits,)) if m.name == "n2" else m for m in report.members)
    responder.cluster_report = replace(report, members=members)
    planned = raftha(url, "restart main n1 --scheduled 2030-03-17T17:46:40Z --force")
    assert planned.exit_code == Exit.DONE, planned.output

    plain, extended = raftha(url, "list").stdout, raftha(url, "list -e -t").stdout
    assert raftha(url, "flush main restart --force").exit_code == Exit.DONE

    assert "pending restart" not in plain
    assert extended.startswith("20")
    lines = extended.splitlines()
    (second,) = (line for line in lines if line.split()[:2] == ["n2", "10.0.0.2:5432"])
    (first,) = (line for line in lines if line.split()[:2] == ["n1", "10.0.0.1:5432"])
    assert "max_connections 100 -> 200" in second
    assert "2030-03-17T17:46:40" in first
    assert "proxy" not in extended


def test_the_extended_table_shows_the_pools_beside_the_servers(
    responder: FakeResponder, url: str
) -> None:
    report, pool = responder.cluster_report, "postgres://10.0.0.2:6432/postgres"
    members = tuple(replace(m, proxy_url=pool) if m.name == "n2" else m for m in report.members)
    responder.cluster_report = replace(report, members=members)
    plain, extended = raftha(url, "list").stdout, raftha(url, "list -e").stdout
    assert pool not in plain
    (second,) = (line for line in extended.splitlines() if pool in line)
    assert second.split()[0] == "n2"


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("-W main", 2.0), ("main -w", 2.0), ("-w 5 -W", 5.0), ("-w 3", 3.0), ("main", None)],
)
def test_a_capital_w_watches_each_two_seconds(words: str, seconds: float | None) -> None:
    seen: list[float | None] = []

    @click.command()
    @watch_option
    @click.argument("cluster", required=False)
    def command(watch: float | None, **_rest: object) -> None:
        seen.append(watch)

    assert CliRunner().invoke(command, words.split()).exit_code == 0
    assert seen == [seconds]


def test_of_several_files_that_of_the_named_cluster_is_taken(
    responder: FakeResponder, url: str, tmp_path: Path
) -> None:
    folder = tmp_path / ".config" / "raftha"
    folder.mkdir(parents=True)
    port = url.rpartition(":")[2]
    for number, scope in enumerate(("first", "main")):
        text = FILE.replace("SCOPE", scope).replace("PORT", "1" if number == 0 else port)
        (folder / f"{number}.yml").write_text(text, "utf-8")

    told = raftha("", "list main -o json", home=str(tmp_path))
    assert told.exit_code == Exit.DONE, told.output
    assert json.loads(told.stdout)["scope"] == "main"
    assert raftha("", "reload main n2 --force", home=str(tmp_path)).exit_code == Exit.DONE
    assert responder.reloads == 1
    wrong = raftha("", "list third", home=str(tmp_path))
    assert wrong.exit_code == Exit.USAGE
    assert "the cluster is first, not third" in " ".join(wrong.stderr.split())


def test_the_dsn_of_a_stopped_cluster_names_nobody(responder: FakeResponder, url: str) -> None:
    leader = responder.cluster_report.members[0].name
    responder.cluster_report = replace(responder.cluster_report, stopped_by=leader)
    told = raftha(url, "dsn")
    assert (told.exit_code, told.stdout) == (Exit.REFUSED, "")
    assert "stopped by an operator: raftha start" in told.stderr
    named = raftha(url, "dsn -m n2")
    assert (named.exit_code, named.stdout) == (Exit.DONE, "host=10.0.0.2 port=5432\n")
    assert "stopped by an operator: raftha start" in named.stderr
