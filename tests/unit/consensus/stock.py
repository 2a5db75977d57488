"""The Raft library as it is released, driven by hand: each message arrives when a scenario says so.

It is what `tests.sim.group` is for the product, through the library's public hooks alone: a
transport object, `autoTick` off, journal and dump files in a folder. A link that is not cut keeps
order and loses nothing. The clock of a group stands still unless told to move.

The product rebinds the library's clock for the whole process; `library_time` gives it back one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from itertools import permutations
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated
from pysyncobj.node import Node

from raftha.consensus import syncobj

SUCCESS: Final = FAIL_REASON.SUCCESS
WON: Final = [(True, SUCCESS)]
"""What a caller is told whose `create` made the key."""
FOLLOWER: Final = 0
LEADER: Final = 2

PATIENT: Final[dict[str, Any]] = {
    "autoTick": False,
    "raftMinTimeout": 1e6,
    "raftMaxTimeout": 2e6,
    "connectionTimeout": 3e6,
    "leaderFallbackTimeout": 1e6,
    "logCompactionMinTime": 10**9,
    "logCompactionMinEntries": 10**9,
    "commandsWaitLeader": False,
    "useFork": False,
}
"""Nothing happens by time alone, and nothing is compacted unasked; the rest is the default."""

Answers = list[tuple[Any, int]]


@contextmanager
def library_time(now: Callable[[], float]) -> Iterator[None]:
    """Within, the library reads this clock."""
    token = syncobj._present.set(now)
    try:
        yield
    finally:
        syncobj._present.reset(token)


class Peer(Node):
    """A node whose place in the library's sets is the same in every process."""

    def __hash__(self) -> int:
        return crc32(self.id.encode())


class Wire:
    """The transport of one voter: a message goes on its link, or is lost where that is cut."""

    ready = True

    def __init__(self, group: StockGroup, name: str) -> None:
        self._group = group
        self._name = name
        self.receive: Callable[[Node, dict[str, Any]], None] = self.ignore

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        link = (self._name, node.id)
        if link in self._group.cut:
            return False
        self._group.flying[link].append(deepcopy(message))
        return True

    def setOnMessageReceivedCallback(self, callback: Callable[..., None]) -> None:  # noqa: N802
        self.receive = callback

    def ignore(self, *_: object) -> None:
        """Nothing of it matters here."""

    setOnNodeConnectedCallback = ignore  # noqa: N815
    setOnNodeDisconnectedCallback = ignore  # noqa: N815
    setOnReadonlyNodeConnectedCallback = ignore  # noqa: N815
    setOnReadonlyNodeDisconnectedCallback = ignore  # noqa: N815
    setOnUtilityMessageCallback = ignore  # noqa: N815
    addNode = ignore  # noqa: N815
    dropNode = ignore  # noqa: N815
    destroy = ignore


class Stock(SyncObj):
    """Keys that can be created once, on the library as it is."""

    def __init__(self, name: str, peers: str, transport: object, options: dict[str, Any]) -> None:
        conf = SyncObjConf(**{**PATIENT, **options})
        super().__init__(Peer(name), [Peer(peer) for peer in peers], conf, transport=transport)
        self.entries: dict[str, Any] = {}
        self.applied: list[str] = []
        for peer in peers:
            self._SyncObj__onNodeConnected(Peer(peer))

    @replicated
    def create(self, key: str, value: Any) -> bool:
        self.applied.append(key)
        if key in self.entries:
            return False
        self.entries[key] = value
        return True

    def part(self, name: str) -> Any:
        """A private attribute of the library."""
        return getattr(self, f"_SyncObj__{name}")

    @property
    def leads(self) -> bool:
        return bool(self.part("raftState") == LEADER)

    @property
    def term(self) -> int:
        return int(self.raftCurrentTerm)

    @property
    def log(self) -> list[tuple[int, int]]:
        """(index, term) of each entry."""
        return [(index, term) for _, index, term in self.part("raftLog")[:]]


