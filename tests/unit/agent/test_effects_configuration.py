"""The server has read the files that were written last, whatever came in between."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import pytest

from raftha.agent.board import Board
from raftha.agent.effects import Effects
from raftha.errors import PostgresUnavailable
from raftha.ha.actions import Configure, CutStream, EndDoubles
from raftha.logs import Plain
from raftha.model.cluster import Cluster
from raftha.model.ids import Revision
from raftha.model.postgres import ServerPlan, ServerRole
from raftha.model.view import GuardianView, StreamCut
from tests.unit.ha.servers import PLEDGED, T0, FakeClock

PLAN: Final = ServerPlan(role=ServerRole.PRIMARY)
CLUSTER: Final = Cluster(revision=Revision(1), generation=0)


@dataclass
class FakeInstance:
    """A server and its files: which plan stands in them, which one it has read."""

    written: ServerPlan | None = None
    read: ServerPlan | None = None
    reloads: int = 0
    answers: bool = True
    has_receiver: bool = True
    receiver_ends: bool = True
    done: list[str] = field(default_factory=list)

    def configure(self, plan: ServerPlan) -> bool:
        changed, self.written = self.written != plan, plan
        self.done.append("configure")
        return changed

    def cut_stream(self) -> bool:
        self.done.append("cut")
        if not self.receiver_ends:
            raise PostgresUnavailable("the WAL receiver did not end")
        return self.has_receiver

    def reload(self, timeout: float) -> str:
        if not self.answers:
            raise PostgresUnavailable(f"not within {timeout} s")
        self.read = self.written
        self.reloads += 1
        self.done.append("reload")
        return "now"

    def terminate_duplicates(self, names: Iterable[str], timeout: float) -> tuple[str, ...]:
        assert timeout > 0
        self.done += names
        return ("n2@1",)

    def refused_settings(self, timeout: float) -> tuple[str, ...]:
        assert timeout > 0
        return ()


def effects_on(
    instance: FakeInstance, board: Board | None = None, clock: FakeClock | None = None
) -> Effects:
    nothing = cast(Any, None)
    return Effects(
        instance=cast(Any, instance),
        guarding=nothing,
        keeper=nothing,
        store=nothing,
        peers=nothing,
        worker=nothing,
        jobs=nothing,
        board=board or Board(config=nothing, postgres=nothing, last_tick=T0),
        clock=clock or FakeClock(),
        log_path=Path("none"),
        graceful=nothing,
        reloaded=lambda: None,
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


def test_what_fails_tick_after_tick_is_told_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, instance = FakeClock(), FakeInstance(answers=False)
    effects = effects_on(instance, clock=clock)
    with caplog.at_level(logging.ERROR):
        for _ in range(590):
            assert not effects.perform(Configure(PLAN), CLUSTER)
            clock.advance(0.1)
        assert len(caplog.records) == 1
        clock.advance(2.0)
        assert not effects.perform(Configure(PLAN), CLUSTER)
    lines = [Plain().format(record) for record in caplog.records]
    assert len(lines) == 2
    assert lines[1].endswith('act failed act=Configure why="not within 2.0 s" held_back=589')


def test_another_failure_of_the_same_act_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    instance = FakeInstance(answers=False, receiver_ends=False)
    effects = effects_on(instance, standby_board())
    with caplog.at_level(logging.ERROR):
        effects.perform(CUT, CLUSTER)
        instance.answers = True
        effects.perform(CUT, CLUSTER)

    assert len(caplog.records) == 2


def test_streams_of_one_name_are_ended_and_looked_at_again() -> None:
    instance, board = FakeInstance(), standby_board()

    assert effects_on(instance, board).perform(EndDoubles(("n2@1",)), CLUSTER)

    assert instance.done == ["n2@1"]
    assert board.looked_for.is_set()


ALONE: Final = ServerPlan(role=ServerRole.STANDBY)
CUT: Final = CutStream(ALONE, PLEDGED)


def standby_board() -> Board:
    board = Board(config=cast(Any, None), postgres=cast(Any, None), last_tick=T0)
    board.guardian = GuardianView(alive=True, running=True, process="77@1")
    return board


def test_a_stream_counts_as_cut_once_its_receiver_is_gone_under_the_new_setting() -> None:
    instance, board = FakeInstance(), standby_board()

    assert effects_on(instance, board).perform(CUT, CLUSTER)

    assert instance.done == ["configure", "reload", "cut"]
    assert board.cut == StreamCut(process="77@1", floor=PLEDGED, at=T0)
    assert board.looked_for.is_set(), "the position is to be read after that"


def test_a_receiver_that_does_not_end_leaves_nothing_pledged() -> None:
    instance, board = FakeInstance(receiver_ends=False), standby_board()
    board.cut = StreamCut(process="77@1", floor=PLEDGED, at=T0)

    assert not effects_on(instance, board).perform(CUT, CLUSTER)
    assert board.cut is None


def test_a_server_that_was_given_another_upstream_is_not_cut_any_more() -> None:
    """Whatever came of it: the files may have been written."""
    instance, board = FakeInstance(answers=False), standby_board()
    board.cut = StreamCut(process="77@1", floor=PLEDGED, at=T0)

    assert not effects_on(instance, board).perform(Configure(PLAN), CLUSTER)
    assert board.cut is None
