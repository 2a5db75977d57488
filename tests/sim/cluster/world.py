"""The cluster world: three nodes of the shipped agent, guardian and consensus on made-up machines.

One `Random(seed)` decides everything. First the nodes come to be a cluster; then faults strike for
`SAFETY_S` of virtual time at most, while clients write; then all of them end, and the cluster must
be whole again: one primary, every other member streaming from it, rows acknowledged. What is
checked all the while stands in `promises.py`.
"""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from typing import Final

from msgspec.structs import replace

from raftha.consensus.commands import Expire
from raftha.consensus.node import RaftNode
from raftha.instants import Seconds
from raftha.model.settings import DynamicConfig, SynchronousMode
from raftha.model.store import Snapshot
from tests.sim.cluster.cables import Cables
from tests.sim.cluster.clients import Writer
from tests.sim.cluster.disorder import Disorder
from tests.sim.cluster.faults import HANGS, Kind, Trouble, draw_troubles
from tests.sim.cluster.fibers import Fibers, Life
from tests.sim.cluster.node import Node
from tests.sim.cluster.postgres import Server
from tests.sim.cluster.promises import Promises
from tests.sim.cluster.replication import DATA
from tests.sim.host import Host
from tests.sim.stage import Stage
from tests.sim.traits import LAN, Traits
from tests.sim.wires import Weather

BIRTH_S: Final = 30.0
"""Three empty machines are a cluster by then."""
SAFETY_S: Final = 45.0
"""Seconds with faults."""
HEALED_S: Final = 60.0
"""After the last fault the cluster is whole again by then (L1, L2)."""
LOOK_S: Final = 0.5
"""How often it is looked whether the cluster is whole; twice in a row is enough."""
PREFERRING: Final = 0.5
"""Of the worlds, those in which an agent that starts has another `sync_priority` than before."""
CALM_LOOKS: Final = (2, 2, 2, 6)
"""So many looks in a row that find it whole are calm enough for the next fault."""
SWEEP_S: Final = 1.0
"""What an agent that comes back takes to have a guardian, and everything of a server ended."""
FEWEST_ROWS: Final = 20
SIZE: Final = 3
L1_S: Final = 1.0
"""What L1 allows beyond the ttl."""
CLIENT_S: Final = 0.5
"""What a client may take to find the new primary and to have a row acknowledged."""


MODES: Final = (
    SynchronousMode.ON,
    SynchronousMode.ON,
    SynchronousMode.QUORUM,
    SynchronousMode.QUORUM,
    SynchronousMode.OFF,
)


def draw_settings(random: Random) -> DynamicConfig:
    """The default or a short ttl; mostly synchronous."""
    mode = random.choice(MODES)
    if random.random() < 0.5:
        return DynamicConfig(synchronous_mode=mode, maximum_lag_on_failover=4096)
    return DynamicConfig(
        ttl=Seconds(2.0),
        heartbeat=Seconds(0.4),
        loop_wait=Seconds(0.5),
        retry_timeout=Seconds(0.5),
        fence_budget=Seconds(0.3),
        primary_health_timeout=Seconds(1.2),
        synchronous_mode=mode,
        maximum_lag_on_failover=4096,
    )


def draw_traits(random: Random) -> Traits:
    """Three members, or two and a witness."""
    return Traits(
        size=SIZE,
        witnesses=random.choice((0, 0, 0, 0, 1)),
        timings=LAN,
        weather=random.choice((Weather(0.001, 0.002), Weather(0.0005, 0.0005))),
        disk_latency=random.choice((0.0, 0.001)),
        round_s=0.002,
        chunk_bytes=256 * 1024,
        batch_bytes=256 * 1024,
    )


