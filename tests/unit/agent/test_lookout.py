"""A view claims no more than the replica showed at the moment at which it was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

from raftha.agent.board import Board, Sample
from raftha.agent.lookout import Lookout
from raftha.model.cluster import Cluster
from raftha.model.ids import Revision
from raftha.model.postgres import DataDirectory, ReplayPause
from raftha.model.scheduling import ScheduledRestart
from raftha.model.settings import DynamicConfig, DynamicPostgres
from raftha.model.view import GuardianView, Identity, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg

NOTHING: Final = cast(Any, None)
ALIVE: Final = GuardianView(alive=True)
MINE: Final = GuardianView(alive=True, running=True, process="77@1")


class Here(Board):
    """The board of n1."""

    def identity(self) -> Identity:
        return b.identity()


@dataclass
class Writes:
    """What the loop's writes and its first barrier have come to."""

    pending: frozenset[str] = frozenset({"sync"})
    caught_up: bool = False
    stop_asked: bool = False

    def barrier_commits(self) -> None:
        """All that was open is settled, and what was committed before it shows from now on."""
        self.pending, self.caught_up = frozenset(), True


def here() -> Here:
    postgres = SimpleNamespace(take_over=False)
    return Here(config=NOTHING, postgres=cast(Any, postgres), last_tick=pg.T0)


def instance(inspect: Callable[[], DataDirectory]) -> Any:
    return SimpleNamespace(
        inspect=inspect,
        has_control_file=lambda: True,
        is_unborn=lambda: False,
        is_closed=lambda: False,
        made_slots=frozenset,
        layout=None,
    )


def observed(writes: Writes, **more: Any) -> View:
    """What a lookout sees for which an old replica was read; `meanwhile` happens right after."""
    return lookout(writes, **more).observe()


def lookout(
    writes: Writes,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    cluster: Cluster | None = None,
    unable: Callable[[Mapping[str, str]], str | None] = lambda _parameters: None,
    board: Board | None = None,
    guardian: GuardianView = ALIVE,
    inspect: Callable[[], DataDirectory] = pg.directory,
) -> Lookout:
    def read() -> Cluster:
        meanwhile()
        return cluster or b.cluster()

    return Lookout(
        board=board or here(),
        clock=pg.FakeClock(),
        store=cast(Any, SimpleNamespace(status=b.raft)),
        reader=cast(Any, SimpleNamespace(read=read)),
        instance=instance(inspect),
        guarding=cast(Any, SimpleNamespace(view=lambda: guardian)),
        keeper=cast(Any, SimpleNamespace(held=None)),
        worker=cast(Any, SimpleNamespace(job=None, result=None)),
        peers=cast(Any, SimpleNamespace(answers={})),
        effects=cast(Any, writes),
        log_path=Path("none"),
        unable=unable,
    )


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


def test_a_directory_is_looked_into_again_where_replay_stands_still() -> None:
    """What pg_control held at the start of the server does not tell for which size."""
    looks: list[int] = []

    def inspect() -> DataDirectory:
        looks.append(1)
        return pg.directory()

    board = here()
    seeing = lookout(Writes(), board=board, guardian=MINE, inspect=inspect)

    def looked(**more: Any) -> int:
        board.sample = Sample(process=MINE.process, status=pg.standby(**more))
        seeing.observe()
        return len(looks)

    assert (looked(), looked()) == (1, 1)
    stuck = {"replay_pause": ReplayPause.PAUSED, "replayed": pg.lsn(4100)}
    assert (looked(**stuck), looked(**stuck)) == (2, 2), "a look costs a program"
    assert (looked(), looked(**stuck)) == (2, 3)
