"""The commands against a real server with a fake agent: what they print, and how they end.

`UPDATE_GOLDEN=1` in the environment rewrites the golden files from what is printed.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from msgspec.structs import replace

from raftha.api.server import ApiServer
from raftha.cli import operate, render, show
from raftha.cli.discover import Contact, NotNamed, contact
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.clock import SystemClock
from raftha.instants import Seconds
from raftha.model.ids import MemberName
from raftha.model.operation import OperationState, RequestKind
from raftha.model.report import ClusterReport, ReportedRole
from tests.unit.api.fake_cluster import cluster_report, with_url, without_majority
from tests.unit.api.fake_responder import FakeResponder, finished, rest_config, running

GOLDEN = Path(__file__).parents[2] / "golden"
NOWHERE = "http://127.0.0.1:1"
WITNESS_FILE = """\
{scope: other, name: w1, restapi: {listen: "127.0.0.1:1"},
raft: {self_addr: "127.0.0.1:1", partner_addrs: ["127.0.0.1:2"], data_dir: /nowhere}}
"""


@pytest.fixture
def responder() -> FakeResponder:
    return FakeResponder()


@pytest.fixture
def url(responder: FakeResponder) -> Iterator[str]:
    """A node whose answer names itself as every member's address, so that nothing leaves here."""
    server = ApiServer(rest_config(), responder, SystemClock())
    address = f"http://{server.start()}"
    responder.cluster_report = with_url(cluster_report(), address)
    yield address
    server.stop()


def raftha(*arguments: str) -> Result:
    return CliRunner(env={"RAFTHA_URL": ""}).invoke(cli, arguments)


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
def test_status_prints_what_the_golden_file_says(url: str, output: str) -> None:
    result = raftha("status", "--url", url, "-o", output)

    assert result.exit_code == Exit.DONE
    check_golden(f"status.{output}", result.output.replace(url, "http://node:8008"))


@pytest.mark.parametrize(
    ("name", "report"),
    [("terminal", cluster_report()), ("no_majority", without_majority())],
)
def test_the_screen_fits_120_columns(name: str, report: ClusterReport) -> None:
    text = render.status(report, 120, colour=True)

    check_golden(f"status_{name}.ansi", text)
    plain = render.status(report, render.PLAIN_WIDTH, colour=False)
    assert max(len(line) for line in plain.splitlines()) <= 120
    assert "\x1b" not in plain


def test_an_unknown_rest_of_the_lease_is_not_made_up() -> None:
    """A witness answers so: it renews no lease and measures none."""
    report = replace(cluster_report(), lease_remaining_seconds=None)

    text = render.status(report, 120, colour=False)

    assert f"leader {report.leader}, on a lease of {report.ttl:g} s\n" in text


def test_a_single_voter_is_counted_as_one() -> None:
    alone = replace(cluster_report(), voters=1, voters_connected=1, quorum=1)

    text = render.status(alone, 120, colour=False)

    assert "commit 120; 1 voter, 1 in touch, 1 needed\n" in text


def test_a_lost_voter_is_not_taken_for_the_new_node_of_its_name() -> None:
    """Asked is the new one, which has no vote yet."""
    report = cluster_report()
    lost = replace(report.group[0], in_touch=False, last_contact_seconds=None)

    text = render.status(replace(report, group=(lost, *report.group[1:])), 120, colour=False)

    (line,) = (line for line in text.splitlines() if "not in touch" in line)
    assert line.startswith("n1 ")
    assert "never" in line


def test_the_list_of_commands_says_each_in_a_whole_sentence() -> None:
    lines = raftha("--help").output.partition("Commands:\n")[2].splitlines()

    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []
    assert len(lines) >= len(cli.commands) - 1  # the key store, for debugging, is hidden


def test_json_and_yaml_are_the_cluster_page(url: str) -> None:
    as_json = json.loads(raftha("list", "--url", url, "-o", "json").output)
    as_yaml = yaml.safe_load(raftha("-c", "/unused", "list", "--url", url, "-o", "yaml").output)

    assert as_json == as_yaml
    assert as_json["members"][1]["role"] == "sync_standby"


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_the_history_is_given_to_programs_as_its_page_gives_it(
    url: str, output: str, read: Callable[[str], object]
) -> None:
    with urllib.request.urlopen(f"{url}/history", timeout=10) as answer:
        page = json.load(answer)

    assert len(page) == 1
    assert read(raftha("history", "--url", url, "-o", output).output) == page


def test_an_answer_with_a_majority_is_preferred(url: str) -> None:
    cut_off = FakeResponder()
    cut_off.cluster_report = with_url(without_majority(), url)
    server = ApiServer(rest_config(), cut_off, SystemClock())
    try:
        result = raftha("status", "--url", NOWHERE, "--url", f"http://{server.start()}")
    finally:
        server.stop()

    assert result.exit_code == Exit.DONE
    assert "NO MAJORITY" not in result.output


