"""Whom commits should wait for: the choice among the standbys, and what is known of each. PURE.

With `on` it is so many named standbys: those that are waited for already, while they serve, and
then the best. With `quorum` it is any so many of all that serve. Those that may not lead come last:
where commits rest on them alone, nobody could take over.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from raftha.ha.parting import is_leaving
from raftha.ha.plans import NOBODY, names_for, setting_of, waits_of
from raftha.ha.quorum import Waits
from raftha.ha.situation import Situation
from raftha.instants import Instant, longest
from raftha.model.cluster import Member, MemberState
from raftha.model.ids import MemberName
from raftha.model.postgres import Attached, ServerRole, ServerStatus
from raftha.model.settings import SynchronousMode

SYNC_WAIT_S = 0.5
"""How long commits may wait for a standby that is not attached before the set shrinks."""

_REBUILDING = frozenset({MemberState.INITIALIZING, MemberState.CREATING, MemberState.REWINDING})
_WITHOUT_SERVER = _REBUILDING | {
    MemberState.WAITING,
    MemberState.STOPPING,
    MemberState.STOPPED,
    MemberState.FAILED,
}
"""What a member says of itself that has no server now. What streams under its name nevertheless is
another one, as of a machine whose agent died and which was replaced: its answers prove nothing of
what the member holds."""

_NOBODY_LEFT = Waits(0, frozenset())
_FOREVER = Waits(1, frozenset())


class _Standby(Struct, frozen=True):
    """One that commits may wait for. `kept` says that they do already, `near` that it is not
    behind for more than `maximum_lag_on_syncnode`."""

    name: MemberName
    may_lead: bool
    kept: bool
    near: bool
    priority: int
    flushed: int

    @property
    def serves(self) -> bool:
        return self.may_lead and self.near

    @property
    def rank(self) -> tuple[bool, bool, int, bool, int, str]:
        return self.may_lead, self.near, self.priority, self.kept, self.flushed, self.name


def attached(server: ServerStatus, name: MemberName) -> Attached | None:
    """The stream of this name, if it has caught up."""
    for row in server.attached:
        if row.application_name.lower() == name.lower() and row.state == "streaming":
            return row
    return None


def may_serve(s: Situation, name: MemberName) -> bool:
    """What streams under this name is that member, and commits may wait for it."""
    member = _willing(s, name)
    return member is not None and member.state not in _WITHOUT_SERVER


def _willing(s: Situation, name: MemberName) -> Member | None:
    """The member, if nobody said that commits are not to wait for it."""
    member = s.cluster.members.get(name)
    if member is None or not member.tags.may_be_synchronous or is_leaving(s.cluster, name):
        return None
    return member


def may_lead(s: Situation, name: MemberName) -> bool:
    member = s.cluster.members.get(name)
    return member is not None and member.tags.may_lead and s.has_vote(member)


def absences(s: Situation, server: ServerStatus) -> dict[MemberName, Instant]:
    """Since when each standby that is waited for, or named in the store, is not attached."""
    sync = s.cluster.sync
    names = (waits_of(server.synchronous_standby_names) or _NOBODY_LEFT).names
    named = names | frozenset(sync.standbys if sync is not None else ())
    known = s.memory.absent
    return {n: known.get(n, s.now) for n in sorted(named) if attached(server, n) is None}


def wanted(s: Situation, server: ServerStatus, absent: Mapping[MemberName, Instant]) -> Waits:
    """Whom commits should wait for now."""
    shown = waits_of(server.synchronous_standby_names) or _NOBODY_LEFT
    pool = _pool(s, server, shown, absent)
    count = s.config.synchronous_node_count
    if s.config.synchronous_mode is SynchronousMode.QUORUM:
        chosen = _all_that_may_lead(pool, count)
    else:
        chosen, count = _named(s, pool, count)
    if chosen:
        names = frozenset(standby.name for standby in chosen)
        return Waits(min(count, len(names)), names)
    return _with_none(s, server, shown) if s.config.synchronous_mode_strict else _NOBODY_LEFT


def _named(s: Situation, pool: list[_Standby], count: int) -> tuple[list[_Standby], int]:
    """The best so many. Until each of them may be promoted, commits wait for those too that may now
    and serve as well: at no moment of an exchange is there nobody to take over."""
    stored = s.cluster.sync.standbys if s.cluster.sync is not None else ()
    chosen = pool[:count]
    if all(standby.name in stored for standby in chosen):
        return chosen, count
    replaced = [standby for standby in pool[count:] if standby.serves and standby.name in stored]
    return [*chosen, *replaced], count + len(replaced)


def _all_that_may_lead(pool: list[_Standby], count: int) -> list[_Standby]:
    """All but those far behind, if enough are left."""
    group = [standby for standby in pool if standby.may_lead] or pool
    near = [standby for standby in group if standby.near]
    return near if len(near) >= count else group


def _with_none(s: Situation, server: ServerStatus, shown: Waits) -> Waits:
    """Strict, and no standby serves: commits wait for those who may come back as they were."""
    names = frozenset(n for n in shown.names if _may_come_back(s, server, n))
    return Waits(min(shown.count, len(names)), names) if names else _FOREVER


def _may_come_back(s: Situation, server: ServerStatus, name: MemberName) -> bool:
    member = _willing(s, name)
    if member is None or member.state in _REBUILDING:
        return False
    return attached(server, name) is None or member.state is MemberState.STOPPING


def _pool(
    s: Situation, server: ServerStatus, shown: Waits, absent: Mapping[MemberName, Instant]
) -> list[_Standby]:
    """Those that commits may wait for, the best first."""
    found = []
    for member in s.other_members:
        row = attached(server, member.name)
        kept = member.name in shown.names
        if not may_serve(s, member.name) or not _is_here(s, member, row, kept, absent):
            continue
        flushed = 0 if row is None or row.flush is None else row.flush.value
        found.append(
            _Standby(
                name=member.name,
                may_lead=may_lead(s, member.name),
                kept=kept,
                near=row is None or _is_near(s, server, flushed, kept),
                priority=member.tags.sync_priority,
                flushed=flushed,
            )
        )
    return sorted(found, key=lambda standby: standby.rank, reverse=True)


def _is_here(
    s: Situation,
    member: Member,
    row: Attached | None,
    kept: bool,
    absent: Mapping[MemberName, Instant],
) -> bool:
    """It streams, by its own word too where it is new; one that is waited for may be gone for a
    moment."""
    if kept:
        return row is not None or longest(absent.get(member.name, s.now), s.now) < SYNC_WAIT_S
    return row is not None and row.flush is not None and member.state is MemberState.STREAMING


def _is_near(s: Situation, server: ServerStatus, flushed: int, kept: bool) -> bool:
    """Within `maximum_lag_on_syncnode` of the best standby, or of the primary where there is one
    standby only, as in Patroni; a new one within half of it, or it would come and go."""
    limit = s.config.maximum_lag_on_syncnode
    if limit <= 0:
        return True
    positions = [row.flush.value for row in server.attached if row.flush is not None]
    best = max(positions, default=0)
    if len(positions) < 2 and server.flushed is not None:
        best = server.flushed.value
    return best - flushed <= (limit if kept else limit // 2)


def names_at_promotion(s: Situation) -> str:
    """Whom the first commits wait for: standbys that answered and may serve."""
    mode, count = s.config.synchronous_mode, s.config.synchronous_node_count
    if mode is SynchronousMode.OFF:
        return ""
    here = [member.name for member in s.other_members if _answered(s, member)]
    if mode is SynchronousMode.QUORUM:
        here = [name for name in here if may_lead(s, name)] or here
    else:
        here = here[:count]
    if here:
        return setting_of(Waits(min(count, len(here)), frozenset(here)), mode)
    return without_standby(s)


def _answered(s: Situation, member: Member) -> bool:
    report = s.peer(member.name)
    alive = report is not None and report.state in (MemberState.RUNNING, MemberState.STREAMING)
    may_be = s.has_vote(member) and not is_leaving(s.cluster, member.name)
    return alive and may_be and member.tags.may_be_synchronous


def names_at_restart(s: Situation) -> str:
    """Whom commits wait for from the first one on: as before the crash, if this process wrote that,
    for the store may name a standby by now whose entry has not been seen here."""
    plan, sync = s.memory.plan, s.cluster.sync
    if plan is not None and plan.role is ServerRole.PRIMARY:
        return plan.synchronous_standby_names
    if sync is None or not sync.standbys:
        return without_standby(s)
    count = max(1, len(sync.standbys) - sync.quorum)
    mode = SynchronousMode.QUORUM if sync.quorum else SynchronousMode.ON
    return setting_of(Waits(count, frozenset(sync.standbys)), mode)


def without_standby(s: Situation) -> str:
    """The setting where there is no standby to wait for."""
    config = s.config
    is_strict = config.synchronous_mode_strict and config.synchronous_mode != SynchronousMode.OFF
    return NOBODY if is_strict else names_for()
