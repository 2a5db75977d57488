"""A view claims no more than the replica showed at the moment at which it was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

from raftha.agent.board import Board
from raftha.agent.lookout import Lookout
from raftha.model.cluster import Cluster
from raftha.model.ids import Revision
from raftha.model.scheduling import ScheduledRestart
from raftha.model.settings import DynamicConfig, DynamicPostgres
from raftha.model.view import GuardianView, Identity, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg

NOTHING: Final = cast(Any, None)


class Here(Board):
    """The board of n1."""

    def identity(self) -> Identity:
        return b.identity()


@dataclass
class Writes:
    """What the loop's writes and its first barrier have come to."""

    pending: frozenset[str] = frozenset({"sync"})
    caught_up: bool = False

    def barrier_commits(self) -> None:
        """All that was open is settled, and what was committed before it shows from now on."""
        self.pending, self.caught_up = frozenset(), True


def observed(
    writes: Writes,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    cluster: Cluster | None = None,
    unable: Callable[[Mapping[str, str]], str | None] = lambda _parameters: None,
) -> View:
    """A view for which an old replica was read; `meanwhile` happens right afterwards."""

    def read() -> Cluster:
        meanwhile()
        return cluster or b.cluster()

    guarding = SimpleNamespace(view=lambda: GuardianView(alive=True))
    lookout = Lookout(
        board=Here(config=NOTHING, postgres=NOTHING, last_tick=pg.T0),
        clock=pg.FakeClock(),
        store=cast(Any, SimpleNamespace(status=b.raft)),
        reader=cast(Any, SimpleNamespace(read=read)),
        instance=cast(Any, SimpleNamespace(inspect=pg.directory, made_slots=frozenset)),
        guarding=cast(Any, guarding),
        keeper=cast(Any, SimpleNamespace(held=None)),
        worker=cast(Any, SimpleNamespace(job=None, result=None)),
        peers=cast(Any, SimpleNamespace(answers={})),
        effects=cast(Any, writes),
        log_path=Path("none"),
        unable=unable,
    )
    return lookout.observe()


def test_a_barrier_that_commits_after_the_replica_was_read_says_nothing_about_it() -> None:
    """Otherwise what an old replica does not show would count as never committed: a write that
    happened as failed, the pledge to a leader whom it does not know yet as given to nobody."""
    writes = Writes()
    old = observed(writes, meanwhile=writes.barrier_commits)
    assert (old.caught_up, old.pending) == (False, {"sync"})

    new = observed(writes, meanwhile=lambda: None)
    assert (new.caught_up, new.pending) == (True, frozenset())


def test_whether_the_server_would_start_again_is_asked_at_the_time_of_its_restart_alone() -> None:
    asked: list[Mapping[str, str]] = []

    def unable(parameters: Mapping[str, str]) -> str:
        asked.append(parameters)
        return "pg_cron is missing"

    def seen(after: float, **more: Any) -> str:
        due = pg.FakeClock().wall() + after
        plan = ScheduledRestart(due=due, member=pg.N1, revision=Revision(58), **more)
        loading = DynamicPostgres(parameters={"shared_preload_libraries": "pg_cron"})
        cluster = b.cluster(
            scheduled_restarts={pg.N1: plan}, config=DynamicConfig(postgresql=loading)
        )
        return observed(Writes(), cluster=cluster, unable=unable).doomed

    assert (seen(60), seen(-1, process="77@1"), seen(-1, refused="too late")) == ("", "", "")
    assert asked == []
    assert seen(-1) == "pg_cron is missing"
    assert asked == [{"shared_preload_libraries": "pg_cron"}]
