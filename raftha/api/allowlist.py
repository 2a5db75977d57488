"""From which addresses changes are accepted: addresses, networks and names, and the members' own.

Names are looked up off the request's thread, so that a name server that does not answer holds up
nobody for longer than `PATIENCE_S`.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from threading import Lock, Thread
from typing import Final

from raftha.clock import Clock
from raftha.instants import Instant, Seconds, longest

PATIENCE_S: Final = Seconds(0.5)
FRESH_S: Final = Seconds(60.0)
"""How long a looked-up name counts before it is looked up again."""

Resolve = Callable[[str], frozenset[str]]


class Names:
    """The addresses of names, remembered. Safe for use by several threads."""

    def __init__(self, clock: Clock, resolve: Resolve | None = None) -> None:
        self._clock = clock
        self._resolve = resolve or _resolved
        self._lock = Lock()
        self._known: dict[str, tuple[Instant, frozenset[str]]] = {}
        self._looking: dict[str, Thread] = {}

    def addresses(self, name: str) -> frozenset[str]:
        """What the name stands for, as far as that is known within `PATIENCE_S`; none if it is
        not."""
        now = self._clock.now()
        with self._lock:
            asked, known = self._known.get(name, (None, frozenset()))
            if asked is not None and longest(asked, now) < FRESH_S:
                return known
            looking = self._looking.get(name)
            if looking is None:
                looking = Thread(target=self._look, args=(name,), name="name", daemon=True)
                self._looking[name] = looking
                looking.start()
        if asked is None:
            looking.join(PATIENCE_S)
        with self._lock:
            return self._known.get(name, (None, frozenset[str]()))[1]

    def _look(self, name: str) -> None:
        found = self._resolve(name)
        with self._lock:
            self._known[name] = (self._clock.now(), found)
            del self._looking[name]


class Allowlist:
    """`entries` as `restapi.allowlist` has them, `members` the hosts of the members where these
    are allowed too."""

    def __init__(
        self, entries: Iterable[str], members: Callable[[], Iterable[str]], names: Names
    ) -> None:
        self._entries = tuple(entries)
        self._members = members
        self._names = names

    def admits(self, address: str) -> bool:
        """Whether a caller from this address may ask for a change."""
        caller = _plain(address)
        if caller is None:
            return False
        return any(
            caller in network if (network := _network(entry)) else str(caller) in self._of(entry)
            for entry in (*self._entries, *self._members())
        )

    def _of(self, name: str) -> frozenset[str]:
        return self._names.addresses(name)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _plain(address: str) -> _Address | None:
    """Without a zone; an IPv4 address inside IPv6 as what it is."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def _network(entry: str) -> _Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None


def _resolved(name: str) -> frozenset[str]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()
    plain = (_plain(str(where[0])) for *_, where in found)
    return frozenset(str(address) for address in plain if address is not None)
