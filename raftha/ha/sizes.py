"""The five parameters that a standby must not have lower than its primary (`SIZES`). PURE.

They are raised on the standbys first and lowered on the primary first. A raised value stays out of
a primary's files until every standby runs with it: a primary that crashed and came back with it
would stop the replay of them all, and of those that are to take over. A lowered one stays out of a
standby's files until its pg_control allows it (`pg/conf.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from raftha.ha.situation import Situation
from raftha.model.cluster import Cluster, Member, MemberRole
from raftha.model.ids import MemberName
from raftha.model.postgres import (
    SIZES,
    PendingRestart,
    ReplayPause,
    ServerStatus,
    default_size,
)
from raftha.model.report import Level, Notice
from raftha.model.trouble import Trouble


def standbys_of(cluster: Cluster, primary: MemberName) -> tuple[Member, ...]:
    """The members that were running when they were last heard of, this one aside. One that was
    stopped comes back with what is wanted then."""
    members = (cluster.members[name] for name in sorted(cluster.members) if name != primary)
    return tuple(member for member in members if member.role is not MemberRole.NONE)


def limits_by(standbys: Iterable[Member]) -> dict[str, int]:
    """The least value of each that one of these runs with; of a member that does not tell, as an
    older version does not, nothing is known and nothing is awaited."""
    told = [member.sizes for member in standbys]
    return {
        name: min(sizes[name] for sizes in told if name in sizes)
        for name in SIZES
        if any(name in sizes for sizes in told)
    }


def sizes_in(parameters: Mapping[str, str]) -> dict[str, int]:
    """Those of the sizes that are given."""
    return {
        name: int(parameters[name])
        for name in SIZES
        if parameters.get(name, "").strip().isdecimal()
    }


def pending(s: Situation) -> tuple[PendingRestart, ...]:
    """What a restart of the server here is wanted for: as it says itself, and the sizes that are
    still kept out of its files."""
    server = s.server
    if server is None:
        return ()
    told = {each.name: each for each in server.pending_restart}
    for name, running in server.sizes.items():
        value = _wanted(s, name, running)
        if running == value:
            continue
        told[name] = PendingRestart(
            name=name,
            running=str(running),
            wanted=str(value),
            waits_for=_before(s, server, name, value),
        )
    return tuple(told[name] for name in sorted(told))


def _wanted(s: Situation, name: str, running: int) -> int:
    """What this one is to be here: as ALTER SYSTEM has it, which nothing written here overrules; as
    it is set; or as it is where nobody sets it."""
    given = {**s.config.postgresql.parameters, **s.view.me.parameters}
    directory = s.view.directory
    asked = {**sizes_in(given), **directory.altered}
    return asked.get(name, default_size(name, directory.original, running))


def restarts_wanted(s: Situation) -> list[Notice]:
    """That PostgreSQL here runs with other values than are wanted."""
    found = pending(s)
    if not found:
        return []
    return [
        Notice(
            code=Trouble.RESTART_PENDING,
            subject=s.me,
            what=f"PostgreSQL has to be restarted for {', '.join(map(str, found))}",
            remedy="raftha restart --pending does it for all members, in the right order",
            level=Level.WARNING,
        )
    ]


def _before(s: Situation, server: ServerStatus, name: str, value: int) -> tuple[str, ...]:
    """Who has to restart first."""
    if server.is_primary:
        standbys = standbys_of(s.cluster, s.me)
        return tuple(m.name for m in standbys if m.sizes.get(name, value) < value)
    leader = s.leader_member
    if leader is None or value >= server.sizes[name]:
        return ()
    return (leader.name,) if leader.sizes.get(name, value) > value else ()


def replay_stands(s: Situation) -> bool:
    """The standby here has stopped replaying, for the WAL says that its primary of then ran with a
    larger size than it: only a restart helps, at which it takes over what pg_control demands.
    PostgreSQL notes the size there before it stops; today's primary may run with less again."""
    server, control = s.server, s.view.directory.control
    if server is None or control is None or server.is_primary:
        return False
    if server.replay_pause is not ReplayPause.PAUSED:
        return False
    return any(getattr(control, name) > size for name, size in server.sizes.items())
