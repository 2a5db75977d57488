"""Switchovers and restarts that wait for their time: what is scheduled, and what is told of it.
PURE. When their time has come `ha/rules/scheduled.py` begins them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from raftha.ha.halting import WORDS
from raftha.ha.keys import Keys, encode_scheduled
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName
from raftha.model.report import Level, Notice
from raftha.model.scheduling import ScheduledRestart, ScheduledSwitchover
from raftha.model.store import Guard, Key, KeyAbsent, KeyAt, Put, Remove, Transact
from raftha.model.trouble import Trouble

Scheduled = ScheduledSwitchover | ScheduledRestart


def key_of(keys: Keys, scheduled: Scheduled) -> Key:
    if isinstance(scheduled, ScheduledSwitchover):
        return keys.scheduled_switchover
    return keys.scheduled_restart_of(scheduled.member)


def scheduling(keys: Keys, scheduled: Scheduled, before: Scheduled | None) -> Transact:
    """The command that schedules it, in the place of one that was refused, if there is one."""
    key = key_of(keys, scheduled)
    guard: Guard = KeyAbsent(key) if before is None else KeyAt(key, before.revision)
    return Transact((guard,), (Put(key, encode_scheduled(scheduled)),))


def cancelling(keys: Keys, scheduled: Scheduled) -> Transact:
    """The command that cancels it, as it was when it was looked at."""
    key = key_of(keys, scheduled)
    return Transact((KeyAt(key, scheduled.revision),), (Remove(key),))


def objection(
    cluster: Cluster, leader: MemberName, candidate: MemberName | None, *, majority: bool
) -> str | None:
    """Why such a switchover is not even scheduled; None if it may be. Whether the candidate can
    take over is asked when its time has come."""
    held_by = None if cluster.leader is None else cluster.leader.name
    others = sorted(name for name in cluster.members if name != leader)
    if (why := general_objection(cluster, majority=majority)) is not None:
        return why
    if held_by != leader:
        return f"{leader} is not the leader: {held_by or 'nobody'} holds the leader key"
    if candidate is None:
        return None if others else "there is no standby that could take over"
    member = cluster.members.get(candidate)
    if member is None:
        return f"{candidate} is not a member of this cluster (others: {', '.join(others)})"
    forbidden = member.tags.against_leading
    return None if forbidden is None else f"{candidate} may not lead: {forbidden}"


def general_objection(cluster: Cluster, *, majority: bool) -> str | None:
    """Why nothing is scheduled as things stand; None if something may be."""
    if not majority:
        return "no majority of the voters is in touch: nothing can be changed safely"
    if cluster.paused:
        return "the cluster is in a maintenance pause, in which nothing is scheduled: raftha resume"
    return None if cluster.halt is None else WORDS


def time_text(due: float) -> str:
    """A time of day, as ISO 8601 in UTC."""
    return datetime.fromtimestamp(due, UTC).isoformat(timespec="seconds")


def words_of(scheduled: Scheduled) -> str:
    """What is to happen, and when."""
    when = f"at {time_text(scheduled.due)}"
    if isinstance(scheduled, ScheduledSwitchover):
        return f"switchover from {scheduled.leader} to {scheduled.candidate or 'a standby'} {when}"
    conditions = [
        f"role {scheduled.role}" if scheduled.role else "",
        f"PostgreSQL below {scheduled.postgres_version}" if scheduled.postgres_version else "",
        "a restart is pending" if scheduled.restart_pending else "",
    ]
    given = ", ".join(filter(None, conditions))
    return f"restart of {scheduled.member} {when}" + (f", if {given}" if given else "")


def notices_of_schedule(cluster: Cluster) -> list[Notice]:
    """What was scheduled and will not happen."""
    everything: list[Scheduled] = [*cluster.scheduled_restarts.values()]
    if cluster.scheduled_switchover is not None:
        everything.insert(0, cluster.scheduled_switchover)
    return [_dropped(scheduled) for scheduled in everything if scheduled.refused]


def _dropped(scheduled: Scheduled) -> Notice:
    subject, what = scheduled, "switchover"
    if isinstance(subject, ScheduledRestart):
        what = f"restart {subject.member}"
    return Notice(
        code=Trouble.SCHEDULE_REFUSED,
        subject="schedule",
        what=f"no {words_of(scheduled)}: {scheduled.refused}",
        remedy=f"schedule it anew, or take note with raftha flush {what}",
        level=Level.WARNING,
    )
