"""Acts on slots: in which order, and what is noted before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from raftha.agent.board import Board
from raftha.agent.effects import Effects
from raftha.ha import actions as act
from raftha.model.cluster import Cluster
from raftha.model.ids import Lsn, Revision
from raftha.model.postgres import Binaries, ServerPlan, ServerRole
from raftha.model.settings import PermanentSlot
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import T0, FakeClock

CLUSTER: Final = Cluster(revision=Revision(1), generation=0)
SUB: Final = PermanentSlot(name="sub", plugin="pgoutput", database="app")


@dataclass
class Recorder:
    """An instance, its guardian and its jobs, which write down what they are asked for."""

    done: list[str] = field(default_factory=list)

    def ensure_slots(self, wanted: Iterable[str], timeout: float) -> None:
        assert timeout > 0
        self.done.append(f"make {' '.join(wanted)}")

    def advance_slots(self, targets: Mapping[str, Lsn], timeout: float) -> None:
        assert timeout > 0
        self.done.append(f"advance {' '.join(targets)}")

    def drop_slot(self, name: str, timeout: float) -> None:
        assert timeout > 0
        self.done.append(f"drop {name}")

    def note_slots(self, names: Iterable[str]) -> None:
        self.done.append(f"note {' '.join(names)}")

    def install_slots(self) -> tuple[str, ...]:
        self.done.append("install")
        return ("sub",)

    def conf_loaded(self, timeout: float) -> None:
        assert timeout > 0
        self.done.append("connect")

    def inspect(self) -> object:
        return pg.directory()

    def configure(self, plan: ServerPlan) -> None:
        self.done.append(f"configure a {plan.role}")

    def binaries(self, major: int) -> Binaries:
        return Binaries(bin_dir=Path(), major=major, version="", origin="")

    def start_command(self, binaries: Binaries) -> tuple[list[str], dict[str, str]]:
        del binaries
        return [], {}

    def start(self, *what: object) -> None:
        self.done.append(f"start {type(what[0]).__name__}")


def done(*actions: act.Action) -> list[str]:
    """What a member does when this is decided."""
    recorder = Recorder()
    everybody = cast(Any, recorder)
    board = Board(config=everybody, postgres=everybody, last_tick=T0)
    effects = Effects(
        instance=everybody,
        guarding=everybody,
        keeper=everybody,
        store=everybody,
        peers=everybody,
        worker=everybody,
        jobs=everybody,
        board=board,
        clock=FakeClock(),
        log_path=Path("none"),
        graceful=everybody,
        reloaded=lambda: None,
    )
    for action in actions:
        assert effects.perform(action, CLUSTER)
    return recorder.done


def test_what_is_asked_of_slots_is_done() -> None:
    asked = (
        act.DropSlots(("a", "b")),
        act.EnsureSlots(("c",)),
        act.AdvanceSlots({"d": Lsn(1)}),
        act.RousePostmaster(),
    )
    assert done(*asked) == ["drop a", "drop b", "make c", "advance d", "connect"]


def test_a_logical_slot_is_noted_as_made_here_before_the_job_that_makes_it() -> None:
    """A crash in between leaves a name too many in the list, never a slot that is nobody's."""
    made = done(act.MakeLogicalSlots((SUB,), synced=True))
    assert made == ["note sub", "start MakeLogicalSlots"]


def test_a_standby_takes_fetched_slots_in_as_it_starts_and_a_primary_does_not() -> None:
    standby = done(act.Start(ServerPlan(role=ServerRole.STANDBY)))
    assert standby == ["install", "configure a standby", "start list"]
    primary = done(act.Start(ServerPlan(role=ServerRole.PRIMARY)))
    assert primary == ["configure a primary", "start list"]
