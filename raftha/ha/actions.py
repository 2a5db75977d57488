"""What a decision may ask for: a closed union of values that the agent performs.

Every act is idempotent: asked for twice, it does no harm, because the next view shows what came of
it. PURE.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from raftha.instants import Seconds
from raftha.model.cluster import Member
from raftha.model.ids import Epoch, MemberName, Revision, Timeline
from raftha.model.postgres import ServerPlan
from raftha.model.store import LeaseId, Transact


class StopMode(StrEnum):
    """How PostgreSQL is stopped. KILL is the guardian's verified end of the whole tree."""

    FAST = "fast"
    IMMEDIATE = "immediate"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Submit:
    """A write to the store, at most one of each intent in flight."""

    intent: str
    command: Transact


@dataclass(frozen=True, slots=True)
class AcquireLeader:
    """Race for the leader key: `command` creates it and grants `lease`. `reason` is kept."""

    command: Transact
    lease: LeaseId
    ttl: Seconds


@dataclass(frozen=True, slots=True)
class Readopt:
    """Renew the lease that an earlier process of this node left behind, with its guardian and its
    server still there: from then on it is held as if this process had won it."""

    epoch: Epoch
    revision: Revision
    ttl: Seconds


@dataclass(frozen=True, slots=True)
class ReleaseLeader:
    """Give the lease back, which removes the key. Only after a verified stop."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Start:
    """Configure the server and start it; as a primary only under an epoch."""

    plan: ServerPlan
    epoch: Epoch | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    mode: StopMode


@dataclass(frozen=True, slots=True)
class Configure:
    """Write the configuration and reload it."""

    plan: ServerPlan


@dataclass(frozen=True, slots=True)
class Promote:
    """Reserve the burned timeline numbers, write the configuration, and have the guardian promote.

    The guardian refuses without a live deadline for the epoch.
    """

    epoch: Epoch
    plan: ServerPlan
    burned: tuple[Timeline, ...]


@dataclass(frozen=True, slots=True)
class InitDb:
    """Make a new cluster in the empty data directory."""


@dataclass(frozen=True, slots=True)
class CreateRoles:
    """Create the superuser's password and the replication and rewind roles."""


@dataclass(frozen=True, slots=True)
class Clone:
    """Take a base backup from a member, beside whatever lies in the data directory."""

    source: Member


@dataclass(frozen=True, slots=True)
class Rejoin:
    """Bring a diverged or crashed old primary back onto `source`'s line: pg_rewind, or a clone
    where that is impossible. `forced` says that the timeline numbers prove the divergence."""

    source: Member
    forced: bool


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """CHECKPOINT, as a job."""


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Give up the running job; what it had half done is put aside or removed by itself."""


@dataclass(frozen=True, slots=True)
class EnsureSlots:
    """Make the physical slots that are missing."""

    wanted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DropSlots:
    """Drop these slots, which would only keep WAL for nobody: on a standby those of others, on a
    primary those of removed members. A stream that still uses one is ended."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConfirmBirth:
    """The data directory made here is the cluster's: it may no longer be put aside for another."""


@dataclass(frozen=True, slots=True)
class AskPeers:
    """Ask these members for their state and WAL position, all at once."""

    names: tuple[MemberName, ...]


@dataclass(frozen=True, slots=True)
class RestoreGuardian:
    """Start a guardian: none answers for this data directory."""


@dataclass(frozen=True, slots=True)
class EndAgent:
    """Everything is down: the agent may end."""


Action = (
    Submit
    | AcquireLeader
    | Readopt
    | ReleaseLeader
    | Start
    | Stop
    | Configure
    | Promote
    | InitDb
    | CreateRoles
    | Clone
    | Rejoin
    | Checkpoint
    | CancelJob
    | EnsureSlots
    | DropSlots
    | ConfirmBirth
    | AskPeers
    | RestoreGuardian
    | EndAgent
)
