"""Stops and starts the whole cluster at an operator's word. Any node can: it writes one key."""

from __future__ import annotations

import logging
from collections.abc import Callable

from raftha.agent.writing import Store, written
from raftha.ha.documents import read_cluster
from raftha.ha.halting import halting, objection, starting
from raftha.ha.keys import Keys
from raftha.instants import Seconds
from raftha.logs import event
from raftha.model.ids import MemberName
from raftha.model.operation import OperationState, Outcome

LOG = logging.getLogger(__name__)


class Halts:
    """Called from several threads at once; `timeout` bounds the write, `me` is this node."""

    def __init__(
        self, *, me: MemberName, store: Store, keys: Keys, timeout: Callable[[], Seconds]
    ) -> None:
        self._me = me
        self._store = store
        self._keys = keys
        self._timeout = timeout

    def change(self, *, halts: bool) -> Outcome:
        """Stop the cluster, or start it. DONE says that it is written; what the members do comes
        next."""
        cluster = read_cluster(self._keys, self._store.peek())
        why = objection(cluster, halts=halts, majority=self._store.status().majority)
        if why is not None:
            return Outcome(state=OperationState.REFUSED, message=why)
        command = halting(self._keys, self._me) if halts else starting(self._keys, cluster)
        passed = "the cluster has just changed: look again"
        outcome = written(self._store, command, self._timeout(), passed=passed)
        if outcome.state is not OperationState.DONE:
            return outcome
        event(LOG, logging.WARNING, "an operator stops or starts the cluster", stops=halts)
        words = "every member stops its PostgreSQL" if halts else "every member starts PostgreSQL"
        return Outcome(state=OperationState.DONE, message=words)
