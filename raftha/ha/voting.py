"""What is wrong with the group of voters, as people should read it. PURE."""

from __future__ import annotations

import re
from typing import Final

from raftha.instants import Instant, longest
from raftha.model.report import Level, Notice
from raftha.model.store import (
    MAX_STATE_BYTES,
    SLOW_FSYNC_S,
    Accusation,
    RaftStatus,
    VoterStatus,
)
from raftha.model.trouble import Trouble

LOW_SPACE_BYTES: Final = 256 << 20
"""Free space on the Raft directory's disk below which the operator is told."""
MUCH_STATE_BYTES: Final = MAX_STATE_BYTES // 2
"""Size of the store from which the operator is told: a thousand times what raftha keeps there."""
LEAST_SLOW_FSYNCS: Final = 3
"""So many slow syncs within a minute are told: a single one happens on every busy machine, and is
one in a hundred where a quiet group writes once a second."""

_REMEDIES: Final = (
    (
        re.compile("a key file or nothing"),
        "protect the links in the same way on every node: by raft.key_file, or by raft.cafile, "
        "raft.certfile and raft.keyfile; then restart the agent of the one that was different",
    ),
    (
        re.compile("key_file"),
        "give every node the same key file (sha256sum tells), and restart the agent of the one "
        "that had another",
    ),
    (
        re.compile("certificate|unknown ca"),
        "put a certificate that carries the name of its node, is valid now and comes from an "
        "authority in every node's raft.cafile in the place of the bad one: it is read without a "
        "restart",
    ),
    (re.compile(""), "correct what it says, here or there; see the agent's log"),
)
"""What to do about what keeps a voter that can be reached away: of the first that fits."""


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
                code=Trouble.NO_MAJORITY,
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
    found += _of_accusation(raft)
    return tuple(found)


def _of_voter(voter: VoterStatus, raft: RaftStatus, now: Instant) -> list[Notice]:
    """Silence is worth a word of its own with a majority only: without one all is silent."""
    subject = voter.name or voter.address
    silent = not voter.connected and not voter.is_self
    heard = ""
    if silent and voter.last_contact is not None:
        heard = f"; last heard {longest(voter.last_contact, now):.0f} s ago"
    if voter.problem:
        return _of_problem(voter, voter.problem, heard, raft)
    if not silent or not raft.majority:
        return []
    never = "" if voter.bound else " and never was, so its vote does not count yet"
    return [
        Notice(
            code=Trouble.VOTER_SILENT,
            subject=subject,
            what="this voter is not in touch" + never + heard,
            remedy=_bring_back(voter, raft),
        )
    ]


def _of_problem(voter: VoterStatus, problem: str, heard: str, raft: RaftStatus) -> list[Notice]:
    is_gone = "cannot connect" in problem
    return [
        Notice(
            code=Trouble.VOTER_PROBLEM,
            subject=voter.name or voter.address,
            what=problem + heard,
            remedy=_bring_back(voter, raft) if is_gone else _remedy(problem),
        )
    ]


def _of_accusation(raft: RaftStatus) -> list[Notice]:
    """What a peer says against this node stands beside that peer too, whose name tells more, unless
    it has been lost since, or is no voter."""
    said = raft.accusation
    if said is None or any(voter.problem == said.why for voter in raft.voters):
        return []
    return [
        Notice(
            code=Trouble.VOTER_PROBLEM,
            subject=_own_name(raft),
            what=_in_full(said),
            remedy=_remedy(said.why),
        )
    ]


def _in_full(said: Accusation) -> str:
    return said.why.replace("it refuses this node", f"{said.address} refuses this node", 1)


def _remedy(problem: str) -> str:
    return next(remedy for pattern, remedy in _REMEDIES if pattern.search(problem))


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
        code=Trouble.BARRED,
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
            code=Trouble.OTHER_FILE,
            subject=_own_name(raft),
            what=f"its raft.partner_addrs {what}: who votes has been changed since",
            remedy="correct the file; it is read at the next start, and this node votes meanwhile",
            level=Level.WARNING,
        )
    ]


def _of_joiner(joiner: VoterStatus, raft: RaftStatus) -> Notice:
    said = _in_full(raft.accusation) if joiner.is_self and raft.accusation else None
    why = "".join(f": {each}" for each in (joiner.problem, said) if each)
    name, address = joiner.name or "NAME", joiner.address
    seat = next((v for v in raft.voters if v.name and v.name.casefold() == name.casefold()), None)
    remedy = f"give it one with raftha member add {name} {address}"
    if seat is not None and seat.address != address:
        remedy = f"if the one at {seat.address} is lost: raftha member replace {name} {address}"
    elif seat is not None or any(v.address == address for v in raft.voters):
        remedy = "it gets the vote of its name and address by itself; else correct its name"
    return Notice(
        code=Trouble.NO_VOTE,
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
        code=Trouble.VOTE_AWAITED,
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
    return [
        Notice(
            code=Trouble.VOTER_COUNT, subject="raft", what=what, remedy=remedy, level=Level.WARNING
        )
    ]


def _low_space(raft: RaftStatus) -> list[Notice]:
    if raft.free_bytes is None or raft.free_bytes >= LOW_SPACE_BYTES:
        return []
    return [
        Notice(
            code=Trouble.LOW_SPACE,
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
            code=Trouble.SLOW_DISK,
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
            code=Trouble.STORE_FILLING,
            subject="store",
            what=f"the store holds {raft.state_bytes >> 20} of {MAX_STATE_BYTES >> 20} MiB, and "
            "raftha needs some KiB",
            remedy="find with raftha store list what fills it, and stop whoever writes it: when it "
            "is full new keys are refused, at twice that all that makes it larger but a lease",
        )
    ]
