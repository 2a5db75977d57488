"""Clients' connections to a made-up server, and who is told of what comes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from tests.sim.cluster.processes import Process

if TYPE_CHECKING:
    from tests.sim.cluster.postgres import Server


class Watcher(Protocol):
    """Whoever checks what servers do."""

    def told_to_promote(self, server: Server) -> None: ...
    def promoted(self, server: Server) -> None: ...
    def acknowledge(self, server: Server, row: int, end: int) -> None: ...
    def opened(self, server: Server) -> None: ...


class Session(Struct, eq=False):
    """A client's connection, and its backend."""

    server: Server
    backend: Process

    @property
    def is_open(self) -> bool:
        return self.backend.is_alive


class Commit(Struct, frozen=True, eq=False):
    """A row that is written, and waits to be acknowledged."""

    session: Session
    row: int
    end: int
    done: Callable[[], None]
