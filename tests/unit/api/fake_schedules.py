"""The schedule of a node, over the store's own state machine, for tests of HTTP and of the CLI.

n1 leads, n2 and n3 are standbys; n3 may not lead.
"""

from __future__ import annotations

from random import Random

from raftha.agent.halts import Halts
from raftha.agent.schedules import Schedules
from raftha.consensus.commands import LogCommand
from raftha.consensus.machine import Happened, Machine
from raftha.errors import CompareFailed, RafthaError
from raftha.ha.documents import read_cluster
from raftha.ha.keys import (
    LEADER_LEASE,
    Keys,
    encode_config,
    encode_initialize,
    encode_leader,
    encode_member,
)
from raftha.instants import Seconds
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName, Scope
from raftha.model.settings import DynamicConfig, Tags
from raftha.model.store import (
    Command,
    Committed,
    Grant,
    KeyAbsent,
    Put,
    RaftStatus,
    Snapshot,
    Transact,
)
from tests.unit.ha import builders as b
from tests.unit.ha.servers import N1, N3, SYSTEM, T0

KEYS = Keys(Scope("main"))


class FakeScheduleStore:
    """`error` is what a write ends with."""

    def __init__(self, *, paused: bool = False) -> None:
        self.machine = Machine(generation=1)
        self.error: RafthaError | None = None
        self.majority = True
        lease = Grant(LEADER_LEASE, N1, Seconds(5.0))
        self._seed(lease, Put(KEYS.leader, encode_leader(N1, "g"), LEADER_LEASE))
        self._seed(Put(KEYS.initialize, encode_initialize(N1, SYSTEM)))
        self._seed(Put(KEYS.config, encode_config(DynamicConfig(pause=paused))))
        for name in b.NAMES:
            member = b.member(name, tags=Tags(nofailover=name == N3))
            self._seed(Put(KEYS.member(name), encode_member(member)))

    def _seed(self, *writes: Put | Grant) -> None:
        guards = tuple(KeyAbsent(write.key) for write in writes if isinstance(write, Put))
        self.execute(Transact(guards, writes), timeout=Seconds(1.0))

    def execute(self, command: Command, *, timeout: Seconds) -> Committed:
        assert timeout > 0
        if self.error is not None:
            raise self.error
        result = self.machine.apply(LogCommand(body=command)).result
        if not isinstance(result, Happened):
            raise CompareFailed(str(result))
        return Committed(result.revision, T0)

    def peek(self) -> Snapshot:
        machine = self.machine
        return Snapshot(
            revision=machine.revision,
            generation=machine.generation,
            taken=T0,
            entries=dict(machine.entries),
            leases=dict(machine.leases),
        )

    def status(self) -> RaftStatus:
        return b.raft(majority=self.majority)

    @property
    def cluster(self) -> Cluster:
        return read_cluster(KEYS, self.peek())


def halts(store: FakeScheduleStore) -> Halts:
    return Halts(me=N1, store=store, keys=KEYS, timeout=lambda: Seconds(1.0))


def schedules(store: FakeScheduleStore, me: MemberName = N1, *, witness: bool = False) -> Schedules:
    return Schedules(
        me=me,
        witness=witness,
        random=Random(1),
        store=store,
        keys=KEYS,
        timeout=lambda: Seconds(1.0),
    )
