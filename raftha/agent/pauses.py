"""Begins and ends the maintenance pause at an operator's word. Any node can: it writes one key."""

from __future__ import annotations

import logging
from collections.abc import Callable

from raftha.agent.writing import Store, written
from raftha.ha.documents import read_cluster
from raftha.ha.halting import WORDS
from raftha.ha.keys import Keys
from raftha.ha.pausing import switching
from raftha.instants import Seconds
from raftha.logs import event
from raftha.model.cluster import Cluster
from raftha.model.operation import OperationState
from raftha.model.report import PauseChange
from raftha.model.store import Entry

LOG = logging.getLogger(__name__)


class Pauses:
    """Called from several threads at once; `timeout` bounds the write."""

    def __init__(self, *, store: Store, keys: Keys, timeout: Callable[[], Seconds]) -> None:
        self._store = store
        self._keys = keys
        self._timeout = timeout

    def change(self, *, paused: bool) -> PauseChange:
        """Begin or end the pause. DONE says that it is written; what the members do comes next."""
        snapshot = self._store.peek()
        cluster = read_cluster(self._keys, snapshot)
        entry = snapshot.entries.get(self._keys.config)
        reason = self._refusal(cluster, entry, paused=paused)
        if reason is not None or entry is None:
            return _answer(paused, OperationState.REFUSED, reason or "")
        command = switching(self._keys, entry, paused=paused)
        passed = "the settings have just been changed: ask again"
        outcome = written(self._store, command, self._timeout(), passed=passed)
        if outcome.state is not OperationState.DONE:
            return _answer(paused, outcome.state, outcome.message)
        event(LOG, logging.WARNING, "maintenance pause", paused=paused)
        words = "the cluster is paused" if paused else "the pause is over"
        return _answer(paused, OperationState.DONE, words)

    def _refusal(self, cluster: Cluster, entry: Entry | None, *, paused: bool) -> str | None:
        if not self._store.status().majority:
            return "no majority of the voters is in touch: nothing can be changed safely"
        if entry is None:
            return "the cluster has no settings yet: nobody has initialised it"
        if self._keys.config in cluster.unreadable:
            return f"the key {self._keys.config} cannot be read: this version is too old for it"
        if cluster.paused == paused:
            return "the cluster is paused already" if paused else "the cluster is not paused"
        return WORDS if paused and cluster.halt is not None else None


def _answer(paused: bool, state: OperationState, message: str) -> PauseChange:
    return PauseChange(paused=paused, state=state, message=message)
