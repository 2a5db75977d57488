"""What is wrong or unusual, as people should read it, each with what to do about it. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from raftha.ha import logical, pledge
from raftha.ha.backoff import FREE_STRIKES, pause, peace_s, strikes
from raftha.ha.complaints import without_stream
from raftha.ha.halting import notices_of_halt
from raftha.ha.hearing import RULE_OF_HEARING
from raftha.ha.pausing import notices_of_pause
from raftha.ha.scheduling import notices_of_schedule
from raftha.ha.situation import Situation
from raftha.ha.sizes import restarts_wanted
from raftha.ha.slots import strain, waiting
from raftha.ha.streams import strangers
from raftha.ha.sync import is_settled
from raftha.instants import Instant, longest
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName
from raftha.model.membership import MemberWish, WishState
from raftha.model.postgres import DirectoryState, Kept
from raftha.model.report import Level, Notice, PeerReport
from raftha.model.settings import SynchronousMode
from raftha.model.store import MAX_STATE_BYTES, SLOW_FSYNC_S, RaftStatus, VoterStatus
from raftha.model.view import PeerAnswer

LOW_SPACE_BYTES: Final = 256 << 20
"""Free space on the Raft directory's disk below which the operator is told."""
MUCH_STATE_BYTES: Final = MAX_STATE_BYTES // 2
"""Size of the store from which the operator is told: a thousand times what raftha keeps there."""
LEAST_SLOW_FSYNCS: Final = 3
"""So many slow syncs within a minute are told: a single one happens on every busy machine, and is
one in a hundred where a quiet group writes once a second."""


def problems(s: Situation) -> tuple[Notice, ...]:
    """Those that this node knows of itself."""
    found = list(group_problems(s.view.raft, s.view.now))
    directory, guardian = s.view.directory, s.view.guardian
    if guardian.problem:
        what = f"no guardian, and so no server is started or stopped here: {guardian.problem}"
        found.append(Notice(subject=s.me, what=what, remedy="see the message; it is tried again"))
    if directory.problem is not None:
        remedy = "see the message; the directory is left as it is"
        if directory.state is DirectoryState.FOREIGN:
            remedy = "move its content elsewhere, or correct postgresql.data_dir"
        found.append(Notice(subject=s.me, what=directory.problem, remedy=remedy))
    if s.memory.failures > 0:
        what = f"{s.memory.failed} ({s.memory.failures} times in a row)"
        found.append(
            Notice(subject=s.me, what=what, remedy="it is tried again; see the agent's log")
        )
    found += without_stream(s)
    found += _strange_streams(s)
    found += strain(s)
    found += waiting(s)
    found += restarts_wanted(s)
    found += logical.notices(s)
    found += _without_peace(s)
    found += _waiting_for_standbys(s)
    found += [
        Notice(subject="store", what=what, remedy="was it written by a newer version?")
        for what in s.cluster.problems
    ]
    found += [_kept(s.me, kept) for kept in s.view.kept]
    return tuple(found)


