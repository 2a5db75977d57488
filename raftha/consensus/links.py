"""What the node needs of the network, and what it hears from it.

A link to a node delivers frames in order, without gaps or repeats, until it breaks; what was in
flight then is lost. Frames may come only from peers whose identity was checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from msgspec import Struct

from raftha.consensus.greeting import Hello
from raftha.consensus.stable import Voter
from raftha.instants import Seconds
from raftha.model.settings import TlsFiles


class Up(Struct, frozen=True):
    """A fresh link to this peer, which greeted so; `news` is its identity if it has to be put on
    record."""

    peer: str
    hello: Hello
    news: Voter | None = None


class Down(Struct, frozen=True):
    """The link to this peer is gone."""

    peer: str


class Received(Struct, frozen=True):
    """A frame from this peer."""

    peer: str
    frame: bytes


LinkEvent = Up | Down | Received


class Links(Protocol):
    """Links to all other nodes of the group."""

    def open(self) -> None:
        """Begin to listen and to dial. Raises ConfigError if the address is not to be had."""

    def know(self, addresses: Iterable[str]) -> None:
        """Keep links to these addresses beside those of the file, and to no others."""

    def poll(self, timeout: Seconds) -> Sequence[LinkEvent]:
        """What happened, waiting at most so long if nothing did."""

    def send(self, peer: str, frame: bytes) -> None:
        """Queue a frame; dropped without a link."""

    def flush(self) -> None:
        """Put queued frames on the wire."""

    def drop(self, peer: str, reason: str) -> None:
        """Cut the link to a peer that misbehaves; its `Down` comes with the next poll."""

    def wake(self) -> None:
        """Make `poll` return now. From any thread."""

    def refresh(self, files: TlsFiles | None = None) -> None:
        """Look again at the files that secure the links, soon; with `files`, those of TLS are these
        from now on. From any thread. Raises ConfigError if they cannot be used."""

    @property
    def problem(self) -> str | None:
        """What an operator should know of this node's own side. From any thread."""

    def close(self) -> None:
        """Stop everything."""
