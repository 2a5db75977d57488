"""Real voters on real sockets and real files: the three ways to secure a link, and bad guests."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Event, Thread, current_thread
from time import monotonic, sleep

import pytest
from msgspec.structs import replace

from raftha.clock import SystemClock
from raftha.consensus.dialing import Found, Resolver, resolve
from raftha.consensus.node import RaftNode
from raftha.consensus.opening import open_store
from raftha.errors import CompareFailed, ConfigError, StoreUnavailable
from raftha.instants import Seconds
from raftha.model.settings import Address, RaftConfig, RaftTimings, TlsFiles
from raftha.model.store import Changed, Key, KeyAbsent, Put, RaftRole, Transact
from tests.certificates import make_certificates

pytestmark = pytest.mark.slow
PATIENCE = Seconds(10.0)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass
class Cluster:
    """Three addresses, and the voters that were started on them."""

    directory: Path
    addresses: list[Address] = field(
        default_factory=lambda: [Address("127.0.0.1", port) for port in free_ports(3)]
    )
    started: list[RaftNode] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)

    def config(
        self, number: int, key: str | None = None, tls: TlsFiles | None = None
    ) -> RaftConfig:
        key_file = None
        if key is not None:
            key_file = self.directory / f"key{number}"
            key_file.write_text(key)
        return RaftConfig(
            self_addr=self.addresses[number],
            bind_addr=self.addresses[number],
            partner_addrs=tuple(self.addresses),
            data_dir=self.directory / f"raft{number}",
            key_file=key_file,
            tls=tls,
        )

    def start(
        self,
        number: int,
        config: RaftConfig,
        name: str | None = None,
        resolver: Resolver = resolve,
    ) -> RaftNode:
        node = open_store(
            scope="test",
            name=name or f"n{number}",
            config=config,
            timings=lambda _persisted: RaftTimings(),
            clock=SystemClock(),
            random=Random(),
            witness=False,
            fatal=self.deaths.append,
            begin_anew=self.deaths.append,
            resolver=resolver,
        )
        self.started.append(node)
        node.start()
        return node

    def stop(self) -> None:
        for node in self.started:
            node.stop()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.stop()
    assert made.deaths == []


def create(key: str) -> Transact:
    return Transact((KeyAbsent(Key(key)),), (Put(Key(key), b"v"),))


def eventually(fact: Callable[[], bool]) -> None:
    deadline = monotonic() + PATIENCE
    while not fact():
        assert monotonic() < deadline, "it did not come true in time"
        sleep(0.02)


def all_bound(node: RaftNode) -> bool:
    """Every voter is named in the log: before, the others need those that are."""
    return all(voter.bound for voter in node.store.status().voters)


def problem_of(node: RaftNode, number: int) -> str:
    voters = {voter.address: voter for voter in node.store.status().voters}
    return next((v.problem or "" for a, v in voters.items() if a.endswith(f":{number}")), "")


def certificates(directory: Path, names: list[str]) -> dict[str, TlsFiles]:
    """A private authority and a certificate for each name."""
    make_certificates(directory, *names)
    return {
        name: TlsFiles(
            cafile=directory / "ca.pem",
            certfile=directory / f"{name}.pem",
            keyfile=directory / f"{name}.key",
        )
        for name in names
    }


def test_three_voters_with_a_key_file_keep_a_store(cluster: Cluster) -> None:
    nodes = [cluster.start(i, cluster.config(i, key="k" * 32)) for i in range(3)]
    first = nodes[0].store.execute(create("a"), timeout=PATIENCE)
    assert first.revision == 1
    with pytest.raises(CompareFailed, match="exists"):
        nodes[1].store.execute(create("a"), timeout=PATIENCE)
    assert set(nodes[2].store.read("a", timeout=PATIENCE).entries) == {"a"}

    woken: list[int] = []
    watch = nodes[2].store.watch("b", lambda: woken.append(1), after=None)
    nodes[0].store.execute(create("b/1"), timeout=PATIENCE)
    nodes[2].store.read(timeout=PATIENCE)
    assert [type(event) for event in watch.poll()] == [Changed]
    assert woken
    assert nodes[2].store.status().majority
    # Two that follow may be in touch a redial later than each is with their leader.
    eventually(lambda: nodes[2].store.status().connected == 3)
    status = nodes[2].store.status()
    assert {voter.name for voter in status.voters} == {"n0", "n1", "n2"}


def test_a_killed_raft_leader_is_replaced_and_comes_back(cluster: Cluster) -> None:
    nodes = [cluster.start(i, cluster.config(i)) for i in range(3)]
    nodes[0].store.execute(create("a"), timeout=PATIENCE)
    lost = next(i for i in range(3) if nodes[i].store.status().role is RaftRole.LEADER)
    eventually(lambda: all(all_bound(node) for node in nodes))
    nodes[lost].stop()
    other = nodes[(lost + 1) % 3]
    other.store.execute(create("b"), timeout=PATIENCE)

    again = cluster.start(lost, cluster.config(lost))
    assert set(again.store.read(timeout=PATIENCE).entries) == {"a", "b"}
    with pytest.raises(StoreUnavailable):
        nodes[lost].store.execute(create("c"), timeout=PATIENCE)


def test_voters_with_certificates_keep_a_store(cluster: Cluster, tmp_path: Path) -> None:
    files = certificates(tmp_path, ["n0", "n1"])
    nodes = [cluster.start(i, cluster.config(i, tls=files[f"n{i}"])) for i in range(2)]
    nodes[0].store.execute(create("a"), timeout=PATIENCE)
    assert nodes[0].store.status().connected == 2


def test_a_node_with_the_certificate_of_another_does_not_start(
    cluster: Cluster, tmp_path: Path
) -> None:
    files = certificates(tmp_path, ["n1"])
    with pytest.raises(ConfigError, match="names n1, not n2"):
        cluster.start(2, cluster.config(2, tls=files["n1"]))


def test_a_voter_with_another_key_is_told_so_and_kept_out(cluster: Cluster) -> None:
    nodes = [cluster.start(i, cluster.config(i, key="k" * 32)) for i in range(2)]
    nodes[0].store.execute(create("a"), timeout=PATIENCE)
    cluster.start(2, cluster.config(2, key="z" * 32))
    port = cluster.addresses[2].port
    eventually(lambda: any("not the same as ours" in problem_of(node, port) for node in nodes))
    assert nodes[0].store.status().connected == 2


def test_two_agents_with_one_name_do_not_meet(cluster: Cluster) -> None:
    first = cluster.start(0, cluster.config(0))
    cluster.start(1, cluster.config(1), name="N0")
    port = cluster.addresses[1].port
    eventually(lambda: "same name" in problem_of(first, port))


def test_a_voter_with_an_emptied_directory_gets_its_seat_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    nodes = [cluster.start(i, cluster.config(i)) for i in range(3)]
    nodes[0].store.execute(create("a"), timeout=PATIENCE)
    eventually(lambda: all(node.store.status().connected == 3 for node in nodes))
    eventually(lambda: None not in incarnations(nodes[0]))
    before = incarnations(nodes[0])
    nodes[2].stop()
    (tmp_path / "raft2").rename(tmp_path / "moved away")
    again = cluster.start(2, cluster.config(2))

    def is_seated() -> bool:
        now = incarnations(nodes[0])
        return len(now) == 3 and now != before and incarnations(again) == now

    eventually(is_seated)
    nodes[0].store.execute(create("b"), timeout=PATIENCE)
    nodes[1].stop()
    assert set(again.store.read(timeout=PATIENCE).entries) == {"a", "b"}


def test_a_node_that_nobody_knows_gets_the_store_and_no_vote(cluster: Cluster) -> None:
    """It dials, also where its address sorts below the others': they cannot know of it."""
    ports = sorted(free_ports(4), key=str)
    newcomer, *founders = cluster.addresses = [Address("127.0.0.1", port) for port in ports]
    nodes = [cluster.start(i, founded(cluster, i, founders)) for i in (1, 2, 3)]
    nodes[0].store.execute(create("a"), timeout=PATIENCE)
    joiner = cluster.start(0, founded(cluster, 0, founders))

    assert set(joiner.store.read(timeout=PATIENCE).entries) == {"a"}
    joiner.store.execute(create("b"), timeout=PATIENCE)
    assert len(nodes[0].store.status().voters) == 3
    joined = [joiner.address for joiner in nodes[0].store.status().joiners]
    assert joined == [str(newcomer)]


