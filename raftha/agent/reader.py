"""The cluster as this node's replica of the store holds it."""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from raftha.ha.documents import read_cluster
from raftha.ha.keys import Keys
from raftha.model.cluster import Cluster
from raftha.model.ids import Revision
from raftha.model.settings import DynamicConfig
from raftha.model.store import RaftStatus, Snapshot


class Store(Protocol):
    """The part of the key store that is looked at."""

    def peek(self) -> Snapshot: ...

    def status(self) -> RaftStatus: ...


class ClusterReader:
    """The cluster as the local replica holds it; decoded once for each revision.

    `before_birth` are the settings while the store holds none."""

    def __init__(self, store: Store, keys: Keys, before_birth: DynamicConfig) -> None:
        self._store = store
        self._keys = keys
        self._before_birth = before_birth
        self._known: Cluster | None = None

    def read(self) -> Cluster:
        """May be called from any thread."""
        snapshot = self._store.peek()
        known = self._known
        if known is None or known.revision != snapshot.revision or snapshot.revision == Revision(0):
            known = read_cluster(self._keys, snapshot)
            if known.config_revision is None:
                known = replace(known, config=self._before_birth)
            self._known = known
        return known

    def settings(self) -> DynamicConfig:
        """The cluster-wide settings as this node knows them."""
        return self.read().config
