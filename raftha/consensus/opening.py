"""How a voter is made from its configuration: files, links and node, put together."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from raftha.clock import Clock
from raftha.consensus.dialing import Resolver, resolve
from raftha.consensus.members import Identity, Registry
from raftha.consensus.node import Fatal, RaftNode, draw
from raftha.consensus.security import choose
from raftha.consensus.stable import Owner, Persisted
from raftha.consensus.storage import SqliteStore
from raftha.consensus.transport import TcpLinks
from raftha.model.settings import RaftConfig, RaftTimings


def open_store(
    *,
    scope: str,
    name: str,
    config: RaftConfig,
    timings: RaftTimings,
    clock: Clock,
    random: Random,
    witness: bool,
    fatal: Fatal,
    begin_anew: Fatal,
    synced: Callable[[float], object] = lambda _seconds: None,
    resolver: Resolver = resolve,
) -> RaftNode:
    """Build a voter; nothing runs before `start`. `synced` is told how long each sync took, on the
    raft thread. A damaged Raft directory is put aside. Raises ConfigError for addresses that need a
    key file or certificates, StorageFailed if the directory is in use or another node's."""
    security = choose(config, name, clock)  # refuses before anything is made
    stable = SqliteStore(
        config.data_dir,
        owner=Owner(scope=scope, name=name),
        clock=clock,
        new_incarnation=f"{draw(random, 128):032x}",
        synced=synced,
    )
    persisted = stable.load()
    identity = _identity(scope, name, config, persisted, random, witness=witness)
    registry = Registry(identity, persisted.voters)
    links = TcpLinks(
        config=config,
        security=security,
        timings=timings,
        identity=identity,
        registry=registry,
        clock=clock,
        resolver=resolver,
    )
    return RaftNode(
        identity=identity,
        timings=timings,
        persisted=persisted,
        stable=stable,
        links=links,
        registry=registry,
        clock=clock,
        random=random,
        fatal=fatal,
        begin_anew=begin_anew,
    )


def _identity(
    scope: str,
    name: str,
    config: RaftConfig,
    persisted: Persisted,
    random: Random,
    *,
    witness: bool,
) -> Identity:
    return Identity(
        scope=scope,
        address=str(config.self_addr),
        name=name,
        incarnation=persisted.incarnation,
        witness=witness,
        partners=tuple(sorted({str(a) for a in config.partner_addrs} - {str(config.self_addr)})),
        process=f"{draw(random, 60):x}",
    )