def founded(cluster: Cluster, number: int, founders: list[Address]) -> RaftConfig:
    """A file that names these as the voters."""
    return replace(cluster.config(number), partner_addrs=tuple(founders))


def incarnations(node: RaftNode) -> list[str | None]:
    """Of the voters that a node knows, by address."""
    voters = sorted(node.store.status().voters, key=lambda voter: voter.address)
    return [voter.incarnation for voter in voters]


def test_an_address_of_another_machine_is_told_from_a_taken_port(cluster: Cluster) -> None:
    elsewhere = Address("192.0.2.1", cluster.addresses[0].port)
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1 is no address of this machine: correct"):
        cluster.start(0, replace(cluster.config(0, key="k" * 32), bind_addr=elsewhere))
    cluster.started.clear()


def test_noise_silence_and_giant_frames_disturb_nobody(cluster: Cluster) -> None:
    nodes = [cluster.start(i, cluster.config(i, key="k" * 32)) for i in range(3)]
    nodes[0].store.execute(create("a"), timeout=PATIENCE)
    guests = []
    for noise in (b"\xff" * 5000, b"GET / HTTP/1.0\r\n\r\n", struct.pack(">I", 2**31), b""):
        for address in cluster.addresses:
            guest = socket.create_connection((address.host, address.port))
            guest.sendall(noise)
            guests.append(guest)
    for number in range(20):
        nodes[number % 3].store.execute(create(f"b{number}"), timeout=PATIENCE)
    for guest in guests:
        guest.close()


