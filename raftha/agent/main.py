"""Runs a member as a process: checks, locks, signals, and the order of start and end.

Returns an exit code: 0 after an orderly stop, 2 for something the user has to correct. A failure
that leaves the process unable to trust itself ends it at once with 70: the guardian, which outlives
it, keeps the deadline.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from functools import partial
from pathlib import Path

from raftha import __version__
from raftha.account import own_name
from raftha.agent.build import Member, build_instance, build_member
from raftha.agent.checkup import look_at_custom_conf
from raftha.agent.chronicle import gist
from raftha.agent.ground import Edges
from raftha.agent.listening import at_its_port
from raftha.agent.logins import look_at_start
from raftha.agent.notify import VARIABLE, ServiceManager
from raftha.agent.process import (
    begin_log,
    fatal,
    on_signals,
    open_node,
    refused,
    run_directory,
)
from raftha.agent.programs import absent
from raftha.agent.receipts import Receipts, will_of
from raftha.agent.release import refuse_unsafe
from raftha.agent.reloading import Reloads
from raftha.clock import Clock, SystemClock
from raftha.consensus.medium import check_medium
from raftha.consensus.visiting import Visitors
from raftha.errors import ConfigError, GuardianError, Problem, RafthaError
from raftha.guardian.events import StopMode
from raftha.ha.announce import role, state
from raftha.ha.keys import Keys
from raftha.ha.situation import Situation
from raftha.ha.table import Decision
from raftha.logs import event
from raftha.metrics import Metrics
from raftha.model.settings import NodeConfig, PostgresConfig
from raftha.pg.directory import running_pid, stranger
from raftha.pg.instance import Instance
from raftha.pg.takeover import to_take_over

LOG = logging.getLogger(__name__)

LONGEST_RUN_DIR = 80
"""A Unix socket's path holds 107 bytes, and PostgreSQL's own file name takes up to 20 of them."""


LONGEST_STOP_S = 60.0
STEP_S = 0.2
"""What runs the container kills it after its own patience, such as Docker's 10 s."""


def run(config: NodeConfig, config_path: Path, *, contained: bool = False) -> int:
    """Run a member until it is stopped. `contained` says that everything ends with this process:
    it is all that a container is for."""
    try:
        begin_log(config)
        return _run_member(config, config_path, SystemClock(), contained=contained)
    except RafthaError as error:
        return refused(error)


def _run_member(config: NodeConfig, config_path: Path, clock: Clock, *, contained: bool) -> int:
    if config.postgresql is None:
        raise ConfigError([Problem(str(config_path), "postgresql is missing", "or use a witness")])
    check_medium(config.raft.data_dir, allow_tmpfs=config.raft.allow_tmpfs)
    run_dir = _made_run_directory(config)
    read, config = config, at_its_port(config, run_dir)
    postgres = config.postgresql
    assert postgres is not None, "it was looked for above"
    lock = _lock(postgres.data_dir)
    instance = build_instance(config, postgres, run_dir, clock)
    _check(config, postgres, instance)
    metrics = Metrics(scope=config.scope, name=config.name, witness=False)
    visitors = Visitors()
    reloads = Reloads(config, config_path, read)
    node = open_node(config, clock, metrics, reloads.timers, witness=False, visitors=visitors)
    visitors.listener = Receipts(node.store, Keys(config.scope)).take
    will = partial(will_of, node.store, config_path.resolve())
    manager = ServiceManager(os.environ.get(VARIABLE), clock)
    edges = Edges(told=partial(_tell, manager))
    member = build_member(
        config, postgres, node, instance, clock, metrics, fatal, will, reloads, edges
    )
    reloads.look = node.refresh

    def take(fresh: NodeConfig) -> None:
        node.refresh(fresh.raft.tls)
        member.reload(fresh)

    reloads.take = take
    # First of all: from here on whoever sees this node answer can also have it stop in order.
    on_signals(member.stop, reloads.on_signal, manager)
    member.api.start()
    node.start()
    event(LOG, logging.INFO, "agent started", name=config.name, version=__version__)
    try:
        member.run()
    finally:
        member.api.stop()
        node.stop()
        member.peers.close()
        if contained:
            _end_server(member)
        _dismiss_guardian(member)
        os.close(lock)
    event(LOG, logging.INFO, "agent ended", name=config.name)
    return 0


