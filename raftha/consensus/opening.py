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
from raftha.consensus.visiting import Visitors
from raftha.model.settings import RaftConfig, RaftTimings


def open_store(
    *,
    scope: str,
    name: str,
    config: RaftConfig,
    timings: Callable[[Persisted], RaftTimings],
    clock: Clock,
    random: Random,
    witness: bool,
    fatal: Fatal,
    begin_anew: Fatal,
    visitors: Visitors | None = None,
    api_url: str = "",
    synced: Callable[[float], object] = lambda _seconds: None,
    resolver: Resolver = resolve,
) -> RaftNode:
    """Build a voter; nothing runs before `start`. Its timers are chosen by what it remembers. The
    others are told `api_url`; `synced`, on the raft thread, how long each sync took. A damaged Raft
    directory is put aside. Raises ConfigError for addresses without a key file or certificates,
    StorageFailed if in use or another's."""
    security = choose(config, name, clock)  # refuses before anything is made
    owner = Owner(scope=scope, name=name)
    stable = _stable(owner, config, clock, f"{draw(random, 128):032x}", synced)
    persisted = stable.load()
    identity = _identity(owner, config, persisted, random, witness=witness, api_url=api_url)
    registry = Registry(identity, persisted.voters)
    chosen = timings(persisted)
    links = TcpLinks(
        config=config,
        security=security,
        timings=chosen,
        identity=identity,
        registry=registry,
        visitors=visitors or Visitors(),
        clock=clock,
        resolver=resolver,
    )
    return RaftNode(
        identity=identity,
        timings=chosen,
        persisted=persisted,
        stable=stable,
        links=links,
        registry=registry,
        clock=clock,
        random=random,
        fatal=fatal,
        begin_anew=begin_anew,
    )


def _stable(
    owner: Owner,
    config: RaftConfig,
    clock: Clock,
    new: str,
    synced: Callable[[float], object],
) -> SqliteStore:
    return SqliteStore(
        config.data_dir, owner=owner, clock=clock, new_incarnation=new, synced=synced
    )


def _identity(
    owner: Owner,
    config: RaftConfig,
    persisted: Persisted,
    random: Random,
    *,
    witness: bool,
    api_url: str,
) -> Identity:
    return Identity(
        scope=owner.scope,
        address=str(config.self_addr),
        name=owner.name,
        incarnation=persisted.incarnation,
        witness=witness,
        partners=tuple(sorted({str(a) for a in config.partner_addrs} - {str(config.self_addr)})),
        process=f"{draw(random, 60):x}",
        api_url=api_url,
    )
