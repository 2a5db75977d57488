"""How often PostgreSQL is looked at."""

from __future__ import annotations

from typing import Any, Final, cast

import pytest

from raftha.agent.board import Board, Sample
from raftha.agent.health import FIRST_LOOK_S, LAST_LOOK_S, Health
from raftha.model.settings import DynamicConfig
from raftha.model.view import GuardianView
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
