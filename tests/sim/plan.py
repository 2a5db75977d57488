"""The faults of the consensus world: a plan drawn from the seed.

A plan is a list of faults, each with its time, so that a seed can be run again with some of them
left out. Who is hit may depend on the moment (the raft leader, the holder of the lease), and the
moment itself on what happens (a vote is sent, a snapshot travels), because most ways to break a
promise need the right victim at the right time.
"""

from __future__ import annotations

from enum import Enum
from random import Random
from typing import Final

from msgspec import Struct

TTL_S: Final = 3.0


class Victim(Enum):
    """Who is hit, decided when the fault strikes."""

    ANYBODY = "anybody"
    RAFT_LEADER = "raft leader"
    HOLDER = "holder"
    FOLLOWER = "follower"


class Moment(Enum):
    """When a fault strikes, once its time has come."""

    NOW = "once"
    RENEWAL = "a renewal of the lease"
    SNAPSHOT = "a part of a snapshot"
    VOTE = "a vote"
    ACKNOWLEDGEMENT = "an acknowledgement"


class Fault(Enum):
    """What can go wrong."""

    KILL = "process killed"
    POWER_LOSS = "power lost"
    RESTART_OF_ALL = "all restarted at once"
    POWER_LOSS_OF_ALL = "power lost everywhere"
    PAUSE = "process paused"
    SUSPEND = "host suspended"
    ISOLATE = "cut off both ways"
    DEAF = "hears nobody"
    MUTE = "is heard by nobody"
    SPLIT = "network split in two"
    OUTRUN = "cut off while the others compact"
    ONE_WAY = "one direction of one link cut"
    SLOW_LINK = "slow links"
    RESET = "links reset"
    RESET_AND_ISOLATE = "links reset, then cut off"
    FLAP = "links flap"
    DISK_FULL = "disk full"
    SYNC_FAILS = "sync fails"
    SLOW_SYNC = "one slow sync"
    SLOW_DISK = "slow disk"
    DAMAGE = "entry damaged on disk"
    EMPTIED = "disk emptied"
    PUT_BACK = "disk put back from a copy"
    COMPACT = "log compacted"
    COMPACT_AND_KILL = "log compacted, then killed"
    SLEW = "clock slewed"
    TTL = "ttl changed"
    SHORTER_TTL = "ttl cut, then hears nobody from the next renewal on"
    ADD = "a machine comes that is to vote"
    REMOVE = "a voter is to go"
    REPLACE = "a machine dies, and another is to have its name and vote"


WEIGHTS: Final = {
    Fault.KILL: 4,
    Fault.POWER_LOSS: 4,
    Fault.RESTART_OF_ALL: 1,
    Fault.POWER_LOSS_OF_ALL: 1,
    Fault.PAUSE: 4,
    Fault.SUSPEND: 1,
    Fault.ISOLATE: 4,
    Fault.DEAF: 2,
    Fault.MUTE: 2,
    Fault.SPLIT: 4,
    Fault.OUTRUN: 3,
    Fault.ONE_WAY: 3,
    Fault.SLOW_LINK: 4,
    Fault.RESET: 4,
    Fault.RESET_AND_ISOLATE: 2,
    Fault.FLAP: 2,
    Fault.DISK_FULL: 1,
    Fault.SYNC_FAILS: 1,
    Fault.SLOW_SYNC: 3,
    Fault.SLOW_DISK: 2,
    Fault.DAMAGE: 1,
    Fault.EMPTIED: 2,
    Fault.PUT_BACK: 2,
    Fault.COMPACT: 6,
    Fault.COMPACT_AND_KILL: 2,
    Fault.SLEW: 3,
    Fault.TTL: 2,
    Fault.SHORTER_TTL: 1,
}


CHANGES: Final = (Fault.ADD, Fault.REMOVE, Fault.REPLACE)
"""What an operator does; drawn apart from what goes wrong."""
MOMENTS: Final = {
    Moment.RENEWAL: (
        Fault.RESET_AND_ISOLATE,
        Fault.RESET_AND_ISOLATE,
        Fault.SHORTER_TTL,
        Fault.PAUSE,
        Fault.SUSPEND,
        Fault.MUTE,
        Fault.DEAF,
    ),
    Moment.SNAPSHOT: (Fault.COMPACT, Fault.KILL, Fault.RESET, Fault.COMPACT_AND_KILL),
    Moment.VOTE: (Fault.POWER_LOSS, Fault.KILL, Fault.PAUSE),
    Moment.ACKNOWLEDGEMENT: (Fault.POWER_LOSS, Fault.POWER_LOSS_OF_ALL, Fault.ISOLATE),
}
"""Faults that hurt most at certain moments."""


class Strike(Struct, frozen=True, kw_only=True):
    """One fault of a plan. `at` counts from the start of the world; `strength` is between 0 and 1
    and means what the fault makes of it; times in seconds."""

    at: float
    fault: Fault
    victim: Victim
    pick: int
    lasts: float
    strength: float
    moment: Moment = Moment.NOW

    def __str__(self) -> str:
        who = self.victim.value if self.moment is Moment.NOW else f"at {self.moment.value}"
        return f"{self.at:6.2f} {self.fault.value}: {who}, {self.lasts:.2f} s"


def draw_plan(random: Random, seconds: float) -> list[Strike]:
    """A plan for so many seconds: calm worlds and wild ones, short faults and long ones."""
    pace = random.choice((0.4, 0.8, 1.6))
    pointed = random.choice((0.0, 0.1, 0.4))
    kinds = list(WEIGHTS)
    # A seed knows only some of the faults, so that those come often and together.
    known = random.sample(kinds, random.randint(4, len(kinds)))
    weights = [WEIGHTS[kind] for kind in known]
    plan = []
    at = random.expovariate(1.0)
    while at < seconds:
        moment = random.choice(list(MOMENTS)) if random.random() < pointed else Moment.NOW
        plan.append(
            Strike(
                at=at,
                fault=random.choice(MOMENTS[moment])
                if moment in MOMENTS
                else random.choices(known, weights)[0],
                victim=random.choice(tuple(Victim)),
                pick=random.randrange(1 << 16),
                lasts=random.choice((0.3, 1.0, TTL_S, 3 * TTL_S)) * random.uniform(0.3, 1.0),
                strength=random.random(),
                moment=moment,
            )
        )
        at += random.expovariate(1 / pace)
    return plan


def draw_changes(seed: int, seconds: float) -> list[Strike]:
    """What an operator wishes of the voters in so many seconds, for half of all seeds. Drawn by
    itself, so that a seed without changes has the faults that it would have had anyway."""
    random = Random(f"changes of {seed}")
    count = random.choice((0, 0, 0, 1, 2, 4))
    kinds = random.sample(CHANGES, random.randint(1, len(CHANGES)))
    moments = (Moment.NOW, Moment.NOW, *MOMENTS)
    return [
        Strike(
            at=random.uniform(2.0, seconds - 4.0),
            fault=random.choice(kinds),
            victim=random.choice(tuple(Victim)),
            pick=random.randrange(1 << 16),
            lasts=random.choice((0.1, 1.0, TTL_S)) * random.uniform(0.3, 1.0),
            strength=random.random(),
            moment=random.choice(moments),
        )
        for _ in range(count)
    ]
