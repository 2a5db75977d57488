"""What the holder of the leader key does."""

from __future__ import annotations

from typing import Any, Final

import pytest
from msgspec.structs import replace

from raftha.ha.actions import (
    Checkpoint,
    Configure,
    EnsureSlots,
    Promote,
    Stop,
    StopMode,
    Submit,
)
from raftha.ha.keys import encode_history, encode_status
from raftha.ha.memory import Memory
from raftha.ha.plans import names_for
from raftha.model.cluster import Cluster
from raftha.model.ids import Epoch, Revision, Timeline
from raftha.model.postgres import TimelineSwitch
from raftha.model.settings import DynamicPostgres
from raftha.model.store import KeyAt, KeyCreatedAt, Put
from raftha.model.view import JobKind, JobResult, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N2, N3

FENCE = KeyCreatedAt(KEYS.leader, Revision(pg.EPOCH.revision))


def elected(**more: Any) -> View:
    given: dict[str, Any] = {
        "cluster": b.won(b.MINE),
        "guardian": pg.STANDBY_GUARDIAN,
        "directory": pg.STANDBY_DIRECTORY,
        "server": pg.standby(slots=("n2", "n3")),
        "peers": pg.answers(pg.report(N3), silent=(N2,)),
    }
    return b.view(**{**given, **more})


# lead-30


def test_the_record_is_committed_before_the_promotion() -> None:
    decision = b.decided(elected(cluster=b.won()), Memory(race="the lease of n2 ended"))
    command = b.only(decision, Submit).command

    assert decision.rule == "lead-30"
    assert command.guards == (FENCE, KeyAt(KEYS.history, Revision(12)))
    assert b'"timeline":2,"parent":1,"switch":"0/1388"' in command.writes[0].value
    assert b"the lease of n2 ended" in command.writes[0].value


def test_a_record_in_flight_is_waited_for() -> None:
    decision = b.decided(elected(cluster=b.won(), pending=frozenset({"history"})))

    assert b.acts(decision) == []


def test_a_timeline_number_is_never_promised_twice() -> None:
    burned = b.record(7, epoch=Epoch(1, 30), leader=N3)
    command = b.only(b.decided(elected(cluster=b.won(burned))), Submit).command

    assert b'"timeline":8,"parent":1' in command.writes[0].value


def test_the_promotion_waits_for_whom_it_must_from_its_first_commit() -> None:
    decision = b.decided(elected())
    promote = b.only(decision, Promote)

    assert promote.epoch == pg.EPOCH
    assert promote.plan.synchronous_standby_names == names_for(N3)
    assert promote.burned == (Timeline(1),)
    assert decision.memory.promoted == pg.EPOCH
    assert not promote.plan.closed


def test_with_nobody_left_it_waits_for_nobody() -> None:
    promote = b.only(b.decided(elected(peers=pg.answers(silent=(N2, N3)))), Promote)

    assert promote.plan.synchronous_standby_names == ""


def test_slots_are_made_before_the_promotion() -> None:
    decision = b.decided(elected(server=pg.standby(slots=())))

    assert b.acts(decision)[0] == "EnsureSlots"
    assert b.only(decision, EnsureSlots).wanted == ("n2", "n3")


def test_a_promotion_is_asked_for_once() -> None:
    memory = Memory(promoted=pg.EPOCH, promoted_at=pg.at(-1))
    decision = b.decided(elected(guardian=pg.guardian()), memory)

    assert b.acts(decision) == []
    assert "1.0 s so far" in decision.reason


def test_a_promotion_that_does_not_end_is_stopped() -> None:
    memory = Memory(promoted=pg.EPOCH, promoted_at=pg.at(-20.1))
    decision = b.decided(elected(guardian=pg.guardian()), memory)

    assert b.only(decision, Stop).mode is StopMode.IMMEDIATE


def test_an_epoch_is_good_for_one_promotion() -> None:
    """The server went without a fence, as in a maintenance pause, and was started as a standby by
    an agent that could not know that it still led: promoted once more, it would write a timeline
    that nobody committed, and the next leader would write another under the same number (R25)."""
    done = replace(b.MINE, ended="so it was")
    back = elected(cluster=b.won(done), server=pg.standby(timeline=Timeline(2)))
    decision = b.decided(back)

    assert (decision.rule, b.acts(decision)) == ("lead-30", ["ReleaseLeader"])
    assert b.acts(b.decided(replace(back, cluster=b.won(b.MINE)))) == ["history"]


def test_an_old_checkpoint_is_not_published_for_a_new_promotion() -> None:
    done = JobResult(kind=JobKind.CHECKPOINT, ended=pg.at(-60))
    memory = Memory(checkpoint_asked=pg.at(-61), last_job=done.ended)
    decision = b.decided(elected(finished=done), memory)

    values = [a.command.writes[0].value for a in decision.actions if isinstance(a, Submit)]
    assert all(b'"checkpointed":true' not in value for value in values)


# lead-35 and lead-40


def test_a_primary_on_another_timeline_than_its_record_is_stopped() -> None:
    decision = b.decided(b.view(cluster=b.won(b.MINE)))

    assert decision.rule == "lead-35"
    assert b.only(decision, Stop).mode is StopMode.IMMEDIATE


def serving(cluster: Cluster, server: Any = None, **memory: Any) -> Any:
    view = b.view(cluster=cluster, server=server or pg.primary())
    return b.decided(view, b.leading_memory(view, **memory))


