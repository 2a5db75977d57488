"""Stands in front of nodes and spoils the links between them, each direction on its own.

A node advertises a port of the proxy and listens on another one behind it, as behind a NAT. Who
dialled is found by asking the kernel which process owns the connection. TCP loses nothing, so a
direction is not lossy but stalled, slow, or cut.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import psutil

READ_BYTES: Final = 65536
LOOK_S: Final = 0.005
LIMIT_S: Final = 5.0

Link = tuple[str, str]
"""From one node to another, by name."""


STRANGER: Final = "somebody"
"""Who dials and is no node: its connections always pass."""


Who = Callable[[int, int], str]
"""Names the node that dials from the one port of this machine to the other. It takes both: a port
that somebody dials from may be that of another connection as well, to another place."""


def by_pid(pids: Callable[[], Mapping[str, int]]) -> Who:
    """Finds the node whose only process dialled."""

    def who(port: int, called: int) -> str:
        for name, pid in pids().items():
            found = psutil.Process(pid).net_connections("tcp")
            ends = {(each.laddr.port, each.raddr.port) for each in found if each.raddr}
            if (port, called) in ends:
                return name
        return STRANGER

    return who


@dataclass(slots=True, eq=False)
class _Pipe:
    """One direction of one connection: what was read and is not yet written."""

    link: Link
    is_dialled: bool
    source: socket.socket
    target: socket.socket
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    carried: int = 0
    first: bytes = b""


class LinkProxy:
    """Use it as a context manager."""

    def __init__(self, who: Who) -> None:
        self._who = who
        self._selector = selectors.DefaultSelector()
        self._listeners: dict[socket.socket, tuple[str, int]] = {}
        self._pipes: list[_Pipe] = []
        self._stalled: set[Link] = set()
        self._cut: set[Link] = set()
        self._delays: dict[Link, float] = {}
        self._passed: Counter[Link] = Counter()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join(LIMIT_S)
        for pipe in self._pipes:
            pipe.source.close()
        for listener in self._listeners:
            listener.close()

    def stand_before(self, name: str, port: int, behind: int) -> None:
        """Listen on `port` for the node that listens on the port `behind`."""
        listener = socket.create_server(("127.0.0.1", port))
        listener.setblocking(False)
        with self._lock:
            self._listeners[listener] = (name, behind)
            self._selector.register(listener, selectors.EVENT_READ, None)

    def stall(self, source: str, target: str) -> None:
        """From now on nothing gets from one node to the other; the connection stays open."""
        with self._lock:
            self._stalled.add((source, target))

    def slow(self, source: str, target: str, seconds: float) -> None:
        """From now on everything arrives so much later."""
        with self._lock:
            self._delays[source, target] = seconds

    def cut(self, one: str, other: str) -> None:
        """Reset the connections between two nodes, and let no new one through."""
        with self._lock:
            self._cut |= {(one, other), (other, one)}
            for pipe in [pipe for pipe in self._pipes if pipe.link == (one, other)]:
                self._close(pipe)

    def heal(self) -> None:
        """Everything passes again."""
        with self._lock:
            self._stalled.clear()
            self._cut.clear()
            self._delays.clear()

    def first_words(self) -> dict[Link, bytes]:
        """What the dialling side of each connection that is up said first."""
        with self._lock:
            return {pipe.link: pipe.first for pipe in self._pipes if pipe.is_dialled}

    def carried(self, source: str, target: str) -> int:
        """Bytes that went from one node to the other on connections that are up."""
        with self._lock:
            return sum(pipe.carried for pipe in self._pipes if pipe.link == (source, target))

    def passed(self, source: str, target: str) -> int:
        """Bytes that ever went from one node to the other."""
        with self._lock:
            return self._passed[source, target]

    def _run(self) -> None:
        while not self._ended.is_set():
            ready = self._selector.select(LOOK_S)
            called = [key.fileobj for key, _ in ready if key.fileobj in self._listeners]
            with self._lock:
                for listener in called:
                    self._accept(listener)  # type: ignore[arg-type]
                for pipe in list(self._pipes):
                    self._pump(pipe)

    def _accept(self, listener: socket.socket) -> None:
        name, behind = self._listeners[listener]
        connection, (_, port) = listener.accept()
        dialler = self._who(port, listener.getsockname()[1])
        if (dialler, name) in self._cut:
            connection.close()
            return
        try:
            inner = socket.create_connection(("127.0.0.1", behind), 1.0)
        except OSError:
            connection.close()
            return
        for end in (connection, inner):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
            self._selector.register(end, selectors.EVENT_READ, None)
        self._pipes.append(_Pipe((dialler, name), True, connection, inner))
        self._pipes.append(_Pipe((name, dialler), False, inner, connection))

    def _pump(self, pipe: _Pipe) -> None:
        """Read unless the direction is stalled, write what is due."""
        now = time.monotonic()
        try:
            if pipe.link not in self._stalled and len(pipe.waiting) < 1000:
                part = pipe.source.recv(READ_BYTES)
                if not part:
                    self._close(pipe)
                    return
                if len(pipe.first) < READ_BYTES:
                    pipe.first += part
                pipe.waiting.append((now + self._delays.get(pipe.link, 0.0), part))
        except BlockingIOError:
            pass
        except OSError:
            self._close(pipe)
            return
        try:
            while pipe.waiting and pipe.waiting[0][0] <= now and pipe.link not in self._stalled:
                due, part = pipe.waiting.popleft()
                sent = pipe.target.send(part)
                pipe.carried += sent
                self._passed[pipe.link] += sent
                if sent < len(part):
                    pipe.waiting.appendleft((due, part[sent:]))
        except BlockingIOError:
            pipe.waiting.appendleft((due, part))
        except OSError:
            self._close(pipe)

    def _close(self, pipe: _Pipe) -> None:
        """Both directions go."""
        ends = {pipe.source, pipe.target}
        self._pipes = [other for other in self._pipes if other.source not in ends]
        for end in ends:
            if end.fileno() >= 0:
                self._selector.unregister(end)
                end.close()
