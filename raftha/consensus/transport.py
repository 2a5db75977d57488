"""`Links` over TCP: frames in and out of established connections, on the raft thread.

Each link is watched: an empty frame goes out when nothing else did for a ping period, and a link
that was silent for `dead_after` is cut. A newer connection from a peer replaces the older one
before anything of it is read, so frames of two connections never mix. What a link holds in memory
is bounded both ways, and so is what one round reads of it and what a peer may send in a second: the
others are served and the ticks go on whatever one of them does.
"""

from __future__ import annotations

import math
import os
import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from raftha.clock import Clock
from raftha.config.values import parse_address
from raftha.consensus.commands import WireError
from raftha.consensus.dialing import Dialer, Resolver, resolve
from raftha.consensus.flow import BYTES_PER_S, FRAMES_PER_S, Budget
from raftha.consensus.handshake import Established, Handshake
from raftha.consensus.links import Down, LinkEvent, Received, Up
from raftha.consensus.members import Identity, Registry
from raftha.consensus.security import Framing, Security
from raftha.consensus.visiting import Visitors
from raftha.instants import Seconds
from raftha.model.settings import RaftConfig, RaftTimings, TlsFiles

_READ_BYTES: Final = 65536
_READ_AT_ONCE: Final = 1024 * 1024
_MAX_UNSENT_BYTES: Final = 64 * 1024 * 1024
_WOULD_BLOCK: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_PING: Final = b""


class _Link:
    """One connection with its buffers."""

    def __init__(self, peer: str, connection: socket.socket, framing: Framing, now: float) -> None:
        self.peer = peer
        self.connection = connection
        self.handle = connection.fileno()
        self.unsent = bytearray()
        self.heard = now
        self.spoke = now
        self.reads_from = now
        self.has_more = False
        self._framing = framing
        self._unread = bytearray()
        self._frames = Budget.full(FRAMES_PER_S, now)
        self._bytes = Budget.full(BYTES_PER_S, now)

    def queue(self, frame: bytes, now: float) -> None:
        """Add a frame to what is to be sent."""
        self.unsent += self._framing.wrap(frame)
        self.spoke = now

    def write(self) -> None:
        """Send what the kernel takes. Raises OSError."""
        try:
            while self.unsent:
                sent = self.connection.send(bytes(self.unsent[:_READ_BYTES]))
                del self.unsent[:sent]
        except _WOULD_BLOCK:
            return

    def read(self, now: float) -> list[bytes]:
        """Whole frames that have arrived, as far as one round takes them. `has_more` says that some
        wait where no poll can see them. Raises OSError or WireError."""
        taken = 0
        self.has_more = False
        try:
            while taken < _READ_AT_ONCE:
                part = self.connection.recv(_READ_BYTES)
                if not part:
                    raise WireError("the peer hung up")
                self._unread += part
                self.heard = now
                taken += len(part)
                if len(part) < _READ_BYTES and not self._hides_more():
                    break
            self.has_more = self._hides_more()
        except _WOULD_BLOCK:
            pass
        frames = list(self._framing.unwrap(self._unread))
        self._bytes.spend(taken, now)
        self._frames.spend(len(frames), now)
        self.reads_from = max(self._bytes.solvent_at(), self._frames.solvent_at())
        return frames

    def _hides_more(self) -> bool:
        """TLS has bytes in hand that the kernel no longer has; the rest a poll will tell of."""
        return isinstance(self.connection, ssl.SSLSocket) and self.connection.pending() > 0


