"""Takes what is to be done at a time of day into the store, and off it again.

Any node can: it writes one key. When the time has come the leader, or the member itself, does it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random

from raftha.agent.writing import Store, tried
from raftha.errors import CompareFailed
from raftha.ha.documents import read_cluster
from raftha.ha.keys import Keys
from raftha.ha.scheduling import (
    Scheduled,
    cancelling,
    general_objection,
    key_of,
    objection,
    scheduling,
    words_of,
)
from raftha.instants import Seconds
from raftha.logs import event
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName
from raftha.model.operation import OperationState
from raftha.model.scheduling import (
    ScheduleAnswer,
    ScheduledRestart,
    ScheduledSwitchover,
    ScheduleState,
)
from raftha.model.store import Transact

LOG = logging.getLogger(__name__)


class Schedules:
    """Called from several threads at once; `timeout` bounds each write. `me` has a server that can
    be restarted, unless this is a witness."""

    def __init__(
        self,
        *,
        me: MemberName,
        witness: bool,
        random: Random,
        store: Store,
        keys: Keys,
        timeout: Callable[[], Seconds],
    ) -> None:
        self._me = me
        self._witness = witness
        self._random = random
        self._store = store
        self._keys = keys
        self._timeout = timeout

    def switchover(
        self, due: float, leader: MemberName, candidate: MemberName | None
    ) -> ScheduleAnswer:
        """Schedule a switchover; `due` is Unix time."""
        cluster = self._cluster()
        why = objection(cluster, leader, candidate, majority=self._store.status().majority)
        plan = ScheduledSwitchover(
            id=f"{self._random.getrandbits(48):012x}", due=due, leader=leader, candidate=candidate
        )
        return self._schedule(cluster, plan, cluster.scheduled_switchover, why)

    def restart(self, plan: ScheduledRestart) -> ScheduleAnswer:
        """Schedule the restart of the server of this node."""
        cluster = self._cluster()
        before = cluster.scheduled_restarts.get(plan.member)
        return self._schedule(cluster, plan, before, self._objection(cluster, plan))

    def _objection(self, cluster: Cluster, plan: ScheduledRestart) -> str | None:
        if self._witness:
            return f"{self._me} is a witness: it has no PostgreSQL"
        if plan.member != self._me:
            return f"this is {self._me}, not {plan.member}"
        return general_objection(cluster, majority=self._store.status().majority)

    def cancel_switchover(self) -> ScheduleAnswer:
        """Take the switchover off the schedule, also one that will not happen any more."""
        return self._cancel(self._cluster().scheduled_switchover, "no switchover is scheduled")

    def cancel_restart(self, name: MemberName) -> ScheduleAnswer:
        """Take the restart of a member off the schedule; one that has begun goes on."""
        plan = self._cluster().scheduled_restarts.get(name)
        if plan is not None and plan.process and not plan.refused:
            return _answer(ScheduleState.REFUSED, f"the restart of {name} has begun")
        return self._cancel(plan, f"no restart of {name} is scheduled")

    @property
    def me(self) -> MemberName:
        """The node that is asked."""
        return self._me

    def _cluster(self) -> Cluster:
        return read_cluster(self._keys, self._store.peek())

    def _schedule(
        self, cluster: Cluster, plan: Scheduled, before: Scheduled | None, why: str | None
    ) -> ScheduleAnswer:
        key = key_of(self._keys, plan)
        if key in cluster.unreadable:
            why = f"the key {key} cannot be read: this version is too old for it"
        if why is not None:
            return _answer(ScheduleState.REFUSED, why)
        if before is not None and not before.refused:
            words = f"there is one already: {words_of(before)}; raftha flush takes it off"
            return _answer(ScheduleState.TAKEN, words)
        command = scheduling(self._keys, plan, before)
        return self._write(command, ScheduleState.SCHEDULED, f"scheduled: {words_of(plan)}")

    def _cancel(self, plan: Scheduled | None, absent: str) -> ScheduleAnswer:
        if plan is None:
            return _answer(ScheduleState.ABSENT, absent)
        words = f"off the schedule: {words_of(plan)}"
        return self._write(cancelling(self._keys, plan), ScheduleState.CANCELLED, words)

    def _write(self, command: Transact, state: ScheduleState, words: str) -> ScheduleAnswer:
        try:
            outcome = tried(self._store, command, self._timeout())
        except CompareFailed:
            return _answer(ScheduleState.TAKEN, "somebody else has just changed it: look again")
        if outcome.state is not OperationState.DONE:
            return _answer(ScheduleState(outcome.state), outcome.message)
        event(LOG, logging.WARNING, "schedule changed", what=words)
        return _answer(state, words)


def _answer(state: ScheduleState, message: str) -> ScheduleAnswer:
    return ScheduleAnswer(state=state, message=message)
