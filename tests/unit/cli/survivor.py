"""A stopped node with a real Raft directory, and the addresses of those who may live or not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import yaml

from raftha.clock import SystemClock
from raftha.consensus import commands, configuration
from raftha.consensus.commands import LogCommand
from raftha.consensus.configuration import Configuration, Seat
from raftha.consensus.stable import Owner, Persisted
from raftha.consensus.state import LogEntry
from raftha.consensus.storage import SqliteStore
from raftha.instants import Seconds
from raftha.model.store import Grant, LeaseId, Transact
from tests.sim.fakes import TrueTime

TTL: Final = Seconds(12.0)


class Ports:
    """Addresses on this machine, at some of which somebody listens; nobody answers there."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._held: dict[str, socket.socket] = {}

    def address(self, name: str) -> str:
        held = self._stack.enter_context(socket.socket())
        held.bind(("127.0.0.1", 0))
        self._held[name] = held
        return f"127.0.0.1:{held.getsockname()[1]}"

    def listen(self, name: str) -> None:
        self._held[name].listen(1)


class Node:
    """A stopped witness w1 of a cluster whose other voters are n2 and n3; and the time, which
    passes only where somebody waits."""

    def __init__(self, folder: Path, ports: Ports, *, others: tuple[str, ...] = ("n2", "n3")):
        self.time = TrueTime()
        self.waited: list[float] = []
        self.on_wait: Callable[[], object] = lambda: None
        self.raft = folder / "raft"
        self.addresses = {name: ports.address(name) for name in ("w1", *others)}
        self.file = folder / "w1.yml"
        self._write_file()
        self._write_log()

    def _write_file(self) -> None:
        own, *others = self.addresses.values()
        options = {
            "scope": "demo",
            "name": "w1",
            "raft": {
                "self_addr": own,
                "partner_addrs": others,
                "data_dir": str(self.raft),
                "allow_tmpfs": True,
            },
            "restapi": {"listen": "127.0.0.1:1", "connect_address": "127.0.0.1:1"},
        }
        self.file.write_text(yaml.safe_dump(options), encoding="utf-8")
        self.file.chmod(0o600)

    def _write_log(self) -> None:
        seats = tuple(Seat(a, name, f"life of {name}") for name, a in self.addresses.items())
        voters = Configuration(lineage="x", seats=seats)
        grant = LogCommand(body=Transact((), (Grant(LeaseId("leader"), "n2", TTL),)))
        store = self._store("life of w1")
        store.load()
        store.append(LogEntry(b"\x01", 1, 0))
        store.append(LogEntry(configuration.encode(voters), 2, 4))
        store.append(LogEntry(commands.REGULAR + commands.encode(grant), 3, 4))
        store.save_ballot(4, None)
        store.close()

    def _store(self, incarnation: str) -> SqliteStore:
        owner = Owner(scope="demo", name="w1")
        clock = SystemClock()
        return SqliteStore(self.raft, owner=owner, clock=clock, new_incarnation=incarnation)

    def persisted(self) -> Persisted:
        store = self._store("unused")
        try:
            return store.load()
        finally:
            store.close()

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.time.now += seconds
        self.on_wait()

    @property
    def is_untouched(self) -> bool:
        kept = list(self.raft.glob("raft-before-recovery-*"))
        return self.persisted().incarnation == "life of w1" and not kept
