"""Tells the service manager how this process is: systemd's protocol of sd_notify(3).

Each message is a datagram of lines to the socket that NOTIFY_SOCKET names. Ready is a process that
works, not a cluster that has a leader: a unit that waited for a majority could be given up, or keep
the machine from booting, just when its vote is needed.
"""

from __future__ import annotations

import socket
from threading import Lock
from typing import Final

from raftha.clock import Clock

VARIABLE: Final = "NOTIFY_SOCKET"
"""Names a path, or, after an @, a name outside of the file system."""


class ServiceManager:
    """Called from several threads. Nothing here waits or raises: what cannot be sent now is sent
    with what comes next. Without an `address` nobody listens."""

    def __init__(self, address: str | None, clock: Clock) -> None:
        self._address = _unabbreviated(address or "")
        self._clock = clock
        self._lock = Lock()
        self._unsent: dict[str, str] = {}
        self._is_ready = False
        self._gist: str | None = None

    def tell(self, words: str, gist: str = "") -> None:
        """The process works, and does this. Words with the same gist as before are no news."""
        with self._lock:
            news = {} if self._is_ready else {"READY": "1"}
            if gist != self._gist:
                news["STATUS"] = " ".join(words.split())
            self._is_ready, self._gist = True, gist
            self._send(news)

    def reloading(self) -> None:
        """The configuration is being read again."""
        with self._lock:
            self._unsent.pop("READY", None)
            now = self._clock.now()
            monotonic_us = int((now.boot - now.slept) * 1e6)
            self._send({"RELOADING": "1", "MONOTONIC_USEC": str(monotonic_us)})

    def reloaded(self) -> None:
        """It was read, or refused and the old one stays."""
        with self._lock:
            self._unsent.pop("RELOADING", None)
            self._send({"READY": "1"})

    def stopping(self) -> None:
        """An orderly stop has begun."""
        with self._lock:
            self._send({"STOPPING": "1"})

    def _send(self, news: dict[str, str]) -> None:
        self._unsent |= news
        if not (self._address and self._unsent):
            return
        message = "".join(f"{name}={value}\n" for name, value in self._unsent.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.setblocking(False)
                channel.sendto(message.encode(), self._address)
        except OSError:
            return
        self._unsent.clear()


def _unabbreviated(address: str) -> str:
    """As the kernel wants it; empty for what is no socket of this machine, such as vsock's."""
    if address.startswith("@"):
        return "\0" + address[1:]
    return address if address.startswith("/") else ""
