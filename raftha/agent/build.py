"""Wires a member together. Constructors only store; work starts in `run`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from raftha import __version__
from raftha.agent.board import Board
from raftha.agent.calibration import Calibration
from raftha.agent.callbacks import Callbacks
from raftha.agent.checking import Checking
from raftha.agent.chronicle import EVENTS, Chronicle
from raftha.agent.clockwatch import ClockWatch
from raftha.agent.doctor import Doctor, targets_of
from raftha.agent.effects import Effects
from raftha.agent.graceful import GracefulStop
from raftha.agent.ground import EDGES, Edges, Ground
from raftha.agent.guarding import Guarding
from raftha.agent.health import Health
from raftha.agent.jobs import Jobs
from raftha.agent.keeper import LeaseKeeper
from raftha.agent.logins import look_at_logins
from raftha.agent.lookout import Lookout
from raftha.agent.loop import Loop
from raftha.agent.observer import Observer
from raftha.agent.peers import Peers
from raftha.agent.process import guardian_socket
from raftha.agent.programs import OUTPUT
from raftha.agent.reader import ClusterReader
from raftha.agent.recorder import Recorder
from raftha.agent.reloading import Reloads
from raftha.agent.responder import MemberResponder
from raftha.agent.serverdoctor import member_findings
from raftha.agent.storebell import StoreBell
from raftha.agent.wiring import (
    build_configurations,
    build_halts,
    build_member_changes,
    build_operations,
    build_pauses,
    build_schedules,
    build_store_reader,
)
from raftha.agent.wishes import ServerWishes
from raftha.agent.worker import Worker
from raftha.api.server import ApiServer
from raftha.clock import Clock
from raftha.consensus.node import RaftNode
from raftha.ha.keys import Keys
from raftha.ha.table import Decision
from raftha.ha.telling import telling
from raftha.instants import Seconds
from raftha.metrics import Metrics
from raftha.model.finding import Finding
from raftha.model.happening import Kind
from raftha.model.settings import NodeConfig, PostgresConfig
from raftha.model.view import View
from raftha.pg.instance import Instance
from raftha.pg.kept import KeptCopies
from raftha.pg.takeover import to_take_over

LOG = logging.getLogger(__name__)


class Member(Struct, frozen=True, kw_only=True):
    """A member's parts, and how they run together."""

    board: Board
    api: ApiServer
    responder: MemberResponder
    guarding: Guarding
    keeper: LeaseKeeper
    observer: Observer
    kept: KeptCopies
    calibration: Calibration
    peers: Peers
    instance: Instance
    loop: Loop
    chronicle: Chronicle
    callbacks: Callbacks
    fatal: Callable[[str], None]

    def run(self) -> None:
        """Serve until the agent is stopped and everything is down."""
        ended = threading.Event()
        threads = {
            "keeper": self.keeper.run,
            "observer": self.observer.run,
            "kept": self.kept.run,
            "calibration": self.calibration.run,
            "chronicle": self.chronicle.run,
            "callbacks": self.callbacks.run,
        }
        self.chronicle.note(Kind.AGENT, "agent started", version=__version__)
        for name, work in threads.items():
            target = partial(_outermost, name, work, ended, self.fatal)
            threading.Thread(target=target, name=name, daemon=True).start()
        self.loop.run()
        self.callbacks.finish()
        ended.set()
        self.board.look()
        self.chronicle.note(Kind.AGENT, "agent ended")
        self.chronicle.flush()

    def reload(self, config: NodeConfig) -> None:
        """Take over what may change while the agent runs. Raises ConfigError or TlsError, and
        nothing has changed then."""
        postgres = config.postgresql
        if postgres is not None:
            look_at_logins(self.instance, postgres.authentication)
        self.api.take(config.restapi)
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


