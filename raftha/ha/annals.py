"""What the holder of the leader key adds to the record of its own promotion. PURE."""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha.actions import Action, ReleaseLeader, Submit
from raftha.ha.keys import LONGEST_REASON, encode_history
from raftha.ha.situation import Situation
from raftha.ha.table import Verdict
from raftha.model.cluster import HistoryRecord
from raftha.model.store import KeyAt, Put, Transact
from raftha.model.view import HeldLease


def record_of(s: Situation, lease: HeldLease) -> HistoryRecord | None:
    """The promotion that was committed for this epoch."""
    for record in reversed(s.cluster.history):
        if record.epoch == lease.epoch:
            return record
    return None


def rewritten(
    s: Situation, lease: HeldLease, records: tuple[HistoryRecord, ...]
) -> tuple[Action, ...]:
    """Store these records if they differ from what is stored; one write at a time."""
    revision = s.cluster.history_revision
    if revision is None or records == s.cluster.history or "history" in s.view.pending:
        return ()
    guards = (s.epoch_guard(lease), KeyAt(s.keys.history, revision))
    return (Submit("history", Transact(guards, (Put(s.keys.history, encode_history(records)),))),)


def amended(s: Situation, lease: HeldLease, changed: HistoryRecord) -> tuple[Action, ...]:
    """Store this record in the place of the one of its epoch."""
    records = tuple(changed if r.epoch == changed.epoch else r for r in s.cluster.history)
    return rewritten(s, lease, records)


def ending(s: Situation, lease: HeldLease, why: str) -> Verdict | None:
    """What comes before the leader key is given back: writing down why. None once that is there,
    or where there is no place for it."""
    record = record_of(s, lease)
    if record is None or record.ended or not s.view.raft.majority:
        return None
    changed = replace(record, ended=why[:LONGEST_REASON])
    return Verdict(
        f"writing down why the leader key is given back: {why}", amended(s, lease, changed)
    )


def giving_back(s: Situation, lease: HeldLease, why: str) -> Verdict:
    """Give the leader key back once the history says why. Nothing failed here: this node may race
    again at once."""
    memory = replace(s.memory, starts=0, promoted=None)
    release = Verdict(f"giving the leader key back: {why}", (ReleaseLeader(lease.epoch),), memory)
    return ending(s, lease, why) or release
