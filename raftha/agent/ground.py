"""What every part of a member stands on, and where a member ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from raftha.agent.board import Board
from raftha.agent.chronicle import Chronicle
from raftha.agent.jobs import TOOLS, Tools
from raftha.agent.peers import Peers
from raftha.agent.reader import ClusterReader
from raftha.agent.reloading import Reloads
from raftha.agent.wiring import build_peers
from raftha.agent.worker import on_a_thread
from raftha.clock import Clock
from raftha.consensus.node import RaftNode
from raftha.guardian.client import GuardianClient, spawn
from raftha.ha.keys import Keys
from raftha.ha.situation import Situation
from raftha.ha.table import Decision
from raftha.instants import longest
from raftha.metrics import Metrics
from raftha.model.happening import Kind
from raftha.model.settings import RestConfig
from raftha.model.store import Committed, Outcome
from raftha.pg.instance import Instance


def to_nobody(_situation: Situation, _decision: Decision) -> None:
    """For a member whose rounds nobody outside follows."""


class Edges(Struct, frozen=True, kw_only=True):
    """Where a member ends and the machine and the network begin: what a made-up host replaces, as
    it does with the clock, the node and the instance. `told` hears what each round came to."""

    spawn: Callable[..., None] = spawn
    guardian: Callable[..., GuardianClient] = GuardianClient
    peers: Callable[[Callable[[], RestConfig], ClusterReader, Clock, Callable[[], None]], Peers] = (
        build_peers
    )
    aside: Callable[[Callable[[], None]], None] = on_a_thread
    tools: Tools = TOOLS
    told: Callable[[Situation, Decision], None] = to_nobody


EDGES: Final = Edges()


class Ground(Struct, frozen=True, kw_only=True):
    """What every part of a member stands on."""

    board: Board
    clock: Clock
    keys: Keys
    node: RaftNode
    reader: ClusterReader
    instance: Instance
    metrics: Metrics
    will: Callable[[], Sequence[str]]
    edges: Edges
    reloads: Reloads
    chronicle: Chronicle

    def fenced(self, reason: str, seconds: float) -> None:
        """The guardian has killed the instance."""
        self.metrics.fenced(reason, seconds)
        words = f"the guardian killed the server: {reason}"
        self.chronicle.note(Kind.FENCE, words, seconds=f"{seconds:.3f}")

    def settled(self, outcome: Outcome) -> None:
        """A renewal has ended, and if it committed the guardian has its new deadline."""
        took = None
        if isinstance(outcome, Committed):
            took = longest(outcome.handed_over, self.clock.now())
        self.metrics.settled(type(outcome).__name__.lower(), took)

    @property
    def run_dir(self) -> Path:
        return self.instance.layout.run_dir

    @property
    def server_log(self) -> Path:
        return self.run_dir / "postgresql.log"
