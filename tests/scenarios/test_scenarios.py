"""Plays the scripts beside this file: events, and what the members decide upon them.

A script is plain text. Lines with `->` are decisions and are compared; all others are commands:

    healthy [off]        a cluster led by n1, synchronous standby n3; `off`: asynchronous
    empty                three empty nodes and an empty store
    run SECONDS          let time pass; what is decided follows
    die N, back N        the machine goes, with everything on it; it comes back
    crash N              the PostgreSQL server alone goes
    cut N, heal N        nobody reaches the node, nor does it reach anybody
    pause, resume        an operator begins or ends the maintenance pause
    halt, unhalt         an operator stops the whole cluster, and starts it again
    kill N               the agent alone goes; `back N` starts it again
    forget N, learn N    its replica may be of any time; it holds what was committed before
    freeze N, thaw N     agent and guardian stand still; what answers its peers does not
    lag N, write BYTES   a standby receives nothing more; the primary writes
    ask KIND N [M [F]]   an operator asks for a switchover or failover from N, to M; F is off
    stop N               the agent is told to stop
    restart N, reinit N  an operator wants its server restarted, or made anew
    recover N            an operator recovers the cluster from this node, which is down
    plan WHAT N AT [M]   an operator schedules N's restart, or its switchover (to M), for that time
    wipe N               its data directory is emptied
    remove N             an operator wants it out of the cluster
    unseat N             the raft leader has done so: it has no vote, and is told

A decision is told when its rule changes, or when it does more than ask. `RAFTHA_REWRITE=1` writes
the decisions anew, so that a change of behaviour is read as a difference of texts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from raftha.ha.halting import halting, starting
from raftha.ha.keys import encode_config
from raftha.ha.operations import open_request
from raftha.ha.recovery import Survivor, amendment
from raftha.ha.scheduling import Scheduled, scheduling
from raftha.ha.wishing import command_of
from raftha.model.ids import Lsn, MemberName, Revision
from raftha.model.membership import MemberVerb, MemberWish, WishState, answering
from raftha.model.operation import OperatorRequest, RequestKind
from raftha.model.restarting import ServerWish, WishKind
from raftha.model.scheduling import ScheduledRestart, ScheduledSwitchover
from raftha.model.store import KeyAt, Put, Revoke, Transact
from tests.scenarios.machines import Node
from tests.scenarios.world import TICK_S, World
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg

HERE: Final = Path(__file__).parent
SCRIPTS: Final = sorted(HERE.glob("*.txt"))
SETTLING_S: Final = 6.0


class Player:
    """Plays the commands of one script and keeps its text, with the decisions as they were made."""

    def __init__(self) -> None:
        self.world = World(b.ON)
        self.rules: set[str] = set()

    def play(self, text: str) -> str:
        """The same script with the decisions that were made."""
        lines: list[str] = []
        for line in text.splitlines():
            if "->" in line:
                continue
            lines.append(line)
            words = line.split("#")[0].split()
            if words:
                lines += self._command(words[0], words[1:])
        return "\n".join(lines) + "\n"

    def _command(self, name: str, words: list[str]) -> Iterator[str]:
        commands: dict[str, Callable[..., None]] = {
            "healthy": self._healthy,
            "empty": lambda: None,
            "die": lambda n: self.world.die(self._node(n)),
            "back": lambda n: setattr(self._node(n), "up", True),
            "recover": lambda n: self._recover(self._node(n)),
            "crash": lambda n: self.world.crash(self._node(n)),
            "cut": lambda n: setattr(self._node(n), "cut", True),
            "heal": lambda n: setattr(self._node(n), "cut", False),
            "pause": lambda: self._pause(on=True),
            "resume": lambda: self._pause(on=False),
            "halt": lambda: self._commit(halting(b.KEYS, pg.N1)),
            "unhalt": lambda: self._commit(starting(b.KEYS, self.world.cluster())),
            "kill": lambda n: self._kill(self._node(n)),
            "forget": lambda n: setattr(self._node(n), "is_current", False),
            "learn": lambda n: setattr(self._node(n), "is_current", True),
            "freeze": lambda n: setattr(self._node(n), "frozen", True),
            "thaw": lambda n: setattr(self._node(n), "frozen", False),
            "lag": lambda n: setattr(self._node(n), "lagging", True),
            "stop": lambda n: setattr(self._node(n), "stopping", True),
            "restart": lambda n: self._wish(self._node(n), WishKind.RESTART),
            "reinit": lambda n: self._wish(self._node(n), WishKind.REINITIALIZE),
            "plan": self._plan,
            "wipe": lambda n: setattr(self._node(n), "disk", pg.EMPTY),
            "write": self._write,
            "ask": self._ask,
            "remove": self._remove,
            "unseat": self._unseat,
        }
        if name == "run":
            return self._run(float(words[0]))
        commands[name](*words)
        return iter(())

    def _node(self, name: str) -> Node:
        return self.world.nodes[MemberName(name)]

    def _run(self, seconds: float) -> Iterator[str]:
        for _ in range(round(seconds / TICK_S)):
            for node, decision in self.world.tick():
                self.rules.add(decision.rule)
                done = ", ".join(b.acts(decision))
                acts = f" [{done}]" if done else ""
                yield (
                    f"  {self.world.time:6.2f} {node.name} -> {decision.rule}{acts} "
                    f"{decision.reason}"
                )

    def _healthy(self, mode: str = "on") -> None:
        """From nothing by the ordinary way, so that the state is one that can be."""
        self.world = World(b.OFF if mode == "off" else b.ON)
        list(self._run(SETTLING_S))
        leader = self.world.cluster().leader
        assert leader is not None
        assert leader.name == pg.N1

    def _plan(self, what: str, name: str, at: str, candidate: str | None = None) -> None:
        due, member = float(at), MemberName(name)
        heir = None if candidate is None else MemberName(candidate)
        plan: Scheduled = ScheduledRestart(due=due, member=member)
        if what == "switchover":
            plan = ScheduledSwitchover(id=f"op-{at}", due=due, leader=member, candidate=heir)
        self._commit(scheduling(b.KEYS, plan, None))

    def _commit(self, command: Transact) -> None:
        assert self.world.commit(command) is not None

    def _write(self, size: str) -> None:
        for node in self.world.nodes.values():
            if node.server is not None and node.server.is_primary:
                node.server.position += int(size)

    def _ask(
        self, kind: str, leader: str, candidate: str | None = None, fenced: str | None = None
    ) -> None:
        request = OperatorRequest(
            id=f"op-{self.world.machine.revision}",
            kind=RequestKind(kind),
            leader=None if leader == "nobody" else MemberName(leader),
            candidate=None if candidate is None else MemberName(candidate),
            revision=Revision(0),
            fenced=None if fenced is None else MemberName(fenced),
        )
        command = open_request(b.KEYS, self.world.cluster(), request, pg.N1)
        assert self.world.commit(command) is not None, "another request is under way"

    def _wish(self, node: Node, kind: WishKind) -> None:
        process = "" if node.server is None else node.server.process
        node.wish = ServerWish(
            id=f"w-{self.world.time}", kind=kind, process=process, until=self.world.now.plus(120)
        )

    def _pause(self, *, on: bool) -> None:
        cluster = self.world.cluster()
        assert cluster.config_revision is not None
        wanted = encode_config(replace(cluster.config, pause=on))
        guard = KeyAt(b.KEYS.config, cluster.config_revision)
        command = Transact((guard,), (Put(b.KEYS.config, wanted),))
        assert self.world.commit(command) is not None

    @staticmethod
    def _kill(node: Node) -> None:
        """What the agent knew is gone; guardian and server go on as they are."""
        fresh = Node(node.name)
        node.up, node.lease, node.memory, node.said = False, None, fresh.memory, fresh.said
        node.answers, node.finished, node.stopping, node.ended = {}, None, False, False

    def _recover(self, node: Node) -> None:
        """An operator begins a new generation from this node alone, whose agent is stopped. The
        others come back without their Raft directories, and vote again."""
        world = self.world
        assert not node.up
        control = node.disk.control
        assert control is not None
        cluster = world.cluster()
        for lease in list(world.machine.leases.values()):
            world.commit(Revoke(lease.id, lease.revision))
        world.machine.generation += 1
        change = amendment(
            b.KEYS,
            cluster,
            Survivor(name=node.name, timeline=control.timeline, end=Lsn(node.position)),
            generation=world.machine.generation,
            lost=sorted(world.voters - {node.name}),
            wall=0.0,
        )
        assert change is not None
        assert world.commit(change) is not None
        world.voters = {node.name}

    def _remove(self, name: str) -> None:
        wish = MemberWish(
            id="w", verb=MemberVerb.REMOVE, name=MemberName(name), address=b.identity(pg.N3).raft
        )
        assert self.world.commit(command_of(b.KEYS, self.world.cluster(), wish)) is not None

    def _unseat(self, name: str) -> None:
        node = self._node(name)
        wish = self.world.cluster().wishes[node.name]
        assert wish.released
        command = answering("demo", wish, WishState.UNSEATED, "two voters are left")
        assert self.world.commit(command) is not None
        node.cut, node.barred = True, "it refuses this node: it was removed"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_script_goes_as_written(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    played = Player().play(text)
    if os.environ.get("RAFTHA_REWRITE"):
        script.write_text(played, encoding="utf-8")
        return

    assert played.splitlines() == text.splitlines()