class TcpLinks:
    """The production `Links`."""

    def __init__(
        self,
        *,
        config: RaftConfig,
        security: Security,
        timings: RaftTimings,
        identity: Identity,
        registry: Registry,
        visitors: Visitors,
        clock: Clock,
        resolver: Resolver = resolve,
    ) -> None:
        self._timings = timings
        self._security = security
        self._registry = registry
        self._clock = clock
        self._arrivals: deque[Established] = deque()
        self._events: list[LinkEvent] = []
        self._links: dict[str, _Link] = {}
        self._by_handle: dict[int, _Link] = {}
        self._resting: set[_Link] = set()
        self._poll = select.poll()
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._waker, select.POLLIN)
        self._waking = threading.Lock()
        self._is_closed = False
        self._dialer = Dialer(
            handshake=Handshake(registry=registry, security=security, visitors=visitors),
            registry=registry,
            timings=timings,
            clock=clock,
            own=identity.address,
            bind=config.bind_addr,
            peers=config.partner_addrs,
            is_linked=lambda peer: peer in self._links,
            arrived=self._arrived,
            resolver=resolver,
        )

    def open(self) -> None:
        self._dialer.open()
        self._security.start()

    def know(self, addresses: Iterable[str]) -> None:
        self._dialer.know({address: parse_address(address) for address in addresses})

    def poll(self, timeout: Seconds) -> Sequence[LinkEvent]:
        longest = min(timeout, self._timings.ping_period, self._until_rested())
        ready = self._poll.poll(0 if self._events else math.ceil(longest * 1000))
        now = self._clock.raw()
        for handle, mask in ready:
            if handle == self._waker:
                os.eventfd_read(self._waker)
            elif handle in self._by_handle:
                self._serve(self._by_handle[handle], mask, now)
        for link in list(self._resting):
            if link.reads_from <= now:
                self._resting.discard(link)
                self._read(link, now)
        self._tend(now)
        while self._arrivals:
            self._adopt(self._arrivals.popleft(), now)
        events, self._events = self._events, []
        return events

    def send(self, peer: str, frame: bytes) -> None:
        link = self._links.get(peer)
        if link is not None:
            link.queue(frame, self._clock.raw())

    def flush(self) -> None:
        for link in list(self._links.values()):
            if link.unsent:
                self._write(link)

    def drop(self, peer: str, reason: str) -> None:
        self._registry.report(peer, reason)
        link = self._links.get(peer)
        if link is not None:
            self._cut(link)

    def wake(self) -> None:
        with self._waking:
            if not self._is_closed:
                os.eventfd_write(self._waker, 1)

    def refresh(self, files: TlsFiles | None = None) -> None:
        self._security.refresh(files)

    @property
    def problem(self) -> str | None:
        return self._security.problem

    def close(self) -> None:
        self._security.stop()
        self._dialer.close()
        for link in list(self._links.values()):
            self._cut(link)
        with self._waking:
            if not self._is_closed:
                self._is_closed = True
                os.close(self._waker)

    def _arrived(self, established: Established) -> None:
        self._arrivals.append(established)
        self.wake()

    def _adopt(self, established: Established, now: float) -> None:
        """Let a greeted connection in, unless another one changed the record meanwhile."""
        hello = established.hello
        reason = self._registry.refusal(hello)
        if reason is not None:
            self._registry.report(hello.address, reason.why)
            established.connection.close()
            self._dialer.want(hello.address)
            return
        old = self._links.get(hello.address)
        if old is not None:
            self._cut(old, redial=False)
        link = _Link(hello.address, established.connection, established.framing, now)
        self._links[link.peer] = link
        self._by_handle[link.handle] = link
        self._poll.register(link.handle, select.POLLIN)
        self._events.append(Up(link.peer, hello, self._registry.admit(hello)))
        self._read(link, now)

    def _serve(self, link: _Link, mask: int, now: float) -> None:
        if mask & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self._read(link, now)
        if mask & select.POLLOUT and self._links.get(link.peer) is link:
            self._write(link)

    def _read(self, link: _Link, now: float) -> None:
        try:
            frames = link.read(now)
        except (OSError, WireError):
            self._cut(link)
            return
        self._events.extend(Received(link.peer, frame) for frame in frames)
        if link.has_more or link.reads_from > now:
            self._resting.add(link)
        self._watch(link)

    def _until_rested(self) -> float:
        """Seconds until a link is to be read that no poll tells of."""
        if not self._resting:
            return math.inf
        first = min(link.reads_from for link in self._resting)
        return max(0.0, first - self._clock.raw())

    def _watch(self, link: _Link) -> None:
        """Poll for what the link can do: one that rests is not read from."""
        reading = 0 if link in self._resting else select.POLLIN
        self._poll.modify(link.handle, reading | (select.POLLOUT if link.unsent else 0))

    def _write(self, link: _Link) -> None:
        try:
            link.write()
        except OSError:
            self._cut(link)
            return
        if len(link.unsent) > _MAX_UNSENT_BYTES:
            self._cut(link)
            return
        self._watch(link)

    def _tend(self, now: float) -> None:
        """Ping quiet links, cut silent ones; called after reading, so a pause of this process does
        not look like a silence of the peers."""
        for link in list(self._links.values()):
            if link in self._resting:
                link.heard = now  # It says more than is listened to.
            if now - link.heard > self._timings.dead_after:
                self._cut(link)
            elif now - link.spoke >= self._timings.ping_period:
                link.queue(_PING, now)
                self._write(link)

    def _cut(self, link: _Link, *, redial: bool = True) -> None:
        if self._links.get(link.peer) is not link:
            return
        del self._links[link.peer]
        del self._by_handle[link.handle]
        self._resting.discard(link)
        self._poll.unregister(link.handle)
        link.connection.close()
        self._registry.lost(link.peer)
        self._events.append(Down(link.peer))
        if redial:
            self._dialer.want(link.peer)
