"""How a voter is put together in tests: the shipped node on fakes."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

from raftha.clock import Clock
from raftha.consensus.members import Identity, Registry, digest_of
from raftha.consensus.node import RaftNode
from raftha.model.settings import RaftTimings
from tests.sim.disk import FakeStore
from tests.sim.fakes import fatal
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
) -> RaftNode:
    """Load the store and build the node on it; its address is its name. Raises StorageFailed."""
    persisted = store.load()
    peers = tuple(other for other in members if other != name)
    identity = Identity(
        scope="sim",
        address=name,
        name=name,
        incarnation=persisted.incarnation,
        witness=witness,
        members=digest_of(members),
    )
    return RaftNode(
        identity=identity,
        peers=peers,
        timings=timings,
        persisted=persisted,
        stable=store,
        links=FakeLinks(network, name),
        registry=Registry(identity, peers, persisted.voters),
        clock=clock,
        random=random,
        fatal=fatal,
    )
