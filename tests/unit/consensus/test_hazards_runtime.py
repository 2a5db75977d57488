"""The hazards of links and threads: H18 to H21, H30, H32 and H36
of `docs/consensus.md`.

Of each pair the first test shows what the released library does, the second what becomes of it
here. What needs several voters on real sockets is in `test_sockets`, what needs a machine that
misbehaves in `test_hazards_host`.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import select
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pysyncobj.pickle as library_pickle
import pytest
from msgspec.structs import replace
from pysyncobj import SyncObj, SyncObjConf, SyncObjException, replicated
from pysyncobj.poller import createPoller
from pysyncobj.tcp_connection import CONNECTION_STATE, TcpConnection
from pysyncobj.transport import TCPTransport

from raftha.consensus import wire
from raftha.consensus.commands import WireError
from raftha.consensus.handshake import Established
from raftha.consensus.links import Down, Received, Up
from raftha.consensus.members import Registry
from raftha.consensus.security import PlainFraming, PlainSecurity
from raftha.consensus.stable import Owner
from raftha.consensus.transport import TcpLinks
from raftha.consensus.visiting import Visitors
from raftha.instants import Seconds
from raftha.model.settings import Address, RaftConfig, RaftTimings
from raftha.model.store import Barrier, Committed, Outcome
from tests.sim.fakes import FakeClock, TrueTime
from tests.sim.group import Group
from tests.unit.consensus.greetings import OWN, said
from tests.unit.consensus.stock import StockGroup, library_time

OWNER = Owner(scope="s", name="n1")


pytestmark = pytest.mark.usefixtures("quiet_library")

PIPE_BYTES = 4096
PING = PlainFraming().wrap(b"")


class Served(SyncObj):
    """A key store of the library on a real port."""

    def __init__(self, port: int, transport: type[TCPTransport] = TCPTransport) -> None:
        conf = SyncObjConf(
            autoTick=False,
            raftMinTimeout=0.01,
            raftMaxTimeout=0.02,
            appendEntriesPeriod=0.001,
            connectionTimeout=60.0,
        )
        super().__init__(f"127.0.0.1:{port}", [], conf, transportClass=transport)
        self.entries: dict[str, str] = {}

    @replicated
    def put(self, key: str, value: str) -> None:
        self.entries[key] = value


@pytest.fixture
def served() -> Iterator[Served]:
    with library_time(time.monotonic):
        node = Served(free_port())
        yield node
        node.destroy()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def guest(node: Served, *messages: Any) -> socket.socket:
    """Somebody who knows the port, and nothing else."""
    host, port = node.selfNode.id.split(":")
    connection = socket.create_connection((host, int(port)))
    for message in messages:
        data = zlib.compress(library_pickle.dumps(message))
        connection.sendall(struct.pack("i", len(data)) + data)
    return connection


def tick_until(node: SyncObj, fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5.0
    while not fact():
        assert time.monotonic() < deadline, "it did not come true"
        node.doTick(0.01)


class Payload:
    """What runs when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (self._folder,))


