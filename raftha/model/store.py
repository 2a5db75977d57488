"""Values of the key store: entries, leases, guarded commands, outcomes, events.

There is no blind write: a `Transact` names in its guards every key that it writes, so a delayed or
repeated command cannot undo what happened in between. There is no time of day: a lease is a holder,
a duration and a revision, and who measures what is written in `docs/consensus.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, NewType

from msgspec import Meta, Struct, field

from raftha.instants import Instant, Seconds
from raftha.model.ids import Epoch, Revision

Key = NewType("Key", str)
LeaseId = NewType("LeaseId", str)


_Stored = Annotated[Revision, Meta(ge=0, lt=2**62)]


class Entry(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One key. `create_revision` is when it last came into being, `mod_revision` its last write.

    Entries and leases are the bulk of a snapshot, which holds them as they are: the order of their
    fields is its format, and nothing in them can be part of a cycle."""

    key: Key
    value: bytes
    create_revision: _Stored
    mod_revision: _Stored
    lease: LeaseId | None = None


class Lease(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A lease. `revision` grows with each renewal; `note` is the holder's, carried by renewals."""

    id: LeaseId
    holder: str
    ttl: Seconds
    revision: _Stored
    note: bytes = b""


# Guards: every one must hold at apply, or nothing of the command happens.


class KeyAbsent(Struct, frozen=True):
    key: Key


class KeyAt(Struct, frozen=True):
    """The key exists and was last written at this revision."""

    key: Key
    mod_revision: Revision


class KeyCreatedAt(Struct, frozen=True):
    """The key exists and is the same incarnation: how a leader's writes are fenced by its epoch."""

    key: Key
    create_revision: Revision


class LeaseAt(Struct, frozen=True):
    """The lease exists and was last renewed at this revision."""

    lease: LeaseId
    revision: Revision


Guard = KeyAbsent | KeyAt | KeyCreatedAt | LeaseAt


# Writes, performed in order when all guards hold; all of one command share one revision.


class Put(Struct, frozen=True):
    key: Key
    value: bytes
    lease: LeaseId | None = None


class Remove(Struct, frozen=True):
    key: Key


class Grant(Struct, frozen=True):
    """Bring a lease into being; refused if the id is in use."""

    lease: LeaseId
    holder: str
    ttl: Seconds
    note: bytes = b""


Write = Put | Remove | Grant


# Commands.


class Transact(Struct, frozen=True):
    """All the writes or none. Every key written must be named by a guard."""

    guards: tuple[Guard, ...]
    writes: tuple[Write, ...]


class Refresh(Struct, frozen=True):
    """Renew a lease that is still at `expect`; it gets the ttl and note given here."""

    lease: LeaseId
    expect: Revision
    ttl: Seconds
    note: bytes = b""


class Revoke(Struct, frozen=True):
    """End a lease that is still at `expect`, and remove the keys attached to it."""

    lease: LeaseId
    expect: Revision


class Barrier(Struct, frozen=True):
    """Change nothing: once it commits, the local replica holds everything committed before it."""


Command = Transact | Refresh | Revoke | Barrier


# Outcomes: what became of a command.


class Committed(Struct, frozen=True):
    """It happened once. `handed_over` was read before the command first left this process, so that
    a lease it grants or renews may be counted from there. `revision` is the one it made."""

    revision: Revision
    handed_over: Instant


class Rejected(Struct, frozen=True):
    """It did not happen and never will: this guard did not hold."""

    reason: str


class NotSent(Struct, frozen=True):
    """It did not happen and never will: no raft leader, queue full, too large, stopping."""

    reason: str


class Unknown(Struct, frozen=True):
    """It may have happened or may still happen; a later command of this session settles it."""

    reason: str


Outcome = Committed | Rejected | NotSent | Unknown


class Cause(StrEnum):
    """Why a key went away."""

    DELETED = "deleted"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Changed(Struct, frozen=True):
    """A key was created or written."""

    revision: Revision
    entry: Entry


class Gone(Struct, frozen=True):
    """A key was removed; `previous` is what it held."""

    revision: Revision
    previous: Entry
    cause: Cause


Event = Changed | Gone


class RaftRole(StrEnum):
    LEADER = "leader"
    FOLLOWER = "follower"
    CANDIDATE = "candidate"


class VoterStatus(Struct, frozen=True, kw_only=True):
    """One voter, or a node that would be one, as this node sees it. `incarnation` is the random
    identity of its Raft directory. `bound` says that the log names that incarnation, without which
    no vote of a voter counts. `api_url` is where it answers over HTTP, empty while it is not in
    touch. `last_contact` is None if nothing was heard since start."""

    address: str
    name: str | None
    is_self: bool
    connected: bool
    incarnation: str | None = None
    bound: bool = True
    witness: bool | None = None
    api_url: str = ""
    last_contact: Instant | None = None
    match_index: int | None = None
    problem: str | None = None


SLOW_FSYNC_S: Final = Seconds(0.1)
"""A sync above this is slow: a third of the shortest election timeout of the profile `lan`."""


MAX_STATE_BYTES: Final = 32 << 20
"""How large keys, values and leases may become together. raftha itself keeps some KiB there."""


class FsyncTimes(Struct, frozen=True, kw_only=True):
    """How long this node's disk took to make the Raft log durable: the last time, and in the last
    minute the 99th percentile, the longest, how often, and how often it was slow: above
    `SLOW_FSYNC_S`."""

    last: Seconds = Seconds(0.0)
    p99: Seconds = Seconds(0.0)
    longest: Seconds = Seconds(0.0)
    count: int = 0
    slow: int = 0


class Accusation(Struct, frozen=True, kw_only=True):
    """Why the peer at an address does not let this node in, as it was told here."""

    address: str
    why: str


class RaftStatus(Struct, frozen=True, kw_only=True):
    """The Raft group as this node sees it. `joiners` hold the log and have no vote; `expected` will
    get one once they do. `majority` says that a majority is in touch *now*: a raft leader is known
    and was heard (or answered this leader) within the fallback time. `barred` says why this very
    node never votes again, `accusation` what a peer holds against it. `listed` are the addresses in
    this node's file, its own among them; none if it is not known. `incarnation` is the random
    identity of this node's own Raft directory. `free_bytes` is the space left for the Raft
    directory, None if unknown. `state_bytes` is how large this node's copy of the store is, as
    `MAX_STATE_BYTES` counts."""

    role: RaftRole
    leader: str | None
    term: int
    commit_index: int
    applied_index: int
    majority: bool
    voters: tuple[VoterStatus, ...]
    joiners: tuple[VoterStatus, ...] = ()
    expected: tuple[VoterStatus, ...] = ()
    barred: str | None = None
    accusation: Accusation | None = None
    listed: tuple[str, ...] = ()
    incarnation: str = ""
    fsync: FsyncTimes = FsyncTimes()
    free_bytes: int | None = None
    state_bytes: int = 0

    @property
    def quorum(self) -> int:
        """Voters needed for a majority."""
        return len(self.voters) // 2 + 1

    @property
    def connected(self) -> int:
        """Voters in touch with this node, itself included."""
        return sum(1 for voter in self.voters if voter.connected or voter.is_self)


class Snapshot(Struct, frozen=True, kw_only=True):
    """The local replica at one revision: consistent, immutable, perhaps behind the majority."""

    revision: Revision
    generation: int
    taken: Instant
    entries: Mapping[Key, Entry] = field(default_factory=dict)
    leases: Mapping[LeaseId, Lease] = field(default_factory=dict)

    def epoch_of(self, key: Key) -> Epoch | None:
        """The epoch of a key's present incarnation; None if it does not exist."""
        entry = self.entries.get(key)
        return None if entry is None else Epoch(self.generation, entry.create_revision)
