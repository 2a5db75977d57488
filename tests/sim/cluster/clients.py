"""A writer for each node: it tries to commit small rows there, and notes what was acknowledged."""

from __future__ import annotations

from collections import Counter
from itertools import count
from random import Random
from typing import Final

from tests.sim.cluster.fibers import Fibers
from tests.sim.cluster.node import Node
from tests.sim.cluster.postgres import Session

PATIENCE_S: Final = 2.0
"""A commit without an answer is given up after so long, and what became of it is unknown."""
IDLE_PAUSE: Final = (0.1, 0.4)
"""Between two looks for a primary on a node that has none."""


class Writer:
    """Sees a node as an application beside it does: over a session that it keeps."""

    def __init__(
        self,
        node: Node,
        fibers: Fibers,
        random: Random,
        rows: count[int],
        counts: Counter[str],
        pause: tuple[float, float],
    ) -> None:
        self._node = node
        self._fibers = fibers
        self._random = random
        self._rows = rows
        self._counts = counts
        self._pause = pause
        self._session: Session | None = None
        self._waits_since: float | None = None

    def begin(self) -> None:
        self._fibers.schedule.after(self._random.uniform(*self._pause), self._act)

    def _act(self) -> None:
        now = self._fibers.schedule.time.now
        if self._waits_since is not None and now - self._waits_since > PATIENCE_S:
            self._waits_since, self._session = None, None
            self._counts["commits of unknown outcome"] += 1
        is_writing = self._waits_since is not None or self._write(now)
        pause = self._random.uniform(*(self._pause if is_writing else IDLE_PAUSE))
        self._fibers.schedule.after(pause, self._act)

    def _write(self, now: float) -> bool:
        """Whether there was a primary to write to."""
        session = self._connect()
        if session is None or not session.server.is_primary:
            return False
        row = next(self._rows)

        def done() -> None:
            self._waits_since = None

        self._waits_since = now
        if not session.server.commit(session, row, done):
            self._waits_since = self._session = None
            return False
        return True

    def _connect(self) -> Session | None:
        session = self._session
        if session is not None and session.is_open:
            return session
        server = self._node.server
        is_there = server is not None and server.is_primary and self._node.is_up
        self._session = server.connect() if server is not None and is_there else None
        return self._session
