"""The cluster as this node's replica of the store holds it."""

from __future__ import annotations

from typing import Final, Protocol

from msgspec.structs import replace

from raftha.ha.documents import read_cluster, renewed
from raftha.ha.keys import Keys
from raftha.model.cluster import Cluster
from raftha.model.ids import Revision
from raftha.model.settings import DynamicConfig
from raftha.model.store import RaftStatus, Snapshot

_EMPTY: Final = Revision(0)


class Store(Protocol):
    """The part of the key store that is looked at."""

    def peek(self) -> Snapshot: ...

    def status(self) -> RaftStatus: ...


class ClusterReader:
    """The cluster as the local replica holds it; decoded once for each change of its keys.

    `before_birth` are the settings while the store holds none."""

    def __init__(self, store: Store, keys: Keys, before_birth: DynamicConfig) -> None:
        self._store = store
        self._keys = keys
        self._before_birth = before_birth
        self._known: tuple[Snapshot, Cluster] | None = None

    def read(self) -> Cluster:
        """May be called from any thread."""
        snapshot = self._store.peek()
        before, known = self._known or (None, None)
        if before is None or known is None or snapshot.revision == _EMPTY:
            return self._decoded(snapshot)
        if snapshot.revision == before.revision:
            return known
        if snapshot.entries != before.entries or snapshot.generation != before.generation:
            return self._decoded(snapshot)
        known = renewed(known, snapshot)
        self._known = (snapshot, known)
        return known

    def _decoded(self, snapshot: Snapshot) -> Cluster:
        before = None if self._known is None else self._known[1]
        cluster = read_cluster(self._keys, snapshot, before)
        if cluster.config_revision is None:
            cluster = replace(cluster, config=self._before_birth)
        self._known = (snapshot, cluster)
        return cluster

    def settings(self) -> DynamicConfig:
        """The cluster-wide settings as this node knows them."""
        return self.read().config
