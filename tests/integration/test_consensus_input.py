"""Voters given what is wrong: what it is, where and what to do is said, and nothing is changed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from raftha.consensus.storage import FILE_NAME
from tests.certificates import make_certificates
from tests.integration.voters import START_LIMIT_S, WITNESS, Voters, certificate_options

pytestmark = pytest.mark.slow
PROMPTLY_S = 10.0


def content(directory: Path) -> dict[str, bytes]:
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def voted_once(group: Voters, name: str) -> Path:
    """The Raft directory of a node that has been a voter and was stopped in order."""
    group.start(program=WITNESS)
    group.wait_for(lambda: all(map(group.ready, group.nodes)), START_LIMIT_S, "a majority")
    assert group.stop(name) == 0
    return group.nodes[name].data_dir


def notices(group: Voters, name: str) -> list[dict[str, Any]]:
    url = f"http://{group.nodes[name].options['restapi']['listen']}/cluster"
    with urllib.request.urlopen(url, timeout=5.0) as answer:
        found: list[dict[str, Any]] = json.load(answer)["report"]["problems"]
    return found


def test_a_copy_of_another_nodes_directory_is_refused(tmp_path: Path) -> None:
    with Voters(tmp_path) as group:
        directory = voted_once(group, "n1")
        own = group.nodes["n2"].data_dir
        group.stop("n2")
        own.rename(tmp_path / "aside")
        shutil.copytree(directory, own)
        before = content(own)

        said = group.refusal("n2", WITNESS)

        assert f"{own} is the Raft directory of node 'n1' of cluster 'voters'" in said
        assert "give each node a raft.data_dir of its own" in said
        assert content(own) == before
        shutil.rmtree(own)
        (tmp_path / "aside").rename(own)
        group.start("n2", program=WITNESS)
        group.wait_for(lambda: group.ready("n2"), START_LIMIT_S, "its own is good")


def test_a_directory_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    with Voters(tmp_path) as group:
        directory = voted_once(group, "n1")
        connection = sqlite3.connect(directory / FILE_NAME)
        connection.executescript("UPDATE identity SET format = 99")
        connection.close()
        before = content(directory)

        said = group.refusal("n1", WITNESS)

        assert f"{directory / FILE_NAME} has format 99" in said
        assert "a newer release of raftha wrote it; start that one here" in said
        assert content(directory) == before


@pytest.mark.parametrize("name", ["raft.sqlite", "raft.lock", "."])
def test_a_directory_that_may_not_be_written_is_refused(tmp_path: Path, name: str) -> None:
    with Voters(tmp_path) as group:
        path = voted_once(group, "n1") / name
        before, mode = content(group.nodes["n1"].data_dir), path.stat().st_mode
        path.chmod(0o500)

        said = group.refusal("n1", WITNESS)

        path.chmod(mode)
        assert f"raft.data_dir: {path} cannot be read and written by user " in said
        assert "chown" in said, "the remedy"
        assert content(group.nodes["n1"].data_dir) == before


def test_a_certificate_that_names_another_node_is_refused(tmp_path: Path) -> None:
    with Voters(tmp_path) as group:
        make_certificates(tmp_path, "n1", "n9")
        group.nodes["n1"].configure(certificate_options(tmp_path, "n9"))

        said = group.refusal("n1", WITNESS)

        assert "n9.pem names n9, not n1: a certificate of a node must carry the node's name" in said
        assert not group.nodes["n1"].data_dir.exists()


def test_a_node_of_another_cluster_of_the_same_authority_stays_outside(tmp_path: Path) -> None:
    """Its certificate is good for every cluster of that authority; what it says of itself is not.
    No healthy node takes itself for the one that is wrong."""
    with Voters(tmp_path) as group:
        make_certificates(tmp_path, *group.nodes)
        for node in group.nodes.values():
            node.configure(certificate_options(tmp_path, node.name))
        group.nodes["n3"].options["scope"] = "other"
        group.nodes["n3"].configure({})
        group.start()
        group.wait_for(lambda: group.leader() in ("n1", "n2"), START_LIMIT_S, "two of three agree")

        for name, other in (("n1", "n3"), ("n2", "n3"), ("n3", "n1"), ("n3", "n2")):
            group.wait_for(
                lambda name=name, other=other: "'other'" in group.problem(name, other),
                PROMPTLY_S,
                f"{name} says what is wrong with {other}",
            )
            assert "check the addresses" in group.problem(name, other)
        for name in group.nodes:
            assert "is no voter" not in group.nodes[name].said()

        group.kill("n3")
        group.wait_for(
            lambda: "cannot connect" in group.problem("n1", "n3"), PROMPTLY_S, "n3 is gone"
        )
        status = group.status("n1")
        said, address = status["accusation"], group.nodes["n3"].address
        assert (said["address"], "check the addresses" in said["why"]) == (address, True)
        (own,) = [voter["problem"] for voter in status["voters"] if voter["is_self"]]
        assert "this node's certificate" in own, "it hides what is wrong here"


def test_lists_of_voters_that_differ_are_told_apart_on_both_sides(tmp_path: Path) -> None:
    with Voters(tmp_path) as group:
        first, second = group.nodes["n1"].address, group.nodes["n2"].address
        group.nodes["n3"].configure({"partner_addrs": [first, "127.0.0.1:1"]})
        group.start("n1", "n3")

        for name in ("n1", "n3"):
            group.wait_for(
                lambda name=name: "partner_addrs differ" in group.nodes[name].said(),
                START_LIMIT_S,
                f"{name} says so",
            )
            said = group.nodes[name].said()
            assert "only in the file of n3: 127.0.0.1:1" in said
            assert f"only in the file of n1: {second}" in said
            assert "name the same voters in both" in said


@pytest.mark.parametrize(
    ("count", "at_start", "in_status"),
    [
        (1, "a single voter has nobody to fail over to", "a single voter: nobody can take over"),
        (2, "2 voters survive no more losses than 1", "two voters: the loss of either stops"),
        (4, "4 voters survive no more losses than 3", "4 voters survive no more losses than 3"),
    ],
)
def test_a_number_of_voters_that_is_no_good_works_and_is_warned_of(
    tmp_path: Path, count: int, at_start: str, in_status: str
) -> None:
    with Voters(tmp_path, count) as group:
        group.start(program=WITNESS)
        group.wait_for(lambda: all(map(group.ready, group.nodes)), START_LIMIT_S, "a majority")
        for name in group.nodes:
            assert at_start in group.nodes[name].said()
        told = [notice for notice in notices(group, "n1") if in_status in notice["what"]]
        assert told
        assert all("add" in notice["remedy"] for notice in told)
