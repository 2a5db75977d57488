"""Dead rows that slots keep vacuum from removing."""

from __future__ import annotations

import pytest

from raftha.agent.report import cluster_report, node_report, peer_report
from raftha.ha.explain import problems
from raftha.ha.holding import MANY, held_rows
from raftha.ha.situation import Situation
from raftha.model.postgres import HeldRows, ServerStatus, SlotState
from raftha.model.report import Level
from raftha.model.view import PeerAnswer
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import N1

OF_N3 = SlotState(name="n3", xmin_age=MANY)
OF_READER = SlotState(name="sub", plugin="pgoutput", catalog_xmin=7, catalog_xmin_age=MANY + 1)


def situation(server: ServerStatus) -> Situation:
    return b.situation(b.view(server=server))


def told(*slots: SlotState) -> list[str]:
    return [n.what for n in problems(situation(pg.primary(slot_states=slots)))]


def test_many_rows_that_a_slot_holds_are_told_with_whose_it_is_and_what_to_do() -> None:
    (notice,) = problems(situation(pg.primary(slot_states=(OF_N3,))))
    assert notice.level is Level.WARNING
    assert notice.what == (
        "the slot n3 of n3 holds back vacuum: the dead rows of 10000000 transactions stay"
    )
    assert "on n3" in notice.remedy


def test_the_slot_of_no_member_is_its_readers() -> None:
    (notice,) = problems(situation(pg.primary(slot_states=(OF_READER,))))
    assert "the slot sub holds back vacuum" in notice.what
    assert notice.what.endswith("10000001 transactions stay in the system catalogs")
    assert "its reader" in notice.remedy


def test_few_rows_are_no_reason_for_a_warning() -> None:
    assert told(SlotState(name="n3", xmin_age=MANY - 1)) == []


@pytest.mark.parametrize(
    ("slot", "held"),
    [
        (SlotState(name="n2"), ()),
        (SlotState(name="n2", xmin_age=0), ((0, False),)),
        (SlotState(name="n2", xmin_age=5, catalog_xmin=1, catalog_xmin_age=5), ((5, False),)),
        (
            SlotState(name="n2", xmin_age=5, catalog_xmin=1, catalog_xmin_age=6),
            ((5, False), (6, True)),
        ),
        (SlotState(name="n2", catalog_xmin=1, catalog_xmin_age=6), ((6, True),)),
    ],
)
def test_what_a_slot_holds(slot: SlotState, held: tuple[tuple[int, bool], ...]) -> None:
    found = held_rows(pg.primary(slot_states=(slot,)))
    assert tuple((rows.transactions, rows.catalog) for rows in found) == held


def test_a_standby_is_told_of_by_its_primary() -> None:
    assert held_rows(pg.standby(slot_states=(OF_N3,))) == ()
    assert held_rows(None) == ()


def test_the_status_has_what_slots_of_the_leader_hold() -> None:
    view = b.view(server=pg.primary(slot_states=(OF_N3,)))
    s = b.situation(view)
    node = node_report(s, b.decided(view), "demo")
    report = peer_report(s, node, view.guardian, view.server, pg.T0)
    whole = cluster_report(
        scope="demo",
        me=N1,
        now=pg.T0,
        cluster=s.cluster,
        raft=view.raft,
        answers={N1: PeerAnswer(asked=pg.T0, report=report)},
        seen=pg.T0,
        notices=(),
    )
    assert whole.held == (HeldRows(slot="n3", transactions=MANY),)
