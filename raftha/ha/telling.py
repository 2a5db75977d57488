"""How far the last leader had written, for whoever would take over from it. PURE.

The note of a renewal goes with its lease, so a member that starts after that would know nothing and
might lead however far it is behind. Where no commit waits for a standby, and the loss is bounded by
that position alone (S7), the leader therefore writes it into a key too (docs/adr/0020).
"""

from __future__ import annotations

from raftha.ha.documents import may_tell
from raftha.ha.keys import Keys, decode_position, encode_told
from raftha.ha.situation import Situation
from raftha.model.ids import Lsn, MemberName, Revision, Timeline
from raftha.model.postgres import ServerStatus
from raftha.model.store import (
    Guard,
    KeyAbsent,
    KeyAt,
    KeyCreatedAt,
    Put,
    Snapshot,
    Transact,
    Write,
)
from raftha.model.view import HeldLease


def telling(
    keys: Keys, store: Snapshot, lease: HeldLease, me: MemberName, note: bytes
) -> Transact | None:
    """What goes before a renewal with this note; None if commits wait for a standby, and if the
    store says it already. Both guards hold for as long as the lease does: a write that is still
    under way stands against none that follows."""
    told = decode_position(note)
    if told is None or keys.sync in store.entries:
        return None
    value, known = encode_told(me, *told), store.entries.get(keys.position)
    if (known is not None and known.value == value) or not may_tell(keys, store):
        return None
    here: Guard = KeyAbsent(keys.position)
    if known is not None:
        here = KeyCreatedAt(keys.position, known.create_revision)
    epoch = KeyCreatedAt(keys.leader, Revision(lease.epoch.revision))
    return Transact((epoch, here), (Put(keys.position, value),))


def told_meanwhile(
    s: Situation, server: ServerStatus
) -> tuple[tuple[Guard, ...], tuple[Write, ...]]:
    """What goes with the end of a synchronous set, so that from then on a position is there: that
    of an earlier time without a set may be far behind. Nothing if what stands there, or how far the
    server has written, is not known."""
    known, key = s.cluster.told, s.keys.position
    if server.written is None or key in s.cluster.unreadable:
        return (), ()
    here: Guard = KeyAbsent(key) if known is None else KeyAt(key, known.revision)
    return (here,), (Put(key, encode_told(s.me, server.timeline, server.written)),)


def last_told(s: Situation) -> tuple[Timeline, Lsn] | None:
    """How far leaders had written, by the last renewal that was seen here and by the key."""
    seen, kept = s.memory.leader_seen, s.cluster.told
    known = [] if kept is None else [(kept.timeline, kept.position)]
    if seen is not None and seen.timeline is not None and seen.position is not None:
        known.append((seen.timeline, seen.position))
    return max(known, default=None)
