"""Wires a member or a witness together. Constructors only store; work starts in `run`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random

from raftha.agent.board import Board
from raftha.agent.effects import Effects
from raftha.agent.guarding import Guarding
from raftha.agent.health import Health
from raftha.agent.jobs import Jobs
from raftha.agent.keeper import LeaseKeeper
from raftha.agent.lookout import ClusterReader, Lookout
from raftha.agent.loop import Loop
from raftha.agent.observer import Observer
from raftha.agent.operations import Operations
from raftha.agent.peers import Peers
from raftha.agent.recorder import Recorder
from raftha.agent.responder import MemberResponder
from raftha.agent.stored import StoreReader
from raftha.agent.witness import WitnessResponder
from raftha.agent.worker import Worker
from raftha.api.client import ApiClient
from raftha.api.server import ApiServer
from raftha.clock import Clock
from raftha.consensus.node import RaftNode
from raftha.ha.keys import Keys
from raftha.ha.situation import Situation
from raftha.instants import Seconds
from raftha.logs import set_up
from raftha.model.settings import DynamicConfig, NodeConfig, PostgresConfig
from raftha.model.store import Transact
from raftha.pg.instance import Instance

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member's parts, and how they run together."""

    board: Board
    api: ApiServer
    guarding: Guarding
    keeper: LeaseKeeper
    observer: Observer
    peers: Peers
    instance: Instance
    loop: Loop
    fatal: Callable[[str], None]

    def run(self) -> None:
        """Serve until the agent is stopped and everything is down."""
        ended = threading.Event()
        for name, work in (("keeper", self.keeper.run), ("observer", self.observer.run)):
            target = partial(_outermost, name, work, ended, self.fatal)
            threading.Thread(target=target, name=name, daemon=True).start()
        self.loop.run()
        ended.set()
        self.board.look()

    def reload(self, config: NodeConfig) -> None:
        """Take over what may change while the agent runs."""
        set_up(config.log.level, config.log.format)
        postgres = config.postgresql
        if postgres is not None:
            self.instance.log_in_as(postgres.authentication)
            self.board.postgres = replace(
                self.board.postgres, authentication=postgres.authentication
            )
        self.board.config = config
        self.board.reloaded.set()
        self.board.wake()

    def stop(self) -> None:
        """Begin to stop: the loop does the rest."""
        self.board.stopping.set()
        self.board.wake()


def _outermost(
    name: str,
    work: Callable[[threading.Event], None],
    ended: threading.Event,
    fatal: Callable[[str], None],
) -> None:
    """The outermost frame of a thread: a member without it cannot be trusted any more."""
    try:
        work(ended)
    except Exception as bug:
        LOG.exception("thread failed unexpectedly")
        fatal(f"the thread {name} failed unexpectedly: {bug!r}")


def connector(config: NodeConfig, clock: Clock) -> Callable[[str, Seconds], ApiClient]:
    """Makes the client for a member's URL, with this node's credentials."""
    rest = config.restapi

    def connect(url: str, timeout: Seconds) -> ApiClient:
        return ApiClient(
            url=url, timeout=timeout, auth=rest.authentication, tls=rest.tls, clock=clock
        )

    return connect