class StockGroup:
    """Voters named by single letters, all connected."""

    def __init__(
        self,
        names: str = "abc",
        *,
        folder: Path | None = None,
        kind: type[Stock] = Stock,
        **options: Any,
    ) -> None:
        self.names = names
        self.now = 1000.0
        self.clock_step = 0.0
        self.cut: set[tuple[str, str]] = set()
        self.flying: dict[tuple[str, str], deque[dict[str, Any]]] = defaultdict(deque)
        self.wires: dict[str, Wire] = {}
        self.nodes: dict[str, Stock] = {}
        self.raised: list[Exception] = []
        self._folder = folder
        self._kind = kind
        self._options = options
        for name in names:
            self.start(name)

    def start(self, name: str, *, kind: type[Stock] | None = None, **options: Any) -> Stock:
        """Bring a voter up, from its files if the group has a folder."""
        chosen = {**self._options, **options}
        if self._folder is not None:
            chosen.setdefault("journalFile", str(self._folder / f"{name}.journal"))
        wire = self.wires[name] = Wire(self, name)
        with library_time(self._read_clock):
            node = (kind or self._kind)(name, self.names.replace(name, ""), wire, chosen)
        self.nodes[name] = node
        return node

    def kill(self, name: str) -> None:
        """End a process; its files stay as the kernel has them, what flies to it is lost."""
        del self.wires[name]
        self.nodes.pop(name)
        for link, messages in self.flying.items():
            if name in link:
                messages.clear()

    def node(self, name: str) -> Stock:
        return self.nodes[name]

    def tick(self, names: str, count: int = 1) -> None:
        """Let voters do what is due. The library's own thread logs what a tick raises, and goes on;
        here it is kept in `raised`."""
        for name in names * count:
            with library_time(self._read_clock):
                try:
                    self.nodes[name].doTick(0.0)
                except Exception as error:
                    self.raised.append(error)

    def campaign(self, name: str) -> None:
        """Make a voter stand for election now."""
        self.nodes[name]._SyncObj__raftElectionDeadline = 0.0
        self.tick(name)

    def beat(self, name: str) -> None:
        """Make the raft leader send to everybody."""
        self.nodes[name]._SyncObj__newAppendEntriesTime = 0.0
        self.tick(name)

    def deliver(self, source: str, target: str, count: int = 10**9) -> int:
        """Hand messages over in their order; how many there were. What a handler raises is logged
        by the library's thread."""
        messages, handed = self.flying[source, target], 0
        while messages and handed < count:
            message = messages.popleft()
            handed += 1
            if target not in self.wires:
                continue
            with library_time(self._read_clock):
                try:
                    self.wires[target].receive(Peer(source), message)
                except Exception as error:
                    self.raised.append(error)
        return handed

    def round(self, leader: str, followers: str, count: int = 4) -> None:
        """Heartbeats of the raft leader to these followers, with their answers."""
        for _ in range(count):
            self.tick(leader)
            self.beat(leader)
            for name in followers:
                self.deliver(leader, name)
                self.deliver(name, leader)
            self.tick(followers)

    def elect(self, name: str, among: str | None = None) -> None:
        """Make a voter the raft leader of those named, and let it commit its first entry."""
        others = (among or self.names).replace(name, "")
        self.campaign(name)
        for other in others:
            self.deliver(name, other)
            self.deliver(other, name)
        self.round(name, others)

    def isolate(self, *group: str) -> None:
        """What these and the others say to one another is lost from now on."""
        for one, other in permutations(self.names, 2):
            if (one in group) != (other in group):
                self.cut.add((one, other))

    def heal(self) -> None:
        self.cut.clear()

    def create(self, name: str, key: str, value: Any = None) -> Answers:
        """Ask one voter to create a key; the list gets what its caller is told."""
        answers: Answers = []
        with library_time(self._read_clock):
            self.nodes[name].create(
                key, value or name, callback=lambda result, code: answers.append((result, code))
            )
        self.tick(name)
        return answers

    def compact(self, name: str) -> None:
        """Put a dump in place of the log."""
        self.nodes[name].forceLogCompaction()
        self.tick(name, 3)

    def _read_clock(self) -> float:
        self.now += self.clock_step
        return self.now
