"""Wires a member or a witness together. Constructors only store; work starts in `run`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from raftha import __version__
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
from raftha.agent.witness import WitnessResponder
from raftha.agent.worker import Worker
from raftha.api.client import ApiClient
from raftha.api.server import ApiServer
from raftha.clock import Clock
from raftha.consensus.node import RaftNode
from raftha.ha.keys import Keys
from raftha.ha.situation import Situation
from raftha.instants import Seconds
from raftha.model.settings import DynamicConfig, NodeConfig, PostgresConfig, RestConfig
from raftha.model.store import Transact
from raftha.model.view import Identity
from raftha.pg.instance import Instance
from raftha.pg.slots import slot_name

LOG = logging.getLogger(__name__)


class Member:
    """A running member: its parts, in the order in which they start."""

    def __init__(self, config: NodeConfig, postgres: PostgresConfig, parts: MemberParts) -> None:
        self.config = config
        self.postgres = postgres
        self.parts = parts

    def run(self) -> None:
        """Serve until the agent is stopped and everything is down."""
        parts = self.parts
        threads = [
            threading.Thread(target=parts.keeper.run, args=(parts.ended,), name="keeper"),
            threading.Thread(target=parts.observer.run, args=(parts.ended,), name="observer"),
        ]
        for thread in threads:
            thread.daemon = True
            thread.start()
        parts.loop.run()
        parts.ended.set()
        parts.observer.kick()

    def reload(self, config: NodeConfig) -> None:
        """Take over what may change while the agent runs."""
        self.config = config
        self.parts.loop.wake()

    def stop(self) -> None:
        """Begin to stop: the loop does the rest."""
        self.parts.stopping.set()
        self.parts.loop.wake()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberParts:
    """What a member is made of."""

    node: RaftNode
    api: ApiServer
    guarding: Guarding
    keeper: LeaseKeeper
    observer: Observer
    peers: Peers
    loop: Loop
    stopping: threading.Event
    ended: threading.Event


def identity_of(config: NodeConfig, postgres: PostgresConfig) -> Identity:
    """How this node announces itself."""
    return Identity(
        name=config.name,
        slot=slot_name(config.name),
        postgres=postgres.connect_address,
        api_url=api_url(config.restapi),
        raft=str(config.raft.self_addr),
        agent_version=__version__,
        tags=config.tags,
        parameters=postgres.parameters,
        pg_hba=postgres.pg_hba,
        bootstrap=config.bootstrap.dynamic,
    )


def api_url(rest: RestConfig) -> str:
    """Where this node's HTTP interface answers."""
    return f"{'https' if rest.tls else 'http'}://{rest.connect_address}"


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
    store = node.store
    reader = ClusterReader(store, keys, config.bootstrap.dynamic)
    instance = Instance(postgres, config.scope, config.name, run_dir, clock)
    stopping, ended = threading.Event(), threading.Event()

    def changed() -> None:
        loop.wake()

    def settings() -> DynamicConfig:
        return reader.read().config

    def identity() -> Identity:
        current = member.config
        return identity_of(current, current.postgresql or postgres)

    guarding = Guarding(
        socket_path=run_dir / "guardian.sock",
        data_dir=postgres.data_dir,
        log_path=run_dir / "guardian.log",
        dead_man_seconds=lambda: max(0.1, settings().fence_budget / 2),
        changed=changed,
        lost=lambda why: keeper.forget(f"the guardian is gone: {why}"),
    )
    health = Health(
        clock=clock,
        settings=settings,
        guardian=lambda: lookout.guardian,
        sample=lambda: observer.sample,
        last_tick=lambda: loop.last_tick,
        memory=lambda: loop.memory,
    )
    observer = Observer(
        instance=instance,
        clock=clock,
        process=lambda: lookout.guardian.process if lookout.guardian.running else "",
        pace=health.pace,
        timeout=lambda: Seconds(settings().primary_health_timeout / 2),
        changed=changed,
    )
    keeper = LeaseKeeper(
        store=store,
        guard=guarding,
        clock=clock,
        leader_key=keys.leader,
        settings=settings,
        hold_back=health.hold_back,
        note=health.note,
        changed=changed,
    )
    worker = Worker(clock, changed, fatal)
    peers = Peers(
        clock=clock,
        connect=connector(config, clock),
        timeout=lambda: peer_timeout(settings()),
        changed=changed,
    )
    effects = Effects(
        instance=instance,
        guarding=guarding,
        keeper=keeper,
        store=store,
        peers=peers,
        worker=worker,
        jobs=Jobs(
            config=lambda: member.config,
            postgres=postgres,
            identity=identity,
            instance=instance,
            worker=worker,
            clock=clock,
        ),
        log_path=run_dir / "postgresql.log",
        changed=changed,
        look=observer.kick,
    )
    lookout = Lookout(
        clock=clock,
        identity=identity,
        store=store,
        reader=reader,
        instance=instance,
        guarding=guarding,
        keeper=keeper,
        observer=observer,
        worker=worker,
        peers=peers,
        effects=effects,
        stopping=stopping,
    )
    responder = MemberResponder(
        scope=config.scope,
        clock=clock,
        keys=keys,
        store=store,
        reader=reader,
        observer=observer,
        guarding=guarding,
        peers=peers,
        operations=lambda: operations,
    )
    operations = build_operations(node, reader, clock, responder.situation)
    loop = Loop(
        clock=clock,
        keys=keys,
        observe=lookout.observe,
        effects=effects,
        recorder=Recorder(),
        publish=responder.publish,
    )
    member = Member(
        config,
        postgres,
        MemberParts(
            node=node,
            api=ApiServer(config.restapi, responder, clock),
            guarding=guarding,
            keeper=keeper,
            observer=observer,
            peers=peers,
            loop=loop,
            stopping=stopping,
            ended=ended,
        ),
    )
    store.watch(keys.prefix, changed)
    return member


def build_operations(
    node: RaftNode,
    reader: ClusterReader,
    clock: Clock,
    situation: Callable[[], Situation],
) -> Operations:
    """The operator's requests, of a member or a witness."""

    def execute(command: Transact) -> None:
        node.store.execute(command, timeout=reader.read().config.retry_timeout)

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
    peers = Peers(
        clock=clock,
        connect=connector(config, clock),
        timeout=lambda: peer_timeout(reader.read().config),
        changed=lambda: None,
    )

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
    )
    return ApiServer(config.restapi, responder, clock)
