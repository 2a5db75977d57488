"""The consensus world: the shipped node, store and lease keeper on fake clocks, disks and links.

One `Random(seed)` decides everything, so a seed is a whole history. First faults strike for
`SAFETY_S` of virtual time while clients work; then all of them end but those that no time heals,
and within `LIVENESS_S` every host must write again, somebody must hold the lease, and all replicas
must be equal. What is checked all the while stands in `checkers.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final

from raftha.consensus.node import RaftNode
from raftha.instants import Seconds
from raftha.model.settings import DynamicConfig
from tests.sim.checkers import LeaseChecker, LogChecker, WatchChecker
from tests.sim.host import Host
from tests.sim.nemesis import Nemesis
from tests.sim.operator import Operator
from tests.sim.plan import TTL_S, Moment, Strike, draw_changes, draw_plan
from tests.sim.seats import SeatChecker
from tests.sim.stage import Stage
from tests.sim.traits import draw_traits
from tests.sim.workload import Client, Records, shorter

SAFETY_S: Final = 48.0
"""Seconds with faults."""
LIVENESS_S: Final = 18.0
"""Seconds without, after which everything must work again; the longest ttl in use is 6 s."""
SETTLED_S: Final = 8.0
"""Seconds without faults after which the raft leader stays who it is."""
QUIET_S: Final = 3.0
"""The clients stop so long before the end, for the replicas to become equal."""
SETTINGS: Final = shorter(DynamicConfig(fence_budget=Seconds(0.3)), Seconds(TTL_S))


class World(Stage):
    """A stage with clients, a nemesis and checkers. `plan` replaces the drawn one; `sabotage`
    spoils every node that starts, to see whether the checkers notice."""

    def __init__(
        self,
        seed: int,
        size: int | None = None,
        *,
        plan: Sequence[Strike] | None = None,
        sabotage: Callable[[Host, RaftNode], None] = lambda _host, _node: None,
    ) -> None:
        random = Random(seed)
        traits = draw_traits(random, size)
        drawn = draw_plan(random, SAFETY_S)
        super().__init__(random, traits)
        self.plan = [*drawn, *draw_changes(seed, SAFETY_S)] if plan is None else list(plan)
        self.operator = Operator(self)
        self.log = LogChecker(self.verdicts)
        self.leases = LeaseChecker(self.verdicts, self.hosts.values())
        self.watches = WatchChecker(self.verdicts, self.log.model)
        self.seats = SeatChecker(self.verdicts, self.time, self.hosts)
        self.records = Records()
        self._nemesis = Nemesis(self, self.plan)
        self._settings: dict[str, DynamicConfig] = {}
        self._clients: dict[str, Client] = {}
        self._sabotage = sabotage
        self._may_work = True
        self._leisure = (0.05 * traits.size, 0.25 * traits.size)
        self._healed = False
        self._wrote: set[str] = set()

    def run(self) -> list[str]:
        """Faults, then calm; what was violated."""
        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            self._run()
        finally:
            logging.disable(disabled)
        return self.verdicts.violations

    def _run(self) -> None:
        begun = self.time.now
        for host in self.hosts.values():
            self.start(host)
        self._nemesis.begin()
        self.schedule.run_until(begun + SAFETY_S)
        self.verdicts.note("all faults end")
        self._nemesis.stop()
        self.operator.hurry()
        self._healed = True
        for client in self._clients.values():
            client.leader.releases = False
        healed = self.time.now
        for host in self.hosts.values():
            self.start(host)
        self.schedule.run_until(healed + SETTLED_S)
        self.operator.check_ended()
        settled = max(self.log.leaders, default=0)
        self.schedule.run_until(healed + LIVENESS_S - QUIET_S)
        self._check_liveness()
        if max(self.log.leaders, default=0) != settled:
            self.verdicts.violate(f"L: the raft leader changed in the calm after term {settled}")
        self._may_work = False
        self.schedule.run_until(healed + LIVENESS_S - QUIET_S / 2)
        goal = max(self._applied().values(), default=0)
        self.schedule.run_until(healed + LIVENESS_S)
        self._check_end(goal)

    def set_ttl(self, host: Host, ttl: float) -> None:
        """This host reads another ttl in the configuration."""
        self._settings[host.name] = shorter(SETTINGS, Seconds(ttl))

    # What happens on the stage.

    def process_started(self, host: Host, node: RaftNode) -> None:
        self._sabotage(host, node)
        self.log.attach(host.name, node)
        self.leases.attach(host, node)
        self.watches.attach(host.name, node)
        self.seats.attach(host)
        if not host.is_witness:
            self._employ(host, node)

    def process_ended(self, host: Host) -> None:
        self._clients.pop(host.name, None)

    def round_ended(self, host: Host, node: RaftNode) -> None:
        self.log.look_at(host.name, node)
        self.seats.look_at(host, node)
        self.watches.look_at(host.name)

    def frame_sent(self, source: str, target: str, frame: bytes) -> None:
        self._nemesis.sent(source, target, frame)
        self.seats.frame_sent(source, target, frame)

    def _employ(self, host: Host, node: RaftNode) -> None:
        """Give the process its clients."""
        self._clients[host.name] = client = Client(
            host,
            node.store,
            random=self.random,
            records=self.records,
            leases=self.leases,
            settings=lambda: self._settings.get(host.name, SETTINGS),
            later=self.later,
            renewing=lambda: self._nemesis.happened(Moment.RENEWAL, host),
        )
        client.leader.releases = not self._healed
        self.schedule.after(self.random.random(), partial(self._work, host, host.life))

    def _work(self, host: Host, life: int) -> None:
        if host.life != life or not self._may_work:
            return
        if host.runs:
            host.time.now = self.time.now
            self._clients[host.name].act()
        self.schedule.after(self.random.uniform(*self._leisure), partial(self._work, host, life))

    # The end.

    def _check_liveness(self) -> None:
        """Near the end every member commits a write, and somebody renews the lease."""
        for host in self.members:
            if host.node is None:
                self.verdicts.violate(f"L: {host.name} does not run after the calm")
            elif not host.is_witness:
                host.time.now = self.time.now
                self._clients[host.name].write(partial(self._told, host.name))
        # A holder whose clients act less often than its ttl asks loses the lease now and then.
        if self.time.now - self.leases.latest > TTL_S + 2 * self._leisure[1]:
            self.verdicts.violate("L: nobody holds the lease after the calm")

    def _applied(self) -> dict[str, int]:
        nodes = {host.name: host.node for host in self.members if host.node is not None}
        return {name: node._core.engine.applied_index for name, node in nodes.items()}

    def _told(self, name: str, committed: bool) -> None:
        if committed:
            self._wrote.add(name)

    def _check_end(self, goal: int) -> None:
        behind = sorted(name for name, index in self._applied().items() if index < goal)
        if behind:
            self.verdicts.violate(f"L: {behind} did not reach index {goal} in the end")
        if not self.all_are_seated():
            self.verdicts.violate("L: the seats are not those of the members in the end")
        running = {host.name: host.node for host in self.members if host.node is not None}
        expected = {host.name for host in self.members if not host.is_witness}
        if expected - self._wrote:
            self.verdicts.violate(f"L: no write from {sorted(expected - self._wrote)} in the end")
        for name, node in running.items():
            self.records.check_final(self.verdicts, name, set(node._replica.machine.entries))
            self.watches.finish(name, node)
        self.records.check(self.verdicts)
        self.seats.finish()

    def fingerprint(self) -> str:
        """A hash of the whole history, for comparing two runs of one seed."""
        for index, line in sorted(self.log.lines.items()):
            self.verdicts.trace.update(f"{index} {line.digest} {line.payload!r}".encode())
        return self.verdicts.trace.hexdigest()
