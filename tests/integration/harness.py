"""A cluster of real `raftha` processes on this machine, and the ways to hurt it.

Every fault proves its own effect before the method returns: a killed process is gone, a paused one
is stopped. Nothing here knows what the product should do about it; tests say that.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import psutil
import psycopg2
import yaml
from psycopg2 import extensions

from raftha.model.postgres import Binaries
from tests.integration import processes
from tests.integration.asking import ask
from tests.integration.ports import PortLeases
from tests.integration.processes import Part

LEADER_LIMIT_S: Final = 40.0
STOP_LIMIT_S: Final = 20.0
KILL_LIMIT_S: Final = 10.0
POLL_S: Final = 0.05
PASSWORD: Final = "harness"
STREAM_OF: Final = "lower(split_part(application_name, '@', 1))"
"""In SQL on pg_stat_replication: the member whose stream a row is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node: where its things are. A witness has no `postgres_port`."""

    name: str
    file: Path
    raft_port: int
    rest_port: int
    postgres_port: int | None
    data: str = "pgdata"

    @property
    def folder(self) -> Path:
        return self.file.parent / self.name

    @property
    def pgdata(self) -> Path:
        return self.folder / self.data

    @property
    def log(self) -> Path:
        return self.file.parent / f"{self.name}.log"

    @property
    def is_member(self) -> bool:
        return self.postgres_port is not None


class ClusterHarness:
    """Writes the nodes' files; starts, hurts, asks and at the end removes them.

    Use it as a context manager: at the end all processes are killed, verified. `folder` must
    have a short path, for Unix sockets lie below it. `scheme`, `host` and `context` say how its
    REST interfaces are reached, `data` where in its folder a node's data is.
    """

    scheme = "http"
    host = "127.0.0.1"
    context: ssl.SSLContext | None = None
    data = "pgdata"

    def __init__(
        self,
        folder: Path,
        binaries: Binaries,
        *,
        nodes: int = 3,
        witnesses: int = 0,
        ttl: float = 2.0,
        synchronous_mode: str = "quorum",
        **dynamic: Any,
    ) -> None:
        self._folder = folder
        self._binaries = binaries
        self._names = [f"n{number + 1}" for number in range(nodes)]
        self._witnesses = [f"w{number + 1}" for number in range(witnesses)]
        self._dynamic = {
            "profile": "fast",
            "ttl": ttl,
            "loop_wait": 0.3,
            "synchronous_mode": synchronous_mode,
            **dynamic,
        }
        self._ports = PortLeases()
        self._agents: dict[str, subprocess.Popen[bytes]] = {}
        self._paused: list[psutil.Process] = []
        self.nodes: dict[str, Node] = {}

    def __enter__(self) -> Self:
        self.write_files()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # The nodes' files

    def write_files(self) -> None:
        """Lease the ports and write one file for each node, and the key of the group."""
        for name in (*self._names, *self._witnesses):
            self.nodes[name] = Node(
                name=name,
                file=self._folder / f"{name}.yml",
                raft_port=self._ports.take(),
                rest_port=self._ports.take(),
                postgres_port=self._ports.take() if name in self._names else None,
                data=self.data,
            )
        key = self._folder / "raft.key"
        key.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
        key.chmod(0o600)
        for node in self.nodes.values():
            node.file.write_text(yaml.safe_dump(self.options(node)), encoding="utf-8")
            node.file.chmod(0o600)

    def options(self, node: Node) -> dict[str, Any]:
        """The content of a node's file; a test may change the result and write it again."""
        others = [other for other in self.nodes.values() if other is not node]
        options: dict[str, Any] = {
            "scope": "test",
            "name": node.name,
            "raft": {
                "self_addr": f"127.0.0.1:{node.raft_port}",
                "partner_addrs": [f"127.0.0.1:{other.raft_port}" for other in others],
                "data_dir": str(node.folder / "raft"),
                "allow_tmpfs": True,
                "key_file": str(self._folder / "raft.key"),
            },
            "restapi": {
                "listen": f"{self.host}:{node.rest_port}",
                "connect_address": f"{self.host}:{node.rest_port}",
            },
            "log": {"level": "DEBUG"},
            "bootstrap": {"dcs": self._dynamic},
        }
        if node.is_member:
            options["postgresql"] = self._postgres_options(node)
            options["bootstrap"]["initdb"] = [{"encoding": "UTF8"}, "data-checksums"]
        return options

    def _postgres_options(self, node: Node) -> dict[str, Any]:
        return {
            "listen": f"127.0.0.1:{node.postgres_port}",
            "connect_address": f"127.0.0.1:{node.postgres_port}",
            "data_dir": str(node.pgdata),
            "bin_dir": str(self._binaries.bin_dir),
            "authentication": {
                "superuser": {"username": "postgres", "password": PASSWORD},
                "replication": {"username": "replicator", "password": PASSWORD},
                "rewind": {"username": "rewinder", "password": PASSWORD},
            },
            "parameters": {"shared_buffers": "16MB", "max_connections": 50},
            "pg_hba": [
                "local all all scram-sha-256",
                "host all all 127.0.0.1/32 scram-sha-256",
                "host replication replicator 127.0.0.1/32 scram-sha-256",
            ],
        }

    # Starting and stopping

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Start the agent of one node, with these variables set; it is running when this returns,
        perhaps not yet serving. Of a killed one the last threads may outlive the first."""
        node = self.nodes[name]
        self.wait_for(lambda: not self.runs(name), KILL_LIMIT_S, f"{name} runs no more")
        verb = "run" if node.is_member else "witness"
        node.folder.mkdir(mode=0o700, exist_ok=True)
        with node.log.open("ab") as log:
            self._agents[name] = subprocess.Popen(
                [*self.surroundings(name), sys.executable, "-m", "raftha", verb, str(node.file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=node.folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    def surroundings(self, _name: str) -> Sequence[str]:
        """The program, with its arguments, that runs a node's agent in its place; none here."""
        return ()

    def start_all(self) -> None:
        """Start every node that does not run, all at once."""
        for name in self.nodes:
            if not self.runs(name):
                self.start(name)

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the agent and wait until it ended; its exit code."""
        agent = self._agents[name]
        agent.send_signal(number)
        try:
            return agent.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{name} did not stop\n{self.tail(name)}") from None

    def runs(self, name: str) -> bool:
        """The agent of this node has been started and has not ended."""
        agent = self._agents.get(name)
        return agent is not None and agent.poll() is None

    def close(self) -> None:
        """Kill everything and give the ports back. Raises AssertionError if anything is left."""
        for process in self._paused:
            processes.send([process], signal.SIGCONT)
        with closing(self._ports):
            for name in self.nodes:
                self.kill(name)

    # Faults

    def processes(self, name: str, part: Part) -> list[psutil.Process]:
        """The running processes of a node that are its `part`."""
        node = self.nodes[name]
        if part is Part.GUARDIAN:
            return processes.of_guardian(node.pgdata)
        if part is Part.POSTGRES:
            return processes.of_postgres(node.pgdata)
        if not self.runs(name):
            return []
        return [psutil.Process(self._agents[name].pid)]

    def kill(self, name: str) -> None:
        """The machine is gone: SIGKILL of agent, guardian and servers, until none is left."""
        processes.kill_all(
            lambda: [each for part in Part for each in self.processes(name, part)], KILL_LIMIT_S
        )

    def kill_agent(self, name: str) -> None:
        """SIGKILL of the agent alone."""
        processes.kill_all(lambda: self.processes(name, Part.AGENT), KILL_LIMIT_S)

    def kill_guardian(self, name: str) -> None:
        """SIGKILL of the guardians that are there now; the agent may start another at once."""
        found = self.processes(name, Part.GUARDIAN)
        assert found, f"{name} has no guardian to kill"
        processes.send(found, signal.SIGKILL)
        processes.wait_until_gone(found, KILL_LIMIT_S)

    def kill_postgres(self, name: str) -> None:
        """SIGKILL of the postmaster alone, its sessions are on their own. It was there before."""
        found = processes.postmaster(self.nodes[name].pgdata)
        assert found is not None, f"{name} has no postmaster to kill"
        found.kill()
        processes.wait_until_gone([found], KILL_LIMIT_S)

    def pause(self, name: str, *parts: Part) -> None:
        """SIGSTOP of these parts of a node (all of them by default), and wait until they stand."""
        chosen = parts or tuple(Part)
        found = [process for part in chosen for process in self.processes(name, part)]
        assert found, f"{name} has nothing to pause"
        processes.send(found, signal.SIGSTOP)
        self._paused += found
        self.wait_for(
            lambda: all(map(processes.is_still, found)), KILL_LIMIT_S, f"{name} stands still"
        )

    def resume(self, name: str) -> None:
        """SIGCONT of whatever of this node is stopped and still there."""
        for part in Part:
            processes.send(self.processes(name, part), signal.SIGCONT)

    # Questions

    def url(self, name: str) -> str:
        """Where a node's REST interface is."""
        return f"{self.scheme}://{self.host}:{self.nodes[name].rest_port}"

    def get(self, name: str, path: str, timeout_s: float = 2.0) -> tuple[int, Any]:
        """Status and decoded body of a GET; (0, None) when nobody answers."""
        return ask(self.url(name) + path, timeout_s=timeout_s, context=self.context)

    def status(self) -> dict[str, Any] | None:
        """`/cluster` of the first node that answers it."""
        for name in self.nodes:
            code, body = self.get(name, "/cluster")
            if code == 200 and isinstance(body, dict):
                return body
        return None

    def primary(self) -> str | None:
        """The member that answers 200 on /primary; None where it is not exactly one."""
        found = [n.name for n in self.members() if self.get(n.name, "/primary")[0] == 200]
        return found[0] if len(found) == 1 else None

    def members(self) -> list[Node]:
        """The nodes with PostgreSQL."""
        return [node for node in self.nodes.values() if node.is_member]

    def connect(self, name: str, timeout_s: int = 2) -> extensions.connection:
        """A new autocommit session of the superuser on one server. Raises psycopg2.Error."""
        session = psycopg2.connect(
            host="127.0.0.1",
            port=self.nodes[name].postgres_port,
            user="postgres",
            password=PASSWORD,
            dbname="postgres",
            connect_timeout=timeout_s,
        )
        session.autocommit = True
        return session

    def query(self, name: str, sql: str) -> list[tuple[Any, ...]]:
        """The rows of one statement in a session of its own. Raises psycopg2.Error."""
        session = self.connect(name)
        try:
            with session.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            session.close()

    # Waiting

    def wait_for(self, is_true: Callable[[], object], timeout_s: float, what: str) -> None:
        """Poll until the condition holds; errors of a query count as not yet.

        At the limit raises AssertionError with `what`, the status and the ends of the logs.
        """
        deadline = time.monotonic() + timeout_s
        problem: object = ""
        while time.monotonic() < deadline:
            try:
                if is_true():
                    return
                problem = ""
            except (OSError, psycopg2.Error, psutil.Error) as error:
                problem = f"; the last attempt said {error!r}"
            time.sleep(POLL_S)
        raise AssertionError(f"not within {timeout_s} s: {what}{problem}\n{self.describe()}")

    def wait_for_primary(self, timeout_s: float = LEADER_LIMIT_S, other_than: str = "") -> str:
        """The name of the primary, once there is exactly one, not `other_than`."""
        found: str | None = None

        def is_there() -> bool:
            nonlocal found
            found = self.primary()
            return found not in (None, other_than)

        self.wait_for(is_there, timeout_s, "a primary")
        return found or ""

    def wait_until_whole(self, timeout_s: float = LEADER_LIMIT_S) -> str:
        """The name of the primary, once every other member streams from it."""

        def whole() -> bool:
            name = self.primary()
            if name is None:
                return False
            # By name: the stream of a copy in progress is none of a member.
            rows = self.query(
                name,
                f"SELECT {STREAM_OF} FROM pg_stat_replication WHERE state = 'streaming'",
            )
            others = {node.name for node in self.members()} - {name}
            return others <= {row[0] for row in rows}

        self.wait_for(whole, timeout_s, "a primary from which every other member streams")
        return self.wait_for_primary(timeout_s)

    def describe(self) -> str:
        """The cluster's status and the end of every log."""
        status = json.dumps(self.status(), indent=1)
        return "\n".join([status, *(self.tail(name) for name in self.nodes)])

    def tail(self, name: str, lines: int = 25) -> str:
        """The end of a node's log."""
        log = self.nodes[name].log
        text = log.read_text("utf-8", "replace") if log.exists() else "(no log)"
        agent = self._agents.get(name)
        ended = f"ended with {agent.returncode}" if agent else "was not started"
        state = "runs" if self.runs(name) else ended
        return "\n".join([f"--- {name} ({state}) {log}", *text.splitlines()[-lines:]])
