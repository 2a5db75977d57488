"""What a voter must remember, and what it expects of the place that keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct, field

from raftha.consensus.marks import Mark
from raftha.consensus.state import LogEntry
from raftha.model.store import FsyncTimes


class Voter(Struct, frozen=True, kw_only=True):
    """Who answers at an address: a name, and the life of the Raft directory behind it."""

    name: str
    incarnation: str
    witness: bool = False


class Owner(Struct, frozen=True, kw_only=True):
    """Whose Raft directory it is."""

    scope: str
    name: str

    def is_same(self, other: Owner) -> bool:
        """Names are told apart without regard to case."""
        return self.scope == other.scope and self.name.casefold() == other.name.casefold()

    def __str__(self) -> str:
        return f"node {self.name!r} of cluster {self.scope!r}"


class Standing(Struct, frozen=True, kw_only=True):
    """What this Raft directory is in the group. One that is `joining` met a cluster in which it had
    no seat; it got one with the log entry at `voter_since`."""

    joining: bool = False
    voter_since: int | None = None


class Persisted(Struct, frozen=True, kw_only=True):
    """Everything that was durable when the store was opened. `put_aside` says why this is a new
    directory in place of one that must not be voted from, and where that one is."""

    incarnation: str
    boot: int
    term: int = 0
    vote: str | None = None
    entries: tuple[LogEntry, ...] = ()
    snapshot: bytes | None = None
    voters: Mapping[str, Voter] = field(default_factory=dict)
    standing: Standing = Standing()
    marks: Mapping[str, Mark] = field(default_factory=dict)
    put_aside: str | None = None


class Origin(StrEnum):
    """Whose snapshot it is that is written down part by part, beside the one in use."""

    OWN = "own"
    RECEIVED = "received"


class StableStore(Protocol):
    """Durable state of one voter. Every method may raise StorageFailed, which is final."""

    def load(self) -> Persisted:
        """Read everything, checked. The boot number is raised, durably, by each load."""

    def append(self, entry: LogEntry) -> None:
        """Add the entry that follows the last one."""

    def truncate(self, first_index: int) -> None:
        """Drop this entry and all after it."""

    def save_ballot(self, term: int, vote: str | None) -> None:
        """Remember the term and the vote given in it."""

    def stage(self, origin: Origin, part: bytes, *, first: bool) -> None:
        """Write down one part of a snapshot beside the one in use; the first one begins it anew.
        What is not put in place before the next load is forgotten."""

    def replace(self, entries: Sequence[LogEntry]) -> None:
        """Put the snapshot that was received, and the whole log that goes with it, in place of the
        present ones. The first entry is none before the present first one."""

    def compact(self, first_index: int) -> None:
        """Put this voter's own snapshot in place, and drop the entries before `first_index`."""

    def save_voter(self, address: str, voter: Voter | None) -> None:
        """Remember who answers at an address; None forgets it."""

    def save_standing(self, standing: Standing) -> None:
        """Remember what this directory is in the group."""

    def save_marks(self, marks: Mapping[str, Mark]) -> None:
        """Remember what these addresses promised."""

    def condemn(self, reason: str) -> None:
        """Durably: the next load puts this directory aside and begins with a new one."""

    @property
    def is_dirty(self) -> bool:
        """Whether the next sync has something to do."""

    def sync(self) -> None:
        """Make everything written so far durable, or fail."""

    def fsync_times(self) -> FsyncTimes:
        """How long syncs took that had something to do. From any thread."""

    @property
    def free_bytes(self) -> int | None:
        """Space that was left on the disk at the last sync; None if unknown."""

    def close(self) -> None:
        """Sync and let go."""
