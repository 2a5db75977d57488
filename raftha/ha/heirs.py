"""Who may lead after a leader that gives its key back: they hold all that it holds. PURE."""

from __future__ import annotations

from collections.abc import Callable

from raftha.ha.actions import Action, Submit
from raftha.ha.keys import encode_sync
from raftha.ha.parting import is_leaving, stays
from raftha.ha.situation import Situation
from raftha.instants import Instant
from raftha.model.cluster import SyncSet
from raftha.model.ids import Lsn, MemberName
from raftha.model.report import PeerReport
from raftha.model.store import KeyAt, Put, Transact
from raftha.model.view import HeldLease


def holders(
    s: Situation, since: Instant, holds: Callable[[PeerReport], bool]
) -> tuple[MemberName, ...]:
    """The members of which this was so when they were asked since then, and that may lead."""
    found = []
    for member in s.other_members:
        if is_leaving(s.cluster, member.name) or not (member.tags.may_lead and s.has_vote(member)):
            continue
        answer = s.view.peers.get(member.name)
        if answer is None or answer.report is None or s.since(answer.asked) > s.since(since):
            continue
        if holds(answer.report):
            found.append(member.name)
    return tuple(found)


def named(
    s: Situation, lease: HeldLease, sync: SyncSet, names: tuple[MemberName, ...], floor: Lsn | None
) -> tuple[Action, ...]:
    """Put them into the synchronous set, unless that is under way."""
    if "sync" in s.view.pending:
        return ()
    put = Put(s.keys.sync, encode_sync(s.me, names, floor=floor))
    kept = KeyAt(s.keys.sync, sync.revision)
    guards = (s.epoch_guard(lease), kept, *(stays(s, name) for name in names))
    return (Submit("sync", Transact(guards, (put,))),)