def build_instance(
    config: NodeConfig, postgres: PostgresConfig, run_dir: Path, clock: Clock
) -> Instance:
    """PostgreSQL on this machine, as a member sees it."""
    # A plan already holds this file's parameters, as they were read last (SIGHUP).
    files = replace(postgres, parameters={}, pg_hba=(), pg_ident=())
    return Instance(files, config.scope, config.name, run_dir, clock)


def build_member(
    config: NodeConfig,
    postgres: PostgresConfig,
    node: RaftNode,
    instance: Instance,
    clock: Clock,
    metrics: Metrics,
    fatal: Callable[[str], None],
    will: Callable[[], Sequence[str]],
    reloads: Reloads,
    edges: Edges = EDGES,
) -> Member:
    """Everything of a member, wired and still at rest. `will` tells the others of its end."""
    ground = Ground(
        board=Board(config=config, postgres=postgres, last_tick=clock.now()),
        clock=clock,
        keys=Keys(config.scope),
        node=node,
        reader=ClusterReader(node.store, Keys(config.scope), config.bootstrap.dynamic),
        instance=instance,
        metrics=metrics,
        will=will,
        edges=edges,
        reloads=reloads,
        chronicle=_chronicle(config, instance, clock, metrics),
    )
    board, reader = ground.board, ground.reader
    health = Health(board=board, clock=clock, settings=reader.settings)
    guarding, keeper = _lease_side(ground, health)
    observer = _observer(ground, health)
    peers = edges.peers(lambda: reloads.restapi, reader, clock, board.wake)
    responder = _responder(ground, observer, guarding, peers)
    callbacks = _callbacks(ground)
    StoreBell(node.store, ground.keys, board.wake).begin()
    return Member(
        board=board,
        api=ApiServer(config.restapi, responder, clock),
        responder=responder,
        guarding=guarding,
        keeper=keeper,
        observer=observer,
        kept=KeptCopies(postgres.data_dir, board.publish_kept, postgres.diverged_wal_keep),
        calibration=Calibration(lambda: reader.settings().fence_budget),
        peers=peers,
        instance=ground.instance,
        loop=_loop(ground, guarding, keeper, peers, responder, callbacks, fatal),
        chronicle=ground.chronicle,
        callbacks=callbacks,
        fatal=fatal,
    )


def _doctor(ground: Ground, guarding: Guarding) -> Doctor:
    me, reader = ground.board.config.name, ground.reader

    def of_member() -> Iterator[Finding]:
        return member_findings(ground.instance, guarding.view(), reader.settings(), reader.read())

    return Doctor(
        config=lambda: ground.board.config,
        clock=ground.clock,
        settings=reader.settings,
        timers=lambda: ground.reloads.timers.profile,
        targets=lambda: targets_of(me, reader.read(), ground.node.store.status()),
        more=of_member,
    )


def _chronicle(config: NodeConfig, instance: Instance, clock: Clock, metrics: Metrics) -> Chronicle:
    return Chronicle(instance.layout.run_dir / EVENTS, config.name, clock, metrics.took_over)


def _lease_side(ground: Ground, health: Health) -> tuple[Guarding, LeaseKeeper]:
    """The guardian and the lease, which hold each other: a lease is believed once the guardian has
    its deadline, and forgotten when the guardian is gone."""
    settings = ground.reader.settings
    guarding = Guarding(
        socket_path=guardian_socket(ground.run_dir),
        data_dir=ground.board.postgres.data_dir,
        log_path=ground.run_dir / "guardian.log",
        fence_budget=lambda: settings().fence_budget,
        changed=ground.board.wake,
        lost=lambda why: keeper.forget(f"the guardian is gone: {why}"),
        fenced=ground.fenced,
        spares=lambda: to_take_over(ground.board.postgres, ground.instance.layout) is not None,
        will=ground.will,
        spawn=ground.edges.spawn,
        client=ground.edges.guardian,
    )
    keeper = LeaseKeeper(
        store=ground.node.store,
        guard=guarding,
        clock=ground.clock,
        leader_key=ground.keys.leader,
        settings=settings,
        hold_back=health.hold_back,
        note=health.note,
        telling=lambda held, note: telling(
            ground.keys, ground.node.store.peek(), held, ground.board.config.name, note
        ),
        renewed=ground.board.glance,
        changed=ground.board.wake,
        settled=ground.settled,
    )
    return guarding, keeper


