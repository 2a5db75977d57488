"""What a member does while another one leads."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import Clone, Configure, DropSlots, Rejoin, Start, Stop, StopMode, TakeOver
from raftha.ha.explain import problems
from raftha.ha.memory import Memory
from raftha.model.cluster import MemberRole, MemberState
from raftha.model.ids import Epoch, Lsn, Timeline
from raftha.model.postgres import ControlState
from raftha.model.restarting import ServerWish, WishKind
from raftha.model.settings import DynamicConfig
from raftha.model.trouble import Trouble
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import N1, N2

PROMOTED = (b.record(1, leader=N1, epoch=Epoch(1, 20)), b.record(2, leader=N2))
PAUSED = DynamicConfig(pause=True)
EXPIRED = ServerWish(id="w-2", kind=WishKind.REINITIALIZE, process="", until=pg.at(-1.0))
FAILED = Memory(retry_at=pg.at(2.0), failures=2, failed="pg_basebackup: no route")


def down(**more: Any) -> View:
    return b.following(**{"guardian": pg.IDLE_GUARDIAN, "server": None, **more})


def not_ready(**more: Any) -> Any:
    n2 = b.member(N2, role=MemberRole.STANDBY, state=MemberState.PROMOTING)
    return b.followed(members=b.members(n2), **more)


def old_primary(**more: Any) -> View:
    """n1 was the primary of timeline 1, n2 was promoted to timeline 2."""
    cluster = b.followed(history=PROMOTED, timeline=Timeline(2))
    return down(**{"cluster": cluster, "directory": pg.directory(), **more})


def test_a_leader_that_has_not_announced_itself_is_waited_for() -> None:
    unknown = b.followed(members={N1: b.member(N1)})
    decision = b.decided(b.following(cluster=unknown))

    assert decision.rule == "follow-10"


def test_an_empty_node_clones_once_its_slot_is_there() -> None:
    assert b.only(b.decided(down(directory=pg.EMPTY)), Clone).source.name == N2

    without = down(directory=pg.EMPTY, cluster=b.followed(slots=("n3",)))
    assert b.decided(without).reason == "waiting for n2 to make the slot n1"
    early = down(directory=pg.EMPTY, cluster=not_ready())
    assert "waiting for n2 to be the primary" in b.decided(early).reason
    assert b.acts(b.decided(down(directory=pg.EMPTY), FAILED)) == []


def test_a_half_rewound_directory_is_cloned_anew() -> None:
    half = pg.directory(problem="a rewind was cut short")

    assert b.only(b.decided(down(directory=half)), Clone)


def test_a_whole_directory_is_not_cloned_over() -> None:
    assert b.acts(b.decided(down())) == ["Start"]


def test_a_standby_starts_with_its_upstream() -> None:
    decision = b.decided(down())
    start = b.only(decision, Start)

    assert decision.rule == "follow-30"
    assert start.epoch is None
    assert start.plan.upstream is not None
    assert (start.plan.upstream.address, start.plan.upstream.slot) == (pg.address(N2), "n1")
    assert start.plan.synchronous_standby_names == "raftha_nobody"


def test_a_standby_waits_for_its_slot() -> None:
    assert b.acts(b.decided(down(cluster=b.followed(slots=())))) == []


def test_an_old_primary_rejoins_before_it_starts() -> None:
    rejoin = b.only(b.decided(old_primary()), Rejoin)

    assert rejoin.source.name == N2
    assert not rejoin.forced


def test_a_rejoin_waits_for_all_that_it_needs() -> None:
    early = old_primary(cluster=not_ready(history=PROMOTED, timeline=Timeline(2)))
    assert "waiting for n2 to be the primary" in b.decided(early).reason
    unsafe = b.followed(history=PROMOTED, timeline=Timeline(2), checkpointed=False)
    assert "waiting for the checkpoint of n2" in b.decided(old_primary(cluster=unsafe)).reason
    no_slot = b.followed(history=PROMOTED, timeline=Timeline(2), slots=())
    assert "slot" in b.decided(old_primary(cluster=no_slot)).reason
    assert b.acts(b.decided(old_primary(), FAILED)) == []


def test_two_servers_on_one_timeline_number_are_told_apart_by_the_store() -> None:
    same = old_primary(directory=pg.directory(control=pg.control(timeline=Timeline(2))))

    assert b.only(b.decided(same), Rejoin).forced


def standby_directory(position: int, timeline: int = 1) -> Any:
    control = pg.control(
        state=ControlState.SHUT_DOWN_IN_RECOVERY,
        minimum_recovery_end=Lsn(position),
        minimum_recovery_timeline=Timeline(timeline),
    )
    return pg.directory(control=control, standby_signal=True)


def test_a_standby_that_holds_too_much_rejoins() -> None:
    assert b.acts(b.decided(old_primary(directory=standby_directory(5001)))) == ["Rejoin"]
    assert b.acts(b.decided(old_primary(directory=standby_directory(5000)))) == ["Start"]


@pytest.mark.parametrize("birth", ["", "n1@0f3c9a71"], ids=["never in one", "of an earlier one"])
def test_what_was_a_primary_before_the_cluster_is_left_alone(birth: str) -> None:
    view = b.from_before(directory=pg.directory(birth=birth))
    decision = b.decided(view)

    assert decision.rule == "follow-25"
    assert "raftha reinit n1 keeps it aside" in decision.reason
    assert b.acts(decision) == []
    (notice,) = problems(b.situation(view))
    assert notice.code is Trouble.OLDER_DIRECTORY
    assert "/data (timeline 1, 0/FA0) was a primary's before" in notice.what


@pytest.mark.parametrize(
    "more",
    [
        {"cluster": b.vacant(initialize=b.BORN)},
        {"cluster": b.vacant(initialize=b.BORN), "raft": b.raft(majority=False)},
        {"cluster": b.followed(initialize=b.BORN, config=PAUSED)},
        {"cluster": b.followed(initialize=b.BORN, members={N1: b.member(N1)})},
        {"cluster": b.followed(initialize=b.BORN), "wish": EXPIRED},
    ],
    ids=["no leader", "no majority", "pause", "unknown leader", "an old wish"],
)
def test_nothing_starts_what_was_a_primary_before_the_cluster(more: Any) -> None:
    decision = b.decided(down(directory=pg.directory(), **more), Memory(alone_since=pg.at(-60.0)))

    assert b.acts(decision) == []


def test_an_operator_has_what_was_a_primary_before_the_cluster_replaced() -> None:
    wish = replace(EXPIRED, until=pg.at(60.0))
    asked = b.decided(b.from_before(wish=wish))
    assert asked.rule == "wish-20"

    assert b.only(b.decided(b.from_before(wish=wish), asked.memory), Clone)


def test_a_standby_from_before_the_cluster_is_compared_and_spared() -> None:
    view = b.from_before(directory=pg.STANDBY_DIRECTORY)
    first = b.decided(view)
    assert b.only(first, Rejoin).spares
    assert b.acts(b.decided(view, Memory(rejoined=pg.EPOCH))) == ["Start"]

    ours = b.from_before(directory=replace(pg.STANDBY_DIRECTORY, birth=b.BORN.birth))
    assert b.acts(b.decided(ours)) == ["Start"]


def test_a_primary_of_this_cluster_rejoins_however_long_it_was_away() -> None:
    ours = pg.directory(birth=b.BORN.birth)

    assert not b.only(b.decided(b.from_before(directory=ours)), Rejoin).spares


def test_a_cluster_of_an_older_release_knows_no_directory_from_before_it() -> None:
    assert b.only(b.decided(old_primary(directory=pg.directory(birth="n1@0f3c9a71"))), Rejoin)


def test_a_standby_is_the_cluster_s_only_once_it_follows_somebody() -> None:
    led = b.only(
        b.decided(b.from_before(directory=replace(pg.STANDBY_DIRECTORY, birth=b.BORN.birth))), Start
    )
    assert led.plan.birth == b.BORN.birth
    alone = down(cluster=b.vacant(initialize=b.BORN), directory=pg.STANDBY_DIRECTORY)
    assert b.only(b.decided(alone), Start).plan.birth == ""


def test_a_standby_that_starts_is_waited_for() -> None:
    decision = b.decided(b.following(server=None))

    assert decision.rule == "follow-40"
    assert b.acts(decision) == []


def test_a_running_standby_that_diverged_is_stopped() -> None:
    cluster = b.followed(history=PROMOTED, timeline=Timeline(2))
    decision = b.decided(b.following(cluster=cluster, server=pg.standby(5001)))

    assert decision.rule == "follow-50"
    assert b.only(decision, Stop).mode is StopMode.FAST
    assert b.decided(b.following(cluster=cluster, server=pg.standby(5000))).rule == "follow-60"


def test_a_standby_is_pointed_at_the_new_leader_once() -> None:
    decision = b.decided(b.following())
    plan = b.only(decision, Configure).plan
    assert plan.upstream is not None
    assert plan.upstream.address == pg.address(N2)

    settled = b.decided(b.following(), decision.memory)
    assert b.acts(settled) == []
    assert settled.reason == "no action: I am n1, a standby of n2, streaming"


def test_a_standby_is_not_pointed_at_a_leader_without_its_slot() -> None:
    assert b.acts(b.decided(b.following(cluster=b.followed(slots=())))) == []


def test_a_standby_without_a_receiver_says_so() -> None:
    view = b.following(server=pg.standby())

    assert b.decided(view, b.following_memory(view)).reason.endswith("not streaming yet")


def test_a_standby_that_cannot_stream_says_what_postgresql_complains_of() -> None:
    view = b.following(server=pg.standby(), last_words="FATAL: password authentication failed")

    reason = b.decided(view, b.following_memory(view)).reason

    assert reason.endswith("not streaming yet: FATAL: password authentication failed")


def test_a_promise_that_was_not_kept_yet_does_not_stop_a_follower() -> None:
    """n2 has won and written its record; n1 has received exactly what n2 had."""
    cluster = b.followed(history=PROMOTED, timeline=Timeline(1))

    assert b.decided(b.following(cluster=cluster)).rule == "follow-60"


def test_a_leader_of_the_own_name_is_not_followed() -> None:
    view = replace(b.view(), lease=None, guardian=pg.STANDBY_GUARDIAN, server=pg.standby())

    assert not b.decided(view).rule.startswith("follow")


def test_a_standby_whose_wal_is_gone_is_stopped_and_cloned_anew() -> None:
    starving = Memory(starved_since=pg.at(-10.0), starved_at=Lsn(5000))
    decision = b.decided(b.following(server=pg.standby()), starving)

    assert decision.rule == "follow-55"
    assert b.only(decision, Stop).mode is StopMode.FAST
    down_now = b.decided(down(), decision.memory)
    assert b.acts(down_now) == ["Clone"]


def test_a_standby_that_gets_further_is_left_alone() -> None:
    early = Memory(starved_since=pg.at(-9.9), starved_at=Lsn(5000))
    assert b.decided(b.following(server=pg.standby()), early).rule == "follow-60"
    moved = Memory(starved_since=pg.at(-60.0), starved_at=Lsn(4999))
    assert b.decided(b.following(server=pg.standby()), moved).rule == "follow-60"


def test_slots_left_from_leading_are_dropped() -> None:
    """Its own slot, and those for whom the leader has none any more."""
    view = b.following(
        cluster=b.followed(slots=("n1",)), server=pg.standby(slots=("n1", "n2", "n3", "mine"))
    )
    decision = b.decided(view, b.following_memory(view))

    assert b.only(decision, DropSlots).names == ("n1", "n3")


def foreign(**more: Any) -> View:
    """A standby made by hand, whose server runs and is to be taken over."""
    return down(directory=pg.directory(standby_signal=True, stranger=4711, birth=""), **more)


def test_a_server_that_somebody_else_started_is_stopped_once_it_can_follow() -> None:
    decision = b.decided(foreign())
    assert b.only(decision, TakeOver).pid == 4711
    assert "raftha did not start it" in decision.reason

    assert b.acts(b.decided(foreign(cluster=not_ready()))) == []
    assert b.acts(b.decided(foreign(cluster=b.followed(slots=("n3",))))) == []
    assert b.acts(b.decided(foreign(), FAILED)) == []


def test_a_server_that_somebody_else_started_goes_on_while_nobody_leads() -> None:
    alone = Memory(alone_since=pg.at(-60.0))
    decision = b.decided(foreign(raft=b.raft(majority=False)), alone)
    assert b.acts(decision) == []
    assert "goes on until there is a leader" in decision.reason