def test_no_majority_stands_at_the_top_with_its_age(responder: FakeResponder, url: str) -> None:
    responder.cluster_report = with_url(without_majority(), url)

    result = raftha("status", "--url", url)

    assert result.exit_code == Exit.DONE
    assert result.output.startswith("NO MAJORITY")
    assert "n1 last knew, 42.0 s ago" in result.output
    assert raftha("switchover", "--url", url, "--yes").exit_code == Exit.UNREACHABLE


def test_nobody_answers() -> None:
    for command in (("status",), ("history",), ("switchover", "--yes")):
        result = raftha(*command, "--url", NOWHERE)
        assert result.exit_code == Exit.UNREACHABLE
        assert NOWHERE in result.stderr


def test_watch_shows_until_it_is_interrupted() -> None:
    shown: list[Exit] = []

    def showing() -> Exit:
        shown.append(Exit.DONE)
        return Exit.DONE

    def interrupted(seconds: float) -> None:
        assert seconds == 2.0
        if len(shown) == 2:
            raise KeyboardInterrupt

    assert show.repeat(showing, 2.0, interrupted) is Exit.DONE
    assert len(shown) == 2


def test_a_switchover_prints_its_steps_and_the_pause(responder: FakeResponder, url: str) -> None:
    responder.progress = [running(1), None, running(3), finished(OperationState.DONE)]

    result = raftha("switchover", "--url", url, "--candidate", "n2", "--force")

    assert result.exit_code == Exit.DONE
    assert "n1 stops, and n2 takes over with every commit" in result.output
    assert result.output.count("draining (n1)") == 1
    assert result.output.endswith("n2 is the primary\nwrites were paused for 0.8 s\n")
    assert [(r.kind, r.leader, r.candidate) for r in responder.requests] == [
        (RequestKind.SWITCHOVER, "n1", "n2")
    ]


def test_who_does_not_wait_gets_the_request_id(responder: FakeResponder, url: str) -> None:
    result = raftha("switchover", "--url", url, "--yes", "--no-wait")

    assert result.exit_code == Exit.DONE
    assert "accepted as op-1" in result.output
    assert responder.requests[0].candidate is None


@pytest.mark.parametrize(
    ("state", "code"),
    [(OperationState.REFUSED, Exit.REFUSED), (OperationState.UNKNOWN, Exit.UNKNOWN)],
)
def test_other_outcomes_have_their_codes(
    responder: FakeResponder, url: str, state: OperationState, code: Exit
) -> None:
    responder.progress = [finished(state, "n2 is behind")]

    result = raftha("switchover", "--url", url, "--yes")

    assert result.exit_code == code
    assert "n2 is behind" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("switchover", "--yes", "--leader", "n2"), Exit.REFUSED),
        (("switchover", "--yes", "--candidate", "n1"), Exit.REFUSED),
        (("switchover", "--yes", "--candidate", "n9"), Exit.REFUSED),
        (("switchover",), Exit.USAGE),
        (("failover", "--yes"), Exit.USAGE),
        (("failover", "--candidate", "n2"), Exit.USAGE),
        (("status", "-o", "xml"), Exit.USAGE),
    ],
)
def test_what_does_not_fit_is_not_sent(
    responder: FakeResponder, url: str, arguments: tuple[str, ...], code: Exit
) -> None:
    result = raftha(*arguments, "--url", url)

    assert result.exit_code == code
    assert responder.requests == []


def test_a_failover_says_that_the_leader_stops_first(responder: FakeResponder, url: str) -> None:
    responder.progress = [finished(OperationState.DONE)]

    result = raftha("failover", "--candidate", "n3", "--yes", "--url", url)

    assert "is stopped, and n3 takes over once it holds every commit" in result.output
    assert responder.requests[0].kind is RequestKind.FAILOVER


def test_a_witness_cannot_take_over(responder: FakeResponder, url: str) -> None:
    report = responder.cluster_report
    *others, last = report.members
    members = (*others, replace(last, role=ReportedRole.WITNESS, last_seen_seconds=Seconds(0.1)))
    responder.cluster_report = replace(report, members=members)

    assert raftha("failover", "--candidate", "n3", "--yes", "--url", url).exit_code == 1


