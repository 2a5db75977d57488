"""Until when a primary that does not serve keeps its lease."""

from __future__ import annotations

from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from raftha.agent.board import Board
from raftha.agent.health import Health
from raftha.agent.observer import Observer
from raftha.errors import PostgresUnavailable
from raftha.ha.memory import Memory
from raftha.instants import Seconds
from raftha.model.postgres import ServerPlan, ServerRole, ServerStatus
from raftha.model.settings import DynamicConfig
from raftha.model.view import GuardianView
from tests.unit.ha import servers as pg

NOTHING = cast(Any, None)
SETTINGS = DynamicConfig(primary_health_timeout=Seconds(2.5), primary_start_timeout=Seconds(300.0))


class FakeInstance(Struct):
    """A primary that starts, and then a disk that takes nothing, each as long as it says so."""

    is_starting: bool = False
    is_full: bool = False

    def status(self, timeout: float) -> ServerStatus:
        if self.is_starting:
            raise PostgresUnavailable(f"starting up, after {timeout} s")
        return pg.primary()

    def probe(self, timeout: float) -> None:
        if self.is_full:
            raise PostgresUnavailable(f"no space left on device, after {timeout} s")


class Seen(Struct):
    """A server under a clock, looked at twice a second."""

    instance: FakeInstance
    clock: pg.FakeClock
    board: Board
    observer: Observer
    health: Health

    def pass_by(self, seconds: float, *, loop_moves: bool = True) -> str | None:
        """Let time go by; what is said then against a renewal."""
        for _ in range(round(seconds / 0.5)):
            self.clock.advance(0.5)
            if loop_moves:
                self.board.last_tick = self.clock.now()
            self.observer.step()
        return self.health.hold_back()


def seen(**state: bool) -> Seen:
    """A primary that has just been started."""
    instance, clock = FakeInstance(**state), pg.FakeClock()
    board = Board(config=NOTHING, postgres=NOTHING, last_tick=clock.now())
    board.guardian = GuardianView(alive=True, running=True, primary=True, process="77@1")
    observer = Observer(
        board=board,
        instance=cast(Any, instance),
        clock=clock,
        pace=lambda: Seconds(0.5),
        timeout=lambda: Seconds(1.0),
    )
    return Seen(
        instance,
        clock,
        board,
        observer,
        Health(board=board, clock=clock, settings=lambda: SETTINGS),
    )


def test_a_primary_that_serves_keeps_its_lease() -> None:
    assert seen().pass_by(60.0) is None


def test_a_loop_that_stands_still_loses_the_lease_though_postgresql_serves() -> None:
    server = seen()
    server.pass_by(10.0)
    assert server.pass_by(2.5, loop_moves=False) is None
    assert "the loop has stood still" in (server.pass_by(0.5, loop_moves=False) or "")
    assert server.pass_by(0.5) is None


def test_a_primary_whose_disk_takes_no_more_loses_its_lease() -> None:
    server = seen()
    server.pass_by(10.0)
    server.instance.is_full = True
    assert server.pass_by(2.5) is None
    assert "was last fit to serve" in (server.pass_by(1.0) or "")


def test_a_primary_that_starts_has_the_time_that_a_start_may_take() -> None:
    server = seen(is_starting=True)
    assert server.pass_by(300.0) is None
    assert "has not answered since its start" in (server.pass_by(1.0) or "")


def test_what_a_bootstrap_restored_may_take_hours_until_it_answers() -> None:
    server = seen(is_starting=True)
    plan = ServerPlan(role=ServerRole.STANDBY, closed=True, recovers=True)
    server.board.memory = Memory(plan=plan)
    assert server.pass_by(400.0) is None
    assert server.health.pace() == SETTINGS.loop_wait, "each look is a line in the server's log"
    server.board.memory = Memory(plan=replace(plan, recovers=False))
    assert "has not answered since its start" in (server.health.hold_back() or "")


def test_a_primary_that_has_answered_has_started_though_it_never_served() -> None:
    """After a crash on a full disk it starts, answers, and its disk takes nothing."""
    server = seen(is_starting=True, is_full=True)
    assert server.pass_by(20.0) is None
    server.instance.is_starting = False
    assert server.pass_by(3.0) is None
    reason = server.pass_by(0.5) or ""
    assert "answers, and has not been fit to serve" in reason
    assert "no space left" in reason
