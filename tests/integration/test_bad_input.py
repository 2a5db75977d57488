"""Files, ports and programs that are wrong: what is wrong, where, what to do, and nothing harmed.

A node that cannot start says so at once and ends with 2. A node that can only wait says so, and
waits without burning the processor.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.harness import ClusterHarness, Node
from tests.integration.node_support import (
    Options,
    assert_idle,
    raftha,
    refusal,
    rewrite,
    said_by,
    wait_until_said,
)

pytestmark = pytest.mark.integration

NewCluster = Callable[..., ClusterHarness]


def misspell(options: Options) -> None:
    options["postgresql"]["listne"] = options["postgresql"].pop("listen")


def mistype(options: Options) -> None:
    options["bootstrap"]["dcs"]["ttl"] = "soon"


def leave_out(options: Options) -> None:
    del options["raft"]["self_addr"]


def all_of_it(options: Options) -> None:
    misspell(options)
    mistype(options)
    leave_out(options)
    options["nmae"] = options.pop("name")


MISTAKES = {
    "an unknown key": (misspell, ["postgresql.listne", "did you mean postgresql.listen?"]),
    "a wrong type": (mistype, ["bootstrap.dcs.ttl", "'soon'"]),
    "a missing key": (leave_out, ["raft.self_addr: is missing"]),
    "all at once": (
        all_of_it,
        ["postgresql.listne", "bootstrap.dcs.ttl", "raft.self_addr", "did you mean name?"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_bad_file_is_refused_with_every_mistake_and_its_place(
    new_cluster: NewCluster, mistake: str
) -> None:
    cluster = new_cluster(nodes=1)
    node = cluster.nodes["n1"]
    change, words = MISTAKES[mistake]
    rewrite(cluster, "n1", change)

    said = refusal(cluster, "n1")
    checked = raftha("check-config", node.file)

    assert checked.returncode == 2
    assert checked.stdout == said, "check-config must find what a start finds"
    lines = said.splitlines()
    for word in words:
        line = next((line for line in lines if word in line), None)
        assert line is not None, f"nothing says {word!r}:\n{said}"
        assert re.search(r"n1\.yml(:\d+)?: ", line), f"no place: {line}"
    assert not node.pgdata.exists()
    assert not (node.folder / "raft").exists()


def test_a_file_that_is_no_yaml_or_not_there_is_refused(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=1)
    node = cluster.nodes["n1"]
    node.file.write_text("scope: test\nname: [n1\n", encoding="utf-8")
    assert re.search(r"n1\.yml:\d+: is not valid YAML", refusal(cluster, "n1"))
    node.file.unlink()
    said = refusal(cluster, "n1")
    assert str(node.file) in said
    assert "No such file" in said


def test_a_folder_that_takes_no_copy_is_refused_with_what_to_do(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=1)
    node = cluster.nodes["n1"]
    closed = node.folder / "closed"
    node.folder.mkdir(exist_ok=True)
    closed.mkdir(mode=0o500)
    rewrite(cluster, "n1", lambda o: o["postgresql"].update(data_dir=str(closed / "data")))

    said = refusal(cluster, "n1")
    checked = raftha("check-config", node.file)

    assert f"{closed} must be writable for" in said
    assert checked.returncode == 0
    assert f"{closed} cannot be written by user" in checked.stdout


def test_a_node_may_be_among_its_own_partners(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=1, synchronous_mode="off")
    own = f"127.0.0.1:{cluster.nodes['n1'].raft_port}"
    rewrite(cluster, "n1", lambda o: o["raft"].update(partner_addrs=[own]))

    cluster.start_all()

    assert cluster.wait_for_primary() == "n1"
    status = cluster.status()
    assert status is not None
    assert status["report"]["voters"] == 1
    (warning,) = [n for n in status["report"]["problems"] if n["level"] == "warning"]
    assert "a single voter: nobody can take over" in warning["what"]
    assert "a single voter has nobody to fail over to" in said_by(cluster, "n1")
    assert cluster.stop("n1") == 0


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Somebody else listens on this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


PORTS: dict[str, tuple[Callable[[Node], int | None], str]] = {
    "raft": (lambda node: node.raft_port, "raft.bind_addr"),
    "rest": (lambda node: node.rest_port, "restapi.listen"),
    "postgresql": (lambda node: node.postgres_port, "postgresql.listen"),
}


@pytest.mark.parametrize("which", PORTS)
def test_a_port_in_use_is_said_at_once_and_nothing_is_made(
    new_cluster: NewCluster, which: str
) -> None:
    cluster = new_cluster(nodes=1, synchronous_mode="off")
    port_of, option = PORTS[which]
    port = port_of(cluster.nodes["n1"])
    assert port is not None

    with taken(port):
        said = refusal(cluster, "n1")

    line = next((line for line in said.splitlines() if option in line), "")
    assert f"127.0.0.1:{port}" in line, said
    assert "another" in line, f"what may be there, and what to do: {line}"
    assert not cluster.nodes["n1"].pgdata.exists()
    cluster.start("n1")
    assert cluster.wait_for_primary() == "n1"


def test_a_parameter_that_postgresql_refuses_is_named(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=1, synchronous_mode="off")
    rewrite(cluster, "n1", lambda o: o["postgresql"]["parameters"].update(work_mem="lots"))

    cluster.start("n1")

    wait_until_said(cluster, "n1", "work_mem", within_s=15)
    if cluster.runs("n1"):
        assert_idle(cluster, "n1")
    assert cluster.primary() is None
    cluster.stop("n1")
    rewrite(cluster, "n1", lambda o: o["postgresql"]["parameters"].update(work_mem="2MB"))
    cluster.start("n1")
    assert cluster.wait_for_primary() == "n1"


def test_a_folder_without_postgresql_is_refused(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=1)
    rewrite(cluster, "n1", lambda o: o["postgresql"].update(bin_dir="/nonexistent/bin"))

    said = refusal(cluster, "n1")

    assert "postgresql.bin_dir" in said
    assert "/nonexistent/bin" in said
    assert not cluster.nodes["n1"].pgdata.exists()


def test_a_missing_program_is_named(new_cluster: NewCluster, tmp_path: Path) -> None:
    cluster = new_cluster(nodes=1)
    programs = tmp_path / "bin"

    def lose_pg_rewind(options: Options) -> None:
        shutil.copytree(options["postgresql"]["bin_dir"], programs, copy_function=os.symlink)
        (programs / "pg_rewind").unlink()
        options["postgresql"]["bin_dir"] = str(programs)

    rewrite(cluster, "n1", lose_pg_rewind)
    said = refusal(cluster, "n1")

    assert f"{programs}: lacks pg_rewind" in said
    assert "postgresql.bin_dir" in said


@pytest.mark.parametrize("path", ["", "forbidden"])
def test_a_useless_path_does_not_hide_the_installed_programs(
    new_cluster: NewCluster, tmp_path: Path, path: str
) -> None:
    cluster = new_cluster(nodes=1, synchronous_mode="off")
    forbidden = tmp_path / "forbidden"
    forbidden.mkdir(mode=0)
    rewrite(cluster, "n1", lambda o: o["postgresql"].pop("bin_dir"))

    cluster.start("n1", {"PATH": str(forbidden) if path else ""})

    assert cluster.wait_for_primary() == "n1"
    assert "Traceback" not in said_by(cluster, "n1")


def as_root(*words: str) -> list[str]:
    """The command in a user namespace where this user is root."""
    command = ["unshare", "--user", "--map-root-user", *words]
    allowed = subprocess.run([*command[:3], "true"], capture_output=True, check=False)
    if allowed.returncode != 0:
        pytest.skip("this kernel gives no user namespaces to an ordinary user")
    return command


def test_root_is_told_to_be_somebody_else(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=1)
    node = cluster.nodes["n1"]
    command = as_root(sys.executable, "-m", "raftha", "run", str(node.file))

    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert done.returncode == 2
    assert "does not run as root" in done.stderr
    assert f"runuser -u postgres -- raftha run {node.file}" in done.stderr
    assert not node.folder.exists()