def test_missing_slots_are_made_and_then_published() -> None:
    new = serving(b.cluster(slots=()), pg.primary(slots=("n2",)))
    assert b.only(new, EnsureSlots).wanted == ("n3",)

    made = serving(b.cluster(slots=()))
    put = Put(KEYS.status, encode_status(("n2", "n3"), Timeline(1), checkpointed=True))
    assert b.only(made, Submit).command.writes == (put,)
    assert b.only(made, Submit).command.guards == (FENCE, KeyAt(KEYS.status, Revision(13)))


def test_without_slots_none_is_made() -> None:
    config = replace(b.ON, postgresql=DynamicPostgres(use_slots=False))
    decision = serving(b.cluster(config=config, slots=()), pg.primary(slots=()))

    assert "EnsureSlots" not in b.acts(decision)


def test_the_checkpoint_after_a_promotion_is_asked_for_once_and_published() -> None:
    cluster = b.cluster(checkpointed=False)
    asked = serving(cluster)
    assert b.only(asked, Checkpoint)
    assert asked.memory.checkpoint_asked == pg.T0

    done = JobResult(kind=JobKind.CHECKPOINT, ended=pg.at(-0.1))
    view = b.view(cluster=cluster, finished=done)
    memory = b.leading_memory(view, checkpoint_asked=pg.at(-1))
    assert b.acts(b.decided(view, memory)) == ["status"]


def test_a_checkpoint_that_failed_is_asked_for_again() -> None:
    failed = JobResult(kind=JobKind.CHECKPOINT, ended=pg.at(-0.1), error="cancelled")
    view = b.view(cluster=b.cluster(checkpointed=False), finished=failed)

    decision = b.decided(view, b.leading_memory(view, checkpoint_asked=pg.at(-1)))
    assert b.acts(decision) == ["Checkpoint"]


def test_a_changed_setting_is_written() -> None:
    config = replace(b.ON, postgresql=DynamicPostgres(parameters={"work_mem": "8MB"}))
    view = b.view()
    changed = b.view(cluster=b.cluster(config=config))

    plan = b.only(b.decided(changed, b.leading_memory(view)), Configure).plan
    assert plan.parameters["work_mem"] == "8MB"
    assert plan.synchronous_standby_names == names_for(N2)


CLOSED: Final = pg.directory(closed=True)


@pytest.mark.parametrize("memory", [{}, {"plan": None}], ids=["", "after a restart of the agent"])
def test_the_gate_opens_when_the_synchronous_standby_is_back(memory: dict[str, Any]) -> None:
    alone = b.view(directory=CLOSED, server=pg.primary(attached=()))
    closed_plan = replace(b.plan_of(alone, names_for(N2)), closed=True)
    missing = {"plan": closed_plan, "absent": {N2: pg.at(-0.1)}, **memory}
    closed = b.decided(alone, b.leading_memory(alone, **missing))
    assert all(a.plan.closed for a in closed.actions if isinstance(a, Configure))
    assert closed.memory.plan == closed_plan

    back = b.decided(replace(alone, server=pg.primary()), closed.memory)
    assert not b.only(back, Configure).plan.closed


def test_an_open_gate_is_not_closed_when_the_synchronous_standby_goes() -> None:
    alone = b.view(server=pg.primary(attached=()))
    restarted = b.leading_memory(alone, plan=None, absent={N2: pg.at(-0.1)})

    assert not b.only(b.decided(alone, restarted), Configure).plan.closed


def test_another_standby_to_wait_for_does_not_open_the_gate() -> None:
    unset = b.view(
        cluster=b.cluster(sync=b.sync()),
        directory=CLOSED,
        server=pg.primary(synchronous_standby_names=names_for(N2), attached=(pg.attached(N3),)),
    )
    memory = b.leading_memory(unset, absent={N2: pg.at(-60)})

    plan = b.only(b.decided(unset, memory), Configure).plan
    assert (plan.synchronous_standby_names, plan.closed) == (names_for(N3), True)


def test_the_switch_of_a_promotion_is_corrected_to_where_it_was() -> None:
    """What was stored before the promotion is what had been received by then; others compare their
    own end of WAL with it."""
    first, second = b.record(1, epoch=b.OLD, leader=N2), replace(b.MINE, switch=pg.lsn(5000))
    forks = (TimelineSwitch(timeline=Timeline(1), switch=pg.lsn(4800)),)
    view = b.view(
        cluster=b.won(second, checkpointed=True, sync=b.sync(N2), timeline=Timeline(2)),
        server=pg.primary(timeline=Timeline(2)),
        forks=forks,
    )
    command = b.only(b.decided(view, b.leading_memory(view)), Submit).command

    corrected = encode_history((first, replace(second, switch=pg.lsn(4800))))
    assert command.guards == (FENCE, KeyAt(KEYS.history, Revision(12)))
    assert command.writes == (Put(KEYS.history, corrected),)
    busy = replace(view, pending=frozenset({"history"}))
    assert "history" not in b.acts(b.decided(busy, b.leading_memory(busy)))


def test_the_primary_confirms_the_birth_of_its_directory_once() -> None:
    """Unconfirmed, it would be put aside as stillborn when another cluster is announced."""
    new = b.view(directory=pg.directory(unborn=True))

    assert b.acts(b.decided(new, b.leading_memory(new))) == ["ConfirmBirth"]
    assert b.acts(b.decided(b.view(), b.leading_memory(new))) == []


def test_a_run_that_serves_resets_the_count_of_starts() -> None:
    assert serving(b.cluster(), starts=2).memory.starts == 0
