"""A cluster whose every link passes a proxy, each kind of link through one of its own.

What the nodes advertise is a port of a proxy. The prober and the tests reach each node directly:
clients are on both sides of every partition.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import psutil

from tests.integration.harness import ClusterHarness, Node
from tests.integration.proxy import STRANGER, LinkProxy

HOST: Final = "127.0.0.1"


class Kind(StrEnum):
    """What a link is for."""

    RAFT = "raft"
    HTTP = "http"
    REPLICATION = "replication"


class Way(StrEnum):
    """Which direction of a node's links is silent."""

    BOTH = "both ways"
    IN = "inward"
    OUT = "outward"


def inode_of(port: int, called: int) -> str | None:
    """The socket of this machine that connects the one port with the other, as the kernel numbers
    it; None if it is closed."""
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        words = line.split()
        ends = tuple(int(end.partition(":")[2], 16) for end in words[1:3])
        if ends == (port, called):
            return words[9]
    return None


def holds(pid: int, inode: str) -> bool:
    """This process has that socket open."""
    return any(link == f"socket:[{inode}]" for link in open_files(pid))


def open_files(pid: int) -> Iterator[str]:
    """What a process has open, as the kernel names it; those of others are not told."""
    with suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                yield os.readlink(handle)


class ProxiedCluster(ClusterHarness):
    """Its links can be spoiled."""

    def write_files(self) -> None:
        self._stack = ExitStack()
        self.proxies = {kind: self._stack.enter_context(LinkProxy(self._who)) for kind in Kind}
        self._fronts: dict[tuple[str, Kind], int] = {}
        for name in (*self._names, *self._witnesses):
            for kind in Kind:
                self._fronts[name, kind] = self._ports.take()
        super().write_files()
        for node in self.nodes.values():
            behind = {
                Kind.RAFT: node.raft_port,
                Kind.HTTP: node.rest_port,
                Kind.REPLICATION: node.postgres_port,
            }
            for kind, port in behind.items():
                if port is not None:
                    self.proxies[kind].stand_before(node.name, self._fronts[node.name, kind], port)

    def options(self, node: Node) -> dict[str, Any]:
        options = super().options(node)
        others = [other for other in self.nodes.values() if other is not node]
        options["raft"] |= {
            "self_addr": self._front(node, Kind.RAFT),
            "bind_addr": f"{HOST}:{node.raft_port}",
            "partner_addrs": [self._front(other, Kind.RAFT) for other in others],
        }
        options["restapi"]["connect_address"] = self._front(node, Kind.HTTP)
        if node.is_member:
            options["postgresql"]["connect_address"] = self._front(node, Kind.REPLICATION)
        return options

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._stack.close()

    def part(self, name: str, kinds: tuple[Kind, ...], way: Way) -> None:
        """Nothing of these kinds passes between this node and any other, or nothing passes one way
        and the connections stay open."""
        for kind in kinds:
            proxy = self.proxies[kind]
            for other in self.nodes.keys() - {name}:
                if way is Way.BOTH:
                    proxy.cut(name, other)
                    proxy.cut(other, name)
                if way is not Way.IN:
                    proxy.stall(name, other)
                if way is not Way.OUT:
                    proxy.stall(other, name)

    def heal(self) -> None:
        """Everything passes again."""
        for proxy in self.proxies.values():
            proxy.heal()

    def passed(self, name: str, kind: Kind, way: Way) -> int:
        """Bytes that ever passed this way between this node and the others."""
        others, proxy = self.nodes.keys() - {name}, self.proxies[kind]
        inward = sum(proxy.passed(other, name) for other in others)
        outward = sum(proxy.passed(name, other) for other in others)
        return {Way.IN: inward, Way.OUT: outward, Way.BOTH: inward + outward}[way]

    def _front(self, node: Node, kind: Kind) -> str:
        return f"{HOST}:{self._fronts[node.name, kind]}"

    def _who(self, port: int, called: int) -> str:
        """The node to which the process belongs that dials from this port: its agent, a server in
        its directory, or a program that fills the directory. The agents are looked at first: to
        look through all processes takes long, and everything else that passes has to wait."""
        inode = inode_of(port, called)
        if inode is None:
            return STRANGER
        for name, agent in list(self._agents.items()):
            if holds(agent.pid, inode):
                return name
        dialler = next((pid for pid in psutil.pids() if holds(pid, inode)), None)
        return STRANGER if dialler is None else self._owner(dialler)

    def _owner(self, pid: int) -> str:
        try:
            process = psutil.Process(pid)
            folder, words = process.cwd(), process.cmdline()
        except psutil.Error:
            return STRANGER
        for node in self.nodes.values():
            its_own = str(node.file) in words or any(str(node.pgdata) in word for word in words)
            if its_own or folder == str(node.pgdata):
                return node.name
        return STRANGER