@pytest.mark.parametrize("kind", ["switchover", "failover"])
def test_a_request_goes_to_a_member_where_a_witness_told_about_the_cluster(
    responder: FakeResponder, url: str, kind: str
) -> None:
    responder.progress = [finished(OperationState.DONE)]
    report = with_url(cluster_report(), url)
    witness = replace(report.members[0], name="w1", role=ReportedRole.WITNESS)
    told = FakeResponder()
    server = ApiServer(rest_config(), told, SystemClock())
    asked = f"http://{server.start()}"
    members = (*report.members, replace(witness, api_url=asked))
    told.cluster_report = replace(report, answered_by=MemberName("w1"), members=members)
    try:
        result = raftha(
            kind, "--candidate", "n2" if kind == "switchover" else "n3", "--yes", "--url", asked
        )
    finally:
        server.stop()

    assert result.exit_code == Exit.DONE, result.output
    assert told.requests == []
    assert len(responder.requests) == 1


def test_a_file_of_another_cluster_moves_nothing_here(
    responder: FakeResponder, url: str, tmp_path: Path
) -> None:
    """Its addresses are stale, or were copied from a neighbour's file."""
    path = tmp_path / "w1.yml"
    path.write_text(WITNESS_FILE, encoding="utf-8")
    for verb in (("status",), ("switchover", "--yes"), ("pause",)):
        told = raftha("-c", str(path), "--url", url, *verb)
        assert told.exit_code == Exit.UNREACHABLE, told.output
        assert "a node of the cluster main, not of other" in told.stderr
    assert responder.requests == []
    path.write_text(WITNESS_FILE.replace("other", "main"), encoding="utf-8")
    assert raftha("-c", str(path), "--url", url, "status").exit_code == Exit.DONE


def test_run_names_every_problem_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.yml"
    path.write_text("scope: main\nttl: many\n")

    result = raftha("witness", str(path))

    assert result.exit_code == Exit.USAGE
    assert "problems" in result.stderr
    assert raftha("check-config", str(path)).exit_code == Exit.USAGE


def test_a_witness_does_not_vote_in_the_place_of_a_member(tmp_path: Path) -> None:
    path = tmp_path / "n1.yml"
    path.write_text(
        f"""
scope: main
name: n1
raft: {{self_addr: "127.0.0.1:7001", partner_addrs: [], data_dir: {tmp_path}/raft}}
restapi: {{listen: "127.0.0.1:8001"}}
postgresql: {{listen: "127.0.0.1:5999", data_dir: {tmp_path}/data}}
"""
    )
    path.chmod(0o600)

    result = raftha("witness", str(path))

    assert result.exit_code == Exit.USAGE
    assert "describes a member" in result.stderr
    assert not (tmp_path / "raft").exists()


def test_what_is_missing_on_this_machine_is_said_of_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "n1.yml"
    path.write_text(
        f"""
scope: main
name: n1
raft: {{self_addr: "127.0.0.1:7001", partner_addrs: [], data_dir: {tmp_path}/raft, key_file: key}}
restapi: {{listen: "127.0.0.1:8001"}}
postgresql: {{listen: "127.0.0.1:5999", data_dir: {tmp_path}/data, bin_dir: {tmp_path}}}
"""
    )
    path.chmod(0o600)

    result = raftha("check-config", str(path))

    assert result.exit_code == Exit.DONE
    assert result.stdout.endswith("good; member n1 of cluster main\n")
    assert "obstacles here for user" in result.stderr
    assert f"the key file {tmp_path}/key cannot be read: No such file" in result.stderr
    assert "postgresql.bin_dir: no usable PostgreSQL found" in result.stderr
    assert [found.name for found in tmp_path.iterdir()] == ["n1.yml"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_or_folder_of_another_user_is_told_from_one_that_is_not_there(
    tmp_path: Path,
) -> None:
    file = tmp_path / "n1.yml"
    file.write_text("scope: main\n")
    file.chmod(0o000)
    assert "must be readable for user" in raftha("check-config", str(file)).stderr
    assert "must be readable for user" in raftha("-c", str(file), "status").stderr
    tmp_path.chmod(0o300)
    try:
        with pytest.raises(NotNamed, match=f"{tmp_path}: may not be read by user"):
            contact(None, (), {}, (tmp_path,))
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused")
def test_root_is_told_how_to_run_a_member(tmp_path: Path) -> None:
    result = raftha("run", str(tmp_path / "n1.yml"))

    assert result.exit_code == Exit.USAGE
    assert "runuser -u postgres" in result.stderr


def test_version_is_printed() -> None:
    assert raftha("version").output.startswith("raftha ")


def test_an_interrupted_wait_says_that_it_goes_on(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    wish = operate.Wish(
        kind=RequestKind.SWITCHOVER, leader=None, candidate="n2", yes=True, wait=True
    )

    code = operate.perform(Contact(stages=((url,),)), wish, SystemClock(), interrupted)

    assert code is Exit.UNKNOWN
    assert "it goes on in the cluster" in capsys.readouterr().err
