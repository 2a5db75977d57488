"""Three etcd servers on this machine, and a client that speaks as Patroni does: JSON over HTTP.

For comparison only. The connections are kept open, and the client reads no more of an answer than
it must, so that what is measured is etcd and not Python.
"""

from __future__ import annotations

import base64
import json
import selectors
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.integration.ports import PortLeases

START_LIMIT_S: Final = 20.0
ANSWER_LIMIT_S: Final = 10.0
RETRY_S: Final = 0.25


def is_installed() -> bool:
    return shutil.which("etcd") is not None


@dataclass(slots=True, kw_only=True)
class Server:
    name: str
    client_port: int
    peer_port: int
    process: subprocess.Popen[bytes] | None = None


class Connection:
    """One kept-open HTTP connection to a server."""

    def __init__(self, port: int, timeout_s: float = ANSWER_LIMIT_S) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)

    def receive(self) -> bytes:
        """The body of one answer. Raises OSError unless it is a success."""
        got = b""
        while b"\r\n\r\n" not in got:
            got += self._more()
        head, _, body = got.partition(b"\r\n\r\n")
        fields = dict(
            line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
        )
        length = int(fields.get(b"content-length", b"0"))
        while len(body) < length:
            body += self._more()
        if not head.startswith(b"HTTP/1.1 200"):
            raise OSError(f"etcd says {head[:40]!r}: {body[:200]!r}")
        return body

    def call(self, request: bytes) -> bytes:
        self.send(request)
        return self.receive()

    def close(self) -> None:
        self.socket.close()

    def _more(self) -> bytes:
        part = self.socket.recv(65536)
        if not part:
            raise OSError("etcd hung up")
        return part


def put_request(key: str, size: int) -> bytes:
    """The bytes of a put with a value of this size."""
    pair = {"key": _base64(key.encode()), "value": _base64(b"v" * size)}
    return post("/v3/kv/put", pair)


def post(path: str, content: dict[str, Any]) -> bytes:
    body = json.dumps(content).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class EtcdCluster:
    """Use it as a context manager: at the end every server is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = PortLeases()
        self.servers = {
            name: Server(name=name, client_port=self._ports.take(), peer_port=self._ports.take())
            for name in ("e1", "e2", "e3")
        }

    def __enter__(self) -> Self:
        for name in self.servers:
            self.start(name)
        self.wait_until_whole()
        return self

    def __exit__(self, *_error: object) -> None:
        for server in self.servers.values():
            if server.process is not None:
                server.process.kill()
                server.process.wait()
        self._ports.close()

    def start(self, name: str) -> None:
        server = self.servers[name]
        client, peer = (
            f"http://127.0.0.1:{port}" for port in (server.client_port, server.peer_port)
        )
        members = ",".join(
            f"{each.name}=http://127.0.0.1:{each.peer_port}" for each in self.servers.values()
        )
        with (self._folder / f"{name}.log").open("ab") as log:
            server.process = subprocess.Popen(
                [
                    *("etcd", "--name", name, "--data-dir", str(self._folder / name)),
                    *("--listen-client-urls", client, "--advertise-client-urls", client),
                    *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                    *("--initial-cluster", members, "--logger", "zap", "--log-level", "error"),
                ],
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str) -> None:
        process = self.servers[name].process
        assert process is not None
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stopped(self) -> list[str]:
        """Servers whose process has ended."""
        return [
            name
            for name, server in self.servers.items()
            if server.process is None or server.process.poll() is not None
        ]

    def pids(self) -> dict[str, int]:
        return {
            name: server.process.pid
            for name, server in self.servers.items()
            if server.process is not None
        }

    def leader(self) -> str | None:
        """The raft leader's name, as a server that is in touch with it says."""
        for server in self.servers.values():
            try:
                connection = Connection(server.client_port, 1.0)
                answer = json.loads(connection.call(post("/v3/maintenance/status", {})))
                connection.close()
            except OSError:
                continue
            if answer.get("leader", "0") == answer["header"]["member_id"]:
                return server.name
        return None

    def wait_until_whole(self) -> str:
        """All servers take a write; the raft leader's name."""
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                for name in self.servers:
                    self.sequential(name, 1, 10)
                found = self.leader()
                if found is not None:
                    return found
            except OSError as error:
                problem = error
            else:
                problem = OSError("no raft leader")
            if time.monotonic() > deadline:
                raise problem
            time.sleep(0.1)

    def sequential(self, name: str, count: int, size: int) -> list[float]:
        """How long each of so many writes took, in seconds, one after the other."""
        connection = Connection(self.servers[name].client_port)
        request = put_request("one", size)
        taken = []
        for _ in range(count):
            begun = time.perf_counter()
            connection.call(request)
            taken.append(time.perf_counter() - begun)
        connection.close()
        return taken

    def flight(self, name: str, count: int, width: int, size: int) -> float:
        """Seconds for so many writes, with `width` of them under way at any moment."""
        lanes = [Connection(self.servers[name].client_port) for _ in range(width)]
        selector = selectors.DefaultSelector()
        begun = time.perf_counter()
        for number, lane in enumerate(lanes):
            request = put_request(f"lane/{number}", size)
            selector.register(lane.socket, selectors.EVENT_READ, (lane, request))
            lane.send(request)
        sent, received = width, 0
        while received < count:
            for ready, _ in selector.select(ANSWER_LIMIT_S):
                lane, request = ready.data
                lane.receive()
                received += 1
                if sent < count:
                    lane.send(request)
                    sent += 1
        taken = time.perf_counter() - begun
        for lane in lanes:
            lane.close()
        return taken

    def first_write(self, among: list[str]) -> None:
        """Write through whichever of these servers takes it first; each gets a moment."""
        request = put_request("after", 100)
        while True:
            for name in among:
                try:
                    connection = Connection(self.servers[name].client_port, RETRY_S)
                    connection.call(request)
                    connection.close()
                except OSError:
                    time.sleep(0.005)
                    continue
                return
