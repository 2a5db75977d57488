"""What is wrong or unusual, as people should read it, each with what to do about it. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from raftha.ha import holding, logical, pledge
from raftha.ha.backoff import FREE_STRIKES, pause, peace_s, strikes
from raftha.ha.complaints import of_directory, without_stream
from raftha.ha.halting import notices_of_halt
from raftha.ha.hearing import RULE_OF_HEARING
from raftha.ha.pausing import notices_of_pause
from raftha.ha.scheduling import notices_of_schedule
from raftha.ha.situation import Situation
from raftha.ha.sizes import restarts_wanted
from raftha.ha.slots import strain, waiting
from raftha.ha.streams import strangers
from raftha.ha.sync import is_settled
from raftha.ha.voting import group_problems
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName
from raftha.model.membership import MemberWish, WishState
from raftha.model.postgres import DirectoryState, Kept
from raftha.model.report import Level, Notice, PeerReport
from raftha.model.settings import SynchronousMode
from raftha.model.store import RaftStatus
from raftha.model.trouble import Trouble
from raftha.model.view import PeerAnswer

NO_SPACE: Final = "No space left on device"
"""What the kernel calls a full disk, whichever program met it."""


def problems(s: Situation) -> tuple[Notice, ...]:
    """Those that this node knows of itself."""
    found = list(group_problems(s.view.raft, s.view.now))
    directory, guardian = s.view.directory, s.view.guardian
    if guardian.problem:
        what = f"no guardian, and so no server is started or stopped here: {guardian.problem}"
        found.append(
            Notice(
                code=Trouble.NO_GUARDIAN,
                subject=s.me,
                what=what,
                remedy="see the message; it is tried again",
            )
        )
    if directory.problem is not None:
        remedy = "see the message; the directory is left as it is"
        if directory.state is DirectoryState.FOREIGN:
            remedy = "move its content elsewhere, or correct postgresql.data_dir"
        found.append(
            Notice(code=Trouble.DATA_DIRECTORY, subject=s.me, what=directory.problem, remedy=remedy)
        )
    if s.memory.failures > 0:
        what = f"{s.memory.failed} ({s.memory.failures} times in a row)"
        remedy = "it is tried again; see the agent's log"
        if NO_SPACE in s.memory.failed:
            remedy = "free space on that disk, or give it more: it is tried again by itself"
        found.append(Notice(code=Trouble.ACT_FAILED, subject=s.me, what=what, remedy=remedy))
    found += (*of_directory(s), *without_stream(s))
    found += _strange_streams(s)
    found += (*strain(s), *waiting(s), *holding.notices(s))
    found += restarts_wanted(s)
    found += logical.notices(s)
    found += _without_peace(s)
    found += _waiting_for_standbys(s)
    found += [
        Notice(
            code=Trouble.STORE_UNREADABLE,
            subject="store",
            what=what,
            remedy="was it written by a newer version?",
        )
        for what in s.cluster.problems
    ]
    found += [_kept(s.me, kept) for kept in s.view.kept]
    return tuple(found)


def _strange_streams(s: Situation) -> list[Notice]:
    """Streams at the primary here that bear a member's name and do not count for it."""
    names = () if s.server is None else strangers(s.server)
    return [
        Notice(
            code=Trouble.STRANGE_STREAM,
            subject=s.me,
            what=f"a stream calls itself {name} and is not the one of that member: no commit waits "
            "for it",
            remedy="stop the machine or tool that is behind it (pg_stat_replication tells where), "
            "or give it another name",
            level=Level.WARNING,
        )
        for name in names
    ]


def _without_peace(s: Situation) -> list[Notice]:
    """Said by the leader; by everybody while there is none."""
    count, leader = strikes(s.cluster), s.cluster.leader
    if count < FREE_STRIKES or (leader is not None and leader.name != s.me):
        return []
    what = (
        f"the primary was lost {count} times in a row, without {peace_s(s):g} s of peace in "
        f"between: the next takeover or restart waits {pause(s):g} s"
    )
    remedy = "raftha history says why; after that time of peace, and for raftha failover, it ends"
    return [
        Notice(code=Trouble.NO_PEACE, subject=s.me, what=what, remedy=remedy, level=Level.WARNING)
    ]


