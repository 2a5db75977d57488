"""The machines of the small world: what lies on their disks, and what runs on them."""

from __future__ import annotations

from dataclasses import dataclass, field

from raftha.ha.memory import Memory
from raftha.model.cluster import Cluster
from raftha.model.ids import Epoch, MemberName
from raftha.model.postgres import DataDirectory
from raftha.model.restarting import ServerWish
from raftha.model.view import GuardianView, HeldLease, JobResult, PeerAnswer, StreamCut
from tests.unit.ha import servers as pg


@dataclass(slots=True)
class Server:
    """A PostgreSQL that runs: where it writes or has received up to, and how it is configured."""

    is_primary: bool
    timeline: int
    position: int
    process: str
    names: str = ""
    upstream: MemberName | None = None
    streams: bool = False
    epoch: Epoch | None = None
    forks: dict[int, int] = field(default_factory=dict)
    promoting: int | None = None
    disarmed: bool = False


@dataclass(slots=True)
class Node:
    """A machine: what lies on its disk, what runs on it, and what its agent remembers."""

    name: MemberName
    up: bool = True
    cut: bool = False
    lagging: bool = False
    frozen: bool = False
    stopping: bool = False
    wish: ServerWish | None = None
    ended: bool = False
    barred: str | None = None
    disk: DataDirectory = pg.EMPTY
    position: int = 1000
    forks: dict[int, int] = field(default_factory=dict)
    slots: tuple[str, ...] = ()
    server: Server | None = None
    pledge: StreamCut | None = None
    burned: tuple[Epoch, ...] = ()
    lease: HeldLease | None = None
    memory: Memory = field(default_factory=Memory)
    finished: JobResult | None = None
    answers: dict[MemberName, PeerAnswer] = field(default_factory=dict)
    said: tuple[str, str] = ("", "")
    boots: int = 0
    is_current: bool = True
    known: Cluster | None = None

    @property
    def nonce(self) -> str:
        return self._nonce_of(self.boots)

    @property
    def idle_guardian(self) -> GuardianView:
        """The guardian's word while no server runs."""
        before = tuple(self._nonce_of(boot) for boot in range(self.boots))
        return GuardianView(alive=True, nonce=self.nonce, burned=self.burned, predecessors=before)

    def _nonce_of(self, boot: int) -> str:
        return f"guardian-{self.name}-{boot}"
