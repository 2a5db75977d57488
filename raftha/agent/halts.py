"""Stops and starts the whole cluster at an operator's word. Any node can: it writes one key."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from raftha.errors import CompareFailed, OutcomeUnknown, StoreUnavailable
from raftha.ha.documents import read_cluster
from raftha.ha.halting import halting, objection, starting
from raftha.ha.keys import Keys
from raftha.instants import Seconds
from raftha.logs import event
from raftha.model.ids import MemberName
from raftha.model.operation import OperationState, Outcome
from raftha.model.store import Command, Committed, RaftStatus, Snapshot

LOG = logging.getLogger(__name__)


class Store(Protocol):
    """The part of the key store that is used here."""

    def execute(self, command: Command, *, timeout: Seconds) -> Committed: ...

    def peek(self) -> Snapshot: ...

    def status(self) -> RaftStatus: ...


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
        try:
            self._store.execute(command, timeout=self._timeout())
        except CompareFailed:
            why = "the cluster has just changed: look again"
            return Outcome(state=OperationState.REFUSED, message=why)
        except StoreUnavailable as error:
            return Outcome(state=OperationState.REFUSED, message=f"the store refused: {error}")
        except OutcomeUnknown as error:
            return Outcome(state=OperationState.UNKNOWN, message=f"the answer was lost: {error}")
        event(LOG, logging.WARNING, "an operator stops or starts the cluster", stops=halts)
        words = "every member stops its PostgreSQL" if halts else "every member starts PostgreSQL"
        return Outcome(state=OperationState.DONE, message=words)
