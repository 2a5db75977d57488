"""The faults of the cluster world: a plan that is drawn from the seed.

A plan is a list, so that a seed can be run again with some of its faults left out.
"""

from __future__ import annotations

from enum import Enum
from random import Random
from typing import Final

from msgspec import Struct


class Kind(Enum):
    """What goes wrong."""

    KILL_AGENT = "agent killed"
    FREEZE_AGENT = "agent frozen"
    KILL_GUARDIAN = "guardian killed"
    FREEZE_GUARDIAN = "guardian frozen"
    KILL_BOTH = "agent and guardian killed"
    FREEZE_BOTH = "agent and guardian frozen"
    KILL_POSTMASTER = "postmaster killed"
    STOP_POSTMASTER = "postmaster stopped"
    KILL_CHILD = "a child of the postmaster killed"
    KILL_AGENT_AND_POSTMASTER = "agent and postmaster killed"
    KILL_ALL = "agent, guardian and postmaster killed"
    FREEZE_NODE = "all processes of a node frozen"
    SUSPEND = "node suspended"
    POWER_LOSS = "power lost"
    POWER_LOSS_OF_ALL = "power lost everywhere"
    ISOLATE = "cut off both ways"
    DEAF = "hears nobody"
    MUTE = "is heard by nobody"
    CUT_RAFT = "links of Raft cut"
    CUT_DATA = "links of replication cut"
    CUT_DATA_BACK = "acknowledgements of replication cut"
    CUT_HTTP = "links of HTTP cut"
    HUNG_DISK = "disk of the database hung"
    FULL_DISK = "disk of the database full"
    READ_ONLY_DISK = "disk of the database read-only"
    SLOW_RAFT_DISK = "disk of Raft slow"
    FULL_RAFT_DISK = "disk of Raft full"
    SLEW = "clock slewed"
    SWITCHOVER = "switchover asked for"
    TTL = "ttl changed"
    MODE = "synchronous mode changed"
    SHORTER_TTL = "ttl cut, then hears nobody"
    PAUSE = "maintenance pause"
    FAILOVER = "failover asked for"
    RESTART = "restart asked for"
    PENDING_RESTARTS = "pending restarts asked for"
    REINIT = "a new copy asked for"
    PARAMETERS = "a parameter changed"


WEIGHTS: Final = {
    Kind.KILL_AGENT: 4,
    Kind.FREEZE_AGENT: 4,
    Kind.KILL_GUARDIAN: 2,
    Kind.FREEZE_GUARDIAN: 3,
    Kind.KILL_BOTH: 2,
    Kind.FREEZE_BOTH: 3,
    Kind.KILL_POSTMASTER: 3,
    Kind.STOP_POSTMASTER: 2,
    Kind.KILL_CHILD: 2,
    Kind.KILL_AGENT_AND_POSTMASTER: 3,
    Kind.KILL_ALL: 2,
    Kind.FREEZE_NODE: 2,
    Kind.SUSPEND: 1,
    Kind.POWER_LOSS: 4,
    Kind.POWER_LOSS_OF_ALL: 1,
    Kind.ISOLATE: 4,
    Kind.DEAF: 2,
    Kind.MUTE: 2,
    Kind.CUT_RAFT: 3,
    Kind.CUT_DATA: 3,
    Kind.CUT_DATA_BACK: 1,
    Kind.CUT_HTTP: 1,
    Kind.HUNG_DISK: 1,
    Kind.FULL_DISK: 3,
    Kind.READ_ONLY_DISK: 1,
    Kind.SLOW_RAFT_DISK: 2,
    Kind.FULL_RAFT_DISK: 2,
    Kind.SLEW: 2,
    Kind.SWITCHOVER: 3,
    Kind.TTL: 2,
    Kind.MODE: 3,
    Kind.SHORTER_TTL: 1,
    Kind.PAUSE: 4,
    Kind.FAILOVER: 1,
    Kind.RESTART: 3,
    Kind.PENDING_RESTARTS: 2,
    Kind.REINIT: 2,
    Kind.PARAMETERS: 4,
}


class Victim(Enum):
    """Who is hit, decided when the fault strikes."""

    ANYBODY = "anybody"
    PRIMARY = "primary"
    STANDBY = "standby"
    RAFT_LEADER = "raft leader"


class Moment(Enum):
    """When a fault strikes, once its time has come."""

    NOW = "at once"
    RENEWAL = "a renewal of the lease"
    CLAIM = "a race for the leader key"
    PROMOTION = "a promotion"


