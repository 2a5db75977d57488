"""What a decision may ask for: a closed union of values that the agent performs.

Every act is idempotent: asked for twice, it does no harm, because the next view shows what came of
it. PURE.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from raftha.instants import Seconds
from raftha.model.cluster import Member
from raftha.model.ids import Epoch, Lsn, MemberName, Revision, Timeline
from raftha.model.postgres import ServerPlan
from raftha.model.settings import PermanentSlot
from raftha.model.store import LeaseId, Transact


class StopMode(StrEnum):
    """How PostgreSQL is stopped. KILL is the guardian's verified end of the whole tree."""

    FAST = "fast"
    IMMEDIATE = "immediate"
    KILL = "kill"


class Submit(Struct, frozen=True):
    """A write to the store, at most one of each intent in flight."""

    intent: str
    command: Transact


class AcquireLeader(Struct, frozen=True):
    """Race for the leader key: `command` creates it and grants `lease`. Not `armed`, the guardian
    of a primary that runs without a deadline is left so."""

    command: Transact
    lease: LeaseId
    ttl: Seconds
    armed: bool = True


class Readopt(Struct, frozen=True):
    """Renew the lease that an earlier process of this node left behind, with its guardian and its
    server still there: from then on it is held as if this process had won it. `armed` as above."""

    epoch: Epoch
    revision: Revision
    ttl: Seconds
    armed: bool = True


class Disarm(Struct, frozen=True):
    """Take the guardian's deadline away, and renew without it from now on. Only while the committed
    `disarmed/<name>` keeps everybody else from a promotion (R16)."""

    epoch: Epoch


class Rearm(Struct, frozen=True):
    """Renew at once, and let the guardian have the deadline again."""


class ReleaseLeader(Struct, frozen=True):
    """Give the lease back, which removes the key. Only after a verified stop."""

    epoch: Epoch


class ReturnLeader(Struct, frozen=True):
    """Give back the lease that an earlier guardian of this node left behind, or that its own has
    burned: it cannot be held any more. Only where nothing of a primary is left."""

    epoch: Epoch
    revision: Revision


class Start(Struct, frozen=True):
    """Configure the server and start it; as a primary only under an epoch."""

    plan: ServerPlan
    epoch: Epoch | None = None


class Stop(Struct, frozen=True):
    mode: StopMode


class Configure(Struct, frozen=True):
    """Write the configuration and reload it."""

    plan: ServerPlan


class CutStream(Struct, frozen=True):
    """Configure a standby without an upstream, end its WAL receiver and see that it is gone: from
    then on it receives nothing from a leader older than `floor` (R17)."""

    plan: ServerPlan
    floor: Epoch


class Promote(Struct, frozen=True):
    """Reserve the burned timeline numbers, write the configuration, and have the guardian promote.

    The guardian refuses without a live deadline for the epoch.
    """

    epoch: Epoch
    plan: ServerPlan
    burned: tuple[Timeline, ...]


class AskPrePromote(Struct, frozen=True):
    """Run the operator's program that may forbid the promotion, as a job."""


class InitDb(Struct, frozen=True):
    """Make a new cluster in the empty data directory: by initdb, or as `bootstrap.method` says."""


class PostBootstrap(Struct, frozen=True):
    """Run the operator's program on the new cluster, as a job: if it fails, the bootstrap has."""


class PutAside(Struct, frozen=True):
    """Put the directory of a bootstrap that came to nothing aside, as a job that ends with the
    reason, `why`, as its error."""

    why: str


class TakeOver(Struct, frozen=True):
    """Stop the server that somebody else started on the data directory, by a fast shutdown."""

    pid: int


class CreateRoles(Struct, frozen=True):
    """Create the superuser's password and the replication and rewind roles."""


class Clone(Struct, frozen=True):
    """Copy a member, beside whatever lies in the data directory. Without a source only programs of
    the operator's are tried that need none."""

    source: Member | None


class Rejoin(Struct, frozen=True):
    """Bring a diverged or crashed old primary back onto `source`'s line: pg_rewind, or a clone
    where that is impossible. `forced` says that the timeline numbers prove the divergence, and
    `spares` that what has diverged is left alone: this cluster has not written it."""

    source: Member
    forced: bool
    spares: bool = False


class Checkpoint(Struct, frozen=True):
    """CHECKPOINT, as a job."""


class CancelJob(Struct, frozen=True):
    """Give up the running job; what it had half done is put aside or removed by itself."""


class EnsureSlots(Struct, frozen=True):
    """Make the physical slots that are missing."""

    wanted: tuple[str, ...]


class AdvanceSlots(Struct, frozen=True):
    """Move slots of a standby, which nobody uses, up to where their readers are elsewhere."""

    targets: Mapping[str, Lsn]


class FillHistories(Struct, frozen=True):
    """Have a history file for each timeline number below this one, for a running standby that finds
    the next timeline by them."""

    below: Timeline


class MakeLogicalSlots(Struct, frozen=True):
    """Make these slots on the primary, as a job; `synced`: to be copied by PostgreSQL itself."""

    wanted: tuple[PermanentSlot, ...]
    synced: bool


class RousePostmaster(Struct, frozen=True):
    """Connect to the server: its postmaster starts a worker that has ended only when something
    wakes it, which may take a minute."""


class CopySlots(Struct, frozen=True):
    """Fetch the state of these logical slots from the primary, as a job; the next start of the
    standby takes them in."""

    source: Member
    names: tuple[str, ...]


class DropSlots(Struct, frozen=True):
    """Drop these slots, which would only keep WAL for nobody. A stream that still uses one is
    ended."""

    names: tuple[str, ...]


class EndDoubles(Struct, frozen=True):
    """Of several streams that carry one of these names, end all but the newest (R21)."""

    streams: tuple[str, ...]


class ConfirmBirth(Struct, frozen=True):
    """The data directory made here is the cluster's: it may no longer be put aside for another."""


class AskPeers(Struct, frozen=True):
    """Ask these members for their state and WAL position, all at once."""

    names: tuple[MemberName, ...]


class RestoreGuardian(Struct, frozen=True):
    """Start a guardian: none answers for this data directory."""


class EndAgent(Struct, frozen=True):
    """Everything is down: the agent may end."""


Action = (
    Submit
    | AcquireLeader
    | Readopt
    | Disarm
    | Rearm
    | ReleaseLeader
    | ReturnLeader
    | Start
    | Stop
    | Configure
    | CutStream
    | Promote
    | AskPrePromote
    | InitDb
    | PostBootstrap
    | PutAside
    | TakeOver
    | CreateRoles
    | Clone
    | Rejoin
    | Checkpoint
    | CancelJob
    | EnsureSlots
    | AdvanceSlots
    | FillHistories
    | MakeLogicalSlots
    | CopySlots
    | RousePostmaster
    | DropSlots
    | EndDoubles
    | ConfirmBirth
    | AskPeers
    | RestoreGuardian
    | EndAgent
)
