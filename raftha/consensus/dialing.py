"""Threads that make connections: everything that can wait for a name server or a peer.

One thread receives (`reception.py`), one per dialled peer dials, and each incoming connection that
has spoken is greeted on a thread of its own. What comes out is an `Established` connection, handed
to `arrived`.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from raftha import threads
from raftha.clock import Clock
from raftha.consensus.commands import WireError
from raftha.consensus.complaints import Complaints
from raftha.consensus.handshake import Established, Handshake, Refused
from raftha.consensus.members import Registry
from raftha.consensus.reception import Greetings, Reception
from raftha.instants import Seconds
from raftha.model.settings import Address, RaftTimings

OUT_PERIOD: Final = Seconds(10.0)
"""How often a node that was removed tries each of the others."""

Found = tuple[socket.AddressFamily, tuple[object, ...]]
"""One place where a host may be reached: the family of its address, and the address."""

Resolver = Callable[[str, int], Sequence[Found]]
"""Finds where a host is, now; may take as long as the name servers do. Raises socket.gaierror."""


def resolve(host: str, port: int) -> Sequence[Found]:
    """What the name service of this machine says."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, where) for family, _, _, _, where in found]


class Dialer:
    """Keeps trying for a connection to each peer that is known. The one whose address sorts higher
    dials at once and the other only after a while without a link, so two nodes hardly ever dial
    each other at the same moment."""

    def __init__(
        self,
        *,
        handshake: Handshake,
        registry: Registry,
        timings: RaftTimings,
        clock: Clock,
        own: str,
        bind: Address,
        peers: Iterable[Address],
        is_linked: Callable[[str], bool],
        arrived: Callable[[Established], None],
        resolver: Resolver = resolve,
    ) -> None:
        self._handshake = handshake
        self._timings = timings
        self._own = own
        self._file = {str(peer): peer for peer in peers}
        self._registry = registry
        self._wanted: dict[str, threading.Event] = {}
        self._arrived = arrived
        self._resolve = resolver
        self._is_linked = is_linked
        self._closed = threading.Event()
        self._complaints = Complaints(registry, clock)
        self._greetings = Greetings()
        self._reception = Reception(
            bind=bind,
            clock=clock,
            patience=timings.connect_timeout,
            greet=self._welcome,
            report=lambda problem: self._report("", problem),
        )

    def open(self) -> None:
        """Listen and dial. Raises ConfigError if the address cannot be bound, OSError if no thread
        can be had to listen."""
        self._reception.open()
        self._spawn(self._reception.run)
        self.know({})

    def know(self, peers: Mapping[str, Address]) -> None:
        """From now on keep a connection to these beside those of the file, and to nobody else. One
        for whom no thread can be had has to dial itself, until this is called again."""
        known = {**self._file, **peers}
        for peer in self._wanted.keys() - known.keys():
            self._wanted.pop(peer).set()
        for peer in known.keys() - self._wanted.keys() - {self._own}:
            wanted = self._wanted[peer] = threading.Event()
            wanted.set()
            try:
                self._spawn(self._dial, peer, known[peer], wanted)
            except OSError as error:
                del self._wanted[peer]
                self._report(peer, f"cannot be dialled: {error.strerror}")

    def want(self, peer: str) -> None:
        """The connection to this peer is gone: dial again."""
        if peer in self._wanted:
            self._wanted[peer].set()

    def close(self) -> None:
        """Stop all threads soon; those that wait for a peer end with their time limit."""
        self._closed.set()
        for wanted in list(self._wanted.values()):
            wanted.set()
        self._reception.close()

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        threads.begin(partial(work, *arguments), "raft-link")

    def _welcome(self, connection: socket.socket) -> None:
        """Without a thread or a handle to greet it with, a guest is sent away and comes again."""
        place = None
        try:
            place = self._greetings.enter(connection)
            self._spawn(self._greet, connection, place)
        except OSError as error:
            if place is not None:
                self._greetings.leave(place)
            connection.close()
            self._report("", f"cannot greet: {error.strerror}")

    def _greet(self, connection: socket.socket, place: socket.socket) -> None:
        try:
            self._finish(connection, self._handshake.accept)
        except Refused as error:
            self._report(error.peer, error.reason)
        except (OSError, WireError) as error:
            self._report("", f"a connection was not understood: {_said(error)}")
        finally:
            self._greetings.leave(place)

    def _dial(self, peer: str, address: Address, wanted: threading.Event) -> None:
        """Until somebody forgets this event, and the peer with it."""
        while not self._closed.is_set():
            wanted.wait()
            if self._closed.is_set() or self._wanted.get(peer) is not wanted:
                return
            wanted.clear()
            # The lower address waits for the other to dial, and dials itself if nobody comes: the
            # other may not know yet that this node exists.
            if peer > self._own and self._closed.wait(self._timings.dead_after):
                return
            problem = None if self._is_linked(peer) else self._try(peer, address)
            if problem is not None:
                self._report(peer, problem)
                wanted.set()
            # Also after a success, so that a link which breaks at once is not redialled in a loop.
            # A node that is out for good asks now and then, in case it is told otherwise.
            is_out = self._registry.barred is not None
            self._closed.wait(OUT_PERIOD if is_out else self._timings.redial_period)

    def _try(self, peer: str, address: Address) -> str | None:
        try:
            connection = self._connect(address)
        except socket.gaierror as error:
            return f"the name {address.host} cannot be resolved: {error.strerror}"
        except OSError as error:
            return f"cannot connect: {error}"
        try:
            self._finish(connection, lambda raw: self._handshake.dial(raw, peer))
        except Refused as error:
            return error.reason
        except (OSError, WireError) as error:
            return f"no greeting: {_said(error)}"
        return None

    def _connect(self, address: Address) -> socket.socket:
        """Where the host is is asked anew each time, for it may have moved. Raises OSError."""
        problem = OSError(f"the name {address.host} has no address")
        for family, where in self._resolve(address.host, address.port):
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(self._timings.connect_timeout)
                connection.connect(where)
            except OSError as error:
                connection.close()
                problem = error
            else:
                return connection
        raise problem

    def _finish(
        self, connection: socket.socket, greet: Callable[[socket.socket], Established | None]
    ) -> None:
        """Greet within the time limit, and hand over; a failure closes the connection."""
        try:
            connection.settimeout(self._timings.connect_timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            established = greet(connection)
        except (OSError, WireError, Refused):
            connection.close()
            raise
        if established is not None:
            established.connection.setblocking(False)
            self._arrived(established)

    def _report(self, peer: str, problem: str) -> None:
        if not self._closed.is_set():
            self._complaints.tell(peer, problem)


def _said(error: Exception) -> str:
    """What went wrong, the same words for the same cause whatever a guest has sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted here: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "it hung up during the TLS handshake"
    if isinstance(error, ssl.SSLError) and error.reason is not None:
        return f"TLS: {error.reason.lower().replace('_', ' ')}"
    if isinstance(error, TimeoutError):
        return "it said too little in time"
    return str(error)
