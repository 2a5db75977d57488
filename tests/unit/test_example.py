"""What the example's `node` says when it cannot do what it is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "three-node"
NOBODY: Final = "127.0.0.1:1"


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """The example's own files, where no server listens on any port."""
    for number in (1, 2, 3):
        text = (EXAMPLE / f"node{number}.yml").read_text("utf-8")
        for port in ("610", "710", "810"):
            text = text.replace(f"127.0.0.1:{port}{number}", NOBODY)
        (tmp_path / f"node{number}.yml").write_text(text, "utf-8")
    return tmp_path


def node(cluster: Path, *words: str) -> tuple[int, str]:
    command = (sys.executable, EXAMPLE / "three_nodes.py", cluster, "node", *words)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stderr


def test_without_a_primary_it_says_to_try_again_and_what_the_servers_said(cluster: Path) -> None:
    code, said = node(cluster, "sql", "SELECT 1")

    first, *rest = said.splitlines()
    assert code == 1
    assert first.startswith("no server takes writes now")
    assert "try again" in first
    assert sum("Connection refused" in line for line in rest) == 3


@pytest.mark.parametrize("verb", ["start", "stop", "kill"])
def test_a_node_that_is_not_there_is_named(cluster: Path, verb: str) -> None:
    assert node(cluster, verb, "n9") == (1, "n9 is no node of this cluster; n1, n2, n3 are\n")


def test_anything_else_lists_what_can_be_said(cluster: Path) -> None:
    code, said = node(cluster, "restart", "n1")

    assert code == 1
    assert said.startswith("say status, sql STATEMENT, raftha WORDS")
