"""The cluster simulation is no decoration: each fault of the program that is planted here is
noticed within a few seeds of a recorded plan, and by the checker that is there for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest
from msgspec import Struct
from msgspec.structs import replace

from raftha.instants import Seconds
from raftha.model.settings import DynamicConfig, SynchronousMode
from tests.sim.cluster import sabotage
from tests.sim.cluster.faults import Kind, Moment, Trouble, Victim
from tests.sim.cluster.sabotage import Sabotage
from tests.sim.cluster.world import ClusterWorld

FAST: Final = DynamicConfig(
    ttl=Seconds(2.0),
    heartbeat=Seconds(0.4),
    loop_wait=Seconds(0.5),
    retry_timeout=Seconds(0.5),
    fence_budget=Seconds(0.3),
    primary_health_timeout=Seconds(1.2),
)
OFF: Final = replace(FAST, synchronous_mode=SynchronousMode.OFF)
QUORUM: Final = replace(FAST, synchronous_mode=SynchronousMode.QUORUM)
BOUNDED: Final = replace(OFF, maximum_lag_on_failover=4096)


def strike(at: float, kind: Kind, lasts: float = 12.0, pick: int = 0, **more: Any) -> Trouble:
    return Trouble(at=at, kind=kind, lasts=lasts, victim=Victim.PRIMARY, pick=pick, **more)


def at_a_renewal(at: float, kind: Kind, lasts: float, strength: float) -> Trouble:
    return strike(at, kind, lasts, moment=Moment.RENEWAL, strength=strength)


LATE_ANSWER: Final = (
    at_a_renewal(3.0, Kind.FREEZE_AGENT, 0.47, 0.1),
    at_a_renewal(3.3, Kind.MUTE, 6.0, 0.0),
)
"""The answer to a renewal is read half a second late, and none comes through after it."""
UNHEARD_ANSWER: Final = (
    at_a_renewal(3.0, Kind.DEAF, 0.6, 0.0),
    strike(3.4, Kind.MUTE, 6.0),
)
"""A renewal commits, and whoever sent it hears so after it has given up; then nobody hears it."""
SHORTENED_UNHEARD: Final = (
    strike(3.0, Kind.SWITCHOVER, pick=1),
    strike(10.0, Kind.SHORTER_TTL, 9.0, pick=1, strength=0.0),
)
"""A shorter ttl commits, and whoever proposed it does not hear that, nor anything after it."""
BACK_WITH_OLD_LEASES: Final = (
    Trouble(at=3.0, kind=Kind.ISOLATE, victim=Victim.STANDBY, pick=0, lasts=6.0),
)
"""Who was cut off for longer than a ttl hears of a leader before it hears of the renewals."""
FROZEN_PROMOTER: Final = (
    strike(3.0, Kind.POWER_LOSS),
    strike(3.1, Kind.FREEZE_AGENT, 9.0, moment=Moment.PROMOTION, strength=0.2),
)
"""Whoever takes over is frozen between its decision and its promotion."""
DEAF_POSTMASTER: Final = (strike(3.0, Kind.STOP_POSTMASTER), strike(3.2, Kind.KILL_AGENT))
"""It does not hear SIGQUIT, so its children live if nobody kills them."""
STANDBY_KILLED: Final = Trouble(
    at=12.0, kind=Kind.KILL_AGENT, victim=Victim.STANDBY, pick=0, lasts=3.0
)
STARTS_LATE: Final = (
    strike(3.0, Kind.CUT_DATA, 20.0),
    STANDBY_KILLED,
    strike(12.5, Kind.POWER_LOSS, 20.0),
    replace(STANDBY_KILLED, at=18.0),
    replace(STANDBY_KILLED, at=18.0, pick=1),  # of both, the one that is there
)
"""The only one that could take over is far behind, and was not there when the leader told how far
it was. When it is back the witness ends the lease; after its next start it knows nothing of it."""
SWITCHED_ON_WHILE_CUT: Final = (
    strike(3.0, Kind.CUT_DATA, 12.0),
    strike(6.0, Kind.MODE),
    strike(7.0, Kind.POWER_LOSS, 20.0),
)
"""The first set begins while no standby gets anything."""
ONE_OF_TWO_HAS_MORE: Final = (
    Trouble(at=3.0, kind=Kind.CUT_HTTP, victim=Victim.STANDBY, pick=0, lasts=12.0),
    Trouble(at=4.0, kind=Kind.CUT_DATA, victim=Victim.STANDBY, pick=0, lasts=12.0),
    strike(4.3, Kind.POWER_LOSS),
)
"""Commits are held by the other standby alone, before the one that is cut off has left the quorum,
and each hears nothing of the other."""
PAUSED_AND_CUT_OFF: Final = (strike(3.0, Kind.PAUSE, 6.0, pick=2), strike(5.0, Kind.ISOLATE))
"""The operator ends the pause on the other side; the primary does not hear of it."""
AWAY_OVER_A_BURNED_NUMBER: Final = (
    Trouble(at=3.0, kind=Kind.POWER_LOSS, victim=Victim.STANDBY, pick=0, lasts=36.0),
    strike(8.0, Kind.ISOLATE, 4.0),
    strike(8.1, Kind.KILL_ALL, 1.0, moment=Moment.PROMOTION, strength=0.0),
    strike(28.0, Kind.ISOLATE, 4.0),
)
"""The only other member is off while its primary burns a number, promotes itself with a file that
reserves that, starts as a standby, which takes the file away, and promotes itself once more."""
RAISED_AND_RESTARTED: Final = (
    strike(3.0, Kind.PARAMETERS, 1.0, pick=0, strength=0.9),
    strike(5.0, Kind.RESTART),
    strike(6.5, Kind.POWER_LOSS, 12.0, is_probe=True),
)
"""The primary comes back with a larger size, and dies just after."""


SEEDS: Final = range(12)


class Planted(Struct, frozen=True, kw_only=True):
    """A fault of the program, and what befalls the cluster so that it shows."""

    sabotage: Sabotage
    noticed_as: tuple[str, ...]
    plan: Sequence[Trouble]
    settings: DynamicConfig = FAST
    witnesses: int | None = None


PLANTED: Final = (
    Planted(
        sabotage=sabotage.renewals_are_counted_from_the_answer,
        noticed_as=("S5",),
        plan=LATE_ANSWER,
    ),
    Planted(
        sabotage=sabotage.renewals_are_counted_from_a_retry,
        noticed_as=("S5",),
        plan=UNHEARD_ANSWER,
    ),
    Planted(
        sabotage=sabotage.a_shorter_ttl_is_proposed_behind_the_guardians_back,
        noticed_as=("S5",),
        plan=SHORTENED_UNHEARD,
    ),
    Planted(
        sabotage=sabotage.leases_end_whatever_renewed_them,
        noticed_as=("S5",),
        plan=BACK_WITH_OLD_LEASES,
        witnesses=0,
    ),
    Planted(
        sabotage=sabotage.the_fence_begins_at_the_deadline,
        noticed_as=("S5",),
        plan=(strike(3.0, Kind.KILL_AGENT),),
    ),
    Planted(
        sabotage=sabotage.a_standby_is_promoted_without_a_live_deadline,
        noticed_as=("S8",),
        plan=FROZEN_PROMOTER,
    ),
    Planted(
        sabotage=sabotage.only_the_postmaster_is_killed,
        noticed_as=("S5", "S1"),
        plan=DEAF_POSTMASTER,
    ),
    Planted(
        sabotage=sabotage.the_others_are_told_before_the_tree_is_empty,
        noticed_as=("S1",),
        plan=(strike(3.0, Kind.KILL_AGENT_AND_POSTMASTER),),
        settings=OFF,
    ),
    Planted(
        sabotage=sabotage.the_postmaster_outlives_its_guardian,
        noticed_as=("S5", "S1"),
        plan=(strike(3.0, Kind.KILL_BOTH),),
    ),
    Planted(
        sabotage=sabotage.nobody_kills_a_frozen_guardian,
        noticed_as=("S5", "S1"),
        plan=(strike(3.0, Kind.FREEZE_BOTH),),
    ),
    Planted(
        sabotage=sabotage.nobody_looks_after_postgresql,
        noticed_as=("L1",),
        plan=(strike(3.0, Kind.STOP_POSTMASTER, is_probe=True),),
    ),
    Planted(
        sabotage=sabotage.everybody_is_named_without_a_proof,
        noticed_as=("S6",),
        plan=SWITCHED_ON_WHILE_CUT,
        settings=OFF,
    ),
    Planted(
        sabotage=sabotage.nobody_asks_what_others_of_a_quorum_hold,
        noticed_as=("S6",),
        plan=ONE_OF_TWO_HAS_MORE,
        settings=QUORUM,
        witnesses=0,
    ),
    Planted(
        sabotage=sabotage.nothing_is_told_beyond_the_lease,
        noticed_as=("S7",),
        plan=STARTS_LATE,
        settings=BOUNDED,
        witnesses=1,
    ),
    Planted(
        sabotage=sabotage.a_resume_lets_everybody_go,
        noticed_as=("S5", "S1"),
        plan=PAUSED_AND_CUT_OFF,
    ),
    Planted(
        sabotage=sabotage.burned_numbers_keep_no_file,
        noticed_as=("L2",),
        plan=AWAY_OVER_A_BURNED_NUMBER,
        witnesses=1,
    ),
    Planted(
        sabotage=sabotage.a_primary_goes_above_its_standbys,
        noticed_as=("L1",),
        plan=RAISED_AND_RESTARTED,
        witnesses=0,
    ),
)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.sabotage.__name__)
def test_the_checkers_notice(planted: Planted) -> None:
    """Clocks and delays differ from seed to seed, so not each of them shows it."""
    for seed in SEEDS:
        found = world_of(planted, seed, planted.sabotage).run()
        if any(violation.startswith(planted.noticed_as) for violation in found):
            return
    pytest.fail(f"{len(SEEDS)} seeds and nobody noticed")


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.sabotage.__name__)
def test_nothing_is_noticed_where_nothing_is_planted(planted: Planted) -> None:
    assert world_of(planted, SEEDS[0], lambda _node: None).run() == []


def world_of(planted: Planted, seed: int, sabotage: Sabotage) -> ClusterWorld:
    return ClusterWorld(
        seed,
        plan=planted.plan,
        settings=planted.settings,
        witnesses=planted.witnesses,
        sabotage=sabotage,
    )
