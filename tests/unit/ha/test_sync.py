"""The synchronous set, step by step: into the setting first, out of the store first."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import Checkpoint, Configure, Submit
from raftha.ha.keys import encode_sync
from raftha.ha.memory import Arming, Memory
from raftha.ha.plans import names_for
from raftha.ha.sync import is_settled
from raftha.ha.table import Decision
from raftha.model.cluster import Cluster, MemberState
from raftha.model.ids import MemberName, Revision
from raftha.model.membership import key_of
from raftha.model.settings import Tags
from raftha.model.store import KeyAbsent, KeyAt, KeyCreatedAt, Put, RaftStatus, Remove
from raftha.model.view import JobKind, JobResult, JobView, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, N2, N3

ALONE = b.cluster(sync=b.sync())
FENCE = KeyCreatedAt(KEYS.leader, Revision(pg.EPOCH.revision))


def leading(cluster: Cluster = ALONE, names: str = "", **more: Any) -> View:
    """n1 leads; its setting names `names`."""
    server = pg.primary(
        synchronous_standby_names=names,
        redo=pg.lsn(4990),
        **{k: more.pop(k) for k in ("attached",) if k in more},
    )
    return b.view(cluster=cluster, server=server, **more)


def step(view: View, memory: Memory | None = None) -> Decision:
    names = view.server.synchronous_standby_names if view.server else ""
    base = memory or Memory()
    if base.plan is None:
        base = replace(base, plan=b.plan_of(view, names))
    return b.decided(view, base)


def armed(**more: Any) -> Memory:
    return Memory(arming=Arming(**{"names": names_for(N2), "since": pg.at(-1), **more}))


def test_a_standby_enters_the_setting_before_the_store() -> None:
    decision = step(leading())

    assert b.acts(decision) == ["Configure"]
    names = b.only(decision, Configure).plan.synchronous_standby_names
    assert names == names_for(N3), "the best of two equals, by name"


def test_the_most_flushed_standby_is_chosen() -> None:
    view = leading(attached=(pg.attached(N2, 5001), pg.attached(N3, 5000)))

    plan = b.only(step(view), Configure).plan
    assert plan.synchronous_standby_names == names_for(N2)


def test_a_nosync_standby_is_not_chosen() -> None:
    tagged = b.cluster(sync=b.sync(), members=b.members(b.member(N3, tags=Tags(nosync=True))))

    plan = b.only(step(leading(tagged)), Configure).plan
    assert plan.synchronous_standby_names == names_for(N2)


def test_a_standby_that_may_lead_is_preferred_to_one_that_may_not() -> None:
    tagged = b.member(N3, tags=Tags(nofailover=True))
    view = leading(b.cluster(sync=b.sync(), members=b.members(tagged)))

    plan = b.only(step(view), Configure).plan
    assert plan.synchronous_standby_names == names_for(N2)


def test_a_setting_already_written_is_not_written_again() -> None:
    view = leading(attached=(pg.attached(N2),))
    first = step(view)

    assert b.acts(step(view, first.memory)) == []


def test_the_proof_begins_with_a_checkpoint_after_the_reload() -> None:
    decision = step(leading(names=names_for(N2)))

    assert b.only(decision, Checkpoint)
    assert decision.memory.arming == Arming(names=names_for(N2), since=pg.T0, checkpointed=True)


def test_a_checkpoint_that_runs_already_proves_nothing() -> None:
    job = JobView(kind=JobKind.CHECKPOINT, started=pg.at(-1))
    decision = step(leading(names=names_for(N2), job=job))

    assert b.acts(decision) == []
    assert decision.memory.arming is not None
    assert not decision.memory.arming.checkpointed


def test_what_was_flushed_after_the_checkpoint_is_required() -> None:
    done = JobResult(kind=JobKind.CHECKPOINT, ended=pg.at(-0.5))
    memory = armed(checkpointed=True)
    before = step(leading(names=names_for(N2), finished=done, server_seen=pg.at(-0.6)), memory)
    assert before.memory.arming is not None
    assert before.memory.arming.required is None, "an answer from before the checkpoint"

    after = step(leading(names=names_for(N2), finished=done, server_seen=pg.at(-0.4)), memory)
    assert after.memory.arming is not None
    assert after.memory.arming.required == pg.lsn(5000)
    assert after.memory.arming.redo == pg.lsn(4990)


def test_a_checkpoint_from_before_the_reload_proves_nothing() -> None:
    done = JobResult(kind=JobKind.CHECKPOINT, ended=pg.at(-1.5))
    decision = step(leading(names=names_for(N2), finished=done), armed(checkpointed=True))

    assert decision.memory.arming is not None
    assert decision.memory.arming.required is None
    assert not decision.memory.arming.checkpointed, "it is asked for again"


def test_a_checkpoint_that_failed_proves_nothing() -> None:
    done = JobResult(kind=JobKind.CHECKPOINT, ended=pg.at(-0.5), error="cancelled")
    memory = replace(armed(checkpointed=True), last_job=done.ended)
    decision = step(leading(names=names_for(N2), finished=done), memory)

    assert decision.memory.arming is not None
    assert decision.memory.arming.required is None


def test_a_standby_counts_once_it_has_flushed_what_is_required() -> None:
    memory = armed(checkpointed=True, required=pg.lsn(5000))
    short = leading(names=names_for(N2), attached=(pg.attached(N2, 4999),))
    assert b.acts(step(short, memory)) == []

    full = leading(names=names_for(N2), attached=(pg.attached(N2, 5000),))
    command = b.only(step(full, memory), Submit).command
    assert command.writes == (Put(KEYS.sync, encode_sync(N1, (N2,))),)
    stays = KeyAbsent(key_of(KEYS.scope, N2))
    assert command.guards == (FENCE, KeyAt(KEYS.sync, Revision(41)), stays), "or its vote may go"


def test_what_whoever_may_lead_has_at_least_is_stored_with_the_proof() -> None:
    """The end of a whole record: a standby that comes back has none of one that was cut off."""
    proved = armed(checkpointed=True, required=pg.lsn(5000), redo=pg.lsn(4990))
    command = b.only(step(leading(names=names_for(N2)), proved), Submit).command
    assert command.writes == (Put(KEYS.sync, encode_sync(N1, (N2,), floor=pg.lsn(4990))),)


def test_what_follows_from_the_store_keeps_its_floor() -> None:
    """n3 has left the setting that is proved; what n2 alone has to hold was proved before."""
    both = replace(b.sync(N2, N3, quorum=1), floor=pg.lsn(3000))
    proved = armed(checkpointed=True, required=pg.lsn(5000), redo=pg.lsn(4990))
    view = leading(b.cluster(sync=both), "", attached=())
    (put,) = b.only(step(view, proved), Submit).command.writes

    assert put == Put(KEYS.sync, encode_sync(N1, (), floor=pg.lsn(3000)))


def test_a_proof_for_another_standby_does_not_count() -> None:
    memory = armed(names=names_for(N3), checkpointed=True, required=pg.lsn(1))
    decision = step(leading(names=names_for(N2)), memory)

    assert "sync" not in b.acts(decision)
    assert decision.memory.arming is not None
    assert decision.memory.arming.names == names_for(N2)


def test_a_settled_set_is_left_alone() -> None:
    assert b.acts(step(leading(b.cluster(), names_for(N2)))) == []


def test_a_standby_gone_for_a_moment_stays() -> None:
    view = leading(b.cluster(), names_for(N2), attached=())
    first = step(view)
    assert b.acts(first) == []
    assert first.memory.absent == {N2: pg.T0}

    assert b.acts(step(view, Memory(absent={N2: pg.at(-0.4)}))) == []


def test_a_standby_gone_for_longer_leaves_the_store_first() -> None:
    view = leading(b.cluster(), names_for(N2), attached=())
    decision = step(view, Memory(absent={N2: pg.at(-0.5)}))

    assert b.acts(decision) == ["sync"]
    assert b.only(decision, Submit).command.writes == (Put(KEYS.sync, encode_sync(N1, ())),)


def test_a_standby_that_comes_back_is_not_counted_as_gone_later() -> None:
    decision = step(leading(b.cluster(), names_for(N2)), Memory(absent={N2: pg.at(-0.4)}))

    assert decision.memory.absent == {}


def test_one_that_left_the_store_leaves_the_setting_next() -> None:
    view = leading(names=names_for(N2), attached=())
    decision = step(view, Memory(absent={N2: pg.at(-0.5)}))

    assert b.acts(decision) == ["Configure"]
    assert b.only(decision, Configure).plan.synchronous_standby_names == ""


def test_another_standby_takes_its_place_at_once() -> None:
    view = leading(names=names_for(N2), attached=(pg.attached(N3),))
    decision = step(view, Memory(absent={N2: pg.at(-0.5)}))

    assert b.only(decision, Configure).plan.synchronous_standby_names == names_for(N3)
    assert decision.memory.arming is not None
    assert decision.memory.arming.names == names_for(N3)


def test_a_standby_that_stops_leaves_without_delay() -> None:
    going = b.cluster(members=b.members(b.member(N2, state=MemberState.STOPPING)))

    assert b.acts(step(leading(going, names_for(N2)))) == ["sync"]


def test_who_streams_under_the_name_of_a_member_that_copies_its_data_is_another() -> None:
    """A machine whose agent died, but not its server, was replaced: what it acknowledges says
    nothing about the new one, which alone could be promoted."""
    new = b.cluster(members=b.members(b.member(N2, state=MemberState.CREATING)))

    assert b.acts(step(leading(new, names_for(N2)))) == ["sync"]


def test_only_who_says_itself_that_it_streams_is_chosen() -> None:
    """The copy is made, but the other server of that name still holds the slot."""
    both = b.members(b.member(N2), b.member(N3, state=MemberState.RUNNING))
    decision = step(leading(b.cluster(sync=b.sync(), members=both)))

    assert b.only(decision, Configure).plan.synchronous_standby_names == names_for(N2)


def without_vote(name: MemberName) -> RaftStatus:
    return replace(b.raft(), voters=tuple(v for v in b.raft().voters if v.name != name))


def test_one_that_may_lead_takes_the_place_of_one_that_may_not() -> None:
    """A node that was never admitted was there alone for a while: kept in the set, it would leave
    nobody to take over."""
    raft = without_vote(N2)
    held = step(leading(b.cluster(), names_for(N2), raft=raft))
    assert b.only(held, Submit).command.writes == (Put(KEYS.sync, encode_sync(N1, ())),)

    since = Memory(absent={N2: pg.at(-0.5)})
    moved = step(leading(names=names_for(N2), raft=raft), since)
    assert b.only(moved, Configure).plan.synchronous_standby_names == names_for(N3)


def test_one_that_may_not_lead_is_better_than_none() -> None:
    alone = (pg.attached(N2),)
    view = leading(b.cluster(), names_for(N2), attached=alone, raft=without_vote(N2))

    assert b.acts(step(view)) == []


def test_a_standby_that_became_nosync_leaves_without_delay() -> None:
    tagged = b.cluster(members=b.members(b.member(N2, tags=Tags(nosync=True))))

    assert b.acts(step(leading(tagged, names_for(N2)))) == ["sync"]


@pytest.mark.parametrize("intent", ["sync", "operation"])
def test_one_write_at_a_time(intent: str) -> None:
    """A hand-over writes `sync` too: an open write of it may have named a standby already."""
    going = b.cluster(members=b.members(b.member(N2, state=MemberState.STOPPING)))
    view = leading(going, names_for(N2), pending=frozenset({intent}))

    assert b.acts(step(view)) == []


def test_switching_the_mode_off_empties_the_store_before_the_setting() -> None:
    on = leading(b.cluster(config=b.OFF), names_for(N2))
    command = b.only(step(on), Submit).command
    assert command.writes[0] == Remove(KEYS.sync)
    assert command.guards[:2] == (FENCE, KeyAt(KEYS.sync, Revision(41)))

    gone = leading(b.cluster(config=b.OFF, sync=None), names_for(N2))
    decision = step(gone)
    assert b.acts(decision) == ["Configure"]
    assert b.only(decision, Configure).plan.synchronous_standby_names == ""
    assert b.acts(step(leading(b.cluster(config=b.OFF, sync=None), ""))) == []


def test_switching_the_mode_on_writes_the_set_before_anything_else() -> None:
    decision = step(leading(b.cluster(sync=None)))

    assert b.acts(decision) == ["sync"]
    command = b.only(decision, Submit).command
    assert command.guards == (FENCE, KeyAbsent(KEYS.sync))
    assert command.writes == (Put(KEYS.sync, encode_sync(N1, ())),)


@pytest.mark.parametrize(("named", "names"), [(N1, ""), (N2, names_for(N2))])
def test_the_set_of_another_leader_is_taken_over_empty(named: MemberName, names: str) -> None:
    """Also where commits wait for whom it names: that this one holds all of it is not proved."""
    decision = step(leading(b.cluster(sync=b.sync(named, by=N3)), names))

    assert b.only(decision, Submit).command.writes == (Put(KEYS.sync, encode_sync(N1, ())),)


def test_a_promotion_inherits_the_names_it_was_done_with() -> None:
    """What was put in force at the promotion is proved like any other, not written again."""
    decision = step(leading(names=names_for(N2)))

    assert "Configure" not in b.acts(decision)
    assert b.only(decision, Checkpoint)


def test_a_name_that_is_nobody_s_is_replaced() -> None:
    view = leading(names="raftha_nobody", attached=())

    assert b.only(step(view), Configure).plan.synchronous_standby_names == ""


def test_commits_are_settled_when_who_is_waited_for_is_here() -> None:
    assert is_settled(pg.primary())
    assert not is_settled(pg.primary(attached=(pg.attached(N3),)))
    assert not is_settled(pg.primary(attached=(pg.attached(N2, state="catchup"),)))
    assert is_settled(pg.primary(synchronous_standby_names="", attached=()))
