"""What the example's `node` says when it cannot do what it is told."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

TREE: Final = Path(__file__).parents[2]
EXAMPLE: Final = TREE / "examples" / "three-node"
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


def test_ctrl_c_ends_a_command_without_a_word_of_its_own(cluster: Path, tmp_path: Path) -> None:
    """Ctrl-C reaches all processes of the terminal; here `raftha` is a stand-in that waits."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    stand_in = folder / "raftha"
    stand_in.write_text(
        f"#!{sys.executable}\n"
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(7))\n"
        "print(*sys.argv[1:], os.environ['RAFTHA_RAFT__ALLOW_TMPFS'], flush=True)\n"
        "signal.pause()\n",
        "utf-8",
    )
    stand_in.chmod(0o755)
    command = (folder / "python", EXAMPLE / "three_nodes.py", cluster, "node", "raftha", "list")
    known = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=known,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "list true\n", "recover works below a /tmp in memory"
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=30)

    assert said == ("", "")
    assert process.returncode == 7


def test_a_python_is_found_in_an_empty_environment(tmp_path: Path) -> None:
    """There bash has a PATH of its own, which Python does not see and so cannot find itself by."""
    (tmp_path / "python3").symlink_to(sys.executable)
    script = f". {TREE}/tools/environment.sh; PATH={tmp_path}:$PATH; python_executable python3"

    done = subprocess.run(
        ("bash", "-c", script), env={}, capture_output=True, text=True, timeout=30, check=False
    )

    assert (done.stdout, done.stderr) == (f"{tmp_path}/python3\n", "")


class Program:
    """A process that ends after so many looks at it."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def poll(self) -> int | None:
        self.looks -= 1
        return None if self.looks > 0 else 3


def processes() -> Any:
    """The module of the example, which is no package."""
    spec = importlib.util.spec_from_file_location("example", EXAMPLE / "node_processes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["example"] = module
    spec.loader.exec_module(module)
    return module


def test_a_program_that_is_just_being_executed_is_not_taken_for_dead() -> None:
    seen = iter([False, False, True])
    processes().wait_for_program(Program(looks=100), lambda: next(seen))
    assert next(seen, None) is None


def test_a_program_that_has_ended_is_not_waited_for() -> None:
    processes().wait_for_program(Program(looks=3), lambda: False)


def test_what_is_shown_of_a_log_is_of_the_last_start(tmp_path: Path) -> None:
    example = processes()
    node = example.Node("n1", tmp_path / "node1.yml", NOBODY, "")
    node.log.parent.mkdir()
    node.log.write_text(f"{example.START_MARK}\nold\n{example.START_MARK}\nnew\n", "utf-8")
    assert example.tail(node) == "    new"
