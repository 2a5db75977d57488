"""Guests that must not come in: noise, silence, floods, replays, wrong keys and certificates.

Each is refused, told in the log once, and costs the others nothing: while they are at it the raft
leader goes on writing, in the same term, with all its links up.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import pytest

from raftha.consensus.reception import MAX_SILENT
from tests.certificates import make_certificates
from tests.integration.proxy import LinkProxy, by_pid
from tests.integration.voters import START_LIMIT_S, Voters, certificate_options

pytestmark = pytest.mark.slow

WRITES = 300
TYPICAL_S = 0.05
"""Far above a write's usual 1 to 3 ms, for the guests take processor time from all of us."""
LINES = 25
"""More than a node says of itself, far fewer than there are guests."""

SILENT = MAX_SILENT // 3
"""Connections of one guest: four of them hold more than may wait at a node."""

Guest = Callable[[int], None]


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Voters]:
    (tmp_path / "key").write_text("k" * 40)
    with Voters(tmp_path, raft={"key_file": str(tmp_path / "key")}) as made:
        yield made


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 2.0)


def say(words: bytes) -> Guest:
    """Connect, say this, wait for the end."""

    def guest(port: int) -> None:
        with closing(dial(port)) as connection:
            connection.sendall(words)
            while connection.recv(4096):
                continue

    return guest


def answer_to(words: bytes, port: int) -> bytes:
    """All that comes back before the other side ends the connection."""
    answer = b""
    with closing(dial(port)) as connection:
        connection.sendall(words)
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            return answer
    return answer


def hang_up(port: int) -> None:
    dial(port).close()


def drip(port: int) -> None:
    with closing(dial(port)) as connection:
        for _ in range(20):
            connection.sendall(b"\0")
            time.sleep(0.05)


def say_nothing(port: int) -> None:
    """On many connections, until each of them is ended."""
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(dial(port))) for _ in range(SILENT)]
        for connection in connections:
            connection.settimeout(None)
            connection.recv(1)


GUESTS: dict[str, Guest] = {
    "garbage": say(os.urandom(5000)),
    "a giant greeting": say(struct.pack(">H", 65535) + b"x" * 65535),
    "HTTP": say(b"GET / HTTP/1.0\r\n\r\n"),
    "a flood of short visits": hang_up,
    "one byte at a time": drip,
}


class Crowd:
    """Guests that come again and again, to every node, until the end of the block."""

    def __init__(self, ports: list[int], guest: Guest, size: int = 4) -> None:
        self._ended = threading.Event()
        self._guest = guest
        self._threads = [
            threading.Thread(target=self._visit, args=(port,), daemon=True)
            for port in ports
            for _ in range(size)
        ]
        self.visits = 0

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(10.0)

    def _visit(self, port: int) -> None:
        while not self._ended.is_set():
            try:
                self._guest(port)
            except OSError:
                # Refused or reset: that is what they get.
                time.sleep(0.001)
            self.visits += 1


