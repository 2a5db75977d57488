"""Whether clients may write, and for how long they could not before. PURE.

The end of the writes of another leader is known by its renewals, as long as it announces that its
server serves; so the time without writes is told a heartbeat too long at most. An agent that was
started since then has not seen the leader before, and tells nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from raftha.ha.memory import Served
from raftha.ha.situation import Situation
from raftha.ha.sync import is_settled
from raftha.instants import Instant, Seconds, longest
from raftha.model.cluster import HistoryRecord, Leader, MemberRole, MemberState
from raftha.model.view import HeldLease


def takes_writes(s: Situation) -> bool:
    """Clients may write here, as far as this tick knows."""
    server = s.server
    if s.lease is None or server is None or not server.is_primary:
        return False
    return is_settled(server) and not s.view.directory.closed and s.memory.drained is None


def last_served(s: Situation) -> Served | None:
    """Who was last known to take writes, with this tick taken in."""
    before, leader, at = s.memory.served, s.cluster.leader, _served_at(s)
    if leader is None or at is None:
        return before
    if before is not None and before.epoch == leader.epoch:
        return replace(before, at=at)
    gap = None
    if before is not None and not _missed_one(s, before, leader):
        gap = Seconds(longest(before.at, s.now))
    return Served(epoch=leader.epoch, at=at, gap_seconds=gap)


def _missed_one(s: Situation, before: Served, leader: Leader) -> bool:
    """Somebody was promoted in between, and may have taken writes while this node was cut off."""
    together = s.memory.together_since
    if together is not None and longest(together, before.at) >= 0:
        return False
    promoted = (record.epoch for record in s.cluster.history if record.is_promotion)
    return any(before.epoch < epoch < leader.epoch for epoch in promoted)


def _served_at(s: Situation) -> Instant | None:
    if s.other_leader is None:
        return s.now if takes_writes(s) else None
    member, seen = s.leader_member, s.memory.leader_seen
    if member is None or seen is None or seen.name != member.name:
        return None
    serves = member.role is MemberRole.PRIMARY and member.state is MemberState.RUNNING
    return seen.at if serves else None


def with_gap(
    s: Situation, lease: HeldLease, records: Sequence[HistoryRecord]
) -> tuple[HistoryRecord, ...]:
    """The history with the time without writes before the server here took them, once it does."""
    served = s.memory.served
    if served is None or served.epoch != lease.epoch or served.gap_seconds is None:
        return tuple(records)
    gap = Seconds(round(served.gap_seconds, 1))
    return tuple(
        replace(record, gap_seconds=gap)
        if record.epoch == lease.epoch and record.gap_seconds is None
        else record
        for record in records
    )
