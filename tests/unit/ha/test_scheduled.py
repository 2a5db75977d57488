"""What was scheduled and has come to its time: when it begins, waits its turn, or is dropped."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import Stop, Submit
from raftha.ha.documents import read_cluster
from raftha.ha.explain import cluster_problems
from raftha.ha.memory import Memory
from raftha.ha.scheduling import objection, scheduling, words_of
from raftha.ha.table import Decision
from raftha.model.ids import MemberName, Revision
from raftha.model.postgres import PendingRestart
from raftha.model.scheduling import ScheduledRestart, ScheduledSwitchover
from raftha.model.settings import Tags
from raftha.model.store import Entry, KeyAt, Put, Remove, Snapshot, Transact
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, N2, N3

NOW = 1.7e9
PLAN = ScheduledSwitchover(id="op9", due=NOW - 1, leader=N1, candidate=N2, revision=Revision(57))
FENCE = b.situation(b.view()).epoch_guard(b.lease())


def restart(name: MemberName = N1, **more: Any) -> ScheduledRestart:
    given: dict[str, Any] = {"due": NOW - 1, "member": name, "revision": Revision(58)}
    return ScheduledRestart(**{**given, **more})


def leading(plan: ScheduledSwitchover | None = PLAN, **more: Any) -> View:
    return b.view(cluster=b.cluster(scheduled_switchover=plan, **more))


def standing_by(*plans: ScheduledRestart, **more: Any) -> View:
    """n1 follows n2."""
    cluster = b.followed(scheduled_restarts={plan.member: plan for plan in plans})
    return b.following(**{"cluster": replace(cluster, sync=b.sync(by=N2)), **more})


def led(view: View) -> Decision:
    return b.decided(view, b.leading_memory(view))


def followed(view: View, **more: Any) -> Decision:
    return b.decided(view, b.following_memory(view, **more))


def written(decision: Decision) -> bytes:
    (put,) = b.only(decision, Submit).command.writes
    assert isinstance(put, Put)
    return put.value


def test_a_switchover_whose_time_has_come_is_a_request_and_off_the_schedule_at_once() -> None:
    command = b.only(led(leading()), Submit).command

    assert command.guards[0] == FENCE
    assert KeyAt(KEYS.scheduled_switchover, Revision(57)) in command.guards
    assert Remove(KEYS.scheduled_switchover) in command.writes
    request = next(w for w in command.writes if w.key == KEYS.failover)
    assert b'"id":"op9"' in request.value
    assert b'"candidate":"n2"' in request.value


def test_before_its_time_and_while_another_request_is_under_way_it_waits() -> None:
    assert led(leading(replace(PLAN, due=NOW + 1))).rule == "lead-40"
    assert led(leading(request=b.request(to=N3))).rule == "hand-10"
    flight = replace(leading(), pending=frozenset({"scheduled"}))
    assert led(flight).rule == "lead-40", "once is enough"
    assert led(replace(leading(), stopping=True)).rule == "stop-20"


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (replace(PLAN, leader=N3), b"n1 leads now"),
        (replace(PLAN, leader=N3, due=NOW + 900), b"n1 leads now"),
        (replace(PLAN, candidate=MemberName("n7")), b"n7 is no member any more"),
        (replace(PLAN, due=NOW - 61), b"could not begin within 60 s"),
    ],
)
def test_a_switchover_that_does_not_apply_any_more_is_dropped_with_the_reason(
    plan: ScheduledSwitchover, why: bytes
) -> None:
    decision = led(leading(plan))

    assert why in written(decision)
    assert why.decode() in decision.reason
    assert b.only(decision, Submit).command.guards == (
        FENCE,
        KeyAt(KEYS.scheduled_switchover, Revision(57)),
    )


def test_what_was_dropped_is_told_until_somebody_takes_note() -> None:
    view = leading(replace(PLAN, refused="n3 leads now"))
    assert led(view).rule == "lead-40"
    dropped = b.cluster(
        scheduled_switchover=view.cluster.scheduled_switchover,
        scheduled_restarts={N2: restart(N2, refused="it was too late")},
    )
    first, second = cluster_problems(dropped, b.raft(), {})[:2]
    assert "no switchover from n1 to n2 at 2023-11-14T22:13:19+00:00: n3 leads" in first.what
    assert "raftha flush restart n2" in second.remedy
    assert cluster_problems(b.cluster(scheduled_switchover=PLAN), b.raft(), {}) == ()


def test_a_restart_notes_the_server_it_means_before_that_is_touched() -> None:
    decision = followed(standing_by(restart()))
    assert decision.rule == "sched-20"
    assert b'"process":"77@1"' in written(decision)
    assert "Stop" not in b.acts(decision)

    begun = standing_by(restart(process="77@1"))
    assert b.only(followed(begun), Stop)
    new = replace(begun, guardian=replace(pg.STANDBY_GUARDIAN, process="78@2"))
    done = followed(new)
    assert b.only(done, Submit).command == Transact(
        (KeyAt(KEYS.scheduled_restart_of(N1), Revision(58)),),
        (Remove(KEYS.scheduled_restart_of(N1)),),
    )
    silent = replace(new, server=pg.standby())
    assert "scheduled" not in b.acts(followed(silent)), "it is not back before it streams"
    alone = replace(silent, me=b.identity(tags=Tags(nostream=True)))
    assert "scheduled" in b.acts(followed(alone)), "which this one never does"


def test_a_restart_on_the_leader_keeps_the_key() -> None:
    view = b.view(cluster=b.cluster(scheduled_restarts={N1: restart(process="77@1")}))
    assert led(view).rule == "wish-10"
    assert "ReleaseLeader" not in b.acts(led(view))


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (restart(role="primary"), b"n1 is a replica"),
        (restart(restart_pending=True), b"no restart is pending"),
        (restart(postgres_version="15.18"), b"not older"),
        (restart(due=NOW - 301), b"did not begin within 300 s"),
        (restart(due=NOW - 301, process="77@1"), b"did not end within 300 s"),
    ],
)
def test_a_restart_that_is_not_wanted_any_more_is_dropped(
    plan: ScheduledRestart, why: bytes
) -> None:
    assert why in written(followed(standing_by(plan)))


def test_a_server_that_would_not_start_again_is_not_stopped_at_its_time() -> None:
    doomed = standing_by(restart(), doomed="pg_cron is not in /usr/lib")

    decision = followed(doomed)

    assert decision.rule == "sched-20"
    assert b"pg_cron is not in /usr/lib" in written(decision)
    assert "Stop" not in b.acts(decision)


def test_conditions_that_are_met_let_it_begin() -> None:
    wish = PendingRestart(name="shared_buffers", running="1", wanted="2")
    plan = restart(role="standby", restart_pending=True, postgres_version="15.19")
    view = standing_by(plan, server=pg.standby(receiver=pg.receiver(N2), pending_restart=(wish,)))
    assert b'"process":"77@1"' in written(followed(view))


def test_members_take_turns_standbys_first() -> None:
    begun = restart(N3, process="9@9")
    assert followed(standing_by(restart(), begun)).rule == "follow-60", "n3 is down"
    assert followed(standing_by(restart(), restart(N3))).rule == "sched-20", "n1 comes before n3"
    late = standing_by(restart(), replace(begun, due=NOW - 301))
    assert followed(late).rule == "sched-20", "nobody waits for ever"

    plans = {name: restart(name) for name in (N1, N2)}
    last = b.view(cluster=b.cluster(scheduled_restarts=plans))
    assert led(last).rule == "lead-40", "the leader comes last"
    voters = tuple(replace(v, connected=v.name != N2) for v in last.raft.voters)
    away = replace(last, raft=replace(last.raft, voters=voters))
    assert led(away).rule == "sched-20", "who is not there does not keep the others"


def test_it_waits_for_a_leader_and_for_what_else_is_done() -> None:
    nobody = standing_by(restart())
    nobody = replace(nobody, cluster=replace(nobody.cluster, leader=None))
    assert b.decided(nobody, Memory()).rule != "sched-20"
    busy = standing_by(restart())
    busy = replace(busy, cluster=replace(busy.cluster, request=b.request(by=N2, to=N1)))
    assert followed(busy).rule != "sched-20"


def test_what_is_scheduled_survives_the_store() -> None:
    plans = (replace(PLAN, refused="late"), restart(N2, role="replica", process="5@5"))
    entries = {}
    for plan in plans:
        (put,) = scheduling(KEYS, plan, None).writes
        assert isinstance(put, Put)
        entries[put.key] = Entry(
            key=put.key, value=put.value, create_revision=plan.revision, mod_revision=plan.revision
        )
    cluster = read_cluster(
        KEYS, Snapshot(generation=1, revision=Revision(60), taken=pg.T0, entries=entries)
    )
    assert cluster.scheduled_switchover == plans[0]
    assert cluster.scheduled_restarts == {N2: plans[1]}
    assert cluster.problems == ()


def test_what_cannot_be_is_not_scheduled() -> None:
    cluster = b.cluster(members=b.members(b.member(N3, tags=Tags(nofailover=True))))
    assert objection(cluster, N1, N2, majority=True) is None
    assert objection(cluster, N1, None, majority=True) is None
    for leader, candidate, why in (
        (N2, N3, "n2 is not the leader: n1 holds"),
        (N1, MemberName("n9"), "n9 is not a member"),
        (N1, N3, "n3 may not lead"),
    ):
        assert why in (objection(cluster, leader, candidate, majority=True) or "")
    assert "no majority" in (objection(cluster, N1, N2, majority=False) or "")
    paused = b.with_config(cluster, replace(cluster.config, pause=True))
    assert "maintenance pause" in (objection(paused, N1, N2, majority=True) or "")
    words = words_of(restart(role="replica", postgres_version="16.4", restart_pending=True))
    assert words.endswith("if role replica, PostgreSQL below 16.4, a restart is pending")