class ClusterWorld(Stage):
    """`plan` replaces the drawn one; `sabotage` spoils every node whose agent starts, to see
    whether the checkers notice."""

    def __init__(
        self,
        seed: int,
        *,
        plan: Sequence[Trouble] | None = None,
        settings: DynamicConfig | None = None,
        witnesses: int | None = None,
        sabotage: Callable[[Node], None] = lambda _node: None,
    ) -> None:
        random = Random(f"cluster {seed}")
        self.settings = settings or draw_settings(random)
        traits = draw_traits(random)
        if witnesses is not None:
            traits = replace(traits, witnesses=witnesses)
        drawn = draw_troubles(random, SAFETY_S, self.settings.ttl)
        self.plan = drawn if plan is None else list(plan)
        self._hurries = plan is None
        # Drawn by itself, so that it changes nothing of what is drawn for the same seed after it.
        self._calm_looks = Random(f"calm {seed}").choice(CALM_LOOKS)
        self._preferences = Random(f"preferences {seed}")
        self._has_preferences = self._preferences.random() < PREFERRING
        super().__init__(random, traits)
        self.fibers = Fibers(self.schedule)
        self.cables = Cables(Random(random.getrandbits(64)), traits.weather.delay)
        self.counts: Counter[str] = Counter()
        members = {name: host for name, host in self.hosts.items() if not host.is_witness}
        self.nodes = {name: Node(self, host) for name, host in members.items()}
        self._newest_store: Snapshot | None = None
        self.promises = Promises(
            self.verdicts,
            self.time,
            self.settings,
            store=self.newest_store,
            servers=self.servers,
            thawed_at=lambda name: self.disorder.thawed_at.get(name, -1.0),
            is_beyond_timers=self.is_beyond_timers,
        )
        self.disorder = Disorder(self)
        self._numbers = count(1)
        self._sabotage = sabotage
        self.is_over = False

    def draw_priority(self) -> int:
        """The `sync_priority` of an agent that starts."""
        return self._preferences.randint(1, 3) if self._has_preferences else 1

    # The course of a world.

    def run(self) -> list[str]:
        """Birth, faults, calm; what was violated."""
        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            self._run()
        finally:
            self.is_over = True
            self.fibers.close([life for node in self.nodes.values() for life in node.live("all")])
            logging.disable(disabled)
            gc.collect()
        return self.verdicts.violations

    def _run(self) -> None:
        begun = self.time.now
        for host in self.hosts.values():
            self.start(host)
        self._employ_writers()
        if not self._become_whole(BIRTH_S):
            self.verdicts.violate("L1: no cluster has come to be")
            return
        self.counts["virtual ms until born"] += int((self.time.now - begun) * 1000)
        self._suffer()
        self.verdicts.note("all faults end")
        self.disorder.end()
        healed = self.time.now
        if not self._become_whole(HEALED_S):
            self.verdicts.violate(
                f"L2: not whole {HEALED_S:.0f} s after the faults: {self.state()}"
            )
            return
        self.counts["virtual ms until whole"] += int((self.time.now - healed) * 1000)
        primary = self.primary()
        assert primary is not None
        others = [s for s in self.servers() if s is not primary]
        self.promises.check_end(primary, others)
        if len(self.promises.acknowledged) < FEWEST_ROWS:
            self.verdicts.violate("too few rows were acknowledged for this to mean anything")
        self.counts["rows acknowledged"] += len(self.promises.acknowledged)
        self.counts["promotions"] += self.promises.promotions
        self.counts["stops of an agent on a full Raft disk"] += self.fail_stops
        for node in self.nodes.values():
            self.counts.update(node.directory.effects)

    def _suffer(self) -> None:
        """Let the faults strike. A plan that was drawn is brought forward whenever the cluster has
        been whole for a while, and ends with that: more of the same would show nothing."""
        course, end = self.disorder.course, self.time.now + SAFETY_S
        course.begin(self.plan)
        calm = 0
        while self.time.now < end:
            self.fibers.run_until(min(end, self.time.now + LOOK_S))
            is_calm = course.is_quiet and not self.promises.is_probing and self.is_whole()
            calm = calm + 1 if is_calm else 0
            if self._hurries and calm == self._calm_looks:
                calm = 0
                if not course.hasten(LOOK_S):
                    return

    def _become_whole(self, patience: float) -> bool:
        """Whether the cluster is whole in time, at two looks in a row."""
        end = self.time.now + patience
        seen = 0
        while self.time.now < end and seen < 2:
            self.fibers.run_until(self.time.now + LOOK_S)
            seen = seen + 1 if self.is_whole() else 0
        return seen == 2

    def _employ_writers(self) -> None:
        pace = self.random.choice(((0.02, 0.1), (0.1, 0.3)))
        rows = count(1)
        for node in self.nodes.values():
            Writer(node, self.fibers, self.random, rows, self.counts, pace).begin()

    # What is known of the whole.

    def servers(self) -> list[Server]:
        """Every server of which a process lives."""
        found = (node.running_server() for node in self.nodes.values())
        return [server for server in found if server is not None]

    def primary(self) -> Server | None:
        """The server that takes writes, if there is one."""
        writing = [server for server in self.servers() if server.may_write]
        return writing[0] if len(writing) == 1 else None

    def is_whole(self) -> bool:
        """One primary that acknowledges, and every other member streams all it has."""
        primary = self.primary()
        if primary is None or self.time.now - self.promises.latest > LOOK_S:
            return False
        if self.promises.is_synchronous and not self.promises.sync_standbys:
            return False
        others = [s for s in self.servers() if s is not primary]
        attached = {s.standby.number for s in primary.streams if s.is_open_above and s.flush}
        is_waiting = not primary.names_in_force and self.promises.is_synchronous
        return (
            len(others) == len(self.nodes) - 1
            and not is_waiting
            and all(server.number in attached for server in others)
            and not any(server.tuning.stands_at for server in others)
        )

    def fingerprint(self) -> str:
        """A hash of the whole history, for comparing two runs of one seed."""
        for node in self.nodes.values():
            for piece in node.directory.wal.pieces:
                self.verdicts.trace.update(f"{piece.line.ends} {piece.line.rows}".encode())
        return self.verdicts.trace.hexdigest()

    def state(self) -> str:
        """For people: what each node is about."""
        return "; ".join(_describe(node) for node in self.nodes.values())

    def newest_store(self) -> Snapshot | None:
        """The key store as the most advanced replica has it, or had it at an earlier look: one that
        has just started does not know yet what of its log is committed."""
        agents = [node.agent for node in self.nodes.values() if node.agent is not None]
        snapshots = [agent.node._replica.published for agent in agents]
        if self._newest_store is not None:
            snapshots.append(self._newest_store)
        newest = max(snapshots, key=lambda s: (s.generation, s.revision), default=None)
        self._newest_store = newest
        return newest

    def reached_by(self, name: str, host: str, _port: int) -> Server | None:
        """The server at an address, as seen from a node."""
        if host not in self.nodes or not self.cables.carry_both(DATA, name, host):
            return None
        return self.nodes[host].running_server()

    def is_beyond_timers(self, server: Server) -> bool:
        """Its postmaster was killed while its guardian was frozen, and no agent has been there long
        enough to end what is left: a stated limit, for no timer knows of those processes."""
        node = self.nodes[server.node]
        agent = node.agent
        is_there = agent is not None and agent.life.runs
        has_had_time = is_there and self.time.now - node.agent_since > SWEEP_S
        return server.died_unseen and not has_had_time

    def raft_carries(self, source: str, target: str) -> bool:
        stalls = self.wires._stalls
        return (source, target) not in stalls and (target, source) not in stalls

    def new_server(self, node: Node, life: Life) -> Server:
        return Server(
            node.name,
            next(self._numbers),
            node.directory,
            node.machine,
            life,
            fibers=self.fibers,
            cables=self.cables,
            random=self.random,
            watcher=self.promises,
            is_host_up=lambda: node.is_up,
            server_at=lambda host: self.reached_by(node.name, host, 0),
        )

    # What happens on the stage.

    def process_started(self, host: Host, node: RaftNode) -> None:
        self._watch_expiry(node)
        here = self.nodes.get(host.name)
        if here is not None:
            here.is_up = True
            here.agent_started(node)
            self._sabotage(here)

    def _watch_expiry(self, node: RaftNode) -> None:
        """Hear of every lease that this node would end."""
        replica = node._replica
        due = replica.due

        def checked(rank: int) -> tuple[Expire, ...]:
            found = due(rank)
            if found:
                self.promises.expiring(node.store.peek())
            return found

        replica.due = checked  # type: ignore[method-assign]

    def round_ended(self, host: Host, node: RaftNode) -> None:  # noqa: ARG002
        self.promises.saw(node._replica.published)

    def process_ended(self, host: Host) -> None:
        if host.name in self.nodes:
            self.nodes[host.name].agent_ended()

    def start(self, host: Host) -> None:
        if not self.is_over:
            super().start(host)

    def freeze(self, host: Host, *, suspended: bool = False) -> None:
        super().freeze(host, suspended=suspended)
        for life in self._agents_of(host):
            self.fibers.freeze(life)

    def thaw(self, host: Host) -> None:
        super().thaw(host)
        for life in self._agents_of(host):
            if life.is_frozen:
                self.nodes[host.name].agent_since = self.time.now
            self.fibers.thaw(life)

    def _agents_of(self, host: Host) -> list[Life]:
        return self.nodes[host.name].live("agent") if host.name in self.nodes else []

    def probe(self, node: Node, kind: Kind) -> None:
        """A primary is struck, and nothing else is: somebody acknowledges rows again in time."""
        server = node.running_server()
        if server is None or not server.may_write:
            return
        self.promises.probe(server)
        settings = self.settings
        bound = settings.ttl + L1_S + CLIENT_S
        if kind in HANGS:
            bound += settings.primary_health_timeout
        self.schedule.after(bound, self.promises.check_probe)

    def agent_failed(self, node: Node, why: str) -> None:
        """The agent ended itself: it trusts itself no more."""
        self.verdicts.violate(f"tripwire on {node.name}: {why}")
        self.end(node.host, restart_after=0.5, power=False)


def _describe(node: Node) -> str:
    agent, server = node.agent, node.running_server()
    rule = "no agent"
    if agent is not None:
        recent = agent.member.loop._recorder.recent()
        rule = f"{recent[-1].rule}: {recent[-1].reason}" if recent else "no decision"
    if server is None:
        return f"{node.name} {rule}; no server"
    role = "standby" if server.in_recovery else "primary"
    return f"{node.name} {rule}; {role} at {server.wal.number}/{server.wal.end}"
