"""The consensus world: the shipped node, store and lease keeper on fake clocks, disks and links.

One `Random(seed)` decides everything, so a seed is a whole history. First faults strike for
`SAFETY_S` of virtual time while clients work; then all of them end but those that no time heals,
and within `LIVENESS_S` every host must write again, somebody must hold the lease, and all replicas
must be equal. What is checked all the while stands in `checkers.py`.

Time jumps from event to event. A node's round takes the time of its syncs: until then it hears
nothing, and what it sent leaves only then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final

from raftha.consensus.node import RaftNode
from raftha.errors import StorageFailed
from raftha.instants import RHO, Seconds
from raftha.model.settings import DynamicConfig
from tests.sim.checkers import LeaseChecker, LogChecker, Verdicts, WatchChecker
from tests.sim.clocks import FakeClock, TrueTime
from tests.sim.disk import Disk, FakeStore
from tests.sim.fakes import Fatal
from tests.sim.host import Host
from tests.sim.nemesis import Nemesis
from tests.sim.plan import TTL_S, Moment, Strike, draw_plan
from tests.sim.schedule import Schedule
from tests.sim.traits import NAMES, draw_traits
from tests.sim.voters import make_voter
from tests.sim.wires import DEAD_AFTER, Wires
from tests.sim.workload import Client, Records, shorter

SAFETY_S: Final = 48.0
"""Seconds with faults."""
LIVENESS_S: Final = 18.0
"""Seconds without, after which everything must work again; the longest ttl in use is 6 s."""
QUIET_S: Final = 3.0
"""The clients stop so long before the end, for the replicas to become equal."""
SETTINGS: Final = shorter(DynamicConfig(fence_budget=Seconds(0.3)), Seconds(TTL_S))
SPIN_S: Final = 0.001
"""A round that has nothing to do now does not come again sooner."""


class World:
    """Hosts, their network, a nemesis, clients and checkers. `plan` replaces the drawn one."""

    def __init__(
        self, seed: int, size: int | None = None, plan: Sequence[Strike] | None = None
    ) -> None:
        self.random = Random(seed)
        self.time = TrueTime()
        self.traits = draw_traits(self.random, size)
        drawn = draw_plan(self.random, SAFETY_S)
        self.plan = list(drawn if plan is None else plan)
        self.schedule = Schedule(self.time)
        self.verdicts = Verdicts(self.time)
        self.hosts = {name: self._host(name) for name in NAMES[: self.traits.size]}
        self.wires = Wires(
            self.schedule,
            Random(self.random.getrandbits(64)),
            self.traits.weather,
            present=lambda name: self.hosts[name].time.now,
            wake=self._wake,
            spy=lambda *frame: self._nemesis.sent(*frame),
        )
        self.log = LogChecker(self.verdicts)
        self.leases = LeaseChecker(self.verdicts, self.hosts.values())
        self.watches = WatchChecker(self.verdicts, self.log.model)
        self.records = Records()
        self.fail_stops = 0
        self.rounds = 0
        self._nemesis = Nemesis(self, self.plan)
        self._settings = dict.fromkeys(self.hosts, SETTINGS)
        self._clients: dict[str, Client] = {}
        self._may_work = True
        self._leisure = (0.05 * self.traits.size, 0.25 * self.traits.size)
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
            self._start(host)
        self._nemesis.begin()
        self.schedule.run_until(begun + SAFETY_S)
        self.verdicts.note("all faults end")
        self._nemesis.stop()
        self._healed = True
        for client in self._clients.values():
            client.leader.releases = False
        healed = self.time.now
        for host in self.hosts.values():
            if host.node is None and not host.lost:
                self._start(host)
        self.schedule.run_until(healed + LIVENESS_S - QUIET_S)
        self._check_liveness()
        self._may_work = False
        self.schedule.run_until(healed + LIVENESS_S - QUIET_S / 2)
        goal = max(self._applied().values(), default=0)
        self.schedule.run_until(healed + LIVENESS_S)
        self._check_end(goal)

    # What the nemesis does.

    def leads(self, host: Host) -> bool:
        """Whether this host believes to be the raft leader."""
        return host.node is not None and host.node._core.engine.is_leading

    def end(self, host: Host, *, restart_after: float, power: bool) -> None:
        """The process is gone; with its power also the guardian, and what a sync had not ended."""
        if host.node is None:
            return
        now = self.time.now
        self.verdicts.note(f"{host.name} ends")
        self.wires.end(host.name)
        assert host.store is not None
        host.store.lose_power()
        host.disk.cut_power(now, self.random)
        host.node = host.store = host.next_round = None
        host.frozen = False
        host.postponed.clear()
        host.life += 1
        host.busy_until = 0.0
        self._clients.pop(host.name, None)
        if power:
            host.deadline = None
        self.schedule.after(restart_after, partial(self._start, host))

    def lose(self, host: Host) -> None:
        """The host's log is damaged; it will not come back. A majority of data is left whole."""
        lost = 1 + sum(1 for other in self.hosts.values() if other.lost)
        if lost > (self.traits.size - 1) // 2:
            return
        host.disk.damaged = host.lost = True
        self.end(host, restart_after=0.1, power=True)

    def freeze(self, host: Host, *, suspended: bool = False) -> None:
        """The process stops running; if the whole host is suspended, so does its raw clock."""
        if not host.runs:
            return
        host.frozen = True
        self.wires.silence(host.name)
        if suspended:
            self._at_rest(host, partial(self._set_rates, host, host.clock.boot_rate, 0.0))

    def thaw(self, host: Host) -> None:
        """It runs again."""
        if host.clock.raw_rate == 0.0:
            self._at_rest(host, partial(self.set_clock, host))
        if not host.frozen:
            return
        host.frozen = False
        self.wires.resume(host.name)
        postponed, host.postponed = host.postponed, []
        for action in postponed:
            self.schedule.after(0.0, action)
        self._wake(host.name)

    def compact(self, host: Host) -> None:
        """Replace the log by a snapshot now."""
        node = host.node
        if node is not None and host.runs and host.busy_until <= self.time.now:
            self._act(host, node._core.compact)
            host.busy_until = max(host.busy_until, host.time.now)

    def set_clock(self, host: Host, slew: float | None = None) -> None:
        """Slew CLOCK_BOOTTIME by this share of a second in each second; it stays within 10 %."""
        if slew is not None:
            host.slew = slew
        self._at_rest(host, partial(self._set_rates, host, host.drift + host.slew, host.drift))

    def set_ttl(self, host: Host, ttl: float) -> None:
        """This host reads another ttl in the configuration."""
        self._settings[host.name] = shorter(SETTINGS, Seconds(ttl))

    # Hosts and rounds.

    def _host(self, name: str) -> Host:
        drift = 1 + self.random.choice((-0.999, 0.0, 0.999)) * RHO
        time = TrueTime(self.time.now)
        clock = FakeClock(time, drift, drift, offset=self.random.uniform(0, 1e6))
        disk = Disk(f"life of {name}", time)
        disk.latency = self.traits.disk_latency
        is_witness = NAMES.index(name) >= self.traits.size - self.traits.witnesses
        return Host(name, is_witness, time, clock, disk, drift=drift)

    def _start(self, host: Host) -> None:
        if host.node is not None:
            return
        host.time.now = self.time.now
        host.store = FakeStore(host.disk)
        try:
            node = make_voter(
                host.name,
                members=self.hosts,
                store=host.store,
                network=self.wires,
                timings=self.traits.timings,
                clock=host.clock,
                random=Random(self.random.getrandbits(64)),
                witness=host.is_witness,
            )
        except StorageFailed as error:
            self.verdicts.note(f"{host.name} does not start: {error}")
            if not host.lost:
                self.schedule.after(0.5, partial(self._start, host))
            return
        self.verdicts.note(f"{host.name} starts")
        host.node = node
        host.busy_until = host.time.now
        node._core.engine.feed.chunk_bytes = self.traits.chunk_bytes
        engine_settings = node._core.engine._SyncObj__conf
        engine_settings.appendEntriesBatchSizeBytes = self.traits.batch_bytes
        self.log.attach(host.name, node)
        self.leases.attach(host, node)
        self.watches.attach(host.name, node)
        self.wires.start(host.name)
        self._wake(host.name)
        if not host.is_witness:
            self._employ(host, node)

    def _employ(self, host: Host, node: RaftNode) -> None:
        """Give the process its clients."""
        self._clients[host.name] = client = Client(
            host,
            node.store,
            random=self.random,
            records=self.records,
            leases=self.leases,
            settings=lambda: self._settings[host.name],
            later=self._later,
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

    def _later(self, host: Host, action: Callable[[], None]) -> None:
        """An answer of this round reaches its client when the round has ended."""
        life = host.life

        def happen() -> None:
            if host.life != life:
                return
            if host.frozen:
                host.postponed.append(happen)
                return
            host.time.now = self.time.now
            action()

        self.schedule.at(host.time.now, happen)

    def _wake(self, name: str) -> None:
        """Something waits for this host: its next round begins as soon as it can."""
        host = self.hosts[name]
        when = max(self.time.now, host.busy_until)
        if host.next_round is None or when < host.next_round:
            self._plan_round(host, when)

    def _plan_round(self, host: Host, when: float) -> None:
        host.next_round = when
        self.schedule.at(when, partial(self._round, host, when))

    def _round(self, host: Host, due: float) -> None:
        if host.next_round != due:
            return
        host.next_round = None
        node = host.node
        if node is None or host.frozen:
            return
        if host.busy_until > self.time.now:
            self._plan_round(host, host.busy_until)
            return
        self.rounds += 1
        host.time.now = self.time.now
        if not self._act(host, lambda: node.step(Seconds(0.0))):
            return
        self.log.look_at(host.name, node)
        self.watches.look_at(host.name)
        host.busy_until = host.time.now + self.traits.round_s
        if host.busy_until - self.time.now > DEAD_AFTER:
            self._stall(host)
        # What was heard while the round ran waits for its end; else something is due by the clock.
        idle = _idle(node) if host.next_round is None else 0.0
        self._plan_round(host, max(host.busy_until, host.time.now + idle))

    def _stall(self, host: Host) -> None:
        """A round takes so long that the others hear nothing."""
        self.verdicts.note(f"{host.name} is stuck in a sync")
        self.wires.silence(host.name)
        life = host.life

        def end() -> None:
            if host.life == life and not host.frozen:
                self.wires.resume(host.name)

        self.schedule.at(host.busy_until, end)

    def _act(self, host: Host, action: Callable[[], None]) -> bool:
        """Let a node act; a failing disk or a tripwire ends its process. False if it ended."""
        host.time.now = self.time.now
        try:
            action()
        except (Fatal, StorageFailed) as error:
            self.verdicts.note(f"{host.name} stops: {error}")
            if isinstance(error, Fatal):
                self.verdicts.violate(f"tripwire on {host.name}: {error}")
            self.fail_stops += 1
            self.end(host, restart_after=0.5, power=False)
            return False
        return True

    def _at_rest(self, host: Host, action: Callable[[], None]) -> None:
        """Do something to a host's clock when its present round has ended."""

        def act() -> None:
            host.time.now = max(host.time.now, self.time.now)
            action()

        self.schedule.at(host.busy_until, act)

    def _set_rates(self, host: Host, boot: float, raw: float) -> None:
        host.clock.run_at(boot, raw)

    # The end.

    def _check_liveness(self) -> None:
        """Near the end every host that is left commits a write, and somebody holds the lease."""
        for host in self.hosts.values():
            if host.lost:
                continue
            if host.node is None:
                self.verdicts.violate(f"L: {host.name} does not run after the calm")
            elif not host.is_witness:
                self._clients[host.name].write(partial(self._told, host.name))
        if not any(host.may_write(self.time.now) for host in self.hosts.values()):
            self.verdicts.violate("L: nobody holds the lease after the calm")

    def _applied(self) -> dict[str, int]:
        nodes = {host.name: host.node for host in self.hosts.values() if host.node is not None}
        return {name: node._core.engine.applied_index for name, node in nodes.items()}

    def _told(self, name: str, committed: bool) -> None:
        if committed:
            self._wrote.add(name)

    def _check_end(self, goal: int) -> None:
        behind = sorted(name for name, index in self._applied().items() if index < goal)
        if behind:
            self.verdicts.violate(f"L: {behind} did not reach index {goal} in the end")
        running = {name: host.node for name, host in self.hosts.items() if host.node is not None}
        expected = {h.name for h in self.hosts.values() if not (h.lost or h.is_witness)}
        if expected - self._wrote:
            self.verdicts.violate(f"L: no write from {sorted(expected - self._wrote)} in the end")
        for name, node in running.items():
            self.records.check_final(self.verdicts, name, set(node._replica.machine.entries))
            self.watches.finish(name, node)
        self.records.check(self.verdicts)

    def fingerprint(self) -> str:
        """A hash of the whole history, for comparing two runs of one seed."""
        for index, line in sorted(self.log.lines.items()):
            self.verdicts.trace.update(f"{index} {line.digest} {line.payload!r}".encode())
        return self.verdicts.trace.hexdigest()


def _idle(node: RaftNode) -> float:
    """Seconds until a node has something to do by its clock. The shipped loop looks ten times a
    second at least; here it is spared the looks at which nothing can be due."""
    core, now = node._core, node._clock.now()
    wait = min(core.wait, node._replica.wait, node._proposals.wait(now))
    return max(SPIN_S, min(wait, core._timings.election_min * 0.4) + SPIN_S / 10)