def assert_unharmed(group: Voters, leader: str, term: int) -> None:
    """The group writes at its usual pace, in the same term, with all links up."""
    taken = sorted(group.ask(leader, "sequential", count=WRITES, size=100))
    assert taken[WRITES // 2] < TYPICAL_S, taken[:: WRITES // 10]
    status = group.status(leader)
    assert (status["role"], status["term"]) == ("leader", term)
    assert all(voter["connected"] for voter in status["voters"])


def lines_said(group: Voters, name: str) -> int:
    return len(group.nodes[name].said().splitlines())


@pytest.mark.parametrize("kind", GUESTS)
def test_a_crowd_of_guests_disturbs_nobody(group: Voters, kind: str) -> None:
    leader = group.start_all()
    term = group.status(leader)["term"]
    before = lines_said(group, leader)
    with Crowd([node.raft_port for node in group.nodes.values()], GUESTS[kind]) as crowd:
        assert_unharmed(group, leader, term)
        follower = next(name for name in group.nodes if name != leader)
        group.kill(follower)
        group.start(follower)
        assert group.wait_until_whole() == leader, "a node cannot come back through the crowd"
    assert crowd.visits > 20
    assert lines_said(group, leader) - before < LINES


def test_connections_that_say_nothing_take_no_place_from_a_node(group: Voters) -> None:
    """More of them than may wait at a node, and others for those that are sent away."""
    leader = group.start_all()
    term = group.status(leader)["term"]
    with Crowd([node.raft_port for node in group.nodes.values()], say_nothing):
        assert_unharmed(group, leader, term)
        follower = next(name for name in group.nodes if name != leader)
        group.kill(follower)
        group.start(follower)
        assert group.wait_until_whole() == leader, "a node cannot come back through the silence"


def test_what_was_recorded_on_a_link_opens_no_other(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 40)
    with ExitStack() as stack:
        options = {"key_file": str(tmp_path / "key")}
        group = stack.enter_context(Voters(tmp_path, raft=options, proxied=True))
        proxy = stack.enter_context(LinkProxy(by_pid(group.pids)))
        for node in group.nodes.values():
            proxy.stand_before(node.name, node.advertised_port, node.raft_port)
        leader = group.start_all()
        term = group.status(leader)["term"]
        for (dialler, dialled), words in proxy.first_words().items():
            before = lines_said(group, dialled)
            for _ in range(5):
                answer = answer_to(words, group.nodes[dialled].raft_port)
                assert answer, f"{dialled} did not even greet what {dialler} had said"
            assert 1 <= lines_said(group, dialled) - before <= 2, group.nodes[dialled].said()
        assert_unharmed(group, leader, term)


def test_a_node_with_another_key_is_refused_and_told_so_once(group: Voters, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("z" * 40)
    group.nodes["n3"].configure({"key_file": str(tmp_path / "other")})
    group.start()
    group.wait_for(lambda: group.leader() in ("n1", "n2"), START_LIMIT_S, "two of three agree")
    leader = group.leader()
    assert leader is not None

    group.wait_for(lambda: "key_file" in group.problem(leader, "n3"), 5.0, "the cause is shown")
    time.sleep(1.0)
    said = [line for line in group.nodes[leader].said().splitlines() if "key_file" in line]
    assert len(said) == 1, said
    assert not group.status("n3")["majority"]


@pytest.mark.parametrize("odd", ["certificates", "key file"])
def test_a_node_that_protects_its_links_in_another_way_is_told_apart_on_both_sides(
    tmp_path: Path, odd: str
) -> None:
    """Whoever dials, and in the log once for each link; a crowd that does the same adds nothing."""
    (tmp_path / "key").write_text("k" * 40)
    with Voters(tmp_path) as group:
        make_certificates(tmp_path, *group.nodes)
        for node in group.nodes.values():
            has_key = (node.name == "n3") is (odd == "key file")
            key = {"key_file": str(tmp_path / "key")}
            node.configure(key if has_key else certificate_options(tmp_path, node.name))
        group.start()
        group.wait_for(lambda: group.leader() in ("n1", "n2"), START_LIMIT_S, "two of three agree")
        leader = group.leader()
        assert leader is not None
        words = {
            "certificates": "it uses certificates, and this node a key file or nothing",
            "key file": "it uses a key file or nothing, and this node certificates",
        }
        other = words["certificates" if odd == "key file" else "key file"]
        group.wait_for(lambda: words[odd] in group.problem(leader, "n3"), 5.0, "the leader says it")
        group.wait_for(
            lambda: any(other in (v["problem"] or "") for v in group.status("n3")["voters"]),
            5.0,
            "n3 says it",
        )
        hello = b"\x00\x20\xde" + b"x" * 32 if odd == "key file" else b"\x16\x03\x01" + b"x" * 32
        for _ in range(50):
            answer_to(hello, group.nodes[leader].raft_port)
        lines = [x.partition(" ")[2] for x in group.nodes[leader].said().splitlines()]
        told = [line for line in lines if words[odd] in line]
        assert 1 <= len(told) == len(set(told)) <= 3, told


BAD_CERTIFICATES = ["foreign authority", "expired", "not valid yet"]


@pytest.mark.parametrize("kind", BAD_CERTIFICATES)
def test_a_node_with_a_bad_certificate_stays_outside(tmp_path: Path, kind: str) -> None:
    """It starts, for dates and authorities may be mended while it runs, and both sides say why."""
    with Voters(tmp_path) as group:
        make_certificates(tmp_path, *group.nodes)
        for node in group.nodes.values():
            node.configure(certificate_options(tmp_path, node.name))
        bad = tmp_path / "bad"
        bad.mkdir()
        dates = {
            "expired": {"begin": timedelta(days=-9), "end": timedelta(days=-1)},
            "not valid yet": {"begin": timedelta(days=1), "end": timedelta(days=9)},
        }
        make_certificates(
            bad,
            "n3",
            authority=None if kind == "foreign authority" else tmp_path,
            **dates.get(kind, {}),
        )
        group.nodes["n3"].configure(certificate_options(bad, "n3"))
        group.start()
        group.wait_for(lambda: group.leader() in ("n1", "n2"), START_LIMIT_S, "two of three agree")
        leader = group.leader()
        assert leader is not None

        group.wait_for(lambda: refusals(group, leader, kind), 5.0, f"the cause: {kind}")
        time.sleep(1.5)
        others = [voter for voter in group.status("n3")["voters"] if not voter["is_self"]]
        assert not any(voter["connected"] for voter in others)
        told = refusals(group, leader, kind)
        assert len(told) == len(set(told)), told

        # And mended while everybody runs.
        make_certificates(bad, "n3", authority=tmp_path)
        group.signal("n3", signal.SIGHUP)
        assert group.wait_until_whole() == leader


def refusals(group: Voters, leader: str, kind: str) -> list[str]:
    """What both sides said of the cause, without the times: both dial, and each tells each cause
    once for each address."""
    word = {"foreign authority": "signature failure", "not valid yet": "not yet"}.get(kind, kind)
    return [
        f"{name}: {line.partition(' ')[2]}"
        for name in (leader, "n3")
        for line in group.nodes[name].said().splitlines()
        if word in line and "raft link" in line
    ]