def _strange_streams(s: Situation) -> list[Notice]:
    """Streams at the primary here that bear a member's name and do not count for it."""
    names = () if s.server is None else strangers(s.server)
    return [
        Notice(
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
    return [Notice(subject=s.me, what=what, remedy=remedy, level=Level.WARNING)]


def _waiting_for_standbys(s: Situation) -> list[Notice]:
    """A strict primary whose commits wait: without strictness that ends by itself."""
    server = s.server
    if s.lease is None or server is None or not server.is_primary:
        return []
    if not s.config.synchronous_mode_strict or is_settled(server):
        return []
    return [
        Notice(
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
        subject=name,
        what=f"{kept.path} ({size}) is kept: what a rejoin or a failed start replaced",
        remedy="remove it when nobody needs what is in it; nothing here does",
        level=Level.WARNING,
    )


def group_problems(raft: RaftStatus, now: Instant) -> tuple[Notice, ...]:
    """What is wrong with the group of voters. Where this node is out of it nothing else counts:
    whatever it misses, nobody is to mend that."""
    if raft.barred is not None:
        return (_of_barred(raft),)
    found = _of_count(len(raft.voters))
    if not raft.majority:
        missing = [
            voter.name or voter.address
            for voter in raft.voters
            if not voter.connected and not voter.is_self
        ]
        names = ", ".join(missing) or "an election"
        found.append(
            Notice(
                subject="raft",
                what=f"no majority: {raft.connected} of {len(raft.voters)} voters are in touch, "
                f"{raft.quorum} are needed; waiting for {names}",
                remedy="start the missing nodes or mend the network between them; until then "
                "nothing is writable"
                + ("; if they are lost for good: raftha recover" if missing else ""),
            )
        )
    found += [_of_joiner(joiner, raft) for joiner in raft.joiners]
    found += [_of_awaited(node) for node in _awaited(raft)]
    found += _other_file(raft)
    found += _low_space(raft)
    found += _slow_disk(raft)
    found += _filling_store(raft)
    found += [notice for voter in raft.voters for notice in _of_voter(voter, raft, now)]
    return tuple(found)


def _of_voter(voter: VoterStatus, raft: RaftStatus, now: Instant) -> list[Notice]:
    """Silence is worth a word of its own with a majority only: without one all is silent."""
    subject = voter.name or voter.address
    silent = not voter.connected and not voter.is_self
    heard = ""
    if silent and voter.last_contact is not None:
        heard = f"; last heard {longest(voter.last_contact, now):.0f} s ago"
    if voter.problem:
        remedy = "correct what it says, here or there; see the agent's log"
        if "cannot connect" in voter.problem:
            remedy = _bring_back(voter, raft)
        return [Notice(subject=subject, what=voter.problem + heard, remedy=remedy)]
    if not silent or not raft.majority:
        return []
    never = "" if voter.bound else " and never was, so its vote does not count yet"
    return [
        Notice(
            subject=subject,
            what="this voter is not in touch" + never + heard,
            remedy=_bring_back(voter, raft),
        )
    ]


def _bring_back(voter: VoterStatus, raft: RaftStatus) -> str:
    """What to do about a voter that is gone, and what is at stake until then."""
    here = _own_name(raft)
    if here == voter.name:  # this node is there to replace it
        here = "this one"
    remedy = f"start its agent, or mend the network between it and {here}"
    if raft.connected == raft.quorum:
        remedy += "; until then the loss of one more voter stops writes"
    return remedy


def _own_name(raft: RaftStatus) -> str:
    """This node's name; one that waits for a vote is no voter yet, and may not even be known."""
    known = (*raft.voters, *raft.joiners, *raft.expected)
    return next((node.name or node.address for node in known if node.is_self), "this node")


def _of_barred(raft: RaftStatus) -> Notice:
    return Notice(
        subject=_own_name(raft),
        what=f"this node is out of the cluster: {raft.barred}",
        remedy="stop this agent; to bring the machine back, empty raft.data_dir, start it (under "
        "another name, if a new node has this one), and use raftha member add",
    )


def _other_file(raft: RaftStatus) -> list[Notice]:
    """Where a voter's file names others than the log. Nothing depends on it while the Raft
    directory is there; a node without one finds the cluster by its file alone."""
    voters, awaited = ({seat.address for seat in seats} for seats in (raft.voters, raft.expected))
    listed = set(raft.listed) - (awaited - voters)
    if not listed or listed == voters or not any(voter.is_self for voter in raft.voters):
        return []
    differences = {"lack": voters - listed, "name nobody who votes at": listed - voters}
    what = " and ".join(
        f"{verb} {', '.join(sorted(addresses))}"
        for verb, addresses in differences.items()
        if addresses
    )
    return [
        Notice(
            subject=_own_name(raft),
            what=f"its raft.partner_addrs {what}: who votes has been changed since",
            remedy="correct the file; it is read at the next start, and this node votes meanwhile",
            level=Level.WARNING,
        )
    ]


def _of_joiner(joiner: VoterStatus, raft: RaftStatus) -> Notice:
    why = f": {joiner.problem}" if joiner.problem else ""
    name, address = joiner.name or "NAME", joiner.address
    seat = next((v for v in raft.voters if v.name and v.name.casefold() == name.casefold()), None)
    remedy = f"give it one with raftha member add {name} {address}"
    if seat is not None and seat.address != address:
        remedy = f"if the one at {seat.address} is lost: raftha member replace {name} {address}"
    elif seat is not None or any(v.address == address for v in raft.voters):
        remedy = "it gets the vote of its name and address by itself; else correct its name"
    return Notice(
        subject=joiner.name or address,
        what=f"it holds the log of the group and has no vote{why}",
        remedy=remedy,
        level=Level.WARNING,
    )


def _awaited(raft: RaftStatus) -> list[VoterStatus]:
    """Those who will get a vote, and are not here to get it."""
    here = {joiner.address for joiner in raft.joiners}
    return [node for node in raft.expected if not node.is_self and node.address not in here]


def _of_awaited(node: VoterStatus) -> Notice:
    name = node.name or node.address
    return Notice(
        subject=name,
        what=f"it gets a vote at {node.address} once it is in touch and holds the log",
        remedy=f"start its agent; or give it up: raftha member remove {name}",
        level=Level.WARNING,
    )


def _of_count(voters: int) -> list[Notice]:
    """A number of voters that works and survives less than one more or less would."""
    if voters % 2 == 1 and voters > 1:
        return []
    what = f"{voters} voters survive no more losses than {voters - 1}"
    remedy = "add a witness, which needs no PostgreSQL"
    if voters == 1:
        what = "a single voter: nobody can take over when it is lost"
        remedy = "add two members, or one and a witness"
    elif voters == 2:
        what = "two voters: the loss of either stops writes"
    return [Notice(subject="raft", what=what, remedy=remedy, level=Level.WARNING)]


def _low_space(raft: RaftStatus) -> list[Notice]:
    if raft.free_bytes is None or raft.free_bytes >= LOW_SPACE_BYTES:
        return []
    return [
        Notice(
            subject=_own_name(raft),
            what=f"{raft.free_bytes >> 20} MiB are free on the disk of raft.data_dir",
            remedy="free space there: below 16 MiB this node stops",
        )
    ]


def _slow_disk(raft: RaftStatus) -> list[Notice]:
    fsync = raft.fsync
    if fsync.p99 <= SLOW_FSYNC_S or fsync.slow < LEAST_SLOW_FSYNCS:
        return []
    return [
        Notice(
            subject=_own_name(raft),
            what=f"the disk of raft.data_dir is slow: {fsync.slow} of {fsync.count} syncs in the "
            f"last minute took over {SLOW_FSYNC_S:g} s, the longest {fsync.longest:.2f} s",
            remedy="put raft.data_dir on a faster or less busy disk, or use the profile `slow`: "
            "syncs of an election timeout move the raft leader, longer ones cost the lease",
        )
    ]


def _filling_store(raft: RaftStatus) -> list[Notice]:
    if raft.state_bytes < MUCH_STATE_BYTES:
        return []
    return [
        Notice(
            subject="store",
            what=f"the store holds {raft.state_bytes >> 20} of {MAX_STATE_BYTES >> 20} MiB, and "
            "raftha needs some KiB",
            remedy="find with raftha store list what fills it, and stop whoever writes it: when it "
            "is full new keys are refused, at twice that all that makes it larger but a lease",
        )
    ]


def cluster_problems(
    cluster: Cluster, raft: RaftStatus, answers: Mapping[MemberName, PeerAnswer]
) -> tuple[Notice, ...]:
    """What is wrong with the cluster as a whole."""
    found = [*notices_of_pause(cluster), *notices_of_halt(cluster), *notices_of_schedule(cluster)]
    found += [_of_wish(wish) for _, wish in sorted(cluster.wishes.items()) if wish.is_open]
    if cluster.initialize is None or cluster.initialize.system_id is None:
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
                subject=cluster_name(cluster),
                what=f"there is no leader: {state}. " + "; ".join(reasons),
                remedy="start the members that are down; `raftha failover --candidate` if one of "
                "them will not come back",
            )
        )
    wants_sync = cluster.config.synchronous_mode is not SynchronousMode.OFF
    if wants_sync and cluster.leader and not (cluster.sync and cluster.sync.standbys):
        waits = "for one to come back" if cluster.config.synchronous_mode_strict else "for nobody"
        found.append(
            Notice(
                subject=cluster.leader.name,
                what=f"no synchronous standby: commits wait {waits}, and nobody could take over "
                "automatically",
                remedy="start another member, or wait for it to catch up",
            )
        )
    return tuple(found)


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
    return Notice(subject=wish.name, what=what, remedy=remedy, level=Level.WARNING)


def cluster_name(cluster: Cluster) -> str:
    """What to call the cluster in a notice."""
    leader = cluster.sync.leader if cluster.sync else None
    return f"cluster (last leader {leader})" if leader else "cluster"
