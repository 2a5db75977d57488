"""One machine of the simulation: what outlives its process, and the process if it runs."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field

from raftha.consensus.node import RaftNode
from raftha.instants import Instant, remaining
from raftha.model.ids import Epoch, Revision
from tests.sim.clocks import FakeClock, TrueTime
from tests.sim.disk import Disk, FakeStore


class Deadline(Struct):
    """What a guardian was armed with; it counts until `ends`, whatever becomes of its agent."""

    epoch: Epoch
    renewal: Revision
    ends: Instant


class Host(Struct):
    """`busy_until` is when the raft thread ends its present round; `life` counts processes.

    Its oscillator runs at `drift`, and chrony adds `slew` to one of its clocks.
    `file` are the addresses that its own file names, `called` is the name of its node: a machine
    that takes the place of another has the other's. Members have a vote, as far as the operator
    knows; a machine that `is_off` stays so.

    While `frozen` the process does not run; what it would have done waits in `postponed`. If the
    whole host is `suspended`, its raw clock stands still too. `put_back` says that an older copy of
    its disk took its place, and that nobody has told it so yet.
    """

    name: str
    called: str
    is_witness: bool
    file: tuple[str, ...]
    time: TrueTime
    clock: FakeClock
    disk: Disk
    drift: float = 1.0
    slew: float = 0.0
    store: FakeStore | None = None
    node: RaftNode | None = None
    life: int = 0
    busy_until: float = 0.0
    next_round: float | None = None
    frozen: bool = False
    suspended: bool = False
    put_back: bool = False
    is_member: bool = True
    is_off: bool = False
    deadline: Deadline | None = None
    postponed: list[Callable[[], None]] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """Whether its process can act now."""
        return self.node is not None and not self.frozen

    def may_write(self, now: float) -> bool:
        """Whether its guardian would let a primary live at this true time."""
        deadline = self.deadline
        return deadline is not None and remaining(deadline.ends, self.clock.at(now)) > 0
