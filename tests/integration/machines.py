"""A cluster whose machines come and go: a second machine for a name, one more, and who votes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from tests.integration.harness import ClusterHarness, Node
from tests.integration.node_support import raftha

CHANGE_LIMIT_S: Final = 20.0


class ChangingCluster(ClusterHarness):
    """A cluster that gets new machines while it runs."""

    def second_machine(self, name: str) -> str:
        """Another machine gets this name, with addresses and empty directories of its own. The
        first is known by the name that is returned; what runs there goes on."""
        first = f"first {name}"
        self.nodes[first] = self.nodes[name]
        if name in self._agents:
            self._agents[first] = self._agents.pop(name)
        self._machine(name, self._folder / "second", self.nodes[name].is_member)
        return first

    def _machine(self, name: str, place: Path, is_member: bool) -> None:
        place.mkdir(mode=0o700, exist_ok=True)
        node = Node(
            name=name,
            file=place / f"{name}.yml",
            raft_port=self._ports.take(),
            rest_port=self._ports.take(),
            postgres_port=self._ports.take() if is_member else None,
        )
        self.nodes[name] = node
        node.file.write_text(yaml.safe_dump(self.options(node)), encoding="utf-8")
        node.file.chmod(0o600)

    def options(self, node: Node) -> dict[str, Any]:
        """Partners are all machines but those that had the same name before."""
        options = super().options(node)
        others = [other for other in self.nodes.values() if other.name != node.name]
        options["raft"]["partner_addrs"] = [f"127.0.0.1:{other.raft_port}" for other in others]
        return options

    def address(self, name: str) -> str:
        """The Raft address of a node."""
        return f"127.0.0.1:{self.nodes[name].raft_port}"

    def member(self, *words: str, by: str) -> str:
        """`raftha member …` through a node; its output, after it ended well."""
        done = raftha("member", *words, "--yes", "--url", self.url(by))
        assert done.returncode == 0, done.stdout
        return done.stdout

    def listed(self, by: str) -> dict[str, dict[str, Any]]:
        """Every node as `/members` of one of them tells it, by name."""
        code, body = self.get(by, "/members")
        assert code == 200, body
        return {node["name"]: node for node in body["members"]}

    def await_standing(self, name: str, standing: str, by: str) -> None:
        """A node is told to be this: `voter`, `newcomer`, …"""
        self.wait_for(
            lambda: self.listed(by).get(name, {}).get("standing") == standing,
            CHANGE_LIMIT_S,
            f"{by} tells that {name} is a {standing}",
        )
