"""A real guardian with a stand-in for PostgreSQL: a shell with "backends" in sessions of their own.

What a fence does to processes needs no database, so these run in a second and everywhere; the same
with real servers is in `tests/integration/test_guardian.py`.
"""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from raftha.clock import SystemClock
from raftha.errors import GuardianError
from raftha.guardian.client import GuardianClient, spawn
from raftha.guardian.events import GuardianEvent, GuardianStatus, ServerProcess
from raftha.instants import Instant, Seconds
from raftha.model.ids import Epoch, Revision

EPOCH: Final = Epoch(1, 10)
CLOCK: Final = SystemClock()
PATIENCE_S: Final = 10.0
IDLE_EXIT_S: Final = 5.0
"""Longer than a busy machine takes between starting a guardian and being its agent."""

POSTMASTER: Final = """
trap 'touch asked_to_quit; kill $idle; exit 2' QUIT
trap 'touch asked_to_stop; kill $idle; exit 0' INT TERM
trap 'test -f promote && mv promote promoted' USR1
for number in 1 2; do
    setsid sh -c 'trap "" QUIT TERM INT HUP; echo $$ > backend.'$number'; exec sleep 100' &
done
while [ ! -s backend.1 ] || [ ! -s backend.2 ]; do sleep 0.01; done
sleep 100 &
idle=$!
echo $$ > ready.new
mv ready.new ready
while :; do wait $idle; done
"""
"""Two backends that end by nothing but SIGKILL, and a postmaster that notes what it was asked."""


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


class StandIn:
    """A data directory, its guardian, and the client that is the agent."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        self.data.mkdir()
        self.socket = root / "guardian.sock"
        self.root = root
        self.heard: queue.SimpleQueue[GuardianEvent] = queue.SimpleQueue()
        self.agent = GuardianClient(self.socket, on_event=self.heard.put)

    def spawn(self, dead_man_seconds: float = 5.0) -> None:
        """Start the guardian and be its agent."""
        log = self.root / "log"
        spawn(self.socket, self.data, log, IDLE_EXIT_S, dead_man_seconds=dead_man_seconds)
        self.connect()

    def connect(self) -> GuardianStatus:
        """Be the agent, over a new connection."""
        self.agent = GuardianClient(self.socket, on_event=self.heard.put)
        self.agent.connect()
        return self.agent.status()

    def arm(self, seconds: float, renewal: int = 1, epoch: Epoch = EPOCH) -> Instant:
        kill_at = CLOCK.now().plus(seconds)
        self.agent.arm(epoch, Revision(renewal), kill_at)
        return kill_at

    def start(self, epoch: Epoch | None) -> ServerProcess:
        """Start the stand-in and wait until its backends run."""
        argv = ["/bin/sh", "-c", POSTMASTER]
        server = self.agent.start_server(argv, dict(os.environ), self.root / "server.log", epoch)
        eventually((self.data / "ready").exists)
        return server

    def alive(self) -> list[int]:
        """Of the stand-in and its backends, who still lives."""
        files = [self.data / "ready", *sorted(self.data.glob("backend.*"))]
        known = [int(file.read_text()) for file in files if file.exists()]
        return [pid for pid in known if is_alive(pid)]

    def has(self, name: str) -> bool:
        return (self.data / name).exists()

    def close(self) -> None:
        """End the guardian and what it guards."""
        try:
            self.agent.close()
            last = GuardianClient(self.socket)
            last.connect()
            last.kill(Seconds(PATIENCE_S))
            last.quit()
            last.close()
        except GuardianError as problem:
            print(f"the guardian is gone already: {problem}")
        finally:
            for pid in self.alive():
                os.kill(pid, signal.SIGKILL)
