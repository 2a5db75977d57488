"""Links between addresses, delivered by hand: FIFO while they last; a broken one loses what was in
flight. `wires.py` moves the same links by the clock."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

from raftha.consensus.links import Down, LinkEvent, Received, Up
from raftha.consensus.members import Registry
from raftha.instants import Seconds
from raftha.model.settings import TlsFiles

Link = tuple[str, str]
"""From an address to another: each direction is a link of its own."""


class Network:
    """Who is connected with whom, and the frames on the way."""

    def __init__(self) -> None:
        self.nodes: dict[str, FakeLinks] = {}
        self.up: set[Link] = set()
        self.flying: dict[Link, deque[bytes]] = defaultdict(deque)

    def connect(self, left: str, right: str) -> None:
        """Bring both directions up, if both nodes live."""
        if (left, right) in self.up or left not in self.nodes or right not in self.nodes:
            return
        if not self.greet(left, right):
            return
        for here, there in ((left, right), (right, left)):
            self.up.add((here, there))
            self.flying[here, there].clear()

    def greet(self, left: str, right: str) -> bool:
        """Let two nodes say who they are, as `handshake.py` does; True if each lets the other in,
        and has heard of the link."""
        ends = (self.nodes[left], self.nodes[right])
        said = [end.registry.hello(other) for end, other in zip(ends, (right, left), strict=True)]
        heard = said[::-1]
        for end, hello, other in zip(ends, heard, ends[::-1], strict=True):
            refusal = end.registry.refusal(hello)
            if refusal is not None:
                end.registry.report(hello.address, refusal.why)
                other.registry.judged(end._address, refusal)
                return False
        for end, hello in zip(ends, heard, strict=True):
            end.hear(Up(hello.address, hello, end.registry.admit(hello)))
        return True

    def disconnect(self, left: str, right: str) -> None:
        """Cut both directions."""
        for here, there in ((left, right), (right, left)):
            if (here, there) not in self.up:
                continue
            self.up.discard((here, there))
            self.flying[here, there].clear()
            if here in self.nodes:
                self.nodes[here].lose(there)

    def remove(self, address: str) -> None:
        """A process is gone."""
        for other in list(self.nodes):
            self.disconnect(address, other)
        self.nodes.pop(address, None)

    def send(self, source: str, target: str, frame: bytes) -> None:
        """Put a frame on the wire; without a link it is lost."""
        if (source, target) in self.up:
            self.flying[source, target].append(frame)

    def wake(self, address: str) -> None:
        """A thread of this node asks for a round; by hand rounds come without asking."""

    def deliver(self, source: str, target: str, count: int = 10**9) -> int:
        """Move frames from the wire to the receiver's socket buffer."""
        queue = self.flying[source, target]
        moved = 0
        while queue and moved < count:
            frame = queue.popleft()
            moved += 1
            if target in self.nodes:
                self.nodes[target].hear(Received(source, frame))
        return moved


class FakeLinks:
    """`Links` over a `Network`; `poll` never waits."""

    def __init__(self, network: Network, address: str, registry: Registry) -> None:
        self._network = network
        self._address = address
        self.registry = registry
        self.events: deque[LinkEvent] = deque()
        self.dropped: list[tuple[str, str]] = []
        self.known: set[str] = set()
        network.nodes[address] = self

    def hear(self, event: LinkEvent) -> None:
        """Something arrived for this node."""
        self.events.append(event)

    def lose(self, peer: str) -> None:
        """A link is gone."""
        self.registry.lost(peer)
        self.hear(Down(peer))

    def open(self) -> None:
        """Nothing to listen on."""

    def know(self, addresses: Iterable[str]) -> None:
        """Everybody can reach everybody; what was asked for is kept."""
        self.known = set(addresses)

    def poll(self, timeout: Seconds) -> Sequence[LinkEvent]:  # noqa: ARG002
        taken = list(self.events)
        self.events.clear()
        return taken

    def send(self, peer: str, frame: bytes) -> None:
        self._network.send(self._address, peer, frame)

    def flush(self) -> None:
        """Frames are on the wire already."""

    def drop(self, peer: str, reason: str) -> None:
        self.dropped.append((peer, reason))
        self._network.disconnect(self._address, peer)

    def wake(self) -> None:
        self._network.wake(self._address)

    def refresh(self, files: TlsFiles | None = None) -> None:
        """No files."""

    @property
    def problem(self) -> str | None:
        return None

    def close(self) -> None:
        self._network.remove(self._address)
