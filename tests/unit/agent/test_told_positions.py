"""How a member's position is told once its old stream was cut: by whom, and when it counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, cast

from raftha.agent.board import Board, Sample
from raftha.agent.observer import Observer
from raftha.agent.report import cluster_report, node_report, peer_report
from raftha.instants import Seconds
from raftha.model.postgres import ServerStatus
from raftha.model.view import GuardianView, PeerAnswer
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg

NOTHING: Final = cast(Any, None)


def test_a_position_is_told_as_the_last_word_only_if_it_was_read_after_the_cut() -> None:
    view = b.racing()
    s = b.situation(view, b.LOST)
    node = node_report(s, b.decided(view, b.LOST), "demo")

    told = peer_report(s, node, view.guardian, view.server, pg.at(0.1))
    assert (told.position, told.pledged) == (pg.lsn(5000), pg.PLEDGED)
    early = peer_report(s, node, view.guardian, view.server, pg.at(-0.3))
    assert (early.position, early.pledged) == (pg.lsn(5000), None)


def test_a_restarted_standby_has_received_what_it_has_replayed() -> None:
    """PostgreSQL says where its receiver began, a segment's first byte, until more WAL comes."""
    restarted = pg.standby(received=pg.lsn(4096), replayed=pg.lsn(5000))
    view = b.following(server=restarted)
    s = b.situation(view)
    report = peer_report(s, node_report(s, b.decided(view), "demo"), view.guardian, restarted, None)
    answers = {s.me: PeerAnswer(asked=pg.T0, report=report)}
    whole = cluster_report(
        scope="demo",
        me=s.me,
        now=pg.T0,
        cluster=s.cluster,
        raft=view.raft,
        answers=answers,
        seen=pg.T0,
        notices=(),
    )
    told = next(member for member in whole.members if member.name == s.me)
    assert (told.received, told.replayed) == (pg.lsn(5000), pg.lsn(5000))


@dataclass
class FakeInstance:
    """A standby that answers the same each time."""

    answer: ServerStatus = field(default_factory=pg.standby)

    def status(self, timeout: float) -> ServerStatus:
        assert timeout > 0
        return self.answer

    def probe(self, timeout: float) -> None:
        assert timeout > 0


def test_the_first_answer_after_a_cut_wakes_the_loop_though_nothing_else_changed() -> None:
    """Otherwise the race would wait for the next tick to come by itself."""
    clock, board = pg.FakeClock(), Board(config=NOTHING, postgres=NOTHING, last_tick=pg.T0)
    board.guardian = GuardianView(alive=True, running=True, process="77@1")
    board.sample = Sample(process="77@1", status=pg.standby(), asked=pg.at(-0.1), probed=pg.T0)
    observer = Observer(
        board=board,
        instance=cast(Any, FakeInstance()),
        clock=clock,
        pace=lambda: Seconds(1.0),
        timeout=lambda: Seconds(1.0),
    )
    observer.step()
    assert not board.woken.is_set()

    clock.advance(0.1)
    board.cut = pg.cut(at=clock.now())
    clock.advance(0.1)
    observer.step()
    assert board.woken.is_set()
    board.woken.clear()
    observer.step()
    assert not board.woken.is_set()
