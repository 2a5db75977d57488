"""Runs a witness as a process. Its exit codes are those of `raftha.agent.main`.

It imports nothing of PostgreSQL, so that it stays small; a test looks at what it has loaded.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from raftha import __version__
from raftha.agent.chronicle import EVENTS, Chronicle
from raftha.agent.clockwatch import ClockWatch
from raftha.agent.doctor import Doctor, targets_of
from raftha.agent.notify import VARIABLE, ServiceManager
from raftha.agent.process import (
    begin_log,
    on_signals,
    open_node,
    refused,
    run_directory,
)
from raftha.agent.reader import ClusterReader
from raftha.agent.reloading import Reloads
from raftha.agent.wiring import (
    build_configurations,
    build_halts,
    build_member_changes,
    build_operations,
    build_pauses,
    build_peers,
    build_schedules,
    build_store_reader,
)
from raftha.agent.witness import WitnessResponder
from raftha.api.server import ApiServer
from raftha.clock import Clock, SystemClock
from raftha.config.proposal import Proposal
from raftha.consensus.medium import check_medium
from raftha.consensus.node import RaftNode
from raftha.errors import Problem, RafthaError
from raftha.ha.keys import Keys
from raftha.ha.situation import Situation
from raftha.logs import event
from raftha.metrics import Metrics
from raftha.model.happening import Kind
from raftha.model.settings import NodeConfig

LOG = logging.getLogger(__name__)

_OF_SERVER = ("parameters", "pg_hba", "pg_ident")


def run(config: NodeConfig, config_path: Path) -> int:
    """Run a witness until it is stopped."""
    try:
        begin_log(config)
        return _run_witness(config, config_path, SystemClock())
    except RafthaError as error:
        return refused(error)


def _run_witness(config: NodeConfig, config_path: Path, clock: Clock) -> int:
    check_medium(config.raft.data_dir, allow_tmpfs=config.raft.allow_tmpfs)
    metrics = Metrics(scope=config.scope, name=config.name, witness=True)
    reloads = Reloads(config, config_path)
    node = open_node(config, clock, metrics, reloads.timers, witness=True)
    run_dir = run_directory(config)
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    chronicle = Chronicle(run_dir / EVENTS, config.name, clock)
    api = build_witness(config, node, clock, metrics, chronicle, reloads)
    reloads.look = node.refresh

    def take(fresh: NodeConfig) -> None:
        node.refresh(fresh.raft.tls)
        api.take(fresh.restapi)

    reloads.take = take
    stopping = threading.Event()
    manager = ServiceManager(os.environ.get(VARIABLE), clock)
    on_signals(stopping.set, reloads.on_signal, manager)
    api.start()
    node.start()
    event(LOG, logging.INFO, "witness started", name=config.name, version=__version__)
    manager.tell("witness: votes in the Raft group")
    chronicle.note(Kind.AGENT, "agent started", version=__version__)
    threading.Thread(target=chronicle.run, args=(stopping,), name="chronicle", daemon=True).start()
    try:
        while not stopping.wait(3600.0):
            continue
    finally:
        api.stop()
        node.stop()
        chronicle.note(Kind.AGENT, "agent ended")
        chronicle.flush()
    return 0


def build_witness(
    config: NodeConfig,
    node: RaftNode,
    clock: Clock,
    metrics: Metrics,
    chronicle: Chronicle,
    reloads: Reloads,
) -> ApiServer:
    """The HTTP side of a witness; the Raft node is the rest of it."""
    keys = Keys(config.scope)
    reader = ClusterReader(node.store, keys, config.bootstrap.dynamic)
    peers = build_peers(lambda: reloads.restapi, reader, clock, lambda: None)

    def no_situation() -> Situation:
        raise NotImplementedError("a witness judges no request")

    operations = build_operations(node, reader, clock, no_situation)
    node.store.watch(keys.operation, operations.notice)
    responder = WitnessResponder(
        config=config,
        reloads=reloads,
        clock=clock,
        store=node.store,
        reader=reader,
        peers=peers,
        operations=operations,
        stored=build_store_reader(config, node, reader, clock),
        changes=build_member_changes(config, node, reader),
        pauses=build_pauses(config, node, reader),
        halts=build_halts(config, node, reader),
        schedules=build_schedules(config, node, reader),
        configurations=build_configurations(config, node, reader, _cannot_check, reloads.timers),
        metrics=metrics,
        first_term=node.store.status().term,
        clocks=ClockWatch(config.name),
        chronicle=chronicle,
        doctor=Doctor(
            config=lambda: reloads.config,
            clock=clock,
            settings=reader.settings,
            timers=lambda: reloads.timers.profile,
            targets=lambda: targets_of(config.name, reader.read(), node.store.status()),
        ),
    )
    return ApiServer(config.restapi, responder, clock)


def _cannot_check(proposal: Proposal) -> tuple[Problem, ...]:
    touched = [name for name in _OF_SERVER if proposal.touches(f"postgresql.{name}")]
    return tuple(
        Problem(
            f"postgresql.{name}",
            "this node is a witness, and has no PostgreSQL to check it",
            "ask a member",
        )
        for name in touched
    )