def _observer(ground: Ground, health: Health) -> Observer:
    settings = ground.reader.settings
    return Observer(
        board=ground.board,
        instance=ground.instance,
        clock=ground.clock,
        pace=health.pace,
        timeout=lambda: Seconds(settings().primary_health_timeout / 2),
    )


def _responder(
    ground: Ground, observer: Observer, guarding: Guarding, peers: Peers
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
        stored=build_store_reader(ground.board.config, ground.node, ground.reader, ground.clock),
        changes=build_member_changes(ground.board.config, ground.node, ground.reader),
        pauses=build_pauses(ground.board.config, ground.node, ground.reader),
        halts=build_halts(ground.board.config, ground.node, ground.reader),
        schedules=build_schedules(ground.board.config, ground.node, ground.reader),
        configurations=build_configurations(
            ground.board.config,
            ground.node,
            ground.reader,
            Checking(ground.instance).check,
            ground.reloads.timers,
        ),
        wishes=lambda: wishes,
        reloads=ground.reloads,
        metrics=ground.metrics,
        first_term=ground.node.store.status().term,
        clocks=ClockWatch(ground.board.config.name),
        chronicle=ground.chronicle,
        doctor=_doctor(ground, guarding),
    )
    operations = build_operations(ground.node, ground.reader, ground.clock, responder.situation)
    wishes = ServerWishes(
        board=ground.board,
        clock=ground.clock,
        situation=responder.seen,
        unable=Checking(ground.instance).unable,
        random=Random(),
    )
    return responder


def _loop(
    ground: Ground,
    guarding: Guarding,
    keeper: LeaseKeeper,
    peers: Peers,
    responder: MemberResponder,
    callbacks: Callbacks,
    fatal: Callable[[str], None],
) -> Loop:
    """Eyes and hands of the decisions."""
    board, clock, instance = ground.board, ground.clock, ground.instance
    worker = Worker(clock, board.wake, fatal, ground.edges.aside)
    effects = _effects(ground, guarding, keeper, peers, worker, callbacks)
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
        unable=Checking(instance).unable,
    )

    def publish(view: View, decision: Decision) -> None:
        situation = responder.publish(view, decision)
        callbacks.look(situation)
        ground.edges.told(situation, decision)

    return Loop(
        board=board,
        clock=clock,
        keys=ground.keys,
        observe=lookout.observe,
        effects=effects,
        recorder=Recorder(),
        publish=publish,
        ticked=ground.metrics.ticked,
    )


def _callbacks(ground: Ground) -> Callbacks:
    return Callbacks(
        hooks=ground.board.hooks,
        scope=ground.board.config.scope,
        output=ground.run_dir / OUTPUT,
        clock=ground.clock,
    )


def _effects(
    ground: Ground,
    guarding: Guarding,
    keeper: LeaseKeeper,
    peers: Peers,
    worker: Worker,
    callbacks: Callbacks,
) -> Effects:
    board, clock, instance = ground.board, ground.clock, ground.instance
    tools = ground.edges.tools
    return Effects(
        board=board,
        instance=instance,
        guarding=guarding,
        keeper=keeper,
        store=ground.node.store,
        peers=peers,
        worker=worker,
        jobs=Jobs(board=board, instance=instance, worker=worker, clock=clock, tools=tools),
        clock=clock,
        log_path=ground.server_log,
        graceful=GracefulStop(
            hooks=board.hooks, guarding=guarding, output=ground.run_dir / OUTPUT, clock=clock
        ),
        reloaded=callbacks.reloaded,
    )
