"""Operators: what they ask of a cluster world, at whatever node, whatever its state."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from raftha.cli.rolling import HandOver, Restart, is_back, next_step
from raftha.config.dynamic import parse_dynamic
from raftha.errors import RafthaError
from raftha.ha.keys import encode_config
from raftha.instants import Seconds
from raftha.model.configuring import ConfigChange
from raftha.model.ids import MemberName
from raftha.model.operation import OperationState, RequestKind
from raftha.model.postgres import SIZES
from raftha.model.report import ClusterReport, OperationRequest
from raftha.model.restarting import ServerRequest, WishKind
from raftha.model.settings import DynamicConfig, SynchronousMode
from raftha.model.store import Committed, KeyAt, Outcome, Put, Transact
from raftha.pg import conf
from tests.sim.cluster.agent import KEYS, Agent
from tests.sim.cluster.faults import Kind, Trouble
from tests.sim.cluster.node import Node
from tests.sim.cluster.tuning import BORN, BUFFERS
from tests.sim.workload import shorter

if TYPE_CHECKING:
    from tests.sim.cluster.world import ClusterWorld

RESUME_S: Final = 1.0
"""How often an operator looks, in the end, whether a pause is left."""
ROLL_S: Final = 0.5
"""How often whoever restarts one member after another looks how far that is."""
DONE_S: Final = 5.0
"""What was asked for is looked at again after this time."""

SHORTEST_S: Final = 2.2
"""A ttl that agents take, with the default fence budget and election timers (R7)."""

_WISHES: Final = {WishKind.RESTART: "restarts", WishKind.REINITIALIZE: "new copies"}
_SIZE_STEPS: Final = (-10, 0, 10, 20)
_NAMES: Final = (*SIZES, "max_connections", BUFFERS, "work_mem")


class People:
    """`until` calls a thing once a fault's time is over."""

    def __init__(
        self, world: ClusterWorld, until: Callable[[Trouble, Callable[[], None]], None]
    ) -> None:
        self._world = world
        self._until = until
        self.acts: dict[Kind, Callable[[Trouble, Node], None]] = {
            Kind.SWITCHOVER: self._switch_over,
            Kind.FAILOVER: self._fail_over,
            Kind.MODE: self._change_mode,
            Kind.TTL: self._change_ttl,
            Kind.PAUSE: self._pause,
            Kind.RESTART: self._restart,
            Kind.PENDING_RESTARTS: self._roll,
            Kind.REINIT: self._reinitialise,
            Kind.PARAMETERS: self._change_parameter,
        }

    # Who leads.

    def _switch_over(self, trouble: Trouble, node: Node) -> None:
        candidate = MemberName(self._other(trouble).name)
        request = OperationRequest(
            kind=RequestKind.SWITCHOVER, candidate=candidate if trouble.strength < 0.5 else None
        )
        self._operate(node, request)

    def _fail_over(self, trouble: Trouble, node: Node) -> None:
        """With or without a leader, at whatever node is struck."""
        candidate = MemberName(self._other(trouble).name)
        self._operate(node, OperationRequest(kind=RequestKind.FAILOVER, candidate=candidate))

    def _operate(self, node: Node, request: OperationRequest) -> None:
        self._ask(node, lambda agent: self._note(node, str(agent.operate(request))))

    # The settings.

    def _change_mode(self, trouble: Trouble, node: Node) -> None:
        def changed(config: DynamicConfig) -> DynamicConfig:
            others = [mode for mode in SynchronousMode if mode is not config.synchronous_mode]
            return replace(config, synchronous_mode=others[trouble.pick % len(others)])

        self._write_config(node, changed)

    def _change_ttl(self, trouble: Trouble, node: Node) -> None:
        self.write_ttl(node, 2.0 + 3.0 * trouble.strength)

    def write_ttl(self, node: Node, ttl: float) -> None:
        """Or the shortest that there may be."""
        self._write_config(node, lambda config: shorter(config, Seconds(max(SHORTEST_S, ttl))))

    def _write_config(self, node: Node, change: Callable[[DynamicConfig], DynamicConfig]) -> None:
        """Write another configuration over the one that is seen here. Raises ConfigError where no
        agent would read it, for nothing would come of that."""
        agent = node.agent
        if agent is None:
            return
        cluster = agent.reader.read()
        if cluster.config_revision is None:
            return
        changed = change(cluster.config)
        parse_dynamic(json.loads(encode_config(changed)), KEYS.config)
        command = Transact(
            (KeyAt(KEYS.config, cluster.config_revision),),
            (Put(KEYS.config, encode_config(changed)),),
        )
        words = f"ttl {changed.ttl:.1f} and mode {changed.synchronous_mode}"
        self._world.verdicts.note(f"{words} are asked for at {node.name}")

        def done(outcome: Outcome) -> None:
            self._world.counts["settings changed"] += isinstance(outcome, Committed)

        agent.node.store.submit(command, timeout=Seconds(1.0), done=done)

    def _change_parameter(self, trouble: Trouble, node: Node) -> None:
        """As `raftha config` would. Who changes what takes a restart may see to that too."""
        name = _NAMES[trouble.pick % len(_NAMES)]
        step = _SIZE_STEPS[int(trouble.strength * len(_SIZE_STEPS))]
        size = max(BORN.get(name, 64) + 2 * step, conf.FLOORS.get(name, 0))
        value = str(size) if name in BORN else f"{size}MB"
        document = {"postgresql": {"parameters": {name: value}}}

        def ask(agent: Agent) -> None:
            change = ConfigChange(document=document, replaces=False)
            answer = agent.member.responder.configurations.change(change)
            self._world.counts[f"parameters {answer.state.value}"] += 1
            self._note(node, f"{name} = {value}: {answer.state} {answer.message}")

        self._ask(node, ask)
        if trouble.pick % 2:
            self._world.schedule.after(1.0, partial(self._roll, trouble, node))

    # Restarts.

    def _restart(self, trouble: Trouble, node: Node) -> None:  # noqa: ARG002
        self._ask(node, partial(self._wish, node, ServerRequest(kind=WishKind.RESTART)))

    def _reinitialise(self, trouble: Trouble, node: Node) -> None:  # noqa: ARG002
        """`raftha reinit`, which a primary refuses."""
        self._ask(node, partial(self._wish, node, ServerRequest(kind=WishKind.REINITIALIZE)))

    def _wish(self, node: Node, request: ServerRequest, agent: Agent) -> None:
        told = agent.member.responder.wishes.ask(request)
        self._note(node, told.message)
        what = _WISHES[request.kind]
        self._world.counts[f"{what} {told.state.value}"] += 1

        def look() -> None:
            latest = agent.member.responder.wishes.latest()
            is_done = latest is not None and latest.state is OperationState.DONE
            self._world.counts[f"{what} done"] += is_done and latest.id == told.id

        if told.state is OperationState.RUNNING:
            self._world.fibers.after(DONE_S, agent.life, look)

    def _roll(self, trouble: Trouble, node: Node) -> None:
        """`raftha restart --pending`, over this node, as long as the fault lasts."""
        left = int(trouble.lasts / ROLL_S)
        self._ask(node, partial(self._roll_on, node, left, None))

    def _roll_on(self, node: Node, left: int, asked: str | None, agent: Agent) -> None:
        """The next member, once the one before serves again."""
        report = agent.member.responder.cluster()
        if asked is None or is_back(report, asked):
            asked = self._take_step(node, report, agent)
            if asked is None:
                return
        if left > 0 and not self._world.is_over:
            again = partial(self._roll_on, node, left - 1, asked)
            self._world.fibers.after(ROLL_S, agent.life, partial(self._asked, node, agent, again))

    def _take_step(self, node: Node, report: ClusterReport, agent: Agent) -> str | None:
        """Who is restarted now; None if nobody is left."""
        pending = [member.name for member in report.members if member.pending]
        match next_step(report, pending, hands_over=True):
            case Restart(name):
                request = ServerRequest(kind=WishKind.RESTART, name=name, restart_pending=True)
                there = self._world.nodes[name]
                self._ask(there, partial(self._wish, there, request))
                return name
            case HandOver(leader, heir):
                candidate = MemberName(heir)
                request = OperationRequest(kind=RequestKind.SWITCHOVER, candidate=candidate)
                self._note(node, str(agent.operate(request)))
                self._world.counts["hand-overs for pending restarts"] += 1
                return leader
            case _:
                return None

    # Pauses.

    def _pause(self, trouble: Trouble, node: Node) -> None:
        """It is ended at another node, which may be on the other side of a cut."""
        self._write_pause(node, paused=True)
        self._until(trouble, partial(self._write_pause, self._other(trouble), paused=False))

    def resume(self) -> None:
        """When all faults have ended the operator goes home once no pause is left."""
        paused = [n for n in self._world.nodes.values() if n.agent and n.agent.reader.read().paused]
        for node in paused[:1]:
            self._write_pause(node, paused=False)
        if not self._world.is_over:
            self._world.schedule.after(RESUME_S, self.resume)

    def _write_pause(self, node: Node, *, paused: bool) -> None:
        def ask(agent: Agent) -> None:
            change = agent.member.responder.pauses.change(paused=paused)
            self._note(node, change.message)

        self._ask(node, ask)

    # How they ask.

    def _other(self, trouble: Trouble) -> Node:
        """A node that has nothing to do with the one that is struck."""
        others = sorted(self._world.nodes)
        return self._world.nodes[others[trouble.pick % len(others)]]

    def _ask(self, node: Node, ask: Callable[[Agent], None]) -> None:
        """Have the agent of a node do something, if it has one."""
        agent = node.agent
        if agent is not None:
            self._world.fibers.after(0.0, agent.life, lambda: self._asked(node, agent, ask))

    def _asked(self, node: Node, agent: Agent, ask: Callable[[Agent], None]) -> None:
        try:
            ask(agent)
        except RafthaError as error:
            self._note(node, str(error))

    def _note(self, node: Node, what: str) -> None:
        self._world.verdicts.note(f"{node.name} says: {what}")
