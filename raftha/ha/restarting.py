"""Whether a member's server may be restarted, or made anew, as things stand. PURE."""

from __future__ import annotations

from raftha.ha.halting import WORDS
from raftha.ha.situation import Situation
from raftha.ha.sizes import pending
from raftha.model.restarting import (
    SAME_ROLES,
    ServerRequest,
    WishKind,
    number_of,
    unreadable,
)


def refusal(s: Situation, asked: ServerRequest) -> str | None:
    """Why this cannot be done here and now; None if it can."""
    if asked.name is not None and asked.name != s.me:
        return f"this is {s.me}, not {asked.name}"
    busy = hindrance(s)
    if busy is not None:
        return busy
    return _of_remaking(s) if asked.kind is WishKind.REINITIALIZE else _of_restart(s, asked)


def hindrance(s: Situation) -> str | None:
    """Why no server is touched at this moment; None if nothing stands against it."""
    if s.cluster.paused:
        return "the cluster is in a maintenance pause, in which no server is touched: raftha resume"
    if not s.view.raft.majority:
        return "no majority of the voters is in touch: nothing can be changed safely"
    if s.cluster.halt is not None:
        return WORDS
    if s.cluster.leader is None:
        return "there is no leader: raftha status says why"
    if s.request is not None:
        return f"a {s.request.kind} is under way"
    if s.view.job is not None:
        return f"{s.view.job.kind} is running"
    return None


def _of_remaking(s: Situation) -> str | None:
    if s.other_leader is None:
        return f"{s.me} is the leader: hand over first (raftha switchover)"
    if s.leader_member is None or not s.leader_is_ready:
        return "the leader is not ready to be copied yet"
    return None


def _of_restart(s: Situation, asked: ServerRequest) -> str | None:
    server = s.server
    if server is None:
        return "PostgreSQL does not answer here"
    if server.is_primary and s.lease is None:
        return "a primary without the leader key is not restarted"
    return unmet(s, asked)


def unmet(s: Situation, asked: ServerRequest) -> str | None:
    """Which condition of a restart the server here does not meet; None if it meets all."""
    server = s.server
    if server is None:
        return None
    if (why := unreadable(asked.role, asked.postgres_version)) is not None:
        return why
    role = "primary" if server.is_primary else "replica"
    if asked.role is not None and asked.role not in (role, *SAME_ROLES[role]):
        return f"{s.me} is a {role}, and the condition is role {asked.role}"
    if asked.restart_pending and not pending(s):
        return f"no restart is pending on {s.me}"
    below = None if asked.postgres_version is None else number_of(asked.postgres_version)
    if below is not None and server.version >= below:
        return f"PostgreSQL on {s.me} is not older than {asked.postgres_version}"
    return None
