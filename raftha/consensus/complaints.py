"""What is wrong with other nodes: shown in the status, and in the log without filling it."""

from __future__ import annotations

import logging
from typing import Final

from raftha.clock import Clock
from raftha.consensus.members import Registry
from raftha.instants import Seconds
from raftha.logs import RateLimiter

_LOG: Final = logging.getLogger(__name__)
SAY_AGAIN: Final = Seconds(60.0)
"""A link that flaps is told of once in this time, for each cause."""


class Complaints:
    """From any thread."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._sayings = RateLimiter(clock, SAY_AGAIN)

    def tell(self, peer: str, problem: str) -> None:
        """`problem` stays the same for the same cause; an empty `peer` is a stranger."""
        is_news = self._registry.report(peer, problem)
        if is_news and self._sayings.admit(f"{peer} {problem}") is not None:
            _LOG.warning("raft link to %s: %s", peer or "an unknown host", problem)
