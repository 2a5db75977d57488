"""What an operator is told before a recovery, and what it writes into the store. PURE.

Whoever recovers a cluster says with it that this member may be promoted though it may lack commits:
`sync` names it alone then, and how far a lost leader had written is forgotten. Requests of the past
are over. And promotions that this member never heard of may have used timeline numbers, so a run of
them is set aside: two servers that write one number cannot be told apart later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from raftha.ha.keys import (
    KEPT_RECORDS,
    LONGEST_REASON,
    Keys,
    decode_position,
    encode_history,
    encode_operation,
    encode_sync,
)
from raftha.model.cluster import Cluster, HistoryRecord
from raftha.model.ids import Epoch, Lsn, MemberName, Revision, Timeline
from raftha.model.membership import WishState, key_of, writing
from raftha.model.operation import OperationState
from raftha.model.store import Guard, KeyAt, Put, Remove, Transact, Write

SET_ASIDE: Final = 32
"""Timeline numbers that are skipped: more promotions than these, within what the survivor missed,
would have to be known otherwise."""
_GIVEN_UP: Final = "given up: the cluster was recovered after the loss of its majority"
_NO_REVISION: Final = Revision(0)


class Survivor(Struct, frozen=True, kw_only=True):
    """Who recovers, and what it holds of PostgreSQL. `end` is how far its WAL is known to go;
    without a timeline it has no data to go on with."""

    name: MemberName
    timeline: Timeline | None = None
    end: Lsn | None = None


def amendment(
    keys: Keys,
    cluster: Cluster,
    survivor: Survivor,
    *,
    generation: int,
    lost: Sequence[str],
    wall: float,
) -> Transact | None:
    """What the new generation's store says differently; None if nothing."""
    changes = [
        *_sync(keys, cluster, survivor),
        *_position(keys, cluster, survivor),
        *_request(keys, cluster),
        *_wishes(keys, cluster),
        *_disarmed(keys, cluster, {survivor.name, *lost}),
        *_history(keys, cluster, survivor, generation, lost, wall),
    ]
    if not changes:
        return None
    return Transact(tuple(guard for guard, _ in changes), tuple(write for _, write in changes))


def stakes(cluster: Cluster, survivor: Survivor) -> tuple[str, ...]:
    """What may be lost, in sentences, as far as this member can know."""
    found = [_of_sync(cluster, survivor), _of_wal(cluster, survivor)]
    found += [
        f"{name} was left without a deadline by a maintenance pause: its PostgreSQL runs on until "
        "somebody stops it"
        for name in sorted(cluster.disarmed)
        if name != survivor.name
    ]
    request = cluster.request
    if request is not None:
        found.append(f"the {request.kind} that was asked for is given up")
    found += [
        f"what was asked for {wish.name} is given up: member {wish.verb}"
        for wish in cluster.wishes.values()
        if wish.state is WishState.ASKED
    ]
    return tuple(sentence for sentence in found if sentence)


def holders(cluster: Cluster) -> tuple[MemberName, ...]:
    """Who holds every acknowledged commit, as far as this store tells; nobody is known to where
    commits waited for no standby."""
    sync = cluster.sync
    return () if sync is None else (sync.leader, *sync.standbys)


def last_told(cluster: Cluster) -> tuple[Timeline, Lsn] | None:
    """How far leaders had written, by the last renewal that this node holds and by the key."""
    told, leader = cluster.told, cluster.leader
    note = None if leader is None else decode_position(leader.lease.note)
    known = [] if told is None else [(told.timeline, told.position)]
    return max((*known, note) if note is not None else known, default=None)


def _of_sync(cluster: Cluster, survivor: Survivor) -> str:
    sync, me = cluster.sync, survivor.name
    if survivor.timeline is None:
        return f"{me} has no PostgreSQL data: the cluster has no server until another one joins"
    if sync is None:
        return (
            "commits waited for no standby: what the last leader acknowledged and "
            f"{me} had not received is lost"
        )
    if me == sync.leader:
        return (
            f"{me} is the last leader known here: every commit that it acknowledged is in its WAL, "
            "but those of a later leader, if there was one, are lost"
        )
    if me in sync.standbys and sync.quorum:
        return (
            f"{me} is one of {', '.join(sync.standbys)}, of which any {sync.quorum + 1} together "
            "hold every acknowledged commit: alone it may lack some, if another one holds more"
        )
    if me in sync.standbys:
        return (
            f"{me} is the synchronous standby of {sync.leader}: as far as its log tells, it holds "
            "every commit that was acknowledged"
        )
    return (
        f"every acknowledged commit is provably held by {' and '.join(holders(cluster))} alone, "
        f"and not by {me}: "
        "acknowledged commits may be lost"
    )


