"""Takes an operator's wish about a node's vote into the store, and tells what became of it.

Any node can: it needs the cluster and the group as this node knows them, and no PostgreSQL.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random

from raftha.agent.group import change_of
from raftha.errors import CompareFailed, OutcomeUnknown, StoreUnavailable
from raftha.ha.keys import Keys
from raftha.ha.wishing import NotPossible, absence, command_of, wish_of
from raftha.logs import event
from raftha.model.cluster import Cluster
from raftha.model.membership import MemberWish
from raftha.model.operation import OperationState
from raftha.model.report import MemberChange, MemberChangeRequest
from raftha.model.store import RaftStatus, Transact

LOG = logging.getLogger(__name__)


class MemberChanges:
    """`execute` commits a command and raises the store's errors."""

    def __init__(
        self,
        *,
        random: Random,
        keys: Keys,
        cluster: Callable[[], Cluster],
        raft: Callable[[], RaftStatus],
        execute: Callable[[Transact], None],
    ) -> None:
        self._random = random
        self._keys = keys
        self._cluster = cluster
        self._raft = raft
        self._execute = execute

    def ask(self, asked: MemberChangeRequest) -> MemberChange:
        """Commit the wish, or say why not. The same wish asked for again is the one under way."""
        cluster = self._cluster()
        try:
            wish = wish_of(asked, self._raft(), cluster, f"{self._random.getrandbits(48):012x}")
        except NotPossible as error:
            return MemberChange(
                id="",
                verb=asked.verb,
                name=asked.name,
                address=asked.address or "",
                state=OperationState.REFUSED,
                message=str(error),
            )
        known = cluster.wishes.get(wish.name)
        if known is not None and known.is_open and _is_same(known, wish):
            return change_of(known)
        if asked.dry_run and (why := absence(wish, self._raft())) is not None:
            return _ended(wish, OperationState.REFUSED, why)
        if asked.dry_run:
            words = f"{wish.verb} {wish.name}: it would be asked for; nothing was changed"
            return _ended(wish, OperationState.DONE, words)
        return self._commit(cluster, wish)

    def latest(self, name: str) -> MemberChange | None:
        """The last wish for a name, in any spelling of it."""
        for wish in self._cluster().wishes.values():
            if wish.name.casefold() == name.casefold():
                return change_of(wish)
        return None

    def _commit(self, cluster: Cluster, wish: MemberWish) -> MemberChange:
        try:
            self._execute(command_of(self._keys, cluster, wish))
        except CompareFailed:
            return _ended(wish, OperationState.REFUSED, "the cluster has just changed: ask again")
        except StoreUnavailable as error:
            return _ended(wish, OperationState.REFUSED, f"the store refused: {error}")
        except OutcomeUnknown as error:
            return _ended(wish, OperationState.UNKNOWN, f"the answer was lost: {error}")
        event(LOG, logging.WARNING, "member change", verb=wish.verb, name=wish.name, id=wish.id)
        return change_of(wish)


def _is_same(known: MemberWish, wish: MemberWish) -> bool:
    return (known.verb, known.address, known.barred) == (wish.verb, wish.address, wish.barred)


def _ended(wish: MemberWish, state: OperationState, message: str) -> MemberChange:
    return MemberChange(
        id=wish.id,
        verb=wish.verb,
        name=wish.name,
        address=wish.address,
        state=state,
        message=message,
    )
