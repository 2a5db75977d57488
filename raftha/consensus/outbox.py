"""What stands where the library expects its transport and its poller: neither touches a socket."""

from __future__ import annotations

from typing import Any, Protocol

from raftha.consensus import wire
from raftha.consensus.configuration import Seat


class Party(Protocol):
    """A node as the library is shown it."""

    seat: Seat


class Outbox:
    """Stands where the library expects a transport: collects messages until they may leave."""

    ready = True

    def __init__(self) -> None:
        self.messages: list[tuple[str, wire.Message]] = []

    def send(self, node: Party, message: dict[str, Any]) -> bool:
        if message["type"] == "request_vote":
            message["to"] = node.seat.incarnation
        packed = wire.from_library(message)
        if packed is not None:
            self.messages.append((node.seat.address, packed))
        return True

    def ignore(self, *_: object) -> None:
        """The library registers callbacks here; the core calls it directly instead."""

    setOnNodeConnectedCallback = ignore  # noqa: N815
    setOnNodeDisconnectedCallback = ignore  # noqa: N815
    setOnMessageReceivedCallback = ignore  # noqa: N815
    setOnReadonlyNodeConnectedCallback = ignore  # noqa: N815
    setOnReadonlyNodeDisconnectedCallback = ignore  # noqa: N815
    setOnUtilityMessageCallback = ignore  # noqa: N815
    destroy = ignore


class IdlePoller:
    """The library ends each tick by polling its sockets; it has none."""

    def poll(self, timeout: float) -> None:
        """Nothing to wait for."""
