"""What one voter tells of the group: put together when somebody asks, from facts of the last round.

The raft thread publishes `Facts` each round, which must cost next to nothing; whoever wants the
status builds it, on a thread of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from raftha.consensus.configuration import Seat, party_id
from raftha.consensus.members import Identity, Registry
from raftha.consensus.membership import Roll
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
    roll: Roll
    matches: Mapping[str, int]
    free_bytes: int | None
    state_bytes: int


def status_of(
    facts: Facts,
    contacts: Mapping[str, Instant],
    identity: Identity,
    registry: Registry,
    fsync: FsyncTimes,
    problem: str | None,
) -> RaftStatus:
    """The facts with what the registry knows of each node, and when each was heard last; `problem`
    is this node's own. From any thread."""
    joiners = [*facts.roll.newcomers]
    if not facts.roll.is_voter:
        joiners.append(identity.seat)
    return RaftStatus(
        role=facts.role,
        leader=facts.leader,
        term=facts.term,
        commit_index=facts.commit_index,
        applied_index=facts.applied_index,
        majority=facts.majority,
        voters=tuple(
            _seat(seat, seat.address, facts, contacts, identity, registry, problem)
            for seat in facts.roll.seats
        ),
        joiners=tuple(
            _seat(seat, party_id(seat), facts, contacts, identity, registry, problem)
            for seat in joiners
        ),
        expected=tuple(
            _seat(seat, party_id(seat), facts, contacts, identity, registry, problem)
            for seat in facts.roll.expected
        ),
        barred=registry.barred,
        accusation=registry.accusation,
        listed=(identity.address, *identity.partners),
        incarnation=identity.incarnation,
        fsync=fsync,
        free_bytes=facts.free_bytes,
        state_bytes=facts.state_bytes,
    )


def _seat(
    seat: Seat,
    party: str,
    facts: Facts,
    contacts: Mapping[str, Instant],
    identity: Identity,
    registry: Registry,
    problem: str | None,
) -> VoterStatus:
    known = registry.seat(seat)
    is_self = (known.address, known.incarnation) == (identity.address, identity.incarnation)
    return VoterStatus(
        address=seat.address,
        name=known.name or None,
        incarnation=known.incarnation or None,
        bound=seat.is_bound,
        is_self=is_self,
        connected=is_self or party in facts.roll.linked,
        witness=known.witness if known.is_bound else None,
        api_url=registry.api_url(seat.address),
        last_contact=None if is_self else contacts.get(seat.address),
        match_index=None if is_self else facts.matches.get(party),
        problem=problem if is_self else registry.problem(seat.address),
    )
