"""What one voter tells of the group: put together when somebody asks, from facts of the last round.

The raft thread publishes `Facts` each round, which must cost next to nothing; whoever wants the
status builds it, on a thread of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from raftha.consensus.members import Identity, Registry
from raftha.instants import Instant
from raftha.model.store import FsyncTimes, RaftRole, RaftStatus, VoterStatus


class Facts(NamedTuple):
    """The raft thread's view after a round. `matches` is empty unless this node leads."""

    role: RaftRole
    leader: str | None
    term: int
    commit_index: int
    applied_index: int
    majority: bool
    connected: frozenset[str]
    contacts: Mapping[str, Instant]
    matches: Mapping[str, int]
    free_bytes: int | None


def status_of(
    facts: Facts,
    identity: Identity,
    peers: Sequence[str],
    registry: Registry,
    fsync: FsyncTimes,
    problem: str | None,
) -> RaftStatus:
    """The facts with what the registry knows of each voter; `problem` is this node's own. From any
    thread."""
    own = VoterStatus(
        address=identity.address,
        name=identity.name,
        is_self=True,
        connected=True,
        witness=identity.witness,
        problem=problem,
    )
    return RaftStatus(
        role=facts.role,
        leader=facts.leader,
        term=facts.term,
        commit_index=facts.commit_index,
        applied_index=facts.applied_index,
        majority=facts.majority,
        voters=(own, *(_voter(peer, facts, registry) for peer in peers)),
        fsync=fsync,
        free_bytes=facts.free_bytes,
    )


def _voter(peer: str, facts: Facts, registry: Registry) -> VoterStatus:
    known = registry.voter(peer)
    return VoterStatus(
        address=peer,
        name=None if known is None else known.name,
        is_self=False,
        connected=peer in facts.connected,
        witness=registry.is_witness(peer),
        last_contact=facts.contacts.get(peer),
        match_index=facts.matches.get(peer),
        problem=registry.problem(peer),
    )
