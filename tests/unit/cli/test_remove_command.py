"""`raftha remove` on a real Raft directory, with real sockets for those who live: what is refused,
and that a refusal changes nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from raftha.agent.recovery import NotAllowed
from raftha.agent.removal import Removal
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.config.load import load_either
from raftha.consensus import dirlock
from raftha.model.settings import Address, Authentication, Credentials, PostgresConfig
from tests.sim.fakes import FakeClock
from tests.unit.cli.survivor import Node, Ports


def remove(node: Node, *words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["remove", *words, "-c", str(node.file)], input=typed)


def test_the_key_store_is_put_aside_and_kept(node: Node) -> None:
    done = remove(node, "demo", "--confirm", "demo")
    assert done.exit_code == Exit.DONE, done.output
    kept = node.raft / "raft-void-1"
    assert f"is kept in {kept}" in done.output
    assert (kept / "raft.sqlite").is_file()
    assert not list(node.raft.glob("raft.sqlite*"))
    assert "removed by an operator on" in (kept / "raft.void").read_text()

    again = remove(node, "--confirm", "demo")
    assert (again.exit_code, "there is no key store" in again.stderr) == (Exit.REFUSED, True)


def test_what_it_says_brings_the_key_store_back(node: Node) -> None:
    remove(node, "--confirm", "demo")
    for path in (node.raft / "raft-void-1").glob("raft.sqlite*"):
        path.rename(node.raft / path.name)
    assert node.is_untouched


def test_nobody_is_removed_from_a_cluster_that_lives(node: Node, ports: Ports) -> None:
    ports.listen("n3")
    refused = remove(node, "--confirm", "demo")
    assert refused.exit_code == Exit.REFUSED
    assert f"n3 answers: Raft at {node.addresses['n3']}" in refused.stderr
    assert "raftha member remove w1" in refused.stderr
    assert node.is_untouched


def test_whoever_came_back_while_it_was_asked_is_seen(node: Node, ports: Ports) -> None:
    removal = Removal(load_either(node.file, {}), FakeClock(node.time))
    try:
        assert removal.open().others == ("n2", "n3")
        removal.look()
        ports.listen("n2")
        with pytest.raises(NotAllowed, match="n2 answers"):
            removal.carry_out()
    finally:
        removal.close()
    assert node.is_untouched


def test_its_own_agent_has_to_be_stopped(node: Node) -> None:
    held = dirlock.take(node.raft)
    try:
        refused = remove(node, "--confirm", "demo")
    finally:
        os.close(held)
    assert (refused.exit_code, "in use by another" in refused.stderr) == (Exit.REFUSED, True)
    assert node.is_untouched


@pytest.mark.parametrize("words", [("other",), ("--confirm", "other"), ("demo", "--confirm", "x")])
def test_another_clusters_name_is_refused(node: Node, words: tuple[str, ...]) -> None:
    refused = remove(node, *words)
    assert (refused.exit_code, "the cluster is demo, not" in refused.stderr) == (Exit.REFUSED, True)
    assert node.is_untouched


def test_a_script_has_to_name_the_cluster(node: Node) -> None:
    refused = remove(node)
    assert (refused.exit_code, "add --confirm SCOPE" in refused.stderr) == (Exit.USAGE, True)
    assert node.is_untouched


def test_a_dry_run_changes_nothing(node: Node) -> None:
    shown = remove(node, "--dry-run")
    assert (shown.exit_code, "Nothing was changed" in shown.output) == (Exit.DONE, True)
    assert node.is_untouched


def test_of_a_damaged_key_store_the_file_tells_who_else_there_is(node: Node, ports: Ports) -> None:
    (node.raft / "raft.sqlite").write_bytes(b"not a database")
    shown = remove(node, "--dry-run")
    assert "its key store cannot be read" in shown.output
    assert f"{node.addresses['n2']}: " in shown.output
    ports.listen("n2")
    assert remove(node, "--confirm", "demo").exit_code == Exit.REFUSED


def test_a_server_that_a_pause_left_behind_has_to_be_stopped(node: Node, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    who = Credentials(username="postgres")
    postgres = PostgresConfig(
        listen_hosts=("127.0.0.1",),
        connect_address=Address("127.0.0.1", 1),
        data_dir=data,
        authentication=Authentication(superuser=who, replication=who, rewind=who),
        port=1,
    )
    config = replace(load_either(node.file, {}), postgresql=postgres)
    server = subprocess.Popen(["sleep", "60"], cwd=data)
    removal = Removal(config, FakeClock(node.time))
    try:
        (data / "postmaster.pid").write_text(f"{server.pid}\n")
        with pytest.raises(NotAllowed, match=rf"pid {server.pid}\) still runs here"):
            removal.open()
    finally:
        removal.close()
        server.kill()
        server.wait()
    assert node.is_untouched
