"""What a promotion left behind, written into its record once the server that has it is back. PURE.

The leader's history is written here by another member, without the leader's epoch: the write names
the revision that it changes, and changes nothing that a decision rests on.
"""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha.actions import Action, Submit
from raftha.ha.keys import encode_history
from raftha.ha.situation import Situation
from raftha.model.cluster import HistoryRecord
from raftha.model.ids import Timeline
from raftha.model.store import KeyAt, Put, Transact
from raftha.model.view import Diverged


def loss_report(s: Situation) -> tuple[Action, ...]:
    """Say in the history how much WAL this node has just undone; nothing if that is said."""
    done, revision = s.view.finished, s.cluster.history_revision
    if done is None or done.diverged is None or revision is None or "history" in s.view.pending:
        return ()
    records = with_loss(s.cluster.history, done.diverged)
    if records == s.cluster.history:
        return ()
    put = Put(s.keys.history, encode_history(records))
    return (Submit("history", Transact((KeyAt(s.keys.history, revision),), (put,))),)


def with_loss(history: tuple[HistoryRecord, ...], undone: Diverged) -> tuple[HistoryRecord, ...]:
    """The history with the bytes behind the switch away from that timeline. Of several servers that
    held some of them the one that held most counts."""
    record = _departure(history, undone.timeline)
    if record is None or record.switch is None:
        return history
    lost = max(record.switch.behind(undone.end), record.lost_bytes or 0)
    if lost == record.lost_bytes:
        return history
    changed = replace(record, lost_bytes=lost)
    return tuple(changed if known is record else known for known in history)


def _departure(history: tuple[HistoryRecord, ...], timeline: Timeline) -> HistoryRecord | None:
    """The newest promotion away from a timeline. A timeline that nobody went on from was left by a
    later promotion away from one that it came from."""
    line = [timeline]
    for record in reversed(history):  # Newest first: a parent comes after its child, once.
        if record.timeline == line[-1] and record.parent is not None:
            line.append(record.parent)
    for left in line:
        for record in reversed(history):
            if record.parent == left and record.switch is not None and record.timeline > timeline:
                return record
    return None