def _of_wal(cluster: Cluster, survivor: Survivor) -> str:
    told, end = last_told(cluster), survivor.end
    if told is None or end is None or survivor.timeline is None:
        return ""
    timeline, position = told
    if (survivor.timeline, end) >= (timeline, position):
        return (
            f"the last leader had told of WAL up to {position} on timeline {timeline}, all of it "
            "is here"
        )
    return (
        f"the last leader had told of WAL up to {position} on timeline {timeline}; here it is "
        f"known to go to {end} on timeline {survivor.timeline} only"
    )


_Change = tuple[Guard, Write]


def _sync(keys: Keys, cluster: Cluster, survivor: Survivor) -> list[_Change]:
    sync = cluster.sync
    if sync is None or survivor.timeline is None:
        return []
    put = Put(keys.sync, encode_sync(survivor.name, ()))
    return [(KeyAt(keys.sync, sync.revision), put)]


def _position(keys: Keys, cluster: Cluster, survivor: Survivor) -> list[_Change]:
    """This member may lead however far it is behind what a lost leader had told."""
    if cluster.told is None or survivor.timeline is None:
        return []
    return [(KeyAt(keys.position, cluster.told.revision), Remove(keys.position))]


def _request(keys: Keys, cluster: Cluster) -> list[_Change]:
    changes: list[_Change] = []
    if cluster.request is not None:
        guard = KeyAt(keys.failover, cluster.request.revision)
        changes.append((guard, Remove(keys.failover)))
    operation = cluster.operation
    if operation is not None and operation.state is OperationState.RUNNING:
        ended = replace(operation, state=OperationState.REFUSED, message=_GIVEN_UP)
        put = Put(keys.operation, encode_operation(ended))
        changes.append((KeyAt(keys.operation, operation.revision), put))
    return changes


def _wishes(keys: Keys, cluster: Cluster) -> list[_Change]:
    """What was asked of the voters; but what a removed one left behind is still cleared away."""
    asked = [wish for wish in cluster.wishes.values() if wish.state is WishState.ASKED]
    return [
        (
            KeyAt(key_of(keys.scope, wish.name), wish.revision),
            writing(keys.scope, wish.became(WishState.REFUSED, _GIVEN_UP)),
        )
        for wish in asked
    ]


def _disarmed(keys: Keys, cluster: Cluster, ended: set[str]) -> list[_Change]:
    """Whoever recovers has said of each lost node that it is off, and ends its own primary."""
    names = {name.casefold() for name in ended}
    return [
        (KeyAt(keys.disarmed_of(name), entry.revision), Remove(keys.disarmed_of(name)))
        for name, entry in sorted(cluster.disarmed.items())
        if name.casefold() in names
    ]


def _history(
    keys: Keys,
    cluster: Cluster,
    survivor: Survivor,
    generation: int,
    lost: Sequence[str],
    wall: float,
) -> list[_Change]:
    revision = cluster.history_revision
    if revision is None:
        return []
    first = max(cluster.highest_timeline, survivor.timeline or 0) + 1
    last = first + SET_ASIDE - 1
    reason = (
        f"recovered by an operator; timelines {first} to {last} are not used, for the lost ones "
        f"may have: {', '.join(lost) or 'nobody'}"
    )
    record = HistoryRecord(
        timeline=Timeline(last),
        parent=None,
        switch=None,
        epoch=Epoch(generation, _NO_REVISION),
        leader=survivor.name,
        reason=reason[:LONGEST_REASON],
        wall=wall,
    )
    put = Put(keys.history, encode_history((*cluster.history[-KEPT_RECORDS:], record)))
    return [(KeyAt(keys.history, revision), put)]
