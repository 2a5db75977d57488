"""Carries a plan of faults out on a consensus world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from itertools import permutations
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tests.sim.disk import Disk
from tests.sim.host import Host
from tests.sim.network import Link
from tests.sim.plan import TTL_S, Fault, Moment, Strike, Victim

if TYPE_CHECKING:
    from tests.sim.world import World

TRUCE_S: Final = 3.0
"""Seconds for those who know of a promise to notice that it was forgotten."""
PATIENCE_S: Final = 5.0
"""A strike that waits for its moment strikes anyway after this time."""
TAGS: Final = {
    Moment.SNAPSHOT: b"chunk",
    Moment.VOTE: b"vote",
    Moment.ACKNOWLEDGEMENT: b"progress",
}
"""How the frames begin whose sending is a moment, after the byte that opens an array."""


class Nemesis:
    """Carries a plan out on a world."""

    def __init__(self, world: World, plan: Sequence[Strike]) -> None:
        self._world = world
        self._plan = plan
        self._is_over = False
        self._truce_until = 0.0
        self._waiting: list[Strike] = []
        self._acts: dict[Fault, Callable[[Strike, Host], None]] = {
            Fault.KILL: self._kill,
            Fault.POWER_LOSS: self._kill,
            Fault.RESTART_OF_ALL: self._kill_all,
            Fault.POWER_LOSS_OF_ALL: self._kill_all,
            Fault.PAUSE: self._pause,
            Fault.SUSPEND: self._suspend,
            Fault.ISOLATE: self._isolate,
            Fault.DEAF: self._cut,
            Fault.MUTE: self._cut,
            Fault.SPLIT: self._split,
            Fault.OUTRUN: self._outrun,
            Fault.ONE_WAY: self._one_way,
            Fault.SLOW_LINK: self._slow_link,
            Fault.RESET: self._reset,
            Fault.RESET_AND_ISOLATE: self._reset_and_isolate,
            Fault.FLAP: self._flap,
            Fault.DISK_FULL: self._spoil_disk,
            Fault.SYNC_FAILS: self._spoil_disk,
            Fault.SLOW_SYNC: self._slow_sync,
            Fault.SLOW_DISK: self._slow_disk,
            Fault.DAMAGE: self._damage,
            Fault.EMPTIED: self._empty,
            Fault.PUT_BACK: self._roll_back,
            Fault.COMPACT: self._compact,
            Fault.COMPACT_AND_KILL: self._compact_and_kill,
            Fault.SLEW: self._slew,
            Fault.TTL: self._change_ttl,
            Fault.SHORTER_TTL: self._cut_ttl,
            Fault.ADD: self._world.operator.add,
            Fault.REMOVE: self._world.operator.remove,
            Fault.REPLACE: self._world.operator.replace,
        }

    def begin(self) -> None:
        """Let the plan take its course."""
        for strike in self._plan:
            self._world.schedule.after(strike.at, partial(self._ready, strike))

    def happened(self, moment: Moment, host: Host) -> None:
        """A moment that strikes may wait for, at this host; they strike a little later."""
        due = [strike for strike in self._waiting if strike.moment is moment]
        for strike in due:
            self._waiting.remove(strike)
            lag = strike.strength * self._world.traits.weather.delay * 3
            self._world.schedule.after(lag, partial(self._strike, strike, host))

    def sent(self, source: str, target: str, frame: bytes) -> None:
        """A frame leaves; only then is it looked at when somebody waits."""
        for strike in self._waiting:
            tag = TAGS.get(strike.moment)
            if tag is not None and frame.startswith(tag, 2):
                name = target if strike.pick % 3 == 0 else source
                self.happened(strike.moment, self._world.hosts[name])
                return

    def stop(self) -> None:
        """No more faults; what only time would end is ended."""
        self._is_over = True
        for host in self._world.hosts.values():
            host.disk.full = host.disk.sync_fails = False
            host.disk.latency, host.disk.stall = self._world.traits.disk_latency, 0.0
            self._world.thaw(host)
            self._world.slew(host, 0.0)
        self._world.wires.release_all()

    def _ready(self, strike: Strike) -> None:
        """The time has come: strike, or wait for the moment."""
        if strike.moment is Moment.NOW:
            self._strike(strike, self._choose(strike))
            return
        self._waiting.append(strike)
        self._world.schedule.after(PATIENCE_S, partial(self._lose_patience, strike))

    def _lose_patience(self, strike: Strike) -> None:
        if strike in self._waiting:
            self._waiting.remove(strike)
            self._strike(strike, self._choose(strike))

    def _strike(self, strike: Strike, host: Host) -> None:
        if self._is_over or self._world.time.now < self._truce_until:
            return
        when = "" if strike.moment is Moment.NOW else f" at {strike.moment.value}"
        text = f"{strike.fault.value}{when} ({strike.lasts:.2f} s): {host.name}"
        self._world.verdicts.note(text)
        self._acts[strike.fault](strike, host)

    def _choose(self, strike: Strike) -> Host:
        hosts = [host for host in self._world.hosts.values() if not host.is_off]
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
        self._stall(strike, hears if strike.fault is Fault.DEAF else heard)

    def _split(self, strike: Strike, _: Host) -> None:
        names = list(self._world.hosts)
        Random(strike.pick).shuffle(names)
        part = set(names[: 1 + int(strike.strength * len(names) / 2)])
        links = [link for link in permutations(names, 2) if (link[0] in part) != (link[1] in part)]
        self._stall(strike, links)

    def _outrun(self, strike: Strike, host: Host) -> None:
        """When it is back, only a snapshot brings it up to date."""
        self._isolate(strike, host)

        def compact_others() -> None:
            for other in self._world.hosts.values():
                if other is not host:
                    self._world.compact(other)

        self._world.schedule.after(0.95 * strike.lasts, compact_others)

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

    def _reset_and_isolate(self, strike: Strike, host: Host) -> None:
        """What was under way is handed over again; soon after, the host is alone for longer than a
        lease lasts."""
        self._reset_all(host)
        alone = replace(strike, lasts=2 * TTL_S)
        lag = 0.25 + 0.3 * strike.strength
        self._world.schedule.after(lag, partial(self._isolate, alone, host))

    def _isolate(self, strike: Strike, host: Host) -> None:
        if not self._is_over:
            others = [name for name in self._world.hosts if name != host.name]
            self._stall(strike, [(host.name, o) for o in others] + [(o, host.name) for o in others])

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
        self._world.spoil(host, lambda disk: setattr(disk, "damaged", True))

    def _empty(self, _: Strike, host: Host) -> None:
        self._world.spoil(host, Disk.empty)

    def _roll_back(self, strike: Strike, host: Host) -> None:
        """Not beside a machine that lost its vote and runs, or is about to: it and the copy may be
        a majority of the voters that both remember (a stated limit)."""
        copy, life = deepcopy(host.disk.records), host.disk.incarnation

        def put_back() -> None:
            is_own = host.disk.incarnation == life and not self._is_over
            apart = is_own and not self._world.operator.former_voter_may_run()
            if apart and self._world.put_back(host, copy):
                self._truce_until = self._world.time.now + TRUCE_S

        self._world.schedule.after(strike.lasts, put_back)

    def _compact(self, _: Strike, host: Host) -> None:
        self._world.compact(host)

    def _compact_and_kill(self, strike: Strike, host: Host) -> None:
        """Within the compaction or soon after it, for it takes several rounds."""
        self._world.compact(host)
        end = partial(
            self._world.end, host, restart_after=strike.lasts, power=bool(strike.pick % 2)
        )
        rounds = strike.pick // 2 % 5
        self._world.schedule.after(0.04 * rounds, lambda: None if self._is_over else end())

    # Clocks and settings.

    def _slew(self, strike: Strike, host: Host) -> None:
        self._world.slew(host, strike.strength * 0.2 - 0.1)

    def _change_ttl(self, strike: Strike, host: Host) -> None:
        self._world.set_ttl(host, TTL_S * (0.5, 1.0, 2.0)[strike.pick % 3])

    def _cut_ttl(self, strike: Strike, host: Host) -> None:
        """The next renewal names a shorter ttl, and its sender will not hear that it committed."""
        self._world.set_ttl(host, TTL_S / 2)
        deaf = replace(strike, fault=Fault.DEAF, moment=Moment.RENEWAL, lasts=2 * TTL_S)
        self._waiting.append(deaf)
        back = replace(strike, lasts=3 * TTL_S)
        self._until(back, partial(self._world.set_ttl, host, 2 * TTL_S))
