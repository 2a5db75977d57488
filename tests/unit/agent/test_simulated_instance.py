"""Whatever the agent asks of a server the simulation's answers: else a seed in some hundred would
end with an AttributeError, long after the change that made it so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from raftha.pg.instance import Instance
from tests.sim.cluster.instance import FakeInstance

AGENT: Final = Path(__file__).parents[3] / "raftha" / "agent"
_CALL: Final = re.compile(r"\b_?instance\.(\w+)\(")

LEFT_OUT: Final = frozenset({"advance_slots", "conf_loaded", "make_logical_slot", "note_slots"})
"""Of logical slots, and of positions in slots, which the simulation has none of."""


def asked() -> set[str]:
    return {name for file in AGENT.glob("*.py") for name in _CALL.findall(file.read_text())}


def test_the_simulation_has_what_the_agent_asks_of_a_server() -> None:
    assert {name for name in asked() if not hasattr(FakeInstance, name)} == LEFT_OUT
    assert {name for name in asked() if not hasattr(Instance, name)} == set()
