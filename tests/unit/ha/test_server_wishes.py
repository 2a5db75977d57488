"""An operator wants one server restarted, or made anew: what its member does about it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from raftha.agent.wishes import progress
from raftha.ha.actions import Checkpoint, Clone, Start, Stop, StopMode
from raftha.ha.memory import WISHED, Memory
from raftha.ha.restarting import refusal
from raftha.model.cluster import MemberRole, MemberState
from raftha.model.operation import OperationState
from raftha.model.postgres import PendingRestart
from raftha.model.restarting import ServerRequest, ServerWish, WishKind, number_of
from raftha.model.settings import Tags
from raftha.model.view import JobKind, JobResult, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import N1, N2, N3

RESTART = ServerWish(id="w-1", kind=WishKind.RESTART, process="77@1", until=pg.at(60.0))
REMAKE = ServerWish(id="w-2", kind=WishKind.REINITIALIZE, process="77@1", until=pg.at(60.0))
DRAINED = {"drained": WISHED, "drain_since": pg.at(-0.5)}


def following(wish: ServerWish = RESTART, **more: Any) -> View:
    """n1 is a standby of n2, and not in its synchronous set."""
    return b.following(**{"wish": wish, **more})


def memory_of(view: View, **more: Any) -> Memory:
    return b.following_memory(view, **more)


def test_a_standby_is_stopped_and_started_by_the_rule_for_any_that_is_down() -> None:
    view = following(cluster=b.followed(sync=b.sync(by=N2)))
    decision = b.decided(view, memory_of(view))
    assert decision.rule == "wish-10"
    assert b.only(decision, Stop).mode is StopMode.FAST

    down = replace(view, guardian=pg.IDLE_GUARDIAN, server=None)
    after = b.decided(replace(down, directory=pg.STANDBY_DIRECTORY), decision.memory)
    assert after.rule == "follow-30"
    assert b.only(after, Start)
    assert after.memory.drained is None


def test_a_synchronous_standby_leaves_the_set_first_and_says_so() -> None:
    view = following(cluster=b.followed(sync=b.sync(N1, by=N2)))
    first = b.decided(view, memory_of(view))
    assert "synchronous set" in first.reason
    assert "Stop" not in b.acts(first)
    again = b.decided(view, first.memory)
    (told,) = [a for a in again.actions if getattr(a, "intent", "") == "member"]
    assert b'"state":"stopping"' in told.command.writes[0].value

    out = replace(view, cluster=b.followed(sync=b.sync(by=N2)))
    assert b.only(b.decided(out, first.memory), Stop)
    late = replace(first.memory, drain_since=pg.at(-2.5))
    assert b.only(b.decided(view, late), Stop), "nobody waits for ever"


def test_a_primary_writes_a_checkpoint_keeps_the_key_and_stops() -> None:
    view = b.view(wish=RESTART)
    first = b.decided(view, b.leading_memory(view))
    assert first.rule == "wish-10"
    assert b.only(first, Checkpoint)
    second = b.decided(view, first.memory)
    assert b.only(second, Stop).mode is StopMode.FAST
    assert "ReleaseLeader" not in b.acts(second)

    down = replace(
        view,
        guardian=pg.guardian(running=False, primary=False, process=""),
        server=None,
        directory=pg.directory(),
    )
    third = b.decided(down, second.memory)
    assert third.rule == "lead-10"
    assert b.only(third, Start).epoch == pg.EPOCH
    assert third.reason == "restarting the primary in place"


def test_another_server_than_the_one_meant_is_left_alone() -> None:
    newer = following(guardian=replace(pg.STANDBY_GUARDIAN, process="78@2"))
    assert b.decided(newer, memory_of(newer)).rule == "follow-60"

    paused = b.view(wish=RESTART)
    config = replace(paused.cluster.config, pause=True)
    paused = replace(paused, cluster=b.with_config(paused.cluster, config))
    assert "Stop" not in b.acts(b.decided(paused, b.leading_memory(paused)))


def test_a_standby_that_nobody_leads_is_not_stopped() -> None:
    """It may be the one that has to take over."""
    view = replace(b.racing(), wish=RESTART)
    assert b.decided(view).rule != "wish-10"


def test_what_could_not_be_begun_is_not_done_an_hour_later() -> None:
    late = replace(RESTART, until=pg.at(-1.0))
    view = following(late)
    assert b.decided(view, memory_of(view)).rule == "follow-60"
    assert progress(b.situation(view), late).state is OperationState.REFUSED

    other = following(replace(REMAKE, until=pg.at(-1.0)))
    assert not b.decided(other, memory_of(other)).memory.wal_gone
    begun = b.decided(other, memory_of(other, wal_gone=True, remade="w-2"))
    assert begun.rule == "wish-20", "what was begun is brought to its end"


def test_a_standby_is_made_anew_beside_what_it_had() -> None:
    view = following(REMAKE, cluster=b.followed(sync=b.sync(by=N2)))
    first = b.decided(view, memory_of(view))
    assert first.rule == "wish-20"
    assert (first.memory.wal_gone, first.memory.remade) == (True, "w-2")
    second = b.decided(view, first.memory)
    assert b.only(second, Stop)

    down = replace(view, guardian=pg.IDLE_GUARDIAN, server=None, directory=pg.STANDBY_DIRECTORY)
    third = b.decided(down, second.memory)
    assert b.only(third, Clone).source.name == N2
    made = replace(second.memory, wal_gone=False)
    assert b.decided(view, made).rule == "follow-60", "one wish, one copy"


def test_a_copy_is_of_the_leader_where_that_is_asked_for() -> None:
    """Once; whoever needs the next copy by itself takes it of whom the tag names."""
    members = b.members(*b.followed().members.values(), b.member(N3, tags=Tags(clonefrom=True)))
    cluster = b.followed(sync=b.sync(by=N2), members=members)
    down = {"guardian": pg.IDLE_GUARDIAN, "server": None, "directory": pg.STANDBY_DIRECTORY}
    for asked, source in ((False, N3), (True, N2)):
        view = following(replace(REMAKE, from_leader=asked), cluster=cluster)
        begun = b.decided(view, memory_of(view)).memory
        cloning = b.decided(replace(view, **down), begun)
        assert b.only(cloning, Clone).source.name == source
        done = JobResult(kind=JobKind.CLONE, ended=pg.T0)
        after = b.decided(replace(view, finished=done), begun).memory
        assert (after.wal_gone, after.from_leader) == (False, False)


def test_a_leader_is_never_made_anew() -> None:
    view = b.view(wish=REMAKE)
    decision = b.decided(view, b.leading_memory(view))
    assert decision.rule == "lead-40"
    assert not decision.memory.wal_gone


def asked(kind: WishKind = WishKind.RESTART, **more: Any) -> ServerRequest:
    return ServerRequest(kind=kind, **more)


def test_what_cannot_be_done_here_is_refused_with_the_reason() -> None:
    s, leads = b.situation(b.following()), b.situation(b.view())
    assert refusal(s, asked(name="n1", role="replica")) is None
    assert "not n7" in (refusal(s, asked(name="n7")) or "")
    assert "is a replica" in (refusal(s, asked(role="primary")) or "")
    assert "no restart is pending" in (refusal(s, asked(restart_pending=True)) or "")
    assert "not older" in (refusal(s, asked(postgres_version="15.18")) or "")
    assert refusal(s, asked(postgres_version="15.19")) is None
    assert "no release" in (refusal(s, asked(postgres_version="new")) or "")
    assert "hand over first" in (refusal(leads, asked(WishKind.REINITIALIZE)) or "")
    assert refusal(s, asked(WishKind.REINITIALIZE)) is None
    assert (number_of("16"), number_of("15.18")) == (160000, 150018)


def test_without_a_leader_or_a_majority_nothing_is_touched() -> None:
    nobody = b.situation(b.following(cluster=b.vacant()))
    assert "no leader" in (refusal(nobody, asked()) or "")
    cut_off = b.situation(b.following(raft=b.raft(majority=False)))
    assert "no majority" in (refusal(cut_off, asked()) or "")
    wish = PendingRestart(name="shared_buffers", running="1", wanted="2")
    waits = b.situation(b.following(server=pg.standby(pending_restart=(wish,))))
    assert refusal(waits, asked(restart_pending=True)) is None
    starting = b.member(N2, role=MemberRole.STANDBY, state=MemberState.PROMOTING)
    early = b.situation(b.following(cluster=b.followed(members=b.members(starting))))
    assert "not ready" in (refusal(early, asked(WishKind.REINITIALIZE)) or "")


def test_a_wish_is_done_once_another_server_answers() -> None:
    view = b.following()
    assert progress(b.situation(view), RESTART).state is OperationState.RUNNING
    other = replace(view, guardian=replace(pg.STANDBY_GUARDIAN, process="78@2"))
    assert progress(b.situation(other), RESTART).state is OperationState.DONE
    silent = replace(other, server=None)
    assert progress(b.situation(silent), RESTART).state is OperationState.RUNNING
    assert progress(b.situation(other), REMAKE).state is OperationState.RUNNING
    made = b.situation(other, Memory(remade="w-2"))
    assert progress(made, REMAKE).state is OperationState.DONE
