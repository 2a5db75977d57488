"""`raftha recover` on a real Raft directory, with real sockets for those who live: what is shown,
what is asked, and that a refusal changes nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner
from msgspec.structs import replace

from raftha.agent.recovery import NotAllowed, Recovery
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.cli.recover import Consent, compare, recover
from raftha.config.load import load
from raftha.consensus import configuration
from raftha.consensus.state import unseal
from raftha.instants import RHO
from raftha.model.settings import Address, Authentication, Credentials, PostgresConfig
from tests.sim.fakes import FakeClock
from tests.unit.cli.survivor import TTL, Node, Ports

SURE: Final = Consent(fenced=("n2", "n3"), confirm="demo")


def recovered(node: Node, consent: Consent = SURE) -> Exit:
    return recover(node.file, consent, FakeClock(node.time), node.wait)


def test_it_begins_the_next_generation_and_says_what_comes_next(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recovered(node) is Exit.DONE

    persisted = node.persisted()
    assert persisted.incarnation != "life of w1"
    assert persisted.snapshot is not None
    voters = configuration.decode(unseal(persisted.snapshot).head.voters)
    assert voters is not None
    assert [seat.name for seat in voters.seats] == ["w1"]
    assert [seat.name for seat in voters.expected] == ["n2", "n3"]
    told = capsys.readouterr().out
    assert "entry 3 of term 4" in told
    assert "w1 is the only voter of generation 1" in told
    assert str(node.raft / "raft-before-recovery-1") in told
    assert "n2: its machine answers, and nothing of the node runs there" in told


def test_it_waits_as_long_as_any_lease_may_be_believed_in(node: Node) -> None:
    began = node.time.now
    assert recovered(node) is Exit.DONE
    assert node.time.now - began >= 2.0 + TTL * (1 + RHO)


def test_a_dry_run_shows_it_all_and_changes_nothing(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recovered(node, Consent(dry_run=True)) is Exit.DONE
    assert node.is_untouched
    told = capsys.readouterr().out
    assert "raftha recover --dry-run" in told
    assert "Nothing was changed" in told


def compared(node: Node, capsys: pytest.CaptureFixture[str]) -> tuple[Exit, dict[str, Any]]:
    ended = compare(node.file, (), FakeClock(node.time), node.wait)
    return ended, json.loads(capsys.readouterr().out)


def test_a_program_gets_what_survivors_are_compared_by(
    node: Node, ports: Ports, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, found = compared(node, capsys)
    assert ended is Exit.DONE
    assert (found["scope"], found["name"], found["refused"]) == ("demo", "w1", None)
    assert (found["term"], found["index"], found["generation"]) == (4, 3, 0)
    assert (found["voters"], found["has_vote"]) == (["n2", "n3", "w1"], True)
    assert (found["holders"], found["timeline"], found["wal_bytes"]) == ([], None, None)
    assert [lost["name"] for lost in found["lost"]] == ["n2", "n3"]

    ports.listen("n3")
    ended, found = compared(node, capsys)
    assert ended is Exit.REFUSED
    assert found["refused"].startswith(f"n3 answers: Raft at {node.addresses['n3']}")
    assert found["lost"][1]["answering"] == [f"Raft at {node.addresses['n3']}"]
    assert found["index"] == 3
    assert node.is_untouched


def test_a_program_is_told_why_a_directory_is_not_to_be_recovered(
    node: Node,
) -> None:
    agent = node._store("unused")
    agent.load()
    words = ["recover", "-c", str(node.file), "--dry-run", "-o", "json"]
    result = CliRunner().invoke(cli, words)
    agent.close()
    assert result.exit_code == Exit.REFUSED
    found = json.loads(result.stdout)
    assert "in use by another raftha process" in found["refused"]
    assert "index" not in found


def test_a_program_that_asks_for_json_changes_nothing(node: Node) -> None:
    words = ["recover", "-c", str(node.file), "-o", "json"]
    sure = ["--confirm", "demo", "--fenced", "n2", "--fenced", "n3"]
    result = CliRunner().invoke(cli, [*words, *sure])
    assert result.exit_code == Exit.USAGE
    assert "add --dry-run" in result.stderr
    assert node.is_untouched


def test_while_somebody_lives_it_is_refused(
    node: Node, ports: Ports, capsys: pytest.CaptureFixture[str]
) -> None:
    ports.listen("n3")
    assert recovered(node) is Exit.REFUSED
    assert recovered(node, replace(SURE, dry_run=True)) is Exit.REFUSED
    assert node.is_untouched
    told = capsys.readouterr().err
    assert f"n3 answers: Raft at {node.addresses['n3']}" in told
    assert "n2" not in told


def test_who_comes_back_while_leases_lapse_stops_it(node: Node, ports: Ports) -> None:
    def come_back() -> None:
        if len(node.waited) == 6:
            ports.listen("n2")

    node.on_wait = come_back
    assert recovered(node) is Exit.REFUSED
    assert len(node.waited) == 6
    assert node.is_untouched


def test_another_survivor_may_answer_and_joins_again(tmp_path: Path, ports: Ports) -> None:
    five = Node(tmp_path, ports, others=("n2", "n3", "n4", "n5"))
    ports.listen("n2")
    sure = Consent(fenced=("n3", "n4", "n5"), confirm="demo")
    assert recovered(five, sure) is Exit.REFUSED
    assert recovered(five, replace(sure, kept=("N2",))) is Exit.DONE


@pytest.mark.parametrize(
    ("consent", "said"),
    [
        (replace(SURE, confirm="Demo"), "the cluster is demo, not Demo"),
        (replace(SURE, fenced=("n2",)), "not confirmed as fenced: n3"),
        (replace(SURE, fenced=("n2", "n3", "n4")), "n4: not among the lost, n2, n3"),
        (replace(SURE, fenced=("n2", "n4")), "n4: not among the lost, n2, n3"),
        (replace(SURE, kept=("n9",)), "n9: no other voter; there are n2, n3"),
        (replace(SURE, kept=("n2",)), "2 of 3 voters are a majority"),
    ],
)
def test_without_each_word_of_consent_nothing_happens(
    node: Node, consent: Consent, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recovered(node, consent) is Exit.REFUSED
    assert said in capsys.readouterr().err
    assert node.is_untouched


def test_whom_the_file_alone_names_is_told_apart_and_counts_as_lost(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a replacement whose new address did not get into this file."""
    options = yaml.safe_load(node.file.read_text("utf-8"))
    options["raft"]["partner_addrs"].append("127.0.0.1:9")
    node.file.write_text(yaml.safe_dump(options), "utf-8")

    assert recovered(node) is Exit.REFUSED

    said = capsys.readouterr()
    assert said.out.count("has no vote in the log") == 1
    assert "  127.0.0.1:9 has no vote in the log; the raft.partner_addrs of this node" in said.out
    assert "not confirmed as fenced: 127.0.0.1:9" in said.err
    assert node.is_untouched


