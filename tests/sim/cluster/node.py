"""One machine of the cluster world but its voter: directory, processes, guardian, server, agent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from raftha.agent.ground import Edges
from raftha.agent.jobs import Tools as ProductTools
from raftha.agent.peers import Asked, Peers
from raftha.agent.reader import ClusterReader
from raftha.agent.wiring import peer_timeout
from raftha.api.client import ApiError
from raftha.clock import Clock
from raftha.consensus.node import RaftNode
from raftha.errors import GuardianGone, RafthaError
from raftha.guardian.client import SPAWN_TRIES
from raftha.instants import Seconds
from raftha.model.ids import MemberName
from raftha.model.report import PeerReport
from raftha.model.settings import RestConfig, Tags
from raftha.model.view import PeerAnswer
from tests.sim.cluster.agent import Agent, node_config
from tests.sim.cluster.directory import Directory
from tests.sim.cluster.fibers import Life, Parked, Pool
from tests.sim.cluster.guardian import Client, Guardian
from tests.sim.cluster.instance import FakeInstance, Here, Tools
from tests.sim.cluster.postgres import Server
from tests.sim.cluster.processes import Machine, Process
from tests.sim.host import Host

if TYPE_CHECKING:
    from tests.sim.cluster.world import ClusterWorld

HTTP: Final = "http"
SPAWN_S: Final = 0.12
"""What starting a Python program takes."""
RECEIPT_S: Final = 5.0
"""How long the program that tells the others goes on trying."""


class Node:
    """What of a machine outlives its agent, and the agent if it runs: without a break since
    `agent_since`."""

    def __init__(self, world: ClusterWorld, host: Host) -> None:
        self.world = world
        self.host = host
        self.name = host.name
        self.directory = Directory(path=Path("/sim") / host.name / "pgdata")
        self.machine = Machine(self.directory, self._start_server, self._tell, self._child_ended)
        self.agent: Agent | None = None
        self.agent_since = 0.0
        self.guardian: Guardian | None = None
        self._guardians: list[str] = []
        self.server: Server | None = None
        self.is_up = True
        self.is_frozen = False
        self.lives: list[Life] = []
        self.spoil_guardian: Callable[[Guardian], None] = lambda _guardian: None
        self._clients: list[Client] = []

    # What befalls it.

    def agent_started(self, raft: RaftNode) -> None:
        """The process of the agent begins."""
        world, life = self.world, self._life("agent")
        self.agent_since = world.time.now
        others = [name for name in world.hosts if name != self.name]
        tags = Tags(sync_priority=world.draw_priority())
        config = node_config(self.name, others, world.settings, tags)
        here = Here(
            name=self.name,
            directory=self.directory,
            server=self.running_server,
            remote=partial(world.reached_by, self.name),
            random=world.random,
            fibers=world.fibers,
            life=life,
            happened=lambda moment: world.disorder.course.happened(moment, self.name),
        )
        instance = FakeInstance(here, config.postgresql, self.host.clock)
        self.agent = Agent(
            config,
            raft,
            instance,
            self._edges(life, here),
            clock=self.host.clock,
            life=life,
            fibers=world.fibers,
            present=lambda: self.host.time.now,
            ended=lambda why: world.agent_failed(self, why),
            random=world.random,
            happened=here.happened,
            renewed=partial(world.promises.renewed, self.name),
        )
        self.agent.begin()

    def agent_ended(self) -> None:
        """The process of the agent is gone."""
        if self.agent is not None:
            self.world.fibers.kill(self.agent.life)
            self.agent = None
        for client in self._clients:
            client.close()
        self._clients.clear()

    def kill_guardian(self) -> None:
        if self.guardian is not None:
            self.guardian.die()

    def lose_power(self) -> None:
        """Everything but the disk is gone."""
        self.is_up = False
        self.kill_guardian()
        self.machine.end_all()

    def running_server(self) -> Server | None:
        """The server whose processes are there, some of them at least."""
        server = self.server
        return server if server is not None and server.life.is_alive else None

    def live(self, kind: str) -> list[Life]:
        """The processes of one kind that live."""
        self.lives = [life for life in self.lives if life.is_alive]
        return [life for life in self.lives if kind in ("all", life.name)]

    def _life(self, kind: str) -> Life:
        def arise() -> None:
            self.host.time.now = self.world.time.now

        life = Life(name=kind, arise=arise, is_frozen=self.is_frozen)
        self.lives.append(life)
        return life

    # The edges of its agent.

    def _edges(self, life: Life, here: Here) -> Edges:
        world = self.world

        def client(path: Path, **words: Any) -> Client:
            made = Client(path, find=lambda: self.guardian, life=life, fibers=world.fibers, **words)
            self._clients.append(made)
            return made

        return Edges(
            spawn=partial(self._spawn_guardian, life),
            guardian=client,
            peers=partial(self._peers, life),
            aside=lambda work: world.fibers.after(0.001, life, work),
            tools=_tools(here),
        )

    def _spawn_guardian(self, life: Life, *_: Any, dead_man_seconds: float) -> None:
        """Have a guardian run, as `guardian.client.spawn` does: one that is frozen holds its lock,
        and its end is heard at once by whoever waits for its answer."""
        for _ in range(SPAWN_TRIES):
            try:
                self._greet_guardian(life)
            except GuardianGone:
                self.world.fibers.sleep(life, SPAWN_S)
                if self.guardian is None:
                    self.guardian = self._new_guardian(dead_man_seconds)
                    self.spoil_guardian(self.guardian)
                    self.guardian.look()
            else:
                return
        self._greet_guardian(life)

    def _greet_guardian(self, life: Life) -> None:
        observer = Client(
            self.directory.path,
            role="observer",
            find=lambda: self.guardian,
            life=life,
            fibers=self.world.fibers,
        )
        try:
            observer.connect()
        finally:
            observer.close()

    def _new_guardian(self, dead_man_s: float) -> Guardian:
        world = self.world

        def died() -> None:
            for life in self.live("receipt"):
                world.fibers.kill(life)
            if self.guardian is guardian:
                self.guardian = None

        guardian = Guardian(
            str(self.directory.path),
            dead_man_s,
            nonce=f"{self.name}{world.random.getrandbits(32):x}",
            predecessors=tuple(self._guardians),
            machine=self.machine,
            clock=self.host.clock,
            life=self._life("guardian"),
            fibers=world.fibers,
            died=died,
        )
        self._guardians.append(guardian.nonce)
        return guardian

    def _peers(
        self,
        life: Life,
        _restapi: Callable[[], RestConfig],
        reader: ClusterReader,
        clock: Clock,
        changed: Callable[[], None],
    ) -> Peers:
        return _Peers(
            clock=clock,
            connect=cast(Any, partial(_Api, self, life)),
            timeout=lambda: peer_timeout(reader.settings()),
            changed=changed,
            pool=cast(Any, Pool(self.world.fibers, life)),
        )

    # What a guardian runs.

    def _child_ended(self) -> None:
        if self.guardian is not None:
            self.guardian.look_soon()

    def _start_server(self) -> Process:
        self.server = server = self.world.new_server(self, self._life("server"))
        server.start()
        return server.postmaster

    def _tell(self, words: tuple[str, ...]) -> None:
        """The receipt is on its way to all voters, until one takes it."""
        *voters, word = words
        life = self._life("receipt")
        taken: list[bool] = []
        for voter in voters:
            self.world.fibers.after(
                SPAWN_S, life, partial(self._tell_one, life, voter, word, taken, RECEIPT_S)
            )

    def _tell_one(self, life: Life, voter: str, word: str, taken: list[bool], left: float) -> None:
        world = self.world
        other = world.nodes.get(voter)
        if taken or left <= 0 or other is None or not self.is_up:
            return
        agent = other.agent
        if agent is not None and world.raft_carries(self.name, voter):

            def take() -> None:
                if agent.receipts.take(self.name, word.encode()) is None:
                    taken.append(True)
                    world.verdicts.note(f"{voter} takes the receipt of {self.name}")

            world.fibers.after(world.cables.delay, agent.life, take)
        again = partial(self._tell_one, life, voter, word, taken, left - 0.3)
        world.fibers.after(0.3, life, again)


class _Peers(Peers):
    """Asks over the made-up links."""

    def ask_now(
        self, members: Iterable[Asked], timeout: Seconds
    ) -> Mapping[MemberName, PeerAnswer]:
        calls = {member.name: self._pool.submit(self._measure, member) for member in members}
        cast(Any, self._pool).wait(calls.values(), timeout)
        return {name: cast(Any, call).result for name, call in calls.items() if call.done()}


class _Api:
    """`ApiClient` of one question to one member."""

    def __init__(self, asker: Node, life: Life, url: str, timeout: Seconds) -> None:
        self._asker = asker
        self._life = life
        self._target = asker.world.nodes[url.split("//")[1].split(":")[0]]
        self._timeout = timeout

    def peer(self) -> PeerReport:
        world = self._asker.world
        ends = (self._asker.name, self._target.name)
        answers: list[PeerReport | RafthaError] = []
        agent = self._target.agent
        parked = world.fibers.park(self._life, self._timeout)
        if world.cables.carries(HTTP, *ends) and self._target.is_up:
            if agent is None:
                world.fibers.sleep(self._life, world.cables.delay)
                raise ApiError("connection refused")
            serve = partial(self._serve, agent, answers, parked)
            world.fibers.after(world.cables.delay, agent.life, serve)
        world.fibers.wait(self._life, parked)
        if not answers:
            raise ApiError(f"no answer within {self._timeout:g} s")
        if isinstance(answers[0], RafthaError):
            raise ApiError(str(answers[0]))
        return answers[0]

    def _serve(self, agent: Agent, answers: list[PeerReport | RafthaError], parked: Parked) -> None:
        world = self._asker.world
        answer: PeerReport | RafthaError
        try:
            answer = agent.member.responder.peer()
        except RafthaError as error:
            answer = error
        if world.cables.carries(HTTP, self._target.name, self._asker.name):
            answers.append(answer)
            world.fibers.wake(self._life, parked)


def _tools(here: Here) -> ProductTools:
    tools = Tools(here)
    return ProductTools(
        job=tools.job,
        initialise=tools.initialise,
        clone=tools.clone,
        compare=tools.compare,
        rewind=tools.rewind,
        mark_standby=tools.mark_standby,
    )