def _end_server(member: Member) -> None:
    """The agent leaves a server behind in a maintenance pause. Better a clean stop than SIGKILL."""
    try:
        member.guarding.stop(StopMode.FAST)
    except GuardianError:
        return  # there is none
    patience = LONGEST_STOP_S
    while member.guarding.view().running and patience > 0:
        member.board.woken.clear()
        member.board.woken.wait(STEP_S)
        patience -= STEP_S


def _dismiss_guardian(member: Member) -> None:
    """It refuses while a server runs, which after an orderly stop none does."""
    try:
        member.guarding.quit()
    except GuardianError as error:
        event(LOG, logging.INFO, "guardian stays", why=str(error))
    member.guarding.close()


def _made_run_directory(config: NodeConfig) -> Path:
    path = run_directory(config)
    if len(str(path)) > LONGEST_RUN_DIR:
        what = f"{path} is too long for Unix sockets ({len(str(path))} bytes)"
        remedy = f"choose a raft.data_dir of at most {LONGEST_RUN_DIR - 4} bytes"
        raise ConfigError([Problem("raft.data_dir", what, remedy)])
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError([Problem("raft.data_dir", f"{path}: {error.strerror}")]) from error
    return path


def _lock(data_dir: Path) -> int:
    """Keep a second agent off this data directory. The lock lies beside it and ends with us."""
    data_dir = data_dir.resolve()
    path = data_dir.with_name(f".{data_dir.name}.raftha.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        what = f"{path} cannot be made: {error.strerror}"
        remedy = f"{path.parent} must be writable for {own_name()}: copies are made in it"
        raise ConfigError([Problem("postgresql.data_dir", what, remedy)]) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        what = f"another agent (pid {owner}) already runs on {data_dir}"
        raise ConfigError([Problem("postgresql.data_dir", what, "stop it first")]) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _check(config: NodeConfig, postgres: PostgresConfig, instance: Instance) -> None:
    """Refuse to start where it could not end well, and tell what is amiss."""
    _check_binaries(config, instance)
    look_at_start(instance)
    for problem in absent(postgres, config.bootstrap):
        event(LOG, logging.WARNING, "program not found", option=problem.where, why=problem.what)
    look_at_custom_conf(postgres)
    _check_stranger(instance)
    _check_port(postgres)


def _check_binaries(config: NodeConfig, instance: Instance) -> None:
    binaries = instance.binaries(instance.inspect().major)
    refuse_unsafe(config, binaries)
    event(
        LOG,
        logging.INFO,
        "PostgreSQL found",
        version=binaries.version,
        bin_dir=str(binaries.bin_dir),
        origin=binaries.origin,
    )


def _check_stranger(instance: Instance) -> None:
    """Refuse to start beside a server that was not started by raftha, which could not be guarded,
    unless it is to be taken over."""
    pid = stranger(instance.layout)
    if pid is None or to_take_over(instance.config, instance.layout) is not None:
        return
    what = f"PostgreSQL (pid {pid}) runs on {instance.config.data_dir} and raftha did not start it"
    remedy = (
        "stop it, and what starts it again (its service, Patroni); raftha starts it in its place"
    )
    if not instance.config.take_over:
        remedy += ", and with postgresql.take_over stops it by itself"
    raise ConfigError([Problem("postgresql.data_dir", what, remedy)])


def _check_port(postgres: PostgresConfig) -> None:
    """Say at once that somebody else has PostgreSQL's port; PostgreSQL would only fail later."""
    if running_pid(postgres.data_dir) is not None:
        return
    for host in postgres.listen_hosts:
        address = ("0.0.0.0" if host == "*" else host, postgres.port)
        try:
            family, kind, *_, where = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
        except OSError as error:
            what = f"{host}:{postgres.port} cannot be used: {error.strerror or error}"
            remedy = "stop what listens there, or choose another address"
            raise ConfigError([Problem("postgresql.listen", what, remedy)]) from error


def _tell(manager: ServiceManager, situation: Situation, decision: Decision) -> None:
    """A line for the service manager, after each round of the loop."""
    standing = f"{role(situation)}, {state(situation)}"
    manager.tell(f"{standing}: {decision.reason}", gist=f"{standing}: {gist(decision)}")
