"""Whom commits wait for in quorum mode, with several standbys, and where there is none."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import Checkpoint, Configure, Promote, Start, Submit
from raftha.ha.keys import encode_sync
from raftha.ha.memory import Arming, Memory
from raftha.ha.plans import NOBODY, names_for, names_for_any, setting_of, waits_of
from raftha.ha.quorum import Waits
from raftha.ha.sync import is_settled
from raftha.ha.table import Decision
from raftha.model.cluster import Cluster, MemberState
from raftha.model.ids import MemberName
from raftha.model.settings import DynamicConfig, SynchronousMode, Tags
from raftha.model.store import Put
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import ON, QUORUM
from tests.unit.ha.servers import N1, N2, N3

BOTH = names_for_any(1, (N2, N3))
IN_QUORUM = b.sync(N2, N3, quorum=1)
STRICT = replace(ON, synchronous_mode_strict=True)
STRICT_QUORUM = replace(QUORUM, synchronous_mode_strict=True)
TWO = replace(ON, synchronous_node_count=2)


def leading(cluster: Cluster, names: str, **more: Any) -> View:
    """n1 leads; its setting is `names`."""
    server = {k: more.pop(k) for k in ("attached", "flushed") if k in more}
    return b.view(
        cluster=cluster, server=pg.primary(synchronous_standby_names=names, **server), **more
    )


def cluster(config: DynamicConfig = QUORUM, **more: Any) -> Cluster:
    return b.cluster(config=config, **{"sync": IN_QUORUM, **more})


def step(view: View, memory: Memory | None = None) -> Decision:
    names = view.server.synchronous_standby_names if view.server else ""
    base = memory or Memory()
    return b.decided(view, replace(base, plan=base.plan or b.plan_of(view, names)))


def set_by(decision: Decision) -> str:
    return b.only(decision, Configure).plan.synchronous_standby_names


def stored_by(decision: Decision) -> bytes:
    (write,) = b.only(decision, Submit).command.writes
    assert isinstance(write, Put)
    return write.value


def test_in_quorum_mode_commits_wait_for_any_of_all() -> None:
    assert set_by(step(leading(cluster(sync=b.sync()), ""))) == 'ANY 1 ("n2", "n3")'
    two = replace(QUORUM, synchronous_node_count=2)
    assert set_by(step(leading(cluster(two, sync=b.sync()), ""))) == 'ANY 2 ("n2", "n3")'


def test_a_settled_quorum_is_left_alone() -> None:
    assert b.acts(step(leading(cluster(), BOTH))) == []


def test_the_store_follows_once_one_of_the_quorum_holds_what_went_before() -> None:
    arming = Arming(names=BOTH, since=pg.at(-1), checkpointed=True, required=pg.lsn(5000))
    view = leading(
        cluster(sync=b.sync()), BOTH, attached=(pg.attached(N2, 4999), pg.attached(N3, 4999))
    )
    assert b.acts(step(view, Memory(arming=arming))) == []

    view = leading(cluster(sync=b.sync()), BOTH, attached=(pg.attached(N2, 4999), pg.attached(N3)))
    assert stored_by(step(view, Memory(arming=arming))) == encode_sync(N1, (N2, N3), 1)


def test_a_lost_standby_leaves_the_setting_first_where_more_have_to_be_heard() -> None:
    """Any who are heard in the old set still meet those who acknowledge by the new setting."""
    gone = Memory(absent={N2: pg.at(-0.6)})
    decision = step(leading(cluster(), BOTH, attached=(pg.attached(N3),)), gone)
    assert set_by(decision) == names_for_any(1, (N3,))

    then = step(leading(cluster(), names_for_any(1, (N3,)), attached=(pg.attached(N3),)))
    assert b.acts(then) == ["Checkpoint"]


def test_a_standby_that_comes_back_enters_the_store_first() -> None:
    """Both have to be heard before commits may do without either."""
    decision = step(leading(cluster(sync=b.sync(N3)), names_for_any(1, (N3,))))

    assert stored_by(decision) == encode_sync(N1, (N2, N3), 1)


def test_one_that_may_not_lead_is_in_no_quorum_with_one_that_may() -> None:
    tagged = b.members(b.member(N2, tags=Tags(nofailover=True)))
    view = leading(cluster(sync=b.sync(), members=tagged), "")
    assert set_by(step(view)) == names_for_any(1, (N3,))

    alone = leading(cluster(sync=b.sync(), members=tagged), "", attached=(pg.attached(N2),))
    assert set_by(step(alone)) == names_for_any(1, (N2,))


def test_from_a_quorum_to_one_by_name_and_back() -> None:
    assert set_by(step(leading(cluster(ON), BOTH))) == names_for(N3)
    one = leading(cluster(sync=b.sync(N3)), names_for(N3), attached=(pg.attached(N3),))
    assert set_by(step(one)) == names_for_any(1, (N3,)), "the same, written as a quorum"


def test_two_by_name_hold_everything_each() -> None:
    alone = b.sync()
    assert set_by(step(leading(cluster(TWO, sync=alone), ""))) == '2 ("n2", "n3")'
    arming = Arming(names=names_for(N2, N3), since=pg.T0, checkpointed=True, required=pg.lsn(5000))
    view = leading(cluster(TWO, sync=alone), names_for(N2, N3))
    assert stored_by(step(view, Memory(arming=arming))) == encode_sync(N1, (N2, N3))

    behind = (pg.attached(N2), pg.attached(N3, 4999))
    view = leading(cluster(TWO, sync=alone), names_for(N2, N3), attached=behind)
    assert b.acts(step(view, Memory(arming=arming))) == []


def test_of_two_by_name_the_lost_one_leaves_the_store_first() -> None:
    view = leading(
        cluster(TWO, sync=b.sync(N2, N3)), names_for(N2, N3), attached=(pg.attached(N3),)
    )
    decision = step(view, Memory(absent={N2: pg.at(-0.6)}))

    assert stored_by(decision) == encode_sync(N1, (N3,))


def preferring(first: MemberName, names: str, *stored: MemberName, **more: Any) -> View:
    """Commits wait for `names`, the store has `stored`, and this one has the higher priority."""
    tagged = b.members(b.member(first, tags=Tags(sync_priority=2)))
    return leading(cluster(ON, sync=b.sync(*stored), members=tagged), names, **more)


def test_a_higher_priority_takes_the_place_of_one_that_is_waited_for() -> None:
    """As in Patroni: otherwise a changed tag, or a return, would not count until the next loss."""
    assert set_by(step(preferring(N2, names_for(N3), N3))) == names_for(N2, N3)
    assert b.acts(step(preferring(N3, names_for(N3), N3))) == []
    behind = (pg.attached(N2, 1), pg.attached(N3))
    assert b.acts(step(preferring(N2, names_for(N3), N3, attached=behind))) != []
    away = (pg.attached(N3),)
    assert b.acts(step(preferring(N2, names_for(N3), N3, attached=away))) == []


def test_while_they_are_exchanged_there_is_always_one_to_take_over() -> None:
    both = names_for(N2, N3)
    proved = Arming(names=both, since=pg.at(-1), checkpointed=True, required=pg.lsn(5000))
    held = {"attached": (pg.attached(N2, 5000), pg.attached(N3, 5000))}
    late = {"attached": (pg.attached(N2, 4999), pg.attached(N3, 5000))}

    told = b.only(step(preferring(N2, both, N3)), Checkpoint)
    assert told is not None, "only then is the setting in force"
    assert b.acts(step(preferring(N2, both, N3, **late), Memory(arming=proved))) == []
    done = step(preferring(N2, both, N3, **held), Memory(arming=proved))
    assert stored_by(done) == encode_sync(N1, (N2, N3))
    assert stored_by(step(preferring(N2, both, N2, N3))) == encode_sync(N1, (N2,))
    assert set_by(step(preferring(N2, both, N2))) == names_for(N2)
    assert b.acts(step(preferring(N2, names_for(N2), N2))) == []


def test_of_equal_priority_the_one_that_is_waited_for_stays() -> None:
    """Whoever has flushed more: to exchange them costs, and gains nothing."""
    rows = (pg.attached(N2, 6000), pg.attached(N3))
    one = cluster(ON, sync=b.sync(N3))
    assert b.acts(step(leading(one, names_for(N3), attached=rows))) == []


def lagging(behind: int, config: DynamicConfig, names: str) -> Decision:
    rows = (pg.attached(N2, 5000), pg.attached(N3, 5000 - behind))
    return step(leading(cluster(config, sync=b.sync(N3)), names, attached=rows))


def test_one_that_is_too_far_behind_is_exchanged() -> None:
    near = replace(ON, maximum_lag_on_syncnode=100)

    assert b.acts(lagging(100, near, names_for(N3))) == []
    assert stored_by(lagging(101, near, names_for(N3))) == encode_sync(N1, ())
    assert b.acts(lagging(5000, ON, names_for(N3))) == [], "any number without a limit"


def test_one_that_is_too_far_behind_leaves_a_quorum_that_can_do_without() -> None:
    near = replace(QUORUM, maximum_lag_on_syncnode=100)
    rows = (pg.attached(N2), pg.attached(N3, 4899))

    assert set_by(step(leading(cluster(near), BOTH, attached=rows))) == names_for_any(1, (N2,))
    two = replace(near, synchronous_node_count=2)
    every = leading(cluster(two, sync=b.sync(N2, N3)), names_for_any(2, (N2, N3)), attached=rows)
    assert b.acts(step(every)) == []


def test_a_new_one_must_be_within_half_of_the_limit() -> None:
    near = replace(QUORUM, maximum_lag_on_syncnode=100)
    far = (pg.attached(N2), pg.attached(N3, 4949))
    one = cluster(near, sync=b.sync(N2))
    assert b.acts(step(leading(one, names_for_any(1, (N2,)), attached=far))) == []

    close = (pg.attached(N2), pg.attached(N3, 4950))
    assert "sync" in b.acts(step(leading(one, names_for_any(1, (N2,)), attached=close)))


@pytest.mark.parametrize("config", [ON, QUORUM])
def test_not_strict_the_store_says_first_that_the_primary_goes_on_alone(
    config: DynamicConfig,
) -> None:
    names = setting_of(Waits(1, frozenset({N2})), config.synchronous_mode)
    gone = Memory(absent={N2: pg.at(-0.6)})
    first = step(leading(cluster(config, sync=b.sync(N2)), names, attached=()), gone)
    assert stored_by(first) == encode_sync(N1, ())

    then = step(leading(cluster(config, sync=b.sync()), names, attached=()), gone)
    assert set_by(then) == ""


@pytest.mark.parametrize("config", [STRICT, STRICT_QUORUM])
def test_strict_commits_wait_for_whoever_may_come_back(config: DynamicConfig) -> None:
    names = setting_of(Waits(1, frozenset({N2})), config.synchronous_mode)
    gone = Memory(absent={N2: pg.at(-60)})
    view = leading(cluster(config, sync=b.sync(N2)), names, attached=())

    assert b.acts(step(view, gone)) == []
    assert view.server is not None
    assert not is_settled(view.server)


def test_strict_another_standby_takes_the_place_of_a_lost_one() -> None:
    gone = Memory(absent={N2: pg.at(-0.6)})
    view = leading(cluster(STRICT, sync=b.sync(N2)), names_for(N2), attached=(pg.attached(N3),))

    assert stored_by(step(view, gone)) == encode_sync(N1, ())


def test_strict_commits_wait_from_the_beginning() -> None:
    view = leading(cluster(STRICT, sync=b.sync()), "", attached=())

    assert set_by(step(view)) == NOBODY
    assert b.acts(step(leading(cluster(STRICT, sync=b.sync()), NOBODY, attached=()))) == []


@pytest.mark.parametrize("state", [MemberState.CREATING, MemberState.REWINDING])
def test_strict_nobody_waits_for_one_that_is_made_anew(state: MemberState) -> None:
    """What streams under its name meanwhile is another server."""
    anew = b.members(b.member(N2, state=state))
    view = leading(cluster(STRICT, sync=b.sync(N2), members=anew), names_for(N2), attached=())

    assert set_by(step(view, Memory(absent={N2: pg.at(-60)}))) == NOBODY


def test_strict_a_standby_that_stops_stays_in_the_set() -> None:
    """It holds everything, and nothing is acknowledged until it is back."""
    going = b.members(
        b.member(N2, state=MemberState.STOPPING), b.member(N3, tags=Tags(nosync=True))
    )
    view = leading(cluster(STRICT, sync=b.sync(N2), members=going), names_for(N2))

    assert b.acts(step(view)) == []


def test_commits_are_settled_with_as_many_as_they_wait_for() -> None:
    one = (pg.attached(N3),)
    assert is_settled(pg.primary(synchronous_standby_names=BOTH, attached=one))
    two = names_for_any(2, (N2, N3))
    assert not is_settled(pg.primary(synchronous_standby_names=two, attached=one))
    assert not is_settled(pg.primary(synchronous_standby_names=NOBODY))


def promoted(config: DynamicConfig, *there: MemberName) -> str:
    """The names in force at a promotion, when these members answer."""
    record = b.record(2, epoch=pg.EPOCH)
    answers = pg.answers(*(pg.report(name) for name in there))
    view = b.view(
        cluster=cluster(config, sync=b.sync(), history=(b.record(), record)),
        server=pg.standby(),
        guardian=pg.STANDBY_GUARDIAN,
        peers=answers,
    )
    return b.only(b.decided(view), Promote).plan.synchronous_standby_names


def test_the_first_commits_of_a_promotion_wait_as_all_others_will() -> None:
    assert promoted(QUORUM, N2, N3) == BOTH
    assert promoted(QUORUM, N3) == names_for_any(1, (N3,))
    assert promoted(TWO, N2, N3) == names_for(N2, N3)
    assert promoted(QUORUM) == ""
    assert promoted(STRICT) == promoted(STRICT_QUORUM) == NOBODY


def test_a_restart_in_place_waits_as_the_store_says() -> None:
    """This process has not written the setting; what the store names must stay true."""
    down = {"guardian": pg.IDLE_GUARDIAN, "server": None}
    record = (b.record(1, epoch=pg.EPOCH),)

    start = b.only(b.decided(b.view(cluster=cluster(history=record), **down)), Start)
    assert start.plan.synchronous_standby_names == BOTH
    strict = b.view(cluster=cluster(STRICT, sync=b.sync(), history=record), **down)
    assert b.only(b.decided(strict), Start).plan.synchronous_standby_names == NOBODY


@pytest.mark.parametrize(
    "waits",
    [
        Waits(0, frozenset()),
        Waits(1, frozenset()),
        Waits(1, frozenset({N2})),
        Waits(2, frozenset({N2, N3})),
        Waits(2, frozenset({N2, MemberName('a "b", c'), N3})),
    ],
)
@pytest.mark.parametrize("mode", [SynchronousMode.ON, SynchronousMode.QUORUM])
def test_a_setting_is_read_as_it_was_written(waits: Waits, mode: SynchronousMode) -> None:
    if mode is SynchronousMode.ON and not waits.never_ends:
        waits = Waits(len(waits.names), waits.names)

    assert waits_of(setting_of(waits, mode)) == waits


@pytest.mark.parametrize(
    "text", ["n2", "*", "1 (n2)", '3 ("n2")', 'FIRST 1 ("n2", "n3")', '0 ("n2")', 'ANY 1 ("n2"']
)
def test_a_setting_of_somebody_else_is_none_of_ours(text: str) -> None:
    assert waits_of(text) is None
    view = leading(cluster(), text)
    assert stored_by(step(view)) == encode_sync(N1, ()), "whom commits wait for is not known"


def test_a_proof_is_asked_for_once() -> None:
    first = step(leading(cluster(sync=b.sync()), BOTH))
    assert b.only(first, Checkpoint)

    assert b.acts(step(leading(cluster(sync=b.sync()), BOTH), first.memory)) == []
