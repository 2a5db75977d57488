"""Machines that are examined together before their first start see each other both ways, and what
stands between them is told on both sides. No agent runs, and nobody is let in who has no key."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from contextlib import closing
from typing import Any, Final

import pytest

from raftha.cli.exits import Exit
from tests.faults.links import Way
from tests.faults.nets import NetCluster
from tests.integration.harness import ClusterHarness
from tests.integration.node_support import rewrite
from tests.integration.scene import NewCluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

PORTS: Final = ("raft", "http", "postgres")
LONG_S: Final = 30
SHORT_S: Final = 5

Told = tuple[int, dict[str, Any]]


def begin(cluster: ClusterHarness, name: str, seconds: int) -> subprocess.Popen[str]:
    """The doctor of one machine."""
    words = ["doctor", "-c", str(cluster.nodes[name].file), "--before-start", "-o", "json"]
    return subprocess.Popen(
        [
            *cluster.surroundings(name),
            sys.executable,
            "-m",
            "raftha",
            *words,
            "--wait",
            str(seconds),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(os.environ),
        text=True,
    )


def end(doctor: subprocess.Popen[str]) -> Told:
    said, _ = doctor.communicate(timeout=60)
    return doctor.returncode, json.loads(said)


def together(cluster: ClusterHarness, seconds: int) -> dict[str, Told]:
    """All of them at once; what each ended with and said."""
    doctors = {name: begin(cluster, name, seconds) for name in cluster.nodes}
    return {name: end(doctor) for name, doctor in doctors.items()}


def said(told: Told) -> list[str]:
    """What a doctor said of links, but for what is well."""
    findings = [each["finding"] for each in told[1]["findings"]]
    return [f["what"] for f in findings if f["check"] == "links" and f["grade"] != "ok"]


def reached(told: Told) -> set[tuple[str, str, str]]:
    links = told[1]["links"]
    return {
        (n, link["to"], link["port"]) for n in links for link in links[n] if not link["problem"]
    }


@pytest.fixture
def networked(new_cluster: NewCluster) -> NetCluster:
    cluster = new_cluster(NetCluster)
    assert isinstance(cluster, NetCluster)
    return cluster


def test_three_machines_see_each_other_at_every_port_both_ways(new_cluster: NewCluster) -> None:
    cluster = new_cluster()
    begun = time.monotonic()
    told = together(cluster, LONG_S)

    assert time.monotonic() - begun < LONG_S, "it ends as soon as all is seen"
    pairs = {(a, b, port) for a in told for b in told for port in PORTS if a != b}
    for name, each in told.items():
        assert (each[0], said(each), reached(each)) == (Exit.DONE, [], pairs), name
    cluster.start_all()  # nothing was left behind that keeps anybody from starting
    cluster.wait_until_whole()


def test_what_goes_one_way_alone_is_told_on_both_sides(new_cluster: NewCluster) -> None:
    """n3 listens where nobody looks for it, as behind a closed port, and reaches the others."""
    cluster = new_cluster()
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
    rewrite(cluster, "n3", lambda o: o["raft"].update(bind_addr=f"127.0.0.1:{port}"))
    told = together(cluster, SHORT_S)

    assert [each[0] for each in told.values()] == [Exit.UNWELL] * 3
    closed = f"127.0.0.1:{cluster.nodes['n3'].raft_port}"
    (line,) = said(told["n1"])
    assert f"n3 ({closed}): its raft port {closed} is not reached from here: Connection" in line
    assert any("did not come to" in each for each in said(told["n3"]))
    assert ("n3", "n1", "raft") in reached(told["n1"])
    assert ("n1", "n3", "raft") not in reached(told["n1"])


def test_wrong_keys_names_and_strangers_are_told(new_cluster: NewCluster) -> None:
    cluster = new_cluster()
    key = cluster.nodes["n3"].file.with_name("other.key")
    key.write_text(secrets.token_hex(32))
    key.chmod(0o600)
    rewrite(cluster, "n3", lambda o: o["raft"].update(key_file=str(key)))
    rewrite(cluster, "n2", lambda o: o.update(name="n1"))
    told = together(cluster, SHORT_S)

    assert any("its raft.key_file is not the same as ours" in each for each in said(told["n1"]))
    assert any("its raft.key_file is not the same as ours" in each for each in said(told["n3"]))
    assert any("is called n1 too" in each for each in said(told["n1"]))
    assert all(each[0] == Exit.UNWELL for each in told.values())


def test_who_has_no_key_hears_nothing(new_cluster: NewCluster) -> None:
    """A guest that says nothing, or rubbish, at every port: it gets no byte of an answer."""
    cluster = new_cluster()
    doctor = begin(cluster, "n1", SHORT_S)
    node = cluster.nodes["n1"]
    heard = b""
    for port in (node.raft_port, node.rest_port, node.postgres_port):
        with closing(_knock(port)) as guest:
            guest.sendall(b"\x00\x05hello GET / HTTP/1.1\r\n\r\n")
            heard += _listen(guest)
    told = end(doctor)
    assert heard == b""
    assert told[0] == Exit.UNWELL
    assert any("was turned away" in each for each in said(told))


def test_a_cable_that_is_put_in_while_they_wait_is_enough(networked: NetCluster) -> None:
    networked.part("n3", Way.BOTH)
    doctors = {name: begin(networked, name, LONG_S) for name in networked.nodes}
    time.sleep(4)
    assert all(doctor.poll() is None for doctor in doctors.values()), "n3 was not seen yet"
    networked.heal()
    assert [end(doctor)[0] for doctor in doctors.values()] == [Exit.DONE] * 3


def _knock(port: int | None) -> socket.socket:
    """A connection to a doctor that is about to listen."""
    assert port is not None
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 2)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _listen(guest: socket.socket) -> bytes:
    try:
        return guest.recv(100)
    except (TimeoutError, ConnectionResetError):
        return b""
