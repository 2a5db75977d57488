"""Carries a plan of faults out on a cluster world, and undoes it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tests.sim.cluster.course import Course
from tests.sim.cluster.faults import RAISED_S, Kind, Moment, Trouble, Victim
from tests.sim.cluster.node import HTTP, Node
from tests.sim.cluster.people import SHORTEST_S, People
from tests.sim.cluster.replication import DATA
from tests.sim.network import Link

if TYPE_CHECKING:
    from tests.sim.cluster.world import ClusterWorld


LONG_TTL_S: Final = 5.0
WAL_ROOM: Final = 4000
"""Bytes of WAL that a full disk still takes, at most."""


class Disorder:
    """What goes wrong in a world. Some things are left out because nobody could survive them: a
    postmaster that is stopped while its guardian is, or is gone (a stated limit of R12)."""

    def __init__(self, world: ClusterWorld) -> None:
        self._world = world
        self._is_over = False
        self.thawed_at: dict[str, float] = {}
        self.course = Course(world.schedule, self._strike)
        self._people = People(world, self._until)
        self._acts: dict[Kind, Callable[[Trouble, Node], None]] = {
            Kind.KILL_AGENT: self._kill,
            Kind.FREEZE_AGENT: self._freeze,
            Kind.KILL_GUARDIAN: self._kill,
            Kind.FREEZE_GUARDIAN: self._freeze,
            Kind.KILL_BOTH: self._kill,
            Kind.FREEZE_BOTH: self._freeze,
            Kind.KILL_POSTMASTER: self._kill,
            Kind.STOP_POSTMASTER: self._stop_postmaster,
            Kind.KILL_CHILD: self._kill_child,
            Kind.KILL_AGENT_AND_POSTMASTER: self._kill,
            Kind.KILL_ALL: self._kill,
            Kind.FREEZE_NODE: self._freeze_node,
            Kind.SUSPEND: self._freeze_node,
            Kind.POWER_LOSS: self._lose_power,
            Kind.POWER_LOSS_OF_ALL: self._lose_power_everywhere,
            Kind.ISOLATE: self._cut,
            Kind.DEAF: self._cut,
            Kind.MUTE: self._cut,
            Kind.CUT_RAFT: self._cut,
            Kind.CUT_DATA: self._cut,
            Kind.CUT_DATA_BACK: self._cut,
            Kind.CUT_HTTP: self._cut,
            Kind.HUNG_DISK: self._hang_disk,
            Kind.FULL_DISK: self._fill_disk,
            Kind.READ_ONLY_DISK: self._make_disk_read_only,
            Kind.SLOW_RAFT_DISK: self._slow_raft_disk,
            Kind.FULL_RAFT_DISK: self._fill_raft_disk,
            Kind.SLEW: self._slew,
            Kind.SHORTER_TTL: self._cut_ttl,
            **self._people.acts,
        }

    def end(self) -> None:
        """No more faults, and whatever lasts ends now."""
        self._is_over = True
        world = self._world
        for node in world.nodes.values():
            self._thaw_node(node)
            node.directory.is_hung = node.host.disk.full = False
            node.directory.mend()
            node.host.disk.latency, node.host.disk.stall = world.traits.disk_latency, 0.0
            world.slew(node.host, 0.0)
            world.start(node.host)
        world.cables.heal_all()
        world.wires.release_all()
        self._people.resume()

    def _strike(self, trouble: Trouble, where: str | None) -> None:
        if self._is_over:
            return
        node = self._choose(trouble) if where is None else self._world.nodes[where]
        when = "" if trouble.moment is Moment.NOW else f" at {trouble.moment.value}"
        text = f"{trouble.kind.value}{when} ({trouble.lasts:.2f} s): {node.name}"
        self._world.verdicts.note(text)
        self._world.counts["faults"] += 1
        if trouble.is_probe:
            self._world.probe(node, trouble.kind)
        self._acts[trouble.kind](trouble, node)

    def _choose(self, trouble: Trouble) -> Node:
        world = self._world
        nodes = list(world.nodes.values())
        writing = [n for n in nodes if (s := n.running_server()) is not None and s.is_primary]
        matching = {
            Victim.ANYBODY: nodes,
            Victim.PRIMARY: writing,
            Victim.STANDBY: [node for node in nodes if node not in writing],
            Victim.RAFT_LEADER: [node for node in nodes if world.leads(node.host)],
        }[trouble.victim]
        among = matching or nodes
        return among[trouble.pick % len(among)]

    def _until(self, trouble: Trouble, end: Callable[[], None]) -> None:
        """Undo a fault when its time is over, unless all have been ended."""
        self._world.schedule.after(trouble.lasts, lambda: None if self._is_over else end())

    # Processes.

    def _kill(self, trouble: Trouble, node: Node) -> None:
        kind = trouble.kind
        server = node.running_server()
        if kind in (Kind.KILL_GUARDIAN, Kind.KILL_BOTH, Kind.KILL_ALL):
            if server is not None:
                server.postmaster.go_on()
            node.kill_guardian()
        if kind not in (Kind.KILL_GUARDIAN, Kind.KILL_POSTMASTER):
            self._world.end(node.host, restart_after=trouble.lasts, power=False)
        with_server = (Kind.KILL_POSTMASTER, Kind.KILL_AGENT_AND_POSTMASTER, Kind.KILL_ALL)
        if kind in with_server and server is not None:
            guardian = node.guardian
            server.died_unseen = guardian is not None and not guardian.life.runs
            server.postmaster.send(signal.SIGKILL)

    def _kill_child(self, trouble: Trouble, node: Node) -> None:
        server = node.running_server()
        if server is not None and server.children:
            children = sorted(server.children, key=lambda child: child.pid)
            children[trouble.pick % len(children)].send(signal.SIGKILL)

    def _freeze(self, trouble: Trouble, node: Node) -> None:
        server = node.running_server()
        if trouble.kind is not Kind.FREEZE_AGENT:
            if server is not None:
                server.postmaster.go_on()
            for life in node.live("guardian"):
                self._world.fibers.freeze(life)
        if trouble.kind is not Kind.FREEZE_GUARDIAN:
            self._world.freeze(node.host)
        self._until(trouble, partial(self._thaw_node, node))

    def _stop_postmaster(self, trouble: Trouble, node: Node) -> None:
        server, guardian = node.running_server(), node.guardian
        if server is not None and guardian is not None and guardian.life.runs:
            server.postmaster.stop()
            self._until(trouble, server.postmaster.go_on)

    def _freeze_node(self, trouble: Trouble, node: Node) -> None:
        world = self._world
        world.freeze(node.host, suspended=trouble.kind is Kind.SUSPEND)
        for life in node.live("all"):
            world.fibers.freeze(life)
        for process in node.machine.processes.values():
            process.stop()
        node.is_frozen = True
        self._until(trouble, partial(self._thaw_node, node))

    def _thaw_node(self, node: Node) -> None:
        world = self._world
        world.thaw(node.host)
        if node.is_frozen:
            self.thawed_at[node.name] = world.time.now
        node.is_frozen = False
        lives = node.live("all")
        world.random.shuffle(lives)
        for life in lives:
            world.fibers.thaw(life)
        for process in list(node.machine.processes.values()):
            process.go_on()

    def _lose_power(self, trouble: Trouble, node: Node) -> None:
        self._thaw_node(node)
        self._world.end(node.host, restart_after=trouble.lasts, power=True)
        node.lose_power()

    def _lose_power_everywhere(self, trouble: Trouble, _: Node) -> None:
        for node in self._world.nodes.values():
            self._lose_power(trouble, node)

    # Links.

    def _cut(self, trouble: Trouble, node: Node) -> None:
        others = [name for name in self._world.hosts if name != node.name]
        out: list[Link] = [(node.name, other) for other in others]
        back: list[Link] = [(other, node.name) for other in others]
        raft, data, http = {
            Kind.ISOLATE: (out + back, out + back, out + back),
            Kind.DEAF: (back, back, back),
            Kind.MUTE: (out, out, out),
            Kind.CUT_RAFT: (out + back, [], []),
            Kind.CUT_DATA: ([], out + back, []),
            Kind.CUT_DATA_BACK: ([], back, []),
            Kind.CUT_HTTP: ([], [], out + back),
        }[trouble.kind]
        world = self._world
        world.wires.stall(raft)
        world.cables.cut(DATA, data)
        world.cables.cut(HTTP, http)

        def heal() -> None:
            world.wires.release(raft)
            world.cables.heal(DATA, data)
            world.cables.heal(HTTP, http)

        self._until(trouble, heal)

    def _cut_ttl(self, trouble: Trouble, node: Node) -> None:
        """A long ttl comes into force. Then the holder proposes a shorter one, and does not hear
        whether that came true."""
        self._people.write_ttl(node, LONG_TTL_S)
        self._world.schedule.after(RAISED_S, partial(self._shorten_ttl, trouble, node))

    def _shorten_ttl(self, trouble: Trouble, node: Node) -> None:
        if self._is_over:
            return
        self._people.write_ttl(node, SHORTEST_S)
        deaf = replace(trouble, kind=Kind.DEAF, strength=trouble.strength / 4)
        if trouble.pick % 2:
            self.course.expect(replace(deaf, moment=Moment.RENEWAL))
        else:
            self._world.schedule.after(trouble.strength, partial(self._strike, deaf, node.name))

    # Disks and clocks.

    def _fill_disk(self, trouble: Trouble, node: Node) -> None:
        """The file of WAL that is being written still has some room."""
        room = int(trouble.strength * WAL_ROOM)
        node.directory.fill_up(room, holds_ledger=bool(trouble.pick % 2))
        self._until(trouble, node.directory.mend)

    def _make_disk_read_only(self, trouble: Trouble, node: Node) -> None:
        node.directory.make_read_only(holds_ledger=bool(trouble.pick % 2))
        self._until(trouble, node.directory.mend)

    def _fill_raft_disk(self, trouble: Trouble, node: Node) -> None:
        node.host.disk.full = True
        self._until(trouble, partial(setattr, node.host.disk, "full", False))

    def _hang_disk(self, trouble: Trouble, node: Node) -> None:
        node.directory.is_hung = True
        self._until(trouble, partial(setattr, node.directory, "is_hung", False))

    def _slow_raft_disk(self, trouble: Trouble, node: Node) -> None:
        disk = node.host.disk
        disk.latency = 0.05 + 0.3 * trouble.strength
        calm = self._world.traits.disk_latency
        self._until(trouble, partial(setattr, disk, "latency", calm))

    def _slew(self, trouble: Trouble, node: Node) -> None:
        self._world.slew(node.host, 0.2 * (trouble.strength - 0.5))
        self._until(trouble, partial(self._world.slew, node.host, 0.0))
