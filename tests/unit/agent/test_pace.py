"""How often PostgreSQL is looked at."""

from __future__ import annotations

from typing import Any, Final, cast

import pytest

from raftha.agent.board import Board, Sample
from raftha.agent.health import FIRST_LOOK_S, LAST_LOOK_S, Health
from raftha.config.dynamic import parse_dynamic
from raftha.ha.plans import primary_plan
from raftha.ha.standbys import SYNC_WAIT_S
from raftha.model.settings import DynamicConfig
from raftha.model.view import GuardianView
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg

NOTHING: Final = cast(Any, None)


@pytest.mark.parametrize(
    ("taken_s", "pause_s"),
    [(0.0, FIRST_LOOK_S), (0.1, FIRST_LOOK_S), (1.5, 0.15), (600.0, LAST_LOOK_S)],
)
def test_a_start_is_noticed_within_a_tenth_of_the_time_it_took(
    taken_s: float, pause_s: float
) -> None:
    clock = pg.FakeClock()
    board = Board(config=NOTHING, postgres=NOTHING, last_tick=pg.T0)
    board.guardian = GuardianView(alive=True, running=True, primary=True, process="1@2")
    board.sample = Sample(process="1@2", appeared=clock.now(), problem="starting up")
    clock.advance(taken_s)

    health = Health(board=board, clock=clock, settings=DynamicConfig)

    assert health.pace() == pytest.approx(pause_s)


STEPS_S: Final = 0.2
"""What the store and a reload take on a shared, busy machine: measured."""


@pytest.mark.parametrize("profile", ["fast", "lan", "slow", "wan"])
def test_a_synchronous_standby_that_hangs_holds_commits_up_for_less_than_a_ttl(
    profile: str,
) -> None:
    """Its sender lets go, that is seen, its place is kept for a moment, and the set changes."""
    config = parse_dynamic({"profile": profile}, "test")
    board = Board(config=NOTHING, postgres=NOTHING, last_tick=pg.T0)
    board.guardian = GuardianView(alive=True, running=True, primary=True, process="1@2")
    board.sample = Sample(process="1@2", status=pg.primary())
    pace = Health(board=board, clock=pg.FakeClock(), settings=lambda: config).pace()
    plan = primary_plan(b.cluster(config=config), b.identity(), "")

    patience = plan.parameters["wal_sender_timeout"]
    assert patience.endswith("ms")
    assert float(patience[:-2]) / 1000 + pace + SYNC_WAIT_S + STEPS_S < config.ttl