def test_a_survivor_without_a_vote_makes_no_majority(node: Node) -> None:
    """It was joining when the majority was lost, and joins the recovered cluster."""
    joining = "127.0.0.1:9"
    options = yaml.safe_load(node.file.read_text("utf-8"))
    options["raft"]["partner_addrs"].append(joining)
    node.file.write_text(yaml.safe_dump(options), "utf-8")

    assert recovered(node, replace(SURE, kept=(joining,))) is Exit.DONE


def test_a_node_that_has_moved_is_not_asked_to_fence_itself(
    node: Node, ports: Ports, capsys: pytest.CaptureFixture[str]
) -> None:
    options = yaml.safe_load(node.file.read_text("utf-8"))
    options["raft"]["self_addr"] = moved = ports.address("moved")
    node.file.write_text(yaml.safe_dump(options), "utf-8")

    assert recovered(node) is Exit.DONE

    assert "had no vote" not in capsys.readouterr().out
    snapshot = node.persisted().snapshot
    assert snapshot is not None
    voters = configuration.decode(unseal(snapshot).head.voters)
    assert voters is not None
    assert [seat.address for seat in voters.seats] == [moved]
    assert [seat.name for seat in voters.expected] == ["n2", "n3"]


def test_a_running_agent_is_left_alone(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    agent = node._store("unused")
    agent.load()
    assert recovered(node) is Exit.REFUSED
    agent.close()
    assert "in use by another raftha process: stop that one first" in capsys.readouterr().err
    assert node.is_untouched


def answering(node: Node, *lines: str) -> tuple[Exit, str]:
    """Somebody is there and types these lines; what came of it, and what was complained of."""
    with CliRunner().isolation(input="".join(f"{line}\n" for line in lines)) as (_, complaints, _):
        ended = recovered(node, Consent(attended=True))
        return ended, complaints.getvalue().decode()


def test_whoever_is_there_is_asked_for_both(node: Node) -> None:
    ended, complaints = answering(node, "n2")
    assert (ended, "not confirmed as fenced: n3" in complaints) == (Exit.REFUSED, True)
    ended, complaints = answering(node, "N3, n2", "no")
    assert (ended, "the cluster is demo, not no" in complaints) == (Exit.REFUSED, True)
    assert node.is_untouched
    assert answering(node, "N3, n2", "demo")[0] is Exit.DONE


def test_an_error_half_way_is_told_with_how_to_see_what_is_in_place(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    (node.raft / "raft-recovery.tmp").touch()  # where a folder is to be made
    assert recovered(node) is Exit.UNKNOWN
    assert "--dry-run to see which generation" in capsys.readouterr().err
    assert node.is_untouched


def test_a_server_that_nobody_guards_has_to_be_stopped_first(node: Node, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    who = Credentials(username="postgres")
    config = load(node.file, {}, witness=True).config
    postgres = PostgresConfig(
        listen_hosts=("127.0.0.1",),
        connect_address=Address("127.0.0.1", 1),
        data_dir=data,
        authentication=Authentication(superuser=who, replication=who, rewind=who),
        port=1,
    )
    recovery = Recovery(
        replace(config, postgresql=postgres), FakeClock(node.time), Random(1), node.wait
    )
    server = subprocess.Popen(["sleep", "60"], cwd=data)
    try:
        (data / "postmaster.pid").write_text(f"{server.pid}\n")
        recovery.open()
        with pytest.raises(NotAllowed, match=rf"pid {server.pid}\) runs here without a guardian"):
            recovery.carry_out(lambda _done: None)
    finally:
        recovery.close()
        server.kill()
        server.wait()
    assert node.is_untouched


def test_a_script_has_to_say_all_of_it(node: Node) -> None:
    for words in ([], ["--confirm", "demo"], ["--fenced", "n2", "--fenced", "n3"]):
        result = CliRunner().invoke(cli, ["recover", "-c", str(node.file), *words])
        assert result.exit_code == Exit.USAGE
        assert "add --confirm SCOPE --fenced n2 --fenced n3" in result.stderr
    assert node.is_untouched
    assert CliRunner().invoke(cli, ["recover"]).exit_code == Exit.USAGE
    (node.file).write_text("scope: 1", encoding="utf-8")
    assert CliRunner().invoke(cli, ["recover", "-c", str(node.file)]).exit_code == Exit.USAGE
