"""One life of an agent: the shipped parts, wired as in production, and stepped by the schedule.

What runs on threads there has an event here for each of its rounds. The bells that the product
rings bring the next round forward, as they would wake a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, cast

from raftha.agent.build import Member, build_member
from raftha.agent.ground import Edges
from raftha.agent.reader import ClusterReader
from raftha.agent.receipts import Receipts
from raftha.agent.reloading import Reloads
from raftha.clock import Clock
from raftha.consensus.node import RaftNode
from raftha.consensus.store import _committed
from raftha.errors import RafthaError
from raftha.ha.keys import Keys
from raftha.instants import Seconds
from raftha.metrics import Metrics
from raftha.model.ids import MemberName, Scope
from raftha.model.report import OperationReport, OperationRequest
from raftha.model.settings import (
    Address,
    Authentication,
    BootstrapConfig,
    Credentials,
    DynamicConfig,
    NodeConfig,
    PostgresConfig,
    RaftConfig,
    RestConfig,
    Tags,
)
from raftha.model.store import Command, Committed, Grant, Outcome, Refresh, Transact, Unknown
from tests.sim.cluster.faults import Moment
from tests.sim.cluster.fibers import Bell, Condition, Fibers, Life
from tests.sim.fakes import Fatal

SCOPE: Final = Scope("sim")
KEYS: Final = Keys(SCOPE)
POSTGRES_PORT: Final = 5432
API_PORT: Final = 8008
SPACING_S: Final = 0.005
"""A round of a thread takes so long at least."""


class RaftAddress(Address, frozen=True):
    """The simulated voters have no ports."""

    def __str__(self) -> str:
        return self.host


def node_config(name: str, others: Sequence[str], dynamic: DynamicConfig, tags: Tags) -> NodeConfig:
    """The file of a node."""
    here = RaftAddress(name, 0)
    role = Credentials(username="postgres")
    return NodeConfig(
        scope=SCOPE,
        name=MemberName(name),
        raft=RaftConfig(
            self_addr=here,
            bind_addr=here,
            partner_addrs=tuple(RaftAddress(other, 0) for other in others),
            data_dir=Path("/sim") / name,
        ),
        restapi=RestConfig(listen=Address(name, API_PORT), connect_address=Address(name, API_PORT)),
        postgresql=PostgresConfig(
            listen_hosts=("*",),
            connect_address=Address(name, POSTGRES_PORT),
            data_dir=Path("/sim") / name / "pgdata",
            authentication=Authentication(superuser=role, replication=role, rewind=role),
            port=POSTGRES_PORT,
        ),
        bootstrap=BootstrapConfig(dynamic=dynamic),
        tags=tags,
    )


class Runner:
    """A thread of the agent: `step` does a round and says how long to rest."""

    def __init__(
        self,
        fibers: Fibers,
        life: Life,
        step: Callable[[], float],
        present: Callable[[], float],
        fatal: Callable[[str], None],
    ) -> None:
        self.bell = Bell(self._rung)
        self._fibers = fibers
        self._life = life
        self._step = step
        self._present = present
        self._fatal = fatal
        self._due: float | None = None
        self._is_running = False

    def begin(self) -> None:
        self._plan(self._fibers.schedule.time.now)

    def _rung(self) -> None:
        if not self._is_running:
            self._plan(max(self._present(), self._fibers.schedule.time.now))

    def _plan(self, when: float) -> None:
        if self._due is None or when < self._due:
            self._due = when
            self._fibers.schedule.at(when, partial(self._fire, when))

    def _fire(self, when: float) -> None:
        if self._due == when:
            self._fibers.run(self._life, self._round)

    def _round(self) -> None:
        if self._is_running:
            return
        self._due = None
        self._is_running = True
        try:
            rest = self._step()
        except Fatal as error:
            self._fatal(str(error))
            return
        finally:
            self._is_running = False
        if not self._life.is_alive:
            return
        rest = SPACING_S if self.bell.is_set() else max(rest, SPACING_S)
        self._plan(self._fibers.schedule.time.now + rest)


class Agent:
    """The member of one node. `edges` are its ways to what is made up."""

    def __init__(
        self,
        config: NodeConfig,
        node: RaftNode,
        instance: Any,
        edges: Edges,
        *,
        clock: Clock,
        life: Life,
        fibers: Fibers,
        present: Callable[[], float],
        ended: Callable[[str], None],
        random: Random,
        happened: Callable[[Moment], None],
        renewed: Callable[[float, float], None],
    ) -> None:
        self.life = life
        self.node = node
        self.instance = instance
        self.reader = ClusterReader(node.store, KEYS, config.bootstrap.dynamic)
        self._fibers = fibers
        self._clock = clock
        self._renewed = renewed
        assert config.postgresql is not None
        self.member: Member = build_member(
            config,
            config.postgresql,
            node,
            instance,
            clock,
            Metrics(scope=SCOPE, name=config.name, witness=False),
            _fail,
            self._will,
            Reloads(config, Path("/nonexistent")),
            edges,
        )
        make = partial(Runner, fibers, life, present=present, fatal=ended)
        self.loop = make(self._loop_round)
        self.keeper = make(self._keeper_round)
        self.observer = make(self._observer_round)
        self._hang_bells()
        self._tell_of_commands(happened)
        store = cast(Any, WaitingStore(node, fibers, life))
        self.receipts = Receipts(store, KEYS)
        self.member.responder._operations()._random = random
        # What waits for an answer of the store waits in virtual time.
        node.store.execute = store.execute  # type: ignore[method-assign]

    def operate(self, request: OperationRequest) -> OperationReport | str:
        """What an operator is told who asks this node."""
        try:
            return self.member.responder.operate(request)
        except RafthaError as error:
            return str(error)

    def begin(self) -> None:
        """The process runs."""
        for runner in (self.loop, self.keeper, self.observer):
            runner.begin()

    def _hang_bells(self) -> None:
        """The primitives of `threading` give way to those of the simulation."""
        member, board = self.member, self.member.board
        board.woken = cast(Any, self.loop.bell)
        board.looked_for = cast(Any, self.observer.bell)
        board.hurried = cast(Any, Bell())
        board.reloaded = cast(Any, Bell())
        board.stopping = cast(Any, Bell())
        member.keeper._wake = cast(Any, self.keeper.bell)
        member.observer._fresh = cast(Any, Condition(self._fibers, self.life))

    def _tell_of_commands(self, happened: Callable[[Moment], None]) -> None:
        """Faults may wait for a renewal, or for a race for the key; and it is noted when what the
        lease rests on was handed over."""
        store, schedule = self.node.store, self._fibers.schedule
        submit = store.submit

        def told(command: Command, *, timeout: Seconds, done: Callable[[Outcome], None]) -> None:
            moment, ttl = _moment_of(command)
            begun = schedule.time.now

            def answered(outcome: Outcome) -> None:
                if isinstance(outcome, Committed):
                    self._renewed(begun, ttl)
                done(outcome)

            submit(command, timeout=timeout, done=done if moment is None else answered)
            if moment is not None:
                happened(moment)

        store.submit = told  # type: ignore[method-assign]

    def _loop_round(self) -> float:
        loop = self.member.loop
        loop.rested()
        return loop.rest(loop.tick())

    def _keeper_round(self) -> float:
        self.keeper.bell.clear()
        return self.member.keeper.step(self._clock.now())

    def _observer_round(self) -> float:
        self.observer.bell.clear()
        self.member.observer.step()
        return self.member.observer.rest

    def _will(self) -> tuple[str, ...]:
        others = [v.address for v in self.node.store.status().voters if not v.is_self]
        return ("/receipt", *sorted(others))


class WaitingStore:
    """The key store for code that waits for its answers."""

    def __init__(self, node: RaftNode, fibers: Fibers, life: Life) -> None:
        self._node = node
        self._fibers = fibers
        self._life = life
        self.peek = node.store.peek

    def execute(self, command: Command, *, timeout: Seconds) -> Committed:
        parked = self._fibers.park(self._life, timeout + 0.05)
        outcomes: list[Outcome] = []

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            self._fibers.wake(self._life, parked)

        self._node.store.submit(command, timeout=timeout, done=done)
        self._fibers.wait(self._life, parked)
        return _committed(outcomes[0] if outcomes else Unknown("no answer in time"))


def _moment_of(command: Command) -> tuple[Moment | None, float]:
    """What a command means to the lease, if anything, and for how long."""
    if isinstance(command, Refresh):
        return Moment.RENEWAL, command.ttl
    writes = command.writes if isinstance(command, Transact) else ()
    granted = [write.ttl for write in writes if isinstance(write, Grant)]
    return (Moment.CLAIM, granted[0]) if granted else (None, 0.0)


def _fail(reason: str) -> None:
    raise Fatal(reason)
