"""The guardian's sockets: who is connected, whole lines in, whole lines out, never a blocking call.

An agent that is frozen with a full socket buffer must not delay a fence, so what cannot be sent is
kept, and a peer that lets too much pile up is dropped.
"""

from __future__ import annotations

import os
import select
import socket
import struct

from raftha.guardian.protocol import MAX_LINE, Message, encode
from raftha.guardian.typed import Final

MAX_PEERS: Final = 32
"""Far more than an agent and a few people; a leak of connections must not use up descriptors."""

REST_S: Final = 0.1
"""Longest pause in letting in, after there was no descriptor for one who knocked."""

UCRED: Final = struct.Struct("3i")


class Peer:
    """One connection. `role` is what it said in its hello."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.role = ""
        self.received = b""
        self.unsent = b""


class Links:
    """All connections and the one wake-up pipe that signals write to."""

    def __init__(self, listener: socket.socket, wakeup: int) -> None:
        self._listener = listener
        self._wakeup = wakeup
        self._poll = select.poll()
        self._peers: dict[int, Peer] = {}
        self._agent: Peer | None = None
        self._signals = b""
        self._is_resting = False

    def open(self) -> None:
        """Begin to listen to the listener and to the pipe."""
        self._listener.setblocking(False)
        self._poll.register(self._listener.fileno(), select.POLLIN)
        self._poll.register(self._wakeup, select.POLLIN)

    @property
    def has_agent(self) -> bool:
        return self._agent is not None

    @property
    def has_signals(self) -> bool:
        return self._signals != b""

    def is_agent(self, peer: Peer) -> bool:
        """Whether this is the agent that spoke last; an older one has nothing to say any more."""
        return peer is self._agent

    def greet(self, peer: Peer, role: str) -> None:
        """Note who is there. The newest agent replaces the one before."""
        peer.role = role
        if role == "agent":
            self._agent = peer

    def wait(self, timeout_s: float) -> list[tuple[Peer, bytes]]:
        """Wait at most so long; the lines that have come in, with the peer of each."""
        lines: list[tuple[Peer, bytes]] = []
        is_rest = self._is_resting
        if is_rest:
            timeout_s = min(timeout_s, REST_S)
        for handle, events in self._poll.poll(timeout_s * 1000):
            if handle == self._listener.fileno():
                self._accept()
            elif handle == self._wakeup:
                self._signals += os.read(handle, 512)
            elif handle in self._peers:
                lines += self._serve(self._peers[handle], events)
        if is_rest:
            self._is_resting = False
            self._poll.register(self._listener.fileno(), select.POLLIN)
        return lines

    def take_signals(self) -> bytes:
        """The numbers of the signals that have come in since the last call."""
        taken, self._signals = self._signals, b""
        return taken

    def send(self, peer: Peer, message: Message) -> None:
        """Send as much as goes without waiting, and the rest when there is room."""
        peer.unsent += encode(message)
        self._flush(peer)

    def push(self, event: Message) -> None:
        """Send an event to everybody who has said hello."""
        for peer in tuple(self._peers.values()):
            if peer.role:
                self.send(peer, event)

    def _accept(self) -> None:
        try:
            channel, _ = self._listener.accept()
        except BlockingIOError:
            return  # it went away again
        except OSError:
            # No descriptor is free, and whoever knocks waits: the poll would return at once.
            self._poll.unregister(self._listener.fileno())
            self._is_resting = True
            return
        credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)
        _, user, _ = UCRED.unpack(credentials)
        if user not in (os.geteuid(), 0) or len(self._peers) >= MAX_PEERS:
            channel.close()
            return
        channel.setblocking(False)
        self._peers[channel.fileno()] = Peer(channel)
        self._poll.register(channel.fileno(), select.POLLIN)

    def _serve(self, peer: Peer, events: int) -> list[tuple[Peer, bytes]]:
        if events & select.POLLOUT:
            self._flush(peer)
        if not events & ~select.POLLOUT:
            return []
        try:
            chunk = peer.channel.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            chunk = b""
        *lines, peer.received = (peer.received + chunk).split(b"\n")
        if not chunk or len(peer.received) > MAX_LINE:
            self._drop(peer)
        return [(peer, line) for line in lines]

    def _flush(self, peer: Peer) -> None:
        if peer.channel.fileno() not in self._peers:
            return
        try:
            while peer.unsent:
                peer.unsent = peer.unsent[peer.channel.send(peer.unsent) :]
        except BlockingIOError:
            self._poll.unregister(self._listener.fileno())
        except OSError:
            self._drop(peer)
            return
        if len(peer.unsent) > MAX_LINE:
            self._drop(peer)
            return
        events = select.POLLIN | (select.POLLOUT if peer.unsent else 0)
        self._poll.modify(peer.channel.fileno(), events)

    def _drop(self, peer: Peer) -> None:
        handle = peer.channel.fileno()
        if handle not in self._peers:
            return
        self._poll.unregister(handle)
        del self._peers[handle]
        peer.channel.close()
        if peer is self._agent:
            self._agent = None
