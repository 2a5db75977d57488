"""The faults of the consensus world: a plan drawn from the seed, printed, and carried out.

A plan is a list of faults, each with its time, so that a seed can be run again with some of them
left out. Who is hit may depend on the moment (the raft leader, the holder of the lease), because
most ways to break a promise need the right victim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import permutations
from random import Random
from typing import TYPE_CHECKING, Final

from tests.sim.host import Host
from tests.sim.network import Link

if TYPE_CHECKING:
    from tests.sim.world import World

TTL_S: Final = 3.0


class Victim(Enum):
    """Who is hit, decided when the fault strikes."""

    ANYBODY = "anybody"
    RAFT_LEADER = "raft leader"
    HOLDER = "holder"
    FOLLOWER = "follower"


class Fault(Enum):
    """What can go wrong."""

    KILL = "process killed"
    POWER_LOSS = "power lost"
    RESTART_OF_ALL = "all restarted at once"
    POWER_LOSS_OF_ALL = "power lost everywhere"
    PAUSE = "process paused"
    SUSPEND = "host suspended"
    ISOLATE = "cut off both ways"
    DEAF = "hears nobody"
    MUTE = "is heard by nobody"
    SPLIT = "network split in two"
    ONE_WAY = "one direction of one link cut"
    SLOW_LINK = "slow links"
    RESET = "links reset"
    FLAP = "links flap"
    DISK_FULL = "disk full"
    SYNC_FAILS = "sync fails"
    SLOW_SYNC = "one slow sync"
    SLOW_DISK = "slow disk"
    DAMAGE = "entry damaged on disk"
    COMPACT = "log compacted"
    COMPACT_AND_KILL = "log compacted, then killed"
    SLEW = "clock slewed"
    TTL = "ttl changed"


WEIGHTS: Final = {
    Fault.KILL: 4,
    Fault.POWER_LOSS: 4,
    Fault.RESTART_OF_ALL: 1,
    Fault.POWER_LOSS_OF_ALL: 1,
    Fault.PAUSE: 4,
    Fault.SUSPEND: 1,
    Fault.ISOLATE: 4,
    Fault.DEAF: 2,
    Fault.MUTE: 2,
    Fault.SPLIT: 4,
    Fault.ONE_WAY: 3,
    Fault.SLOW_LINK: 4,
    Fault.RESET: 4,
    Fault.FLAP: 2,
    Fault.DISK_FULL: 1,
    Fault.SYNC_FAILS: 1,
    Fault.SLOW_SYNC: 3,
    Fault.SLOW_DISK: 2,
    Fault.DAMAGE: 1,
    Fault.COMPACT: 6,
    Fault.COMPACT_AND_KILL: 2,
    Fault.SLEW: 3,
    Fault.TTL: 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One fault of a plan. `at` counts from the start of the world; `strength` is between 0 and 1
    and means what the fault makes of it; times in seconds."""

    at: float
    fault: Fault
    victim: Victim
    pick: int
    lasts: float
    strength: float

    def __str__(self) -> str:
        return f"{self.at:6.2f} {self.fault.value}: {self.victim.value}, {self.lasts:.2f} s"


def draw_plan(random: Random, seconds: float) -> list[Strike]:
    """A plan for so many seconds: calm worlds and wild ones, short faults and long ones."""
    pace = random.choice((0.4, 0.8, 1.6))
    kinds = list(WEIGHTS)
    # A seed knows only some of the faults, so that those come often and together.
    known = random.sample(kinds, random.randint(4, len(kinds)))
    weights = [WEIGHTS[kind] for kind in known]
    plan = []
    at = random.expovariate(1.0)
    while at < seconds:
        plan.append(
            Strike(
                at=at,
                fault=random.choices(known, weights)[0],
                victim=random.choice(tuple(Victim)),
                pick=random.randrange(1 << 16),
                lasts=random.choice((0.3, 1.0, TTL_S, 3 * TTL_S)) * random.uniform(0.3, 1.0),
                strength=random.random(),
            )
        )
        at += random.expovariate(1 / pace)
    return plan


