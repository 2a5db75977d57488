"""A cluster whose nodes are in network namespaces of their own, without being root.

Each node has one cable to the switch that joins the nodes and one to where clients are. The second
is never touched, so that clients are on both sides of every partition. What is pulled or spoiled
swallows packets without a word, as a dead switch does: nothing is reset, nothing is refused.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from socket import create_server
from typing import Any, Final

from tests.faults.links import Way
from tests.faults.spaces import LIMIT_S, Space
from tests.integration.harness import ClusterHarness, Node

PEERS: Final = "10.89.0"
CLIENTS: Final = "10.90.0"
"""Networks that exist in the namespaces of a test alone."""

TESTER: Final = 254
NOBODY: Final = "02:00:00:00:00:fe"
"""An address of a network card that nobody has."""

LIFE_S: Final = 7200
"""How long the cables outlive a test that is killed: longer than any test and storm takes."""
DOORMAN: Final = Path(__file__).with_name("doorman.py")
UDP_PORT: Final = 9009
HEAR: Final = f"""
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as ear:
    ear.bind((sys.argv[1], {UDP_PORT}))
    ear.settimeout(1)
    print("ready", flush=True)
    try:
        print(ear.recv(9).decode())
    except TimeoutError:
        print("silence")
"""
SAY: Final = f"""
import socket, sys
socket.socket(type=socket.SOCK_DGRAM).sendto(b"word", (sys.argv[1], {UDP_PORT}))
"""


class NetCluster(ClusterHarness):
    """Its cables can be pulled, and spoiled in one direction."""

    def write_files(self) -> None:
        self._stack = ExitStack()
        names = (*self._names, *self._witnesses)
        self._numbers = {name: number for number, name in enumerate(names, 1)}
        super().write_files()
        self._hub = Space("--net")
        self._stack.callback(self._hub.close)
        for switch, network in (("peers", PEERS), ("clients", CLIENTS)):
            self._hub.run("ip link add name", switch, "type bridge")
            self._hub.run(f"ip addr add {network}.{TESTER}/24 dev {switch}")
            self._hub.run("ip link set", switch, "up")
        self._keepers = {name: self._lay_cables(name) for name in self.nodes}
        self._open_doors()

    def options(self, node: Node) -> dict[str, Any]:
        options = super().options(node)
        others = [other for other in self.nodes.values() if other is not node]
        options["raft"] |= {
            "self_addr": f"{self._address(node.name)}:{node.raft_port}",
            "partner_addrs": [f"{self._address(o.name)}:{o.raft_port}" for o in others],
        }
        options["restapi"] |= {
            "listen": f"0.0.0.0:{node.rest_port}",
            "connect_address": f"{self._address(node.name)}:{node.rest_port}",
        }
        if node.is_member:
            postgres = options["postgresql"]
            postgres["listen"] = f"0.0.0.0:{node.postgres_port}"
            postgres["connect_address"] = f"{self._address(node.name)}:{node.postgres_port}"
            postgres["pg_hba"] += [
                f"host all all {CLIENTS}.0/24 scram-sha-256",
                f"host replication replicator {PEERS}.0/24 scram-sha-256",
            ]
        return options

    def surroundings(self, name: str) -> tuple[str, ...]:
        return self._entrance(name)

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._stack.close()

    def part(self, name: str, way: Way) -> None:
        """Nothing passes any more between this node and any other, or nothing passes one way."""
        if way is Way.BOTH:
            self._hub.run(f"ip link set peers-{name} down")
            return
        for other in self.nodes.keys() - {name}:
            source, target = (name, other) if way is Way.OUT else (other, name)
            lost = f"{self._address(target)} lladdr {NOBODY} nud permanent dev peers"
            self._inside(source, f"ip neigh replace {lost}")

    def heal(self) -> None:
        """Everything passes again."""
        for name in self.nodes:
            self._hub.run(f"ip link set peers-{name} up")
            self._inside(name, "ip neigh flush nud permanent dev peers")

    def hears(self, name: str, speaker: str) -> bool:
        """A packet from the one gets to the other."""
        address = self._address(name)
        hear = [*self._entrance(name), sys.executable, "-c", HEAR, address]
        with subprocess.Popen(hear, stdout=subprocess.PIPE, text=True) as ear:
            assert ear.stdout is not None
            assert ear.stdout.readline() == "ready\n"
            say = [*self._entrance(speaker), sys.executable, "-c", SAY, address]
            # A pulled cable may be told to the speaker: that is no word either.
            subprocess.run(say, timeout=LIMIT_S, capture_output=True, check=False)
            return ear.stdout.readline() == "word\n"

    def _address(self, name: str) -> str:
        """Where the others find a node."""
        return f"{PEERS}.{self._numbers[name]}"

    def _lay_cables(self, name: str) -> int:
        """Make the namespace of a node; the process that keeps it."""
        keeper = int(self._hub.run(f"unshare --net sleep {LIFE_S} >/dev/null & echo $!"))
        self._stack.callback(self._hub.run, "kill", keeper)
        ours, its = "/proc/self/ns/net", f"/proc/{keeper}/ns/net"
        self._hub.run(f"while [ {its} -ef {ours} ]; do sleep 0.01; done")
        for switch, network in (("peers", PEERS), ("clients", CLIENTS)):
            end = f"type veth peer name {switch} netns {keeper}"
            self._hub.run(f"ip link add name {switch}-{name} {end}")
            self._hub.run(f"ip link set {switch}-{name} master {switch} up")
            address = f"{network}.{self._numbers[name]}/24"
            self._hub.run(f"nsenter --target {keeper} --net ip addr add {address} dev {switch}")
            self._hub.run(f"nsenter --target {keeper} --net ip link set {switch} up")
        self._hub.run(f"nsenter --target {keeper} --net ip link set lo up")
        return keeper

    def _inside(self, name: str, command: str) -> None:
        self._hub.run(f"nsenter --target {self._keepers[name]} --net {command}")

    def _entrance(self, name: str) -> tuple[str, ...]:
        return tuple(self._hub.entrance_of(self._keepers[name]))

    def _open_doors(self) -> None:
        """The ports that clients know lead into the namespaces."""
        with ExitStack() as doors:
            words = []
            for node in self.nodes.values():
                for port in filter(None, (node.rest_port, node.postgres_port)):
                    door = doors.enter_context(create_server(("127.0.0.1", port)))
                    inside = f"{CLIENTS}.{self._numbers[node.name]}:{port}"
                    words.append((door.fileno(), inside))
            doorman = subprocess.Popen(
                [
                    *(*self._hub.entrance, sys.executable, str(DOORMAN)),
                    *(f"{handle}={inside}" for handle, inside in words),
                ],
                stdin=subprocess.PIPE,
                pass_fds=[handle for handle, _ in words],
            )
        self._stack.callback(doorman.communicate, timeout=LIMIT_S)
