"""What the screen says of the synchronous mode, and of what a failover would lose."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raftha.cli import render
from raftha.instants import Seconds
from raftha.model.ids import MemberName
from raftha.model.postgres import HeldRows
from raftha.model.report import Exposure
from tests.unit.api.fake_cluster import cluster_report

N3 = MemberName("n3")


def lines(**more: object) -> list[str]:
    return render.status(replace(cluster_report(), **more), 120, colour=False).splitlines()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "synchronous mode on; synchronous standbys: n2"),
        ({"sync_standbys": ()}, "synchronous mode on; synchronous standbys: none"),
        (
            {"synchronous_mode_strict": True},
            "synchronous mode on, strict; synchronous standbys: n2",
        ),
        (
            {"synchronous_mode": "quorum", "sync_standbys": ("n2", "n3"), "sync_quorum": 1},
            "synchronous mode quorum; any 1 of n2, n3 hold each commit, 2 of them are heard before "
            "one is promoted",
        ),
        (
            {"synchronous_mode": "quorum", "sync_standbys": ("n2", "n3", "n4"), "sync_quorum": 1},
            "synchronous mode quorum; any 2 of n2, n3, n4 hold each commit, 2 of them are heard "
            "before one is promoted",
        ),
    ],
)
def test_the_synchronous_mode_names_its_standbys(more: dict[str, object], told: str) -> None:
    assert told in lines(**more)


@pytest.mark.parametrize(
    ("rpo", "told"),
    [
        (
            Exposure(automatic=True, bytes=0, seconds=Seconds(0.0)),
            "a failover now would lose nothing",
        ),
        (
            Exposure(automatic=True, bytes=5325, seconds=Seconds(0.34), standby=N3),
            "a failover now would lose: 5.2 kB, the last 0.3 s (n3 holds the most)",
        ),
        (
            Exposure(automatic=False, bytes=16384, standby=N3),
            "there would be no automatic failover now; one by hand would lose: 16.0 kB (n3 holds "
            "the most)",
        ),
        (
            Exposure(automatic=False),
            "there would be no automatic failover now; one by hand would lose: nobody tells how "
            "much",
        ),
    ],
)
def test_what_a_failover_would_lose_is_told(rpo: Exposure, told: str) -> None:
    assert told in lines(rpo=rpo)


def test_without_a_leader_nothing_is_told_of_it() -> None:
    assert not any("would lose" in line for line in lines(rpo=None))


def test_of_what_slots_hold_back_the_oldest_of_each_kind_is_told() -> None:
    held = (
        HeldRows(slot="n2", transactions=9),
        HeldRows(slot="n3", transactions=1234),
        HeldRows(slot="sub", transactions=40, catalog=True),
    )
    told = "vacuum is held back by slots: 1234 transactions by n3, 40 transactions by sub (catalogs"
    assert f"{told} alone)" in lines(held=held)
    assert not any("vacuum" in line for line in lines())
