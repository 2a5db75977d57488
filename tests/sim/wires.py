"""The links of the simulation: frames take time, and links stall, break and are dialled again.

A stalled direction loses nothing at first, as TCP would not: what was sent arrives together when
the stall ends. If it lasts, whoever hears nothing for `DEAD_AFTER` gives the link up, the other
side learns of it, and both dial again; the rest of what was in flight is lost. A process that does
not run is silent in the same way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Final

from msgspec import Struct

from raftha.consensus.links import Received
from tests.sim.network import FakeLinks, Link, Network
from tests.sim.schedule import Schedule

DEAD_AFTER: Final = 1.0
"""Seconds without a frame after which a link is given up."""
REDIAL: Final = (0.02, 0.25)
"""Seconds until a broken link is up again, if nothing stands in its way."""


class Weather(Struct, frozen=True):
    """How the network of one world behaves: seconds that every frame takes, and how many more some
    take by chance."""

    delay: float = 0.002
    jitter: float = 0.004


class _Flight(Struct):
    """A frame on its way; `departs` lies in the future while its sender waits for its disk."""

    sender: FakeLinks
    frame: bytes
    departs: float
    connection: int


class Wires(Network):
    """A `Network` that moves by itself."""

    def __init__(
        self,
        schedule: Schedule,
        random: Random,
        weather: Weather,
        *,
        present: Callable[[str], float],
        busy_until: Callable[[str], float],
        wake: Callable[[str], None],
        spy: Callable[[str, str, bytes], None],
    ) -> None:
        super().__init__()
        self._schedule = schedule
        self._random = random
        self._weather = weather
        self._present = present
        self._busy_until = busy_until
        self._wake = wake
        self._spy = spy
        self._ended: dict[FakeLinks, float] = {}
        self._connection: dict[Link, int] = defaultdict(int)
        self._arrives: dict[Link, float] = defaultdict(float)
        self._held: dict[Link, list[_Flight]] = defaultdict(list)
        self._stalls: dict[Link, int] = {}
        self._silent: dict[str, int] = {}
        self._numbers = 0
        self.slow: dict[Link, float] = {}

    # What the nodes do.

    def send(self, source: str, target: str, frame: bytes) -> None:
        link = (source, target)
        if link not in self.up:
            return
        self._spy(source, target, frame)
        departs = self._present(source)
        extra = self.slow.get(link, 0.0) + self._random.random() * self._weather.jitter
        arrives = max(self._arrives[link], departs + self._weather.delay + extra)
        self._arrives[link] = arrives
        flight = _Flight(self.nodes[source], frame, departs, self._connection[link])
        self._schedule.at(arrives, partial(self._arrive, link, flight))

    def wake(self, address: str) -> None:
        self._wake(address)

    def disconnect(self, left: str, right: str) -> None:
        """Reset the link: both sides learn of it at once."""
        for here, there in ((left, right), (right, left)):
            self._break_side(here, there)
        self.dial(left, right)

    def start(self, address: str) -> None:
        """A process has begun to run: it and the others dial."""
        self._silent.pop(address, None)
        self._dial_all(address)

    def end(self, address: str) -> None:
        """A process is gone. What has left it arrives; then the others notice, soon when it was
        killed, late when its host lost power."""
        links = self.nodes.pop(address, None)
        if links is None:
            return
        self._ended[links] = self._schedule.time.now
        self._silent.pop(address, None)
        notice = self._random.choice((0.0, DEAD_AFTER))
        self.up -= {link for link in self.up if link[0] == address}
        for other in sorted(self.nodes):
            if (other, address) not in self.up:
                continue
            connection = self._connection[other, address]
            lag = max(self._arrives[address, other] - self._schedule.time.now, 0.0)
            self._schedule.after(lag + notice, partial(self._lose, other, address, connection))

    # What happens to links.

    def stall(self, links: Iterable[Link]) -> None:
        """From now on nothing gets through in these directions."""
        for link in links:
            self._numbers += 1
            self._stalls[link] = self._numbers
            give_up = DEAD_AFTER + self._random.random() * 0.1
            self._schedule.after(give_up, partial(self._give_up, link, self._numbers))

    def release(self, links: Iterable[Link]) -> None:
        """Frames get through again; those that were held up come first."""
        for link in links:
            if self._stalls.pop(link, None) is None:
                continue
            held = self._held.pop(link, [])
            for flight in held:
                self._arrive(link, flight)
            self.dial(*link)

    def release_all(self) -> None:
        """Every link is as it should be."""
        self.slow.clear()
        self.release(sorted(self._stalls))

    @property
    def is_clear(self) -> bool:
        """Whether everything gets through at its usual pace."""
        return not (self._stalls or self._silent or self.slow)

    def silence(self, address: str) -> None:
        """A process has stopped running for a while; its sockets stay."""
        self._numbers += 1
        self._silent[address] = self._numbers
        self._schedule.after(DEAD_AFTER, partial(self._leave, address, self._numbers))

    def resume(self, address: str) -> None:
        """The process runs again."""
        if self._silent.pop(address, None) is not None:
            self._dial_all(address)

    def dial(self, left: str, right: str) -> None:
        """Try to bring a link up in a while."""
        self._schedule.after(self._random.uniform(*REDIAL), partial(self._connect, left, right))

    # How it happens.

    def _arrive(self, link: Link, flight: _Flight) -> None:
        source, target = link
        is_open = (target, source) in self.up
        if not is_open or flight.connection != self._connection[link]:
            return
        if flight.departs > self._ended.get(flight.sender, flight.departs):
            return
        if link in self._stalls:
            self._held[link].append(flight)
            return
        self.nodes[target].hear(Received(source, flight.frame))
        self._wake(target)

    def _connect(self, left: str, right: str) -> None:
        links = ((left, right), (right, left))
        if any(link in self.up or link in self._stalls for link in links):
            return
        if any(end not in self.nodes or end in self._silent for end in (left, right)):
            return
        if any(self._busy_until(end) > self._schedule.time.now for end in (left, right)):
            # It is within a round, after which it will say more; until then its disk holds less.
            self.dial(left, right)
            return
        if not self.greet(left, right):
            self.dial(left, right)
            return
        for here, there in links:
            self.up.add((here, there))
            self._connection[here, there] += 1
            self._held[here, there].clear()
            self._arrives[here, there] = 0.0
            self._wake(here)

    def _break_side(self, here: str, there: str) -> None:
        """One side has no link any more; what was under way to it is lost."""
        if (here, there) not in self.up:
            return
        self.up.discard((here, there))
        self._held[there, here].clear()
        if here in self.nodes:
            self.nodes[here].lose(there)
            self._wake(here)

    def _lose(self, here: str, there: str, connection: int) -> None:
        if self._connection[here, there] == connection:
            self._break_side(here, there)
            self.dial(here, there)

    def _give_up(self, link: Link, number: int) -> None:
        if self._stalls.get(link) == number:
            self._abandon(hearer=link[1], speaker=link[0])

    def _abandon(self, *, hearer: str, speaker: str) -> None:
        """One side gives the link up; the other notices now or when it hears nothing either."""
        connection = self._connection[speaker, hearer]
        self._break_side(hearer, speaker)
        lag = self._random.choice((0.01, DEAD_AFTER))
        self._schedule.after(lag, partial(self._lose, speaker, hearer, connection))

    def _leave(self, address: str, number: int) -> None:
        if self._silent.get(address) != number:
            return
        for other in sorted(self.nodes):
            if (other, address) in self.up:
                self._abandon(hearer=other, speaker=address)

    def _dial_all(self, address: str) -> None:
        for other in sorted(self.nodes):
            if other != address:
                self.dial(address, other)
