"""What a failover at this moment would lose."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.agent.exposure import exposed_bytes, exposure
from raftha.instants import Seconds
from raftha.model.cluster import Disarmed
from raftha.model.ids import Revision, Timeline
from raftha.model.report import Exposure
from raftha.model.settings import DynamicConfig, SynchronousMode, Tags
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import N1, N2, N3

HEAD = pg.report(N1, 9000)


def told(*standbys: Any, **cluster: Any) -> Exposure | None:
    return exposure(b.cluster(**cluster), pg.answers(HEAD, *standbys))


@pytest.mark.parametrize("sync", [b.sync(N2), b.sync(N2, N3, quorum=1)])
def test_with_a_standby_in_the_store_nothing_is_lost(sync: Any) -> None:
    behind = pg.report(N2, 8000, replay_lag_seconds=Seconds(2.0))

    assert told(behind, sync=sync) == Exposure(automatic=True, bytes=0, seconds=Seconds(0.0))


def test_asynchronously_what_the_best_standby_lacks_is_lost() -> None:
    found = told(
        pg.report(N2, 8000),
        pg.report(N3, 8900, replay_lag_seconds=Seconds(0.4)),
        config=b.OFF,
        sync=None,
    )
    assert found == Exposure(automatic=True, bytes=100, seconds=Seconds(0.4), standby=N3)


def test_alone_nobody_takes_over_and_one_by_hand_would_lose_what_is_missing() -> None:
    found = told(pg.report(N3, 8000), sync=b.sync())

    assert found == Exposure(automatic=False, bytes=1000, standby=N3)


@pytest.mark.parametrize(
    "more",
    [
        {"config": DynamicConfig(pause=True)},
        {"disarmed": {N1: Disarmed(name=N1, revision=Revision(57))}},
    ],
    ids=["paused", "resumed and not armed yet"],
)
def test_nobody_takes_over_by_itself_while_the_primary_may_have_no_deadline(more: Any) -> None:
    nothing = Exposure(automatic=False, bytes=0, seconds=Seconds(0.0))
    assert told(pg.report(N2, 8000), sync=b.sync(N2), **more) == nothing

    more.setdefault("config", b.OFF)
    config = replace(more["config"], synchronous_mode=SynchronousMode.OFF)
    found = told(pg.report(N3, 8900), **{**more, "config": config}, sync=None)
    assert found == Exposure(automatic=False, bytes=100, standby=N3)


def test_only_who_may_lead_on_the_same_line_counts() -> None:
    tagged = b.members(b.member(N3, tags=Tags(nofailover=True)))
    other = pg.report(N2, 9000, timeline=Timeline(2))
    found = told(other, pg.report(N3), config=b.OFF, sync=None, members=tagged)

    assert found == Exposure(automatic=True), "nobody tells"
    assert told(config=b.OFF, sync=None) == Exposure(automatic=True)


def test_a_standby_that_holds_everything_is_not_late() -> None:
    idle = pg.report(N2, 9000, replay_lag_seconds=Seconds(700.0))

    found = told(idle, config=b.OFF, sync=None)
    assert found == Exposure(automatic=True, bytes=0, seconds=Seconds(0.0), standby=N2)


def test_without_a_leader_there_is_nothing_to_say() -> None:
    assert told(leader=None) is None


def by_own_streams(**more: Any) -> int | None:
    """n1 leads and has written up to 9000; n2 has flushed 8000, n3 more."""
    rows = (pg.attached(N2, 8000), pg.attached(N3, 8900))
    given = {
        "server": pg.primary(written=pg.lsn(9000), attached=rows),
        "cluster": b.cluster(**UNSAFE),
        **more,
    }
    return exposed_bytes(b.situation(b.view(**given)))


UNSAFE: dict[str, Any] = {"config": b.OFF, "sync": None}


def test_the_leader_knows_by_its_own_streams_what_would_be_lost() -> None:
    assert by_own_streams() == 100
    assert by_own_streams(cluster=b.cluster()) == 0, "n2 holds every acknowledged commit"
    assert by_own_streams(cluster=b.cluster(sync=b.sync())) == 100, "nobody does"
    barred = b.members(b.member(N3, tags=Tags(nofailover=True)))
    assert by_own_streams(cluster=b.cluster(members=barred, **UNSAFE)) == 1000


def test_what_nobody_can_know_is_not_told() -> None:
    assert by_own_streams(server=pg.primary(attached=())) is None, "no standby is attached"
    assert exposed_bytes(b.situation(b.following())) is None, "another one leads"