MOMENTS: Final = {
    Moment.RENEWAL: (Kind.FREEZE_AGENT, Kind.FREEZE_BOTH, Kind.MUTE, Kind.DEAF, Kind.CUT_RAFT),
    Moment.CLAIM: (Kind.KILL_AGENT, Kind.FREEZE_AGENT, Kind.DEAF, Kind.CUT_RAFT, Kind.POWER_LOSS),
    Moment.PROMOTION: (
        Kind.FREEZE_AGENT,
        Kind.FREEZE_AGENT,
        Kind.KILL_AGENT,
        Kind.FREEZE_GUARDIAN,
        Kind.FREEZE_BOTH,
        Kind.POWER_LOSS,
        Kind.ISOLATE,
        Kind.CUT_DATA,
    ),
}
"""Faults that hurt most at certain moments."""

PROBES: Final = (
    Kind.KILL_BOTH,
    Kind.KILL_ALL,
    Kind.KILL_POSTMASTER,
    Kind.KILL_GUARDIAN,
    Kind.KILL_AGENT_AND_POSTMASTER,
    Kind.FREEZE_BOTH,
    Kind.FREEZE_NODE,
    Kind.POWER_LOSS,
    Kind.ISOLATE,
    Kind.CUT_RAFT,
    Kind.STOP_POSTMASTER,
    Kind.HUNG_DISK,
    Kind.FULL_DISK,
    Kind.READ_ONLY_DISK,
    Kind.FULL_RAFT_DISK,
)
"""What a healthy cluster without another fault gets over within the bound of L1."""


INSTANT: Final = (
    Kind.KILL_POSTMASTER,
    Kind.KILL_CHILD,
    Kind.SWITCHOVER,
    Kind.TTL,
    Kind.MODE,
    Kind.FAILOVER,
    Kind.RESTART,
    Kind.REINIT,
)
"""What is over as soon as it has struck, however long the cluster needs to get over it."""

RAISED_S: Final = 2.0
"""A ttl that is to be cut is raised so long before."""


class Trouble(Struct, frozen=True, kw_only=True):
    """One fault of a plan. `at` counts from the birth of the cluster; `strength` is between 0 and 1
    and means what the fault makes of it; times in seconds. A probe is a fault of a primary that
    strikes alone: how long nobody can write after it is measured."""

    at: float
    kind: Kind
    victim: Victim
    pick: int
    lasts: float
    strength: float = 0.5
    moment: Moment = Moment.NOW
    is_probe: bool = False

    @property
    def duration(self) -> float:
        """Seconds from its stroke until it is undone."""
        if self.kind in INSTANT:
            return 0.0
        begins_later = {Kind.SHORTER_TTL: RAISED_S + self.strength, Kind.PARAMETERS: 1.0}
        return begins_later.get(self.kind, 0.0) + self.lasts

    def __str__(self) -> str:
        who = self.victim.value if self.moment is Moment.NOW else f"at {self.moment.value}"
        return f"{self.at:6.2f} {self.kind.value}: {who}, {self.lasts:.2f} s"


PROBE_TTLS: Final = 3
"""How long a probe lasts, and nothing else happens: longer than anybody may need to take over."""

HANGS: Final = (Kind.STOP_POSTMASTER, Kind.HUNG_DISK, Kind.FULL_DISK, Kind.READ_ONLY_DISK)
"""Where PostgreSQL hangs, or goes on in what room is left, that must be found out first."""

PROBED: Final = 0.5
"""The share of seeds that begin with a probe."""


def draw_troubles(random: Random, seconds: float, ttl: float) -> list[Trouble]:
    """A plan for so many seconds: calm worlds and wild ones, short faults and long ones."""
    pace = random.choice((2.0, 4.0, 8.0))
    kinds = list(WEIGHTS)
    # A seed knows only some of the faults, so that those come often and together.
    known = random.sample(kinds, random.randint(3, len(kinds)))
    weights = [WEIGHTS[kind] for kind in known]
    victims = (Victim.PRIMARY, Victim.PRIMARY, *Victim)
    pointed = random.choice((0.0, 0.2, 0.5))
    plan = []
    at = random.expovariate(1.0)
    if random.random() < PROBED:
        plan.append(
            Trouble(
                at=at,
                kind=random.choice(PROBES),
                victim=Victim.PRIMARY,
                pick=0,
                lasts=PROBE_TTLS * ttl,
                is_probe=True,
            )
        )
        at += PROBE_TTLS * ttl
    while at < seconds - 5.0:
        moment = random.choice(list(MOMENTS)) if random.random() < pointed else Moment.NOW
        kinds_then = MOMENTS.get(moment)
        plan.append(
            Trouble(
                at=at,
                kind=random.choice(kinds_then) if kinds_then else random.choices(known, weights)[0],
                moment=moment,
                victim=random.choice(victims),
                pick=random.randrange(1 << 16),
                lasts=random.choice((0.3, 1.0, ttl, 3 * ttl)) * random.uniform(0.3, 1.0),
                strength=random.random(),
            )
        )
        at += random.expovariate(1 / pace)
    return plan