class Nemesis:
    """Carries a plan out on a world."""

    def __init__(self, world: World, plan: Sequence[Strike]) -> None:
        self._world = world
        self._plan = plan
        self._is_over = False
        self._acts: dict[Fault, Callable[[Strike, Host], None]] = {
            Fault.KILL: self._kill,
            Fault.POWER_LOSS: self._kill,
            Fault.RESTART_OF_ALL: self._kill_all,
            Fault.POWER_LOSS_OF_ALL: self._kill_all,
            Fault.PAUSE: self._pause,
            Fault.SUSPEND: self._suspend,
            Fault.ISOLATE: self._cut,
            Fault.DEAF: self._cut,
            Fault.MUTE: self._cut,
            Fault.SPLIT: self._split,
            Fault.ONE_WAY: self._one_way,
            Fault.SLOW_LINK: self._slow_link,
            Fault.RESET: self._reset,
            Fault.FLAP: self._flap,
            Fault.DISK_FULL: self._spoil_disk,
            Fault.SYNC_FAILS: self._spoil_disk,
            Fault.SLOW_SYNC: self._slow_sync,
            Fault.SLOW_DISK: self._slow_disk,
            Fault.DAMAGE: self._damage,
            Fault.COMPACT: self._compact,
            Fault.COMPACT_AND_KILL: self._compact_and_kill,
            Fault.SLEW: self._slew,
            Fault.TTL: self._change_ttl,
        }

    def begin(self) -> None:
        """Let the plan take its course."""
        for strike in self._plan:
            self._world.schedule.after(strike.at, partial(self._strike, strike))

    def stop(self) -> None:
        """No more faults; what only time would end is ended."""
        self._is_over = True
        for host in self._world.hosts.values():
            host.disk.full = host.disk.sync_fails = False
            host.disk.latency, host.disk.stall = self._world.traits.disk_latency, 0.0
            self._world.thaw(host)
            self._world.set_clock(host, slew=0.0)
        self._world.wires.release_all()

    def _strike(self, strike: Strike) -> None:
        host = self._choose(strike)
        if not host.lost and not self._is_over:
            self._world.verdicts.note(f"{strike.fault.value} ({strike.lasts:.2f} s): {host.name}")
            self._acts[strike.fault](strike, host)

    def _choose(self, strike: Strike) -> Host:
        hosts = list(self._world.hosts.values())
        leaders = [host for host in hosts if host.runs and self._world.leads(host)]
        matching = {
            Victim.ANYBODY: hosts,
            Victim.RAFT_LEADER: leaders,
            Victim.HOLDER: [host for host in hosts if host.deadline is not None],
            Victim.FOLLOWER: [host for host in hosts if host not in leaders],
        }[strike.victim]
        among = matching or hosts
        return among[strike.pick % len(among)]

    def _until(self, strike: Strike, end: Callable[[], None]) -> None:
        """Undo a fault when its time is over, unless all have been ended."""
        self._world.schedule.after(strike.lasts, lambda: None if self._is_over else end())

    # Processes.

    def _kill(self, strike: Strike, host: Host) -> None:
        power = strike.fault is Fault.POWER_LOSS
        self._world.end(host, restart_after=strike.lasts, power=power)

    def _kill_all(self, strike: Strike, _: Host) -> None:
        power = strike.fault is Fault.POWER_LOSS_OF_ALL
        for number, host in enumerate(self._world.hosts.values()):
            late = 0.5 * strike.strength * number
            self._world.end(host, restart_after=0.1 + late, power=power)

    def _pause(self, strike: Strike, host: Host) -> None:
        self._world.freeze(host)
        self._until(strike, partial(self._world.thaw, host))

    def _suspend(self, strike: Strike, host: Host) -> None:
        self._world.freeze(host, suspended=True)
        self._until(strike, partial(self._world.thaw, host))

    # Links.

    def _cut(self, strike: Strike, host: Host) -> None:
        others = [name for name in self._world.hosts if name != host.name]
        heard = [(host.name, other) for other in others]
        hears = [(other, host.name) for other in others]
        links = {Fault.ISOLATE: heard + hears, Fault.DEAF: hears, Fault.MUTE: heard}
        self._stall(strike, links[strike.fault])

    def _split(self, strike: Strike, _: Host) -> None:
        names = list(self._world.hosts)
        Random(strike.pick).shuffle(names)
        part = set(names[: 1 + int(strike.strength * len(names) / 2)])
        links = [link for link in permutations(names, 2) if (link[0] in part) != (link[1] in part)]
        self._stall(strike, links)

    def _one_way(self, strike: Strike, host: Host) -> None:
        self._stall(strike, [(host.name, self._other(strike, host))])

    def _stall(self, strike: Strike, links: Sequence[Link]) -> None:
        self._world.wires.stall(links)
        self._until(strike, partial(self._world.wires.release, links))

    def _slow_link(self, strike: Strike, host: Host) -> None:
        slow = self._world.wires.slow
        other = self._other(strike, host)
        links = [(host.name, other), (other, host.name)][: 1 + strike.pick % 2]
        for link in links:
            slow[link] = 0.05 + strike.strength

        def end() -> None:
            for link in links:
                slow.pop(link, None)

        self._until(strike, end)

    def _reset(self, strike: Strike, host: Host) -> None:
        self._world.wires.disconnect(host.name, self._other(strike, host))

    def _flap(self, strike: Strike, host: Host) -> None:
        period = 0.1 + 0.4 * strike.strength
        for number in range(int(strike.lasts / period)):
            self._world.schedule.after(number * period, partial(self._reset_all, host))

    def _reset_all(self, host: Host) -> None:
        if self._is_over:
            return
        for other in self._world.hosts:
            if other != host.name:
                self._world.wires.disconnect(host.name, other)

    def _other(self, strike: Strike, host: Host) -> str:
        others = [name for name in self._world.hosts if name != host.name]
        return others[strike.pick // 7 % len(others)]

    # Disks.

    def _spoil_disk(self, strike: Strike, host: Host) -> None:
        name = "full" if strike.fault is Fault.DISK_FULL else "sync_fails"
        setattr(host.disk, name, True)
        self._until(strike, lambda: setattr(host.disk, name, False))

    def _slow_sync(self, strike: Strike, host: Host) -> None:
        host.disk.stall = 1.0 + 4.0 * strike.strength

    def _slow_disk(self, strike: Strike, host: Host) -> None:
        usual = self._world.traits.disk_latency
        host.disk.latency = 0.05 + 0.3 * strike.strength
        self._until(strike, lambda: setattr(host.disk, "latency", usual))

    def _damage(self, _: Strike, host: Host) -> None:
        self._world.lose(host)

    def _compact(self, _: Strike, host: Host) -> None:
        self._world.compact(host)

    def _compact_and_kill(self, strike: Strike, host: Host) -> None:
        self._world.compact(host)
        self._world.end(host, restart_after=strike.lasts, power=bool(strike.pick % 2))

    # Clocks and settings.

    def _slew(self, strike: Strike, host: Host) -> None:
        self._world.set_clock(host, slew=strike.strength * 0.2 - 0.1)

    def _change_ttl(self, strike: Strike, host: Host) -> None:
        self._world.set_ttl(host, TTL_S * (0.5, 1.0, 2.0)[strike.pick % 3])