def test_a_taken_port_is_an_error_at_once(cluster: Cluster) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", cluster.addresses[0].port))
        taken.listen()
        with pytest.raises(ConfigError, match="cannot listen"):
            cluster.start(0, cluster.config(0))
    cluster.started.clear()


def test_addresses_beyond_the_loopback_need_protection(cluster: Cluster) -> None:
    cluster.addresses[1] = Address("192.0.2.7", 5000)
    with pytest.raises(ConfigError, match=r"192\.0\.2\.7: needs raft\.key_file or certificates"):
        cluster.start(0, cluster.config(0))


def test_a_name_that_cannot_be_resolved_is_shown(cluster: Cluster) -> None:
    cluster.addresses[1] = Address("0.invalid", cluster.addresses[1].port)
    cluster.addresses[0] = Address("127.0.0.1", cluster.addresses[0].port)
    node = cluster.start(0, cluster.config(0, key="k" * 32))
    eventually(lambda: "cannot be resolved" in problem_of(node, cluster.addresses[1].port))


class NameServer:
    """Says where a name is, as long as the name is not one of those that it hangs on."""

    def __init__(self, *hanging: str) -> None:
        self.hosts: dict[str, str] = {}
        self.hanging = set(hanging)
        self.answers = Event()
        self.asked_by: list[Thread] = []

    def __call__(self, host: str, port: int) -> Sequence[Found]:
        self.asked_by.append(current_thread())
        if host in self.hanging:
            self.answers.wait()
        return [(socket.AF_INET, (self.hosts.get(host, host), port))]


def test_a_name_server_that_hangs_holds_up_no_tick_no_other_peer_and_no_stop(
    cluster: Cluster,
) -> None:
    """Two of three find each other and serve, while one of them waits for the third's name."""
    names = NameServer("third.test")
    keys = [cluster.config(number, key="k" * 32) for number in range(3)]
    lost = Address("third.test", cluster.addresses[2].port)
    partners = (*cluster.addresses[:2], lost)
    try:
        for number in range(2):
            config = replace(keys[number], partner_addrs=partners)
            cluster.start(number, config, resolver=names)
        first, second = cluster.started
        eventually(lambda: len(names.asked_by) >= 2)
        for number in range(20):
            first.store.execute(create(f"a{number}"), timeout=Seconds(2.0))
            second.store.execute(create(f"b{number}"), timeout=Seconds(2.0))
        assert {thread.name for thread in names.asked_by} == {"raft-link"}
        assert any(thread.is_alive() for thread in names.asked_by)
        assert all(thread.daemon for thread in names.asked_by), "or the process would not end"
        cluster.stop()
    finally:
        names.answers.set()
    assert first._thread is None


def test_a_voter_is_found_where_its_name_has_moved_to(cluster: Cluster) -> None:
    """The first alone can find the second: at a place where nobody listens, then at one where it
    does, then, after a restart, at another."""
    hosts = ["one.test", "two.test", "three.test"]
    cluster.addresses = [
        Address(host, address.port) for host, address in zip(hosts, cluster.addresses, strict=True)
    ]
    names, lost = NameServer(), NameServer()
    lost.hosts = dict.fromkeys(hosts, "127.0.0.9")
    names.hosts = {**lost.hosts, "one.test": "127.0.0.1"}

    def start(number: int, at: str, resolver: Resolver) -> RaftNode:
        config = cluster.config(number, key="k" * 32)
        config = replace(config, bind_addr=Address(at, config.self_addr.port))
        return cluster.start(number, config, resolver=resolver)

    first, second = start(0, "127.0.0.1", names), start(1, "127.0.0.1", lost)
    eventually(lambda: "cannot connect" in problem_of(first, cluster.addresses[1].port))
    names.hosts["two.test"] = "127.0.0.1"
    first.store.execute(create("a"), timeout=PATIENCE)
    second.stop()
    cluster.started.remove(second)
    names.hosts["two.test"] = "127.0.0.3"

    second = start(1, "127.0.0.3", lost)

    second.store.execute(create("b"), timeout=PATIENCE)
    assert set(first.store.read(timeout=PATIENCE).entries) == {"a", "b"}
