"""The rules that come before all others."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import Readopt, RestoreGuardian, ReturnLeader, Stop, StopMode
from raftha.ha.memory import Memory, StopSent
from raftha.model.cluster import Initialize
from raftha.model.ids import Epoch, Revision, SystemId
from raftha.model.postgres import DataDirectory, DirectoryState
from raftha.model.view import GuardianView
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import N1, N2

FOREIGN = b.cluster(
    leader=None, initialize=Initialize(by=N1, system_id=SystemId("8"), revision=Revision(9))
)


def test_a_healthy_leader_is_left_alone() -> None:
    view = b.view()
    decision = b.decided(view, b.leading_memory(view))

    assert decision.rule == "lead-40"
    assert b.acts(decision) == []


def test_a_guardian_comes_before_everything() -> None:
    decision = b.decided(b.view(guardian=GuardianView(alive=False)))

    assert decision.rule == "safety-10"
    assert b.only(decision, RestoreGuardian)


def test_a_restarted_agent_renews_the_lease_of_its_guardian() -> None:
    decision = b.decided(b.view(lease=None))

    assert decision.rule == "safety-20"
    assert b.only(decision, Readopt).epoch == pg.EPOCH
    assert b.only(decision, Readopt).revision == 50


def test_the_lease_of_another_guardian_is_not_renewed() -> None:
    decision = b.decided(b.view(lease=None, guardian=pg.guardian(nonce="another")))

    assert decision.rule == "safety-30"


def test_the_lease_of_another_node_is_not_renewed() -> None:
    decision = b.decided(b.view(lease=None, cluster=b.followed()))

    assert decision.rule == "safety-30"


def test_a_burned_epoch_is_not_renewed() -> None:
    burned = pg.guardian(burned=(pg.EPOCH,), running=False, primary=False)
    decision = b.decided(b.view(lease=None, guardian=burned, server=None))

    assert decision.rule != "safety-20"


LEFT = {"lease": None, "server": None}
SUCCEEDS: dict[str, Any] = {"nonce": "another", "predecessors": ("first", "guardian-n1")}
REBORN = replace(pg.IDLE_GUARDIAN, **SUCCEEDS)
STRANGE = replace(pg.IDLE_GUARDIAN, nonce="another", predecessors=("first",))


def test_the_key_of_a_guardian_that_is_gone_is_given_back_at_once() -> None:
    """An epoch dies with its guardian: without this the others would wait for the lease to end."""
    decision = b.decided(b.view(**LEFT, guardian=REBORN))

    assert decision.rule == "safety-25"
    assert b.only(decision, ReturnLeader) == ReturnLeader(pg.EPOCH, Revision(50))


def test_a_key_whose_epoch_is_burned_is_given_back_by_whoever_finds_it() -> None:
    burned = replace(pg.IDLE_GUARDIAN, burned=(pg.EPOCH,))

    assert b.acts(b.decided(b.view(**LEFT, guardian=burned))) == ["ReturnLeader"]


def test_a_standby_that_runs_already_does_not_keep_the_key() -> None:
    standby = {"guardian": replace(pg.STANDBY_GUARDIAN, **SUCCEEDS), "server": pg.standby()}

    assert b.acts(b.decided(b.view(**{**LEFT, **standby}))) == ["ReturnLeader"]


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"guardian": pg.guardian(**SUCCEEDS)}, "safety-30"),
        ({"guardian": STRANGE}, "idle-10"),
        ({"guardian": GuardianView(alive=False)}, "safety-10"),
        ({"guardian": pg.IDLE_GUARDIAN}, "safety-20"),
        ({"guardian": REBORN, "lease": b.lease()}, "lead-10"),
        ({"guardian": REBORN, "cluster": b.followed()}, "follow-30"),
        ({"guardian": REBORN, "stopping": True}, "stop-30"),
        ({"guardian": REBORN, "raft": b.raft(majority=False)}, "boot-10"),
    ],
    ids=[
        "a primary",
        "another machine",
        "no guardian",
        "its own",
        "held",
        "another's",
        "stopping",
        "no majority",
    ],
)
def test_a_key_is_given_back_only_where_nothing_is_left_of_its_holder(
    more: dict[str, Any], rule: str
) -> None:
    decision = b.decided(b.view(**{**LEFT, **more}))

    assert decision.rule == rule
    assert "ReturnLeader" not in b.acts(decision)


def test_a_key_is_given_back_once_at_a_time() -> None:
    waiting = b.view(**LEFT, guardian=REBORN, pending=frozenset({"leader"}))

    assert b.acts(b.decided(waiting)) == []


def test_a_primary_under_another_epoch_is_not_adopted() -> None:
    decision = b.decided(b.view(lease=None, guardian=pg.guardian(epoch=Epoch(1, 30))))

    assert decision.rule == "safety-30"


def test_an_agent_that_stops_does_not_renew_a_lease_it_gave_back() -> None:
    view = b.view(lease=None, stopping=True, guardian=pg.IDLE_GUARDIAN, server=None)

    assert b.decided(view).rule == "stop-30"


def test_a_primary_without_a_lease_is_stopped_at_once() -> None:
    lapsed = b.lease(valid_until=pg.at(0.0))
    decision = b.decided(b.view(lease=lapsed, cluster=b.vacant()))

    assert decision.rule == "safety-30"
    assert b.only(decision, Stop).mode is StopMode.IMMEDIATE


def test_an_armed_guardian_is_trusted_until_the_store_is_known() -> None:
    """A restarted agent knows nothing yet: it must not interrupt what its guardian guards."""
    armed = pg.guardian(armed=True)
    decision = b.decided(b.view(lease=None, cluster=b.vacant(), guardian=armed))

    assert decision.rule == "safety-30"
    assert "Stop" not in b.acts(decision)


def test_an_armed_guardian_excuses_neither_a_lapsed_lease_nor_another_leader() -> None:
    armed = pg.guardian(armed=True)
    lapsed = b.view(lease=b.lease(valid_until=pg.at(0.0)), cluster=b.vacant(), guardian=armed)
    other = b.view(lease=None, cluster=b.followed(), guardian=armed)
    disarmed = b.view(lease=None, cluster=b.vacant(), guardian=pg.guardian(armed=False))

    for view in (lapsed, other, disarmed):
        assert b.only(b.decided(view), Stop).mode is StopMode.IMMEDIATE


def test_a_promotion_under_way_counts_as_a_primary() -> None:
    view = b.view(lease=None, cluster=b.vacant(), server=pg.standby())

    assert b.decided(view).rule == "safety-30"


def test_a_primary_is_stopped_when_the_store_names_a_later_epoch() -> None:
    later = b.followed(leader=b.leader(N2, epoch=Epoch(1, 44)))

    assert b.decided(b.view(cluster=later)).rule == "safety-30"


def test_a_replica_that_lags_behind_the_grant_stops_nobody() -> None:
    older = b.cluster(leader=b.leader(N2, epoch=Epoch(1, 30)))

    assert b.decided(b.view(cluster=older)).rule == "lead-40"


def test_a_stop_is_not_asked_of_the_same_process_twice() -> None:
    sent = StopSent(process="77@1", mode=StopMode.IMMEDIATE, at=pg.at(-1))
    decision = b.decided(b.view(lease=None, cluster=b.vacant()), Memory(stop=sent))

    assert decision.rule == "safety-30"
    assert b.acts(decision) == []


def test_another_process_is_stopped_anew() -> None:
    sent = StopSent(process="66@1", mode=StopMode.IMMEDIATE, at=pg.at(-1))
    decision = b.decided(b.view(lease=None, cluster=b.vacant()), Memory(stop=sent))

    assert b.acts(decision) == ["Stop"]


def test_an_immediate_stop_follows_a_fast_one() -> None:
    sent = StopSent(process="77@1", mode=StopMode.FAST, at=pg.at(-1))
    decision = b.decided(b.view(lease=None, cluster=b.vacant()), Memory(stop=sent))

    assert b.only(decision, Stop).mode is StopMode.IMMEDIATE


def test_the_directory_of_another_cluster_is_left_alone() -> None:
    idle = b.view(lease=None, cluster=FOREIGN, guardian=pg.IDLE_GUARDIAN, server=None)
    decision = b.decided(idle)

    assert decision.rule == "safety-40"
    assert "move it away" in decision.reason
    assert b.acts(decision) == []


def test_a_standby_on_the_directory_of_another_cluster_is_stopped() -> None:
    view = b.following(cluster=FOREIGN)

    assert b.only(b.decided(view), Stop).mode is StopMode.FAST


def test_a_directory_that_vanished_stops_its_server() -> None:
    decision = b.decided(b.view(directory=pg.EMPTY))

    assert decision.rule == "safety-50"
    assert b.only(decision, Stop).mode is StopMode.IMMEDIATE


def test_a_directory_that_cannot_be_used_is_not_touched() -> None:
    strange = DataDirectory(
        path=pg.EMPTY.path, state=DirectoryState.FOREIGN, problem="/data holds other files"
    )
    view = b.following(directory=strange, guardian=pg.IDLE_GUARDIAN, server=None)
    decision = b.decided(view)

    assert decision.rule == "safety-50"
    assert "/data holds other files" in decision.reason
    assert b.acts(decision) == []


def test_an_empty_directory_is_no_reason_to_stop_anything() -> None:
    view = b.following(directory=pg.EMPTY, guardian=pg.IDLE_GUARDIAN, server=None)

    assert b.decided(view).rule == "follow-20"
