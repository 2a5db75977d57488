"""How a voter is put together in tests: the shipped node on fakes."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

from raftha.clock import Clock
from raftha.consensus.members import Identity, Registry
from raftha.consensus.node import RaftNode
from raftha.model.settings import RaftTimings
from tests.sim.disk import FakeStore
from tests.sim.fakes import begin_anew, fatal
from tests.sim.network import FakeLinks, Network


def make_voter(
    name: str,
    *,
    members: Collection[str],
    store: FakeStore,
    network: Network,
    timings: RaftTimings,
    clock: Clock,
    random: Random,
    witness: bool = False,
    called: str | None = None,
) -> RaftNode:
    """Load the store and build the node on it; its address is its name, unless it is `called`
    otherwise. Raises StorageFailed."""
    persisted = store.load()
    partners = tuple(other for other in members if other != name)
    identity = Identity(
        scope="sim",
        address=name,
        name=called or name,
        incarnation=persisted.incarnation,
        witness=witness,
        partners=partners,
        process=f"{random.getrandbits(60):x}",
    )
    registry = Registry(identity, persisted.voters)
    return RaftNode(
        identity=identity,
        timings=timings,
        persisted=persisted,
        stable=store,
        links=FakeLinks(network, name, registry),
        registry=registry,
        clock=clock,
        random=random,
        fatal=fatal,
        begin_anew=begin_anew,
    )
