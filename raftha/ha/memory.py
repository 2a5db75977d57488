"""The little that a node remembers between two ticks. Everything else is observed anew. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from raftha.ha.actions import StopMode
from raftha.instants import Instant, Seconds
from raftha.model.cluster import SlotNote
from raftha.model.ids import Epoch, Lsn, MemberName, Revision, Timeline
from raftha.model.postgres import ServerPlan

WISHED: Final = "wish"
"""In `Memory.drained`: an operator wants the server restarted, made anew, or stopped."""


class StopSent(Struct, frozen=True, kw_only=True):
    """A stop that was asked of one process, so that it is not asked again each tick."""

    process: str
    mode: StopMode
    at: Instant


class Arming(Struct, frozen=True, kw_only=True):
    """A setting whose proof is under way: `names` was written at `since`; a checkpoint was asked
    for; a standby counts once it has flushed `required`, which is past `redo`: where recovery would
    begin after that checkpoint, and so the end of a whole record."""

    names: str
    since: Instant
    checkpointed: bool = False
    required: Lsn | None = None
    redo: Lsn | None = None


class LeaderSeen(Struct, frozen=True, kw_only=True):
    """The last renewal of the leader's lease that reached this node, and what its note said;
    `slots` are the leader's, by name."""

    revision: Revision
    at: Instant
    name: MemberName | None = None
    timeline: Timeline | None = None
    position: Lsn | None = None
    slots: Mapping[str, SlotNote] = field(default_factory=dict)


class Served(Struct, frozen=True, kw_only=True):
    """The leader of this epoch was last known to take writes `at` this instant. Before its first
    one nobody had taken any for `gap_seconds`; None is unknown."""

    epoch: Epoch
    at: Instant
    gap_seconds: Seconds | None = None


class Unstreamed(Struct, frozen=True, kw_only=True):
    """The standby here has not streamed from the leader of this epoch since then."""

    epoch: Epoch
    since: Instant


class Floors(Struct, frozen=True, kw_only=True):
    """From which transaction on each copy of a logical slot must keep the catalog, by name; for
    this server process, and as seen under the leader of this epoch."""

    where: tuple[str, Epoch]
    of: Mapping[str, int]


class PrePromoteAsked(Struct, frozen=True, kw_only=True):
    """The operator's program was asked about a promotion under this epoch."""

    epoch: Epoch
    at: Instant


class Memory(Struct, frozen=True, kw_only=True):
    """What each field is for:

    `making`: the epoch under which this process began to make a cluster.
    `plan`: the configuration last written; None makes the next tick write it again.
    `stop`: a stop already asked for. `starts`, `started_at`: the starts since the server last
    answered, and the latest of them.
    `down_since`: no server has run since. `serving_since`: this node's has served as the primary.
    `promoted`: the epoch the guardian was told to promote under, and when.
    `pre_promote_asked`: the operator's program was asked; `pre_promote_refused`: when it forbade.
    `checkpoint_asked`: when the checkpoint after the promotion was asked for.
    `lost_since`: the leader key has been missing since, all the while with the status key at
    `lost_at`. `live_primary_since`: a peer has said since then that a primary runs without it.
    `cutting_since`: the old stream is being cut since, without success so far. `alone_since`: no
    majority has been in touch since;
    `together_since`: one has.
    `leader_seen`: the last renewal of the leader that reached this node. `served`: who was last
    known to take writes, and when.
    `arming`: the proof of the synchronous standbys' setting. `absent`: since when each of them is
    not attached. `away`: since when each of the other members is not in touch.
    `rejoined`: the leader's epoch under which the directory was found, or made, to follow its line.
    `streaming_since`: the standby has streamed since. `unstreamed`: since when it has not.
    `starved_since`, `starved_at`: the standby misses WAL since then, without getting any further.
    `wal_gone`: it needs a copy; `from_leader`: an operator wants that of the leader.
    `request_seen`, `request_since`: the operator request under way, and when it was first seen.
    `drained`, `drain_since`: the operator request, the stop, or the wished restart, that PostgreSQL
    is drained for. `remade`: the last wish to make the directory anew that was taken up.
    `floors`: what makes copies of logical slots ready. `copied_for`: the server process for which
    the files of slots were fetched, and `restarted_at`: when one was last restarted for them.
    `race`: the reason with which this node went into its last race, for the history.
    `failures`, `retry_at`, `failed`: jobs that failed in a row, and when the next try is due.
    """

    plan: ServerPlan | None = None
    making: Epoch | None = None
    stop: StopSent | None = None
    starts: int = 0
    started_at: Instant | None = None
    down_since: Instant | None = None
    serving_since: Instant | None = None
    promoted: Epoch | None = None
    promoted_at: Instant | None = None
    pre_promote_asked: PrePromoteAsked | None = None
    pre_promote_refused: Instant | None = None
    checkpoint_asked: Instant | None = None
    lost_since: Instant | None = None
    lost_at: Revision | None = None
    live_primary_since: Instant | None = None
    cutting_since: Instant | None = None
    alone_since: Instant | None = None
    together_since: Instant | None = None
    leader_seen: LeaderSeen | None = None
    served: Served | None = None
    arming: Arming | None = None
    absent: Mapping[MemberName, Instant] = field(default_factory=dict)
    away: Mapping[MemberName, Instant] = field(default_factory=dict)
    rejoined: Epoch | None = None
    streaming_since: Instant | None = None
    unstreamed: Unstreamed | None = None
    starved_since: Instant | None = None
    starved_at: Lsn | None = None
    wal_gone: bool = False
    from_leader: bool = False
    request_seen: str = ""
    request_since: Instant | None = None
    drained: str | None = None
    drain_since: Instant | None = None
    remade: str = ""
    floors: Floors | None = None
    copied_for: str = ""
    restarted_at: Instant | None = None
    race: str = ""
    failures: int = 0
    retry_at: Instant | None = None
    failed: str = ""
    last_job: Instant | None = None

    @property
    def is_settling(self) -> bool:
        """The next step waits for a position of WAL, whose progress is no event: look often."""
        plan = self.plan
        is_closed = plan is not None and plan.closed and not plan.recovers
        return self.arming is not None or self.drained is not None or is_closed