def peer_timeout(settings: DynamicConfig) -> Seconds:
    """How long a member may take to answer a peer: a small part of the ttl (safety R23)."""
    return Seconds(min(2.0, max(0.5, settings.ttl / 10)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What every part of a member stands on."""

    board: Board
    clock: Clock
    keys: Keys
    node: RaftNode
    reader: ClusterReader
    instance: Instance
    run_dir: Path

    @property
    def server_log(self) -> Path:
        return self.run_dir / "postgresql.log"


def build_member(
    config: NodeConfig,
    postgres: PostgresConfig,
    node: RaftNode,
    run_dir: Path,
    clock: Clock,
    fatal: Callable[[str], None],
) -> Member:
    """Everything of a member, wired and still at rest."""
    keys = Keys(config.scope)
    # A plan already holds this file's parameters, as they were read last (SIGHUP).
    files = replace(postgres, parameters={}, pg_hba=())
    ground = _Ground(
        board=Board(config=config, postgres=postgres, last_tick=clock.now()),
        clock=clock,
        keys=keys,
        node=node,
        reader=ClusterReader(node.store, keys, config.bootstrap.dynamic),
        instance=Instance(files, config.scope, config.name, run_dir, clock),
        run_dir=run_dir,
    )
    board, reader = ground.board, ground.reader
    health = Health(board=board, clock=clock, settings=reader.settings)
    guarding, keeper = _lease_side(ground, health)
    observer = Observer(
        board=board,
        instance=ground.instance,
        clock=clock,
        pace=health.pace,
        timeout=lambda: Seconds(reader.settings().primary_health_timeout / 2),
    )
    peers = _peers(config, reader, clock, board.wake)
    responder = _responder(ground, observer, guarding, peers)
    worker = Worker(clock, board.wake, fatal)
    loop = _loop(ground, guarding, keeper, peers, worker, responder)
    node.store.watch(keys.prefix, board.wake)
    return Member(
        board=board,
        api=ApiServer(config.restapi, responder, clock),
        guarding=guarding,
        keeper=keeper,
        observer=observer,
        peers=peers,
        instance=ground.instance,
        loop=loop,
        fatal=fatal,
    )


def _lease_side(ground: _Ground, health: Health) -> tuple[Guarding, LeaseKeeper]:
    """The guardian and the lease, which hold each other: a lease is believed once the guardian has
    its deadline, and forgotten when the guardian is gone."""
    settings = ground.reader.settings
    guarding = Guarding(
        socket_path=ground.run_dir / "guardian.sock",
        data_dir=ground.board.postgres.data_dir,
        log_path=ground.run_dir / "guardian.log",
        dead_man_seconds=lambda: max(0.1, settings().fence_budget / 2),
        changed=ground.board.wake,
        lost=lambda why: keeper.forget(f"the guardian is gone: {why}"),
    )
    keeper = LeaseKeeper(
        store=ground.node.store,
        guard=guarding,
        clock=ground.clock,
        leader_key=ground.keys.leader,
        settings=settings,
        hold_back=health.hold_back,
        note=health.note,
        changed=ground.board.wake,
    )
    return guarding, keeper


def _responder(
    ground: _Ground, observer: Observer, guarding: Guarding, peers: Peers
) -> MemberResponder:
    """The HTTP side; an operator's request is judged by what the responder sees."""
    responder = MemberResponder(
        scope=ground.board.config.scope,
        clock=ground.clock,
        keys=ground.keys,
        store=ground.node.store,
        reader=ground.reader,
        observer=observer,
        guarding=guarding,
        peers=peers,
        operations=lambda: operations,
        stored=_store_reader(ground.board.config, ground.node, ground.reader, ground.clock),
    )
    operations = build_operations(ground.node, ground.reader, ground.clock, responder.situation)
    return responder


def _loop(
    ground: _Ground,
    guarding: Guarding,
    keeper: LeaseKeeper,
    peers: Peers,
    worker: Worker,
    responder: MemberResponder,
) -> Loop:
    """Eyes and hands of the decisions."""
    board, clock, instance = ground.board, ground.clock, ground.instance
    effects = Effects(
        board=board,
        instance=instance,
        guarding=guarding,
        keeper=keeper,
        store=ground.node.store,
        peers=peers,
        worker=worker,
        jobs=Jobs(board=board, instance=instance, worker=worker, clock=clock),
        log_path=ground.server_log,
    )
    lookout = Lookout(
        board=board,
        clock=clock,
        store=ground.node.store,
        reader=ground.reader,
        instance=instance,
        guarding=guarding,
        keeper=keeper,
        worker=worker,
        peers=peers,
        effects=effects,
        log_path=ground.server_log,
    )
    return Loop(
        board=board,
        clock=clock,
        keys=ground.keys,
        observe=lookout.observe,
        effects=effects,
        recorder=Recorder(),
        publish=responder.publish,
    )


def _peers(
    config: NodeConfig, reader: ClusterReader, clock: Clock, changed: Callable[[], None]
) -> Peers:
    return Peers(
        clock=clock,
        connect=connector(config, clock),
        timeout=lambda: peer_timeout(reader.settings()),
        changed=changed,
    )


def build_operations(
    node: RaftNode,
    reader: ClusterReader,
    clock: Clock,
    situation: Callable[[], Situation],
) -> Operations:
    """The operator's requests, of a member or a witness."""

    def execute(command: Transact) -> None:
        node.store.execute(command, timeout=reader.settings().retry_timeout)

    return Operations(
        clock=clock,
        random=Random(),
        situation=situation,
        execute=execute,
        operation=lambda: reader.read().operation,
    )


def build_witness(config: NodeConfig, node: RaftNode, clock: Clock) -> ApiServer:
    """The HTTP side of a witness; the Raft node is the rest of it."""
    keys = Keys(config.scope)
    reader = ClusterReader(node.store, keys, config.bootstrap.dynamic)
    peers = _peers(config, reader, clock, lambda: None)

    def no_situation() -> Situation:
        raise NotImplementedError("a witness judges no request")

    operations = build_operations(node, reader, clock, no_situation)
    node.store.watch(keys.operation, operations.notice)
    responder = WitnessResponder(
        config=config,
        clock=clock,
        store=node.store,
        reader=reader,
        peers=peers,
        operations=operations,
        stored=_store_reader(config, node, reader, clock),
    )
    return ApiServer(config.restapi, responder, clock)


def _store_reader(
    config: NodeConfig, node: RaftNode, reader: ClusterReader, clock: Clock
) -> StoreReader:
    return StoreReader(
        name=config.name,
        below=Keys(config.scope).prefix,
        store=node.store,
        clock=clock,
        timeout=lambda: reader.settings().retry_timeout,
    )
