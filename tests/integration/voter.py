"""A voter as a process of its own: the product's `RaftNode`, told over stdin what to do with it.

    python -m tests.integration.voter FILE

FILE is a witness's file. Each line on stdin is a request, `{"do": …}`; each gets one line in answer
on stdout. The end of stdin stops the voter in an orderly way, as SIGTERM does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

from msgspec import to_builtins

from raftha.agent.main import fatal
from raftha.clock import SystemClock
from raftha.config.load import load
from raftha.consensus.node import RaftNode
from raftha.consensus.opening import open_store
from raftha.errors import CompareFailed, OutcomeUnknown, RafthaError, StoreUnavailable
from raftha.instants import Seconds
from raftha.logs import set_up
from raftha.model.ids import Revision
from raftha.model.settings import TIMINGS
from raftha.model.store import Committed, Key, KeyAbsent, KeyAt, Outcome, Put, Transact

Request = dict[str, Any]
PATIENCE: Final = Seconds(10.0)
BEAT_TIMEOUT: Final = Seconds(0.25)


class Writer:
    """Writes one key again and again, each time guarded by what it wrote last."""

    def __init__(self, node: RaftNode, key: str, value: bytes) -> None:
        self._node = node
        self._key = Key(key)
        self._value = value
        self.revision: Revision | None = None

    def command(self) -> Transact:
        """The next write."""
        at = self.revision
        guard = KeyAbsent(self._key) if at is None else KeyAt(self._key, at)
        return Transact((guard,), (Put(self._key, self._value),))

    def write(self, timeout: Seconds = PATIENCE) -> None:
        """Write and wait. Raises what `KeyStore.execute` raises."""
        self.revision = self._node.store.execute(self.command(), timeout=timeout).revision

    def look(self, timeout: Seconds) -> None:
        """Find out what the key holds, after a write whose outcome is not known."""
        entry = self._node.store.read(self._key, timeout=timeout).entries.get(self._key)
        self.revision = None if entry is None else entry.mod_revision


class Beat(threading.Thread):
    """Writes without a pause and keeps, for each write that happened, when it began and ended."""

    def __init__(self, node: RaftNode, key: str, pause_s: float) -> None:
        super().__init__(name="beat", daemon=True)
        self._writer = Writer(node, key, b"beat")
        self._pause_s = pause_s
        self._ended = threading.Event()
        self.done: list[tuple[float, float]] = []

    def run(self) -> None:
        is_certain = False
        while not self._ended.wait(self._pause_s):
            begun = time.monotonic()
            try:
                if not is_certain:
                    self._writer.look(BEAT_TIMEOUT)
                    is_certain = True
                self._writer.write(BEAT_TIMEOUT)
                self.done.append((begun, time.monotonic()))
            except StoreUnavailable:
                continue
            except (CompareFailed, OutcomeUnknown):
                is_certain = False

    def end(self) -> list[tuple[float, float]]:
        """Stop; all writes that happened."""
        self._ended.set()
        self.join()
        return self.done


class Servant:
    """Carries out requests, one after the other."""

    def __init__(self, node: RaftNode) -> None:
        self._node = node
        self._beat: Beat | None = None

    def answer(self, request: Request) -> Any:
        """What came of one request."""
        match request["do"]:
            case "put":
                return self._put(request["key"], request.get("timeout", PATIENCE))
            case "read":
                entries = self._node.store.read(timeout=PATIENCE).entries
                return {key: len(entry.value) for key, entry in entries.items()}
            case "status":
                return to_builtins(self._node.store.status())
            case "fill":
                return self._fill(request["keys"], request["size"])
            case "sequential":
                return self._sequential(request["count"], request["size"])
            case "flight":
                return self._flight(request["count"], request["width"], request["size"])
            case "beat":
                self._beat = Beat(self._node, request["key"], request["pause"])
                self._beat.start()
                return None
            case "beats":
                return [] if self._beat is None else self._beat.done[request["after"] :]
            case "end beat":
                return [] if self._beat is None else self._beat.end()
        raise ValueError(f"what is {request['do']!r}?")

    def _put(self, key: str, timeout: float) -> str:
        try:
            Writer(self._node, key, b"value").write(Seconds(timeout))
        except (CompareFailed, StoreUnavailable, OutcomeUnknown) as error:
            return f"{type(error).__name__}: {error}"
        return "committed"

    def _fill(self, keys: int, size: int) -> int:
        """Put so many values of this size, with random content, for compression is no help."""
        for number in range(keys):
            Writer(self._node, f"fill/{number}", os.urandom(size)).write()
        return keys

    def _sequential(self, count: int, size: int) -> list[float]:
        """How long each of so many writes took, in seconds, one after the other."""
        writer = Writer(self._node, f"one/{time.monotonic()}", b"v" * size)
        taken = []
        for _ in range(count):
            begun = time.perf_counter()
            writer.write()
            taken.append(time.perf_counter() - begun)
        return taken

    def _flight(self, count: int, width: int, size: int) -> float:
        """Seconds for so many writes, with `width` of them under way at any moment."""
        ended = threading.Semaphore(0)
        mark = time.monotonic()
        begun = time.perf_counter()
        for lane in range(width):
            writer = Writer(self._node, f"lane/{mark}/{lane}", b"v" * size)
            self._lane(writer, count // width, ended.release)
        for _ in range(width):
            assert ended.acquire(timeout=PATIENCE * 3), "the writes did not end in time"
        return time.perf_counter() - begun

    def _lane(self, writer: Writer, left: int, ended: Callable[[], object]) -> None:
        def done(outcome: Outcome) -> None:
            assert isinstance(outcome, Committed), outcome
            writer.revision = outcome.revision
            self._lane(writer, left - 1, ended)

        if left == 0:
            ended()
        else:
            self._node.store.submit(writer.command(), timeout=PATIENCE, done=done)


def main(path: Path) -> int:
    config = load(path, os.environ, witness=True).config
    set_up(config.log.level, config.log.format)
    node = open_store(
        scope=config.scope,
        name=config.name,
        config=config.raft,
        timings=lambda _persisted: TIMINGS[config.bootstrap.dynamic.profile],
        clock=SystemClock(),
        random=Random(),
        witness=True,
        fatal=fatal,
        begin_anew=fatal,
    )
    node.start()
    servant = Servant(node)
    signal.signal(signal.SIGHUP, lambda *_: node.refresh())
    signal.signal(signal.SIGTERM, lambda *_: os.close(sys.stdin.fileno()))
    try:
        for line in sys.stdin:
            print(json.dumps(servant.answer(json.loads(line))), flush=True)
    finally:
        node.stop()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except RafthaError as refused:
        print(f"raftha: {refused}", file=sys.stderr)
        sys.exit(2)