class Links:
    """The product's links to one peer over a socket pair, with a clock that is moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.time = TrueTime()
        self.timings = RaftTimings()
        addresses = (Address("127.0.0.1", 1), Address("127.0.0.1", 2))
        self._own, self.peer = map(str, addresses)
        identity = replace(OWN, address=self._own, partners=(self.peer,))
        self.links = TcpLinks(
            config=RaftConfig(
                self_addr=addresses[0],
                bind_addr=addresses[0],
                partner_addrs=addresses,
                data_dir=folder,
                key_file=None,
                tls=None,
            ),
            security=PlainSecurity(),
            timings=self.timings,
            identity=identity,
            visitors=Visitors(),
            registry=Registry(identity, {}),
            clock=FakeClock(self.time),
        )
        self.there = self.connect()

    def connect(self) -> socket.socket:
        """The other end of a connection that has been greeted."""
        here, there = socket.socketpair()
        here.setblocking(False)
        there.setblocking(False)
        hello = said(address=self.peer, to=self._own, partners=[self._own])
        self.links._arrived(Established(connection=here, hello=hello, framing=PlainFraming()))
        return there

    def pass_time(self, seconds: float) -> list[object]:
        self.time.now += seconds
        return list(self.links.poll(Seconds(0.0)))

    def heard(self) -> bytes:
        """What has reached the other end."""
        ready, _, _ = select.select([self.there], [], [], 0)
        return self.there.recv(65536) if ready else b""


@pytest.fixture
def links(tmp_path: Path) -> Iterator[Links]:
    made = Links(tmp_path)
    yield made
    made.links.close()
    made.there.close()


def test_h18_the_library_runs_what_a_stranger_sends(served: Served, tmp_path: Path) -> None:
    """Whoever reaches the port is unpickled before anybody asks who it is."""
    proof = tmp_path / "it ran here"
    with closing(guest(served, Payload(proof))):
        tick_until(served, proof.exists)

    assert proof.is_dir()


def test_h18_what_a_stranger_sends_is_only_ever_read(tmp_path: Path) -> None:
    proof = tmp_path / "it ran here"
    payload = pickle.dumps(Payload(proof))

    for data in (payload, zlib.compress(payload), b"\x00" + payload):
        with pytest.raises(WireError):
            wire.decode(data)

    assert not proof.exists()


def test_h19_the_library_takes_commands_from_anybody(served: Served) -> None:
    """A guest who says `readonly` may append commands, and may set the term to what it likes."""
    method = served._methodToID["put_v0"]
    command = b"\x00" + library_pickle.dumps((method, ("leader", "a stranger")))
    vote = {"type": "request_vote", "term": 10**9, "last_log_index": 0, "last_log_term": 0}
    messages = ("readonly", {"type": "apply_command", "command": command}, vote)
    with closing(guest(served, *messages)):
        tick_until(served, lambda: "leader" in served.entries and served.raftCurrentTerm > 10**8)

    assert served.entries["leader"] == "a stranger"


def test_h19_nobody_but_a_voter_is_listened_to() -> None:
    group = Group()
    group.elect("a")
    before = (group.log("b"), group.term("b"))

    for message in (
        wire.Append(10**9, 10**6, 1, 0, [wire.LogEntry(b"\x00forged", 2, 10**9)]),
        wire.AskVote(10**9, 10**6, 10**9, "life of b"),
        wire.Stale(10**9),
        wire.Forward(b"forged", 10.0),
    ):
        group.node("b")._core.receive("a stranger", message)
    group.step("b")

    assert (group.log("b"), group.term("b")) == before


def test_h20_the_library_keeps_silent_guests_for_ever() -> None:
    """The time limit of a connection is looked at when something happens on it; a guest who
    announces 2 GiB and then says nothing stays."""
    here, there = socket.socketpair()
    here.setblocking(False)
    poller = createPoller("poll")
    link = TcpConnection(poller, socket=here, timeout=0.08)
    there.sendall(struct.pack("i", 2**31 - 1) + b"x" * 1000)
    poller.poll(0.0)
    time.sleep(0.1)
    poller.poll(0.0)

    assert link.state == CONNECTION_STATE.CONNECTED
    link.disconnect()
    there.close()


def test_h20_a_giant_frame_is_refused_by_its_first_bytes(links: Links) -> None:
    assert [type(event) for event in links.pass_time(0.0)] == [Up]
    links.there.sendall(struct.pack(">I", wire.MAX_FRAME_BYTES + 1))

    assert [type(event) for event in links.pass_time(0.0)] == [Down]


def test_h21_the_library_loses_the_first_message_on_an_idle_link() -> None:
    """Followers say nothing to one another. When the first of them asks for votes, the link is
    found to have been silent for too long and is torn down, with the request."""
    here, there = socket.socketpair()
    here.setblocking(False)
    link = TcpConnection(createPoller("select"), socket=here, timeout=0.02)
    time.sleep(0.03)

    link.send({"type": "request_vote"})

    assert link.state == CONNECTION_STATE.DISCONNECTED
    assert there.recv(1000) == b""
    there.close()


def test_h21_a_quiet_link_is_pinged_and_a_silent_one_is_cut(links: Links) -> None:
    links.pass_time(0.0)
    frame = PlainFraming().wrap(b"a message")
    for _ in range(50):
        events = links.pass_time(links.timings.ping_period + 0.001)
        assert links.heard() == PING
        links.there.sendall(PING)
        assert not any(isinstance(event, Down) for event in events)
    links.links.send(links.peer, b"a message")
    links.links.flush()
    assert links.heard() == frame
    assert Received(links.peer, b"") in links.pass_time(0.0)

    assert Down(links.peer) in links.pass_time(links.timings.dead_after + 0.001)


def test_a_newer_connection_takes_the_place_of_the_older_one(links: Links) -> None:
    """What was whole on the old one is heard before it ends, and half a frame is not put together
    with what comes on the new one."""
    wrap = PlainFraming().wrap
    links.pass_time(0.0)
    with closing(links.there) as old:
        old.sendall(wrap(b"whole") + wrap(b"half")[:-2])
        links.there = links.connect()
        links.there.sendall(wrap(b"new"))

        events = links.pass_time(0.0)
        assert [type(event) for event in events] == [Received, Down, Up, Received]
        assert [e.frame for e in events if isinstance(e, Received)] == [b"whole", b"new"]
        assert old.recv(1) == b"", "it has been ended"

    links.links.send(links.peer, b"an answer")
    links.links.flush()
    assert links.heard() == wrap(b"an answer")


def test_h30_the_library_waits_for_itself_when_a_callback_asks_for_more() -> None:
    """Callbacks run on the only thread that could answer them."""
    group = StockGroup()
    group.elect("a")
    errors: list[SyncObjException] = []

    def ask_again(*_: object) -> None:
        try:
            group.node("a").create("second", 2, sync=True, timeout=0.05)
        except SyncObjException as error:
            errors.append(error)

    with library_time(lambda: group.now):
        group.node("a").create("first", 1, callback=ask_again)
    group.round("a", "bc")

    assert [error.errorCode for error in errors] == ["Timeout"]


def test_h30_an_answer_may_ask_for_more() -> None:
    group = Group()
    group.elect("a")
    outcomes: list[Outcome] = []

    def ask_again(_: Outcome) -> None:
        group.node("a").store.submit(Barrier(), timeout=Seconds(1e5), done=outcomes.append)

    group.node("a").store.submit(Barrier(), timeout=Seconds(1e5), done=ask_again)
    for _ in range(4):
        group.settle()

    assert [type(outcome) for outcome in outcomes] == [Committed]


def test_h32_the_library_raises_for_a_command_that_it_has_queued() -> None:
    """Each command writes a byte into a pipe; while the ticks are held up it fills, and the caller
    is told of an error though the command is in the queue."""
    group = StockGroup("a", appendEntriesUseBatch=False)
    group.elect("a")
    fcntl.fcntl(
        group.node("a").part("pipeNotifier")._PipeNotifier__pipeW, fcntl.F_SETPIPE_SZ, PIPE_BYTES
    )

    for number in range(PIPE_BYTES):
        group.node("a").create(f"k{number}", 1)
    with pytest.raises(BlockingIOError):
        group.node("a").create(f"k{PIPE_BYTES}", 1)
    group.tick("a", 4)

    assert f"k{PIPE_BYTES}" in group.node("a").entries


def test_h32_any_number_of_calls_may_wake_a_node_that_is_held_up(links: Links) -> None:
    for _ in range(PIPE_BYTES * 20):
        links.links.wake()

    assert [type(event) for event in links.pass_time(0.0)] == [Up]


class Spun(BaseException):
    """It was tried often enough."""


class Counting(TCPTransport):
    """The library's transport, which gives up after so many tries that nobody would wait."""

    tries = 0

    def tryGetReady(self) -> None:  # noqa: N802
        self.tries += 1
        if self.tries > 10_000:
            raise Spun
        super().tryGetReady()


def test_h36_the_library_spins_in_its_constructor_on_a_taken_port() -> None:
    with closing(socket.socket()) as taken, library_time(time.monotonic):
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        with pytest.raises(Spun):
            Served(taken.getsockname()[1], Counting)
