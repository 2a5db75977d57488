"""Threads that make connections: everything that can wait for a name server or a peer.

One thread accepts, one per dialled peer dials, and each incoming connection is greeted on a thread
of its own, so many at once. What comes out is an `Established` connection, handed to `arrived`.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Final

from raftha.consensus.commands import WireError
from raftha.consensus.handshake import Established, Handshake, Refused
from raftha.consensus.members import Registry
from raftha.errors import ConfigError, Problem
from raftha.model.settings import Address, RaftTimings

_LOG: Final = logging.getLogger(__name__)
MAX_GREETINGS: Final = 16
_BACKLOG: Final = 64
_ACCEPT_PAUSE_S: Final = 0.05


class Dialer:
    """Keeps trying for a connection to each peer whose address sorts below our own; the others
    dial us, so two nodes never dial each other at once."""

    def __init__(
        self,
        *,
        handshake: Handshake,
        registry: Registry,
        timings: RaftTimings,
        bind: Address,
        peers: Iterable[Address],
        arrived: Callable[[Established], None],
    ) -> None:
        self._handshake = handshake
        self._registry = registry
        self._timings = timings
        self._bind = bind
        own = handshake.identity.address
        self._dialled = {str(peer): peer for peer in peers if str(peer) < own}
        self._wanted = {peer: threading.Event() for peer in self._dialled}
        self._arrived = arrived
        self._closed = threading.Event()
        self._greetings = threading.BoundedSemaphore(MAX_GREETINGS)
        self._listener: socket.socket | None = None

    def open(self) -> None:
        """Listen and dial. Raises ConfigError if the address cannot be bound."""
        self._listener = _listen(self._bind)
        self._spawn(self._accept, self._listener)
        for peer, address in self._dialled.items():
            self._wanted[peer].set()
            self._spawn(self._dial, peer, address)

    def want(self, peer: str) -> None:
        """The connection to this peer is gone: dial again, if it is ours to dial."""
        if peer in self._wanted:
            self._wanted[peer].set()

    def close(self) -> None:
        """Stop all threads soon; those that wait for a peer end with their time limit."""
        self._closed.set()
        for wanted in self._wanted.values():
            wanted.set()
        if self._listener is not None:
            _shut(self._listener)

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, name="raft-link", daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = listener.accept()
            except OSError as error:
                self._report("", f"cannot accept connections: {error}")
                self._closed.wait(_ACCEPT_PAUSE_S)
                continue
            if self._greetings.acquire(blocking=False):
                self._spawn(self._greet, connection)
            else:
                connection.close()

    def _greet(self, connection: socket.socket) -> None:
        try:
            self._finish(connection, self._handshake.accept)
        except Refused as error:
            self._report(error.peer, error.reason)
        except (OSError, WireError) as error:
            self._report("", f"a connection was not understood: {error}")
        finally:
            self._greetings.release()

    def _dial(self, peer: str, address: Address) -> None:
        wanted = self._wanted[peer]
        while not self._closed.is_set():
            wanted.wait()
            if self._closed.is_set():
                return
            wanted.clear()
            problem = self._try(peer, address)
            if problem is not None:
                self._report(peer, problem)
                wanted.set()
            # Also after a success, so that a link which breaks at once is not redialled in a loop.
            self._closed.wait(self._timings.redial_period)

    def _try(self, peer: str, address: Address) -> str | None:
        try:
            connection = socket.create_connection(
                (address.host, address.port), self._timings.connect_timeout
            )
        except socket.gaierror as error:
            return f"the name {address.host} cannot be resolved: {error.strerror}"
        except OSError as error:
            return f"cannot connect: {error}"
        try:
            self._finish(connection, lambda raw: self._handshake.dial(raw, peer))
        except Refused as error:
            return error.reason
        except (OSError, WireError) as error:
            return f"no greeting: {error}"
        return None

    def _finish(
        self, connection: socket.socket, greet: Callable[[socket.socket], Established]
    ) -> None:
        """Greet within the time limit, and hand over; a failure closes the connection."""
        try:
            connection.settimeout(self._timings.connect_timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            established = greet(connection)
        except (OSError, WireError, Refused):
            connection.close()
            raise
        established.connection.setblocking(False)
        self._arrived(established)

    def _report(self, peer: str, problem: str) -> None:
        if self._closed.is_set():
            return
        if self._registry.report(peer, problem):
            _LOG.warning("raft link to %s: %s", peer or "an unknown host", problem)


def _listen(address: Address) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, target = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_bound(address, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _not_bound(address, error) from error
    return listener


def _not_bound(address: Address, error: OSError) -> ConfigError:
    remedy = "is another agent running here? check raft.bind_addr"
    return ConfigError([Problem("raft.bind_addr", f"cannot listen on {address}: {error}", remedy)])


def _shut(listener: socket.socket) -> None:
    """Close a socket that another thread waits on: only shutdown wakes that thread."""
    try:
        listener.shutdown(socket.SHUT_RDWR)
    except OSError:
        _LOG.debug("the listening socket was shut already")
    listener.close()
