"""The server has read the files that were written last, whatever came in between."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from raftha.agent.board import Board
from raftha.agent.effects import Effects
from raftha.errors import PostgresUnavailable
from raftha.ha.actions import Configure
from raftha.model.cluster import Cluster
from raftha.model.ids import Revision
from raftha.model.postgres import ServerPlan, ServerRole
from tests.unit.ha.servers import T0

PLAN: Final = ServerPlan(role=ServerRole.PRIMARY)
CLUSTER: Final = Cluster(revision=Revision(1), generation=0)


@dataclass
class FakeInstance:
    """A server and its files: which plan stands in them, which one it has read."""

    written: ServerPlan | None = None
    read: ServerPlan | None = None
    reloads: int = 0
    answers: bool = True

    def configure(self, plan: ServerPlan) -> bool:
        changed, self.written = self.written != plan, plan
        return changed

    def reload(self, timeout: float) -> str:
        if not self.answers:
            raise PostgresUnavailable(f"not within {timeout} s")
        self.read = self.written
        self.reloads += 1
        return "now"

    def refused_settings(self, timeout: float) -> tuple[str, ...]:
        assert timeout > 0
        return ()


def effects_on(instance: FakeInstance) -> Effects:
    nothing = cast(Any, None)
    return Effects(
        instance=cast(Any, instance),
        guarding=nothing,
        keeper=nothing,
        store=nothing,
        peers=nothing,
        worker=nothing,
        jobs=nothing,
        board=Board(config=nothing, postgres=nothing, last_tick=T0),
        log_path=Path("none"),
    )


def test_files_that_an_earlier_agent_wrote_are_read_once() -> None:
    instance = FakeInstance(written=PLAN)
    effects = effects_on(instance)

    assert effects.perform(Configure(PLAN), CLUSTER)
    assert effects.perform(Configure(PLAN), CLUSTER)

    assert (instance.read, instance.reloads) == (PLAN, 1)


def test_a_reload_that_failed_is_made_up_for() -> None:
    instance = FakeInstance(answers=False)
    effects = effects_on(instance)
    assert not effects.perform(Configure(PLAN), CLUSTER)

    instance.answers = True
    assert effects.perform(Configure(PLAN), CLUSTER)

    assert instance.read == PLAN
