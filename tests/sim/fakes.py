"""Fakes of the consensus world: a clock with a rate, a disk that forgets, links that break.

Each fake stands for one protocol of the product; `test_storage_contract` runs the same assertions
against the fake store and the real one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

from raftha.consensus.links import Down, LinkEvent, Received, Up
from raftha.consensus.state import LogEntry
from raftha.consensus.storage import Persisted, Voter
from raftha.errors import StorageFailed
from raftha.instants import Instant, Seconds


class Fatal(BaseException):
    """The product asked for the end of the process."""


def fatal(message: str) -> None:
    """What the simulation gives the product for ending the process."""
    raise Fatal(message)


@dataclass(slots=True)
class TrueTime:
    """The time of the world, which no node can read."""

    now: float = 1000.0


@dataclass(slots=True)
class FakeClock:
    """A host's clocks: they run at their own rates and began at their own moment."""

    time: TrueTime
    boot_rate: float = 1.0
    raw_rate: float = 1.0
    offset: float = 0.0

    def now(self) -> Instant:
        passed = self.time.now
        return Instant(self.offset + passed * self.boot_rate, self.offset + passed * self.raw_rate)

    def wall(self) -> float:
        return self.time.now


@dataclass(slots=True)
class Disk:
    """What a voter's directory holds: the durable state, and the writes not yet synced."""

    incarnation: str
    durable: Persisted | None = None
    full: bool = False
    sync_fails: bool = False


class FakeStore:
    """`StableStore` in memory. A power cut loses what was not synced; a full disk fails."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._working = Persisted(incarnation=disk.incarnation, boot=0)
        self._open = False
        self._dirty = False

    def load(self) -> Persisted:
        before = self._disk.durable or self._working
        self._working = replace(before, boot=before.boot + 1)
        self._open = True
        self._dirty = True
        self.sync()
        return deepcopy(self._working)

    def append(self, entry: LogEntry) -> None:
        entries = self._working.entries
        if entries and entry.index != entries[-1].index + 1:
            raise StorageFailed("not contiguous")
        self._change(entries=(*entries, entry))

    def truncate(self, first_index: int) -> None:
        kept = tuple(e for e in self._working.entries if e.index < first_index)
        self._change(entries=kept)

    def save_ballot(self, term: int, vote: str | None) -> None:
        self._change(term=term, vote=vote)

    def replace(self, snapshot: bytes, entries: Sequence[LogEntry]) -> None:
        self._change(snapshot=snapshot, entries=tuple(entries))

    def compact(self, snapshot: bytes, first_index: int) -> None:
        kept = tuple(e for e in self._working.entries if e.index >= first_index)
        self._change(snapshot=snapshot, entries=kept)

    def save_voter(self, address: str, voter: Voter | None) -> None:
        voters = {a: v for a, v in self._working.voters.items() if a != address}
        if voter is not None:
            voters[address] = voter
        self._change(voters=voters)

    def sync(self) -> None:
        if not self._dirty:
            return
        self._require_disk()
        if self._disk.sync_fails:
            raise StorageFailed("input/output error")
        self._disk.durable = self._working
        self._dirty = False

    @property
    def sync_seconds(self) -> Seconds:
        return Seconds(0.0)

    @property
    def free_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        self.sync()
        self._open = False

    def lose_power(self) -> None:
        """The process is gone, and everything not synced with it."""
        self._open = False

    def _change(self, **changes: object) -> None:
        self._require_disk()
        self._working = replace(self._working, **changes)  # type: ignore[arg-type]
        self._dirty = True

    def _require_disk(self) -> None:
        if not self._open:
            raise StorageFailed("the store is not open")
        if self._disk.full:
            raise StorageFailed("no space left on device")


Link = tuple[str, str]


class Network:
    """Links between addresses: FIFO while they last; a broken one loses what was in flight."""

    def __init__(self) -> None:
        self.nodes: dict[str, FakeLinks] = {}
        self.up: set[Link] = set()
        self.flying: dict[Link, deque[bytes]] = defaultdict(deque)

    def connect(self, left: str, right: str) -> None:
        """Bring both directions up, if both nodes live."""
        if (left, right) in self.up or left not in self.nodes or right not in self.nodes:
            return
        for here, there in ((left, right), (right, left)):
            self.up.add((here, there))
            self.flying[here, there].clear()
            self.nodes[here].events.append(Up(there))

    def disconnect(self, left: str, right: str) -> None:
        """Cut both directions."""
        for here, there in ((left, right), (right, left)):
            if (here, there) not in self.up:
                continue
            self.up.discard((here, there))
            self.flying[here, there].clear()
            if here in self.nodes:
                self.nodes[here].events.append(Down(there))

    def remove(self, address: str) -> None:
        """A process is gone."""
        for other in list(self.nodes):
            self.disconnect(address, other)
        self.nodes.pop(address, None)

    def deliver(self, source: str, target: str, count: int = 10**9) -> int:
        """Move frames from the wire to the receiver's socket buffer."""
        queue = self.flying[source, target]
        moved = 0
        while queue and moved < count:
            frame = queue.popleft()
            moved += 1
            if target in self.nodes:
                self.nodes[target].events.append(Received(source, frame))
        return moved


class FakeLinks:
    """`Links` over a `Network`; `poll` never waits."""

    def __init__(self, network: Network, address: str) -> None:
        self._network = network
        self._address = address
        self.events: deque[LinkEvent] = deque()
        self.dropped: list[tuple[str, str]] = []
        network.nodes[address] = self

    def open(self) -> None:
        """Nothing to listen on."""

    def poll(self, timeout: Seconds) -> Sequence[LinkEvent]:  # noqa: ARG002
        taken = list(self.events)
        self.events.clear()
        return taken

    def send(self, peer: str, frame: bytes) -> None:
        if (self._address, peer) in self._network.up:
            self._network.flying[self._address, peer].append(frame)

    def flush(self) -> None:
        """Frames are on the wire already."""

    def drop(self, peer: str, reason: str) -> None:
        self.dropped.append((peer, reason))
        self._network.disconnect(self._address, peer)

    def wake(self) -> None:
        """Nobody waits."""

    def close(self) -> None:
        self._network.remove(self._address)
