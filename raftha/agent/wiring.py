"""The parts that members and witnesses have alike, wired. Knows nothing of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from raftha.agent import lifesigns
from raftha.agent.configurations import Configurations
from raftha.agent.halts import Halts
from raftha.agent.membership import MemberChanges
from raftha.agent.operations import Operations
from raftha.agent.pauses import Pauses
from raftha.agent.peers import Peers
from raftha.agent.reader import ClusterReader
from raftha.agent.schedules import Schedules
from raftha.agent.stored import StoreReader
from raftha.agent.timers import Timers
from raftha.api.client import ApiClient
from raftha.clock import Clock
from raftha.config.proposal import Proposal
from raftha.consensus.node import RaftNode
from raftha.errors import Problem
from raftha.ha.keys import Keys
from raftha.ha.situation import Situation
from raftha.instants import Seconds
from raftha.model.settings import DynamicConfig, NodeConfig, RestConfig
from raftha.model.store import Transact


def connector(
    restapi: Callable[[], RestConfig], clock: Clock
) -> Callable[[str, Seconds], ApiClient]:
    """Makes the client for a member's URL, with this node's credentials."""

    def connect(url: str, timeout: Seconds) -> ApiClient:
        rest = restapi()
        return ApiClient(
            url=url, timeout=timeout, auth=rest.authentication, tls=rest.tls, clock=clock
        )

    return connect


def peer_timeout(settings: DynamicConfig) -> Seconds:
    """How long a member may take to answer a peer: a small part of the ttl (safety R23)."""
    return Seconds(min(2.0, max(0.5, settings.ttl / 10)))


def build_peers(
    restapi: Callable[[], RestConfig],
    reader: ClusterReader,
    clock: Clock,
    changed: Callable[[], None],
) -> Peers:
    return Peers(
        clock=clock,
        connect=connector(restapi, clock),
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
        look=lambda member: lifesigns.look((lifesigns.suspect(member),))[0],
    )


def build_member_changes(
    config: NodeConfig, node: RaftNode, reader: ClusterReader
) -> MemberChanges:
    """The operator's wishes about votes, of a member or a witness."""

    def execute(command: Transact) -> None:
        node.store.execute(command, timeout=reader.settings().retry_timeout)

    return MemberChanges(
        random=Random(),
        keys=Keys(config.scope),
        cluster=reader.read,
        raft=node.store.status,
        execute=execute,
    )


def build_pauses(config: NodeConfig, node: RaftNode, reader: ClusterReader) -> Pauses:
    """The operator's word about the maintenance pause, of a member or a witness."""
    return Pauses(
        store=node.store,
        keys=Keys(config.scope),
        timeout=lambda: reader.settings().retry_timeout,
    )


def build_halts(config: NodeConfig, node: RaftNode, reader: ClusterReader) -> Halts:
    """The operator's word that stops and starts the cluster, of a member or a witness."""
    return Halts(
        me=config.name,
        store=node.store,
        keys=Keys(config.scope),
        timeout=lambda: reader.settings().retry_timeout,
    )


def build_schedules(config: NodeConfig, node: RaftNode, reader: ClusterReader) -> Schedules:
    """What is to be done at a time of day, of a member or a witness."""
    return Schedules(
        me=config.name,
        witness=config.postgresql is None,
        random=Random(),
        store=node.store,
        keys=Keys(config.scope),
        timeout=lambda: reader.settings().retry_timeout,
    )


def build_configurations(
    config: NodeConfig,
    node: RaftNode,
    reader: ClusterReader,
    check: Callable[[Proposal], tuple[Problem, ...]],
    timers: Timers,
) -> Configurations:
    """The shared settings, of a member or a witness."""
    return Configurations(
        store=node.store,
        keys=Keys(config.scope),
        timeout=lambda: reader.settings().retry_timeout,
        check=check,
        timers=timers.profile,
    )


def build_store_reader(
    config: NodeConfig, node: RaftNode, reader: ClusterReader, clock: Clock
) -> StoreReader:
    return StoreReader(
        name=config.name,
        below=Keys(config.scope).prefix,
        store=node.store,
        clock=clock,
        timeout=lambda: reader.settings().retry_timeout,
    )