def _waiting_for_standbys(s: Situation) -> list[Notice]:
    """A strict primary whose commits wait: without strictness that ends by itself."""
    server = s.server
    if s.lease is None or server is None or not server.is_primary:
        return []
    if not s.config.synchronous_mode_strict or is_settled(server):
        return []
    return [
        Notice(
            code=Trouble.COMMITS_WAIT,
            subject=s.me,
            what="commits wait: too few of the synchronous standbys are here, and "
            "synchronous_mode_strict is on",
            remedy="start them; or set synchronous_mode_strict to false, and what is committed "
            "from then on is on this server alone",
        )
    ]


def _kept(name: MemberName, kept: Kept) -> Notice:
    size = f"{kept.size_bytes >> 20} MiB"
    return Notice(
        code=Trouble.KEPT_COPY,
        subject=name,
        what=f"{kept.path} ({size}) is kept: a new copy, a rewind or a failed start replaced it",
        remedy="remove it when nobody needs what is in it; nothing here does",
        level=Level.WARNING,
    )


def cluster_problems(
    cluster: Cluster, raft: RaftStatus, answers: Mapping[MemberName, PeerAnswer]
) -> tuple[Notice, ...]:
    """What is wrong with the cluster as a whole."""
    found = [*notices_of_pause(cluster), *notices_of_halt(cluster), *notices_of_schedule(cluster)]
    found += [_of_wish(wish) for _, wish in sorted(cluster.wishes.items()) if wish.is_open]
    is_born = cluster.initialize is not None and cluster.initialize.system_id is not None
    if not is_born or cluster.halt is not None:
        return tuple(found)
    if cluster.leader is None and raft.majority:
        reasons = [
            why if why.startswith(name) else f"{name}: {why}"
            for name, answer in sorted(answers.items())
            if answer.report is not None and (why := _why_not(cluster, answer.report))
        ]
        writing = [n for n, a in sorted(answers.items()) if a.report and a.report.primary_alive]
        state = "nothing is writable"
        if cluster.paused and writing:
            state = f"PostgreSQL of {', '.join(writing)} goes on without a lease, for the pause"
        found.append(
            Notice(
                code=Trouble.NO_LEADER,
                subject=cluster_name(cluster),
                what=f"there is no leader: {state}. " + "; ".join(reasons),
                remedy=_remedy(cluster, answers),
            )
        )
    wants_sync = cluster.config.synchronous_mode is not SynchronousMode.OFF
    if wants_sync and cluster.leader and not (cluster.sync and cluster.sync.standbys):
        waits = "for one to come back" if cluster.config.synchronous_mode_strict else "for nobody"
        found.append(
            Notice(
                code=Trouble.NO_SYNCHRONOUS_STANDBY,
                subject=cluster.leader.name,
                what=f"no synchronous standby: commits wait {waits}, and nobody could take over "
                "automatically",
                remedy="start another member, or wait for it to catch up",
            )
        )
    return tuple(found)


def _remedy(cluster: Cluster, answers: Mapping[MemberName, PeerAnswer]) -> str:
    """What gets a leader. A member that its tags bar is refused to an operator too."""
    there = [name for name, answer in sorted(answers.items()) if answer.report is not None]
    members = cluster.members
    barred = [name for name in there if name in members and not members[name].tags.may_lead]
    if not barred or barred != there:
        return (
            "start the members that are down; `raftha failover --candidate` if one of them will "
            "not come back"
        )
    return (
        f"start the members that are down; if they will not come back, take the tag out of the "
        f"file of one of {', '.join(barred)}, and `raftha reload` it: raftha failover refuses a "
        "member with such a tag"
    )


def _why_not(cluster: Cluster, report: PeerReport) -> str | None:
    """What keeps a member from taking over: itself, or what it has not heard of the others."""
    own = report.obstacle or pledge.objection(cluster, report)
    return own or (report.reason if report.rule == RULE_OF_HEARING else None)


def _of_wish(wish: MemberWish) -> Notice:
    what = f"an operator's wish is under way: {wish.verb} {wish.name}"
    remedy = "it goes on by itself; raftha member remove NAME ends it"
    if wish.state is WishState.UNSEATED:
        what += ", which has no vote any more; its slot and its key are still there"
        remedy = "the primary clears them away once there is one"
    return Notice(
        code=Trouble.WISH_OPEN, subject=wish.name, what=what, remedy=remedy, level=Level.WARNING
    )


def cluster_name(cluster: Cluster) -> str:
    """What to call the cluster in a notice."""
    leader = cluster.sync.leader if cluster.sync else None
    return f"cluster (last leader {leader})" if leader else "cluster"
