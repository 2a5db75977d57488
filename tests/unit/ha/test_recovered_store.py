"""What an operator is told before a recovery, and what it changes in the store."""

from __future__ import annotations

from typing import Any, Final

import pytest
from msgspec.structs import replace

from raftha.ha.actions import AcquireLeader, Promote
from raftha.ha.candidates import obstacle
from raftha.ha.keys import encode_position, encode_sync
from raftha.ha.recovery import SET_ASIDE, Survivor, amendment, holders, stakes
from raftha.model.cluster import Cluster, HistoryRecord, Told
from raftha.model.ids import Epoch, MemberName, Revision, Timeline
from raftha.model.membership import MemberVerb, WishState, key_of
from raftha.model.operation import Operation, OperationState, RequestKind
from raftha.model.store import KeyAt, Put, Remove, Transact
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.paused import entry, with_entry
from tests.unit.ha.servers import N1, N2, N3
from tests.unit.ha.test_documents import read
from tests.unit.ha.test_parting import wish

ME: Final = Survivor(name=N1, timeline=Timeline(1), end=pg.lsn(5000))
WITNESS: Final = Survivor(name=N1)


def amended(cluster: Cluster, survivor: Survivor = ME) -> Transact:
    found = amendment(KEYS, cluster, survivor, generation=2, lost=("n2", "n3"), wall=1.7e9)
    assert found is not None
    return found


def written(command: Transact) -> dict[str, bytes]:
    return {write.key: write.value for write in command.writes if isinstance(write, Put)}


def told(position: int) -> Cluster:
    """A cluster whose leader n2 had told of WAL up to there."""
    key = b.leader(N2)
    lease = replace(key.lease, note=encode_position(Timeline(1), pg.lsn(position)))
    return b.followed(leader=replace(key, lease=lease))


def test_a_member_that_holds_less_than_others_may_lead_once_an_operator_says_so() -> None:
    before = b.followed(leader=None, sync=b.sync(N3, by=N2))
    assert "provably held by n2 and n3 alone" in str(
        obstacle(b.situation(b.racing(cluster=before)))
    )

    command = amended(before)
    assert written(command)[KEYS.sync] == encode_sync(N1, ())
    after = replace(before, sync=b.sync(by=N1))
    record = recovery_record(before)
    recovered = replace(after, generation=2, history=(*before.history, record))
    cut = pg.cut(floor=Epoch(2, recovered.revision))
    decision = b.decided(b.racing(cluster=recovered, cut=cut), b.LOST)
    assert b.only(decision, AcquireLeader)
    assert decision.memory.race.startswith("an operator recovered the cluster")


def test_what_a_lost_leader_had_told_stands_against_nobody_any_more() -> None:
    far = Told(leader=N2, timeline=Timeline(1), position=pg.lsn(9000), revision=Revision(44))
    cluster = b.followed(leader=None, sync=None, told=far)
    command = amended(cluster)

    assert Remove(KEYS.position) in command.writes
    assert KeyAt(KEYS.position, Revision(44)) in command.guards
    assert "here it is known to go to 0/1388" in " ".join(stakes(cluster, ME))
    assert Remove(KEYS.position) not in amended(cluster, WITNESS).writes, "it may not lead anyway"


def test_without_data_here_those_who_hold_every_commit_stay_named() -> None:
    assert KEYS.sync not in written(amended(b.followed(leader=None), WITNESS))


def test_each_write_is_guarded_by_the_revision_that_was_read() -> None:
    cluster = b.followed(leader=None)
    assert cluster.sync is not None
    assert cluster.history_revision is not None
    assert set(amended(cluster).guards) == {
        KeyAt(KEYS.sync, cluster.sync.revision),
        KeyAt(KEYS.history, cluster.history_revision),
    }


def test_before_the_cluster_was_initialised_nothing_has_to_change() -> None:
    assert amendment(KEYS, b.unborn(), ME, generation=2, lost=(), wall=0.0) is None


def test_requests_of_the_past_are_over() -> None:
    request = b.request(to=N2)
    running = Operation(
        id=request.id,
        kind=RequestKind.SWITCHOVER,
        leader=N1,
        candidate=N2,
        state=OperationState.RUNNING,
        message="requested",
    )
    cluster = b.followed(leader=None, request=request, operation=running)
    command = amended(cluster)
    assert Remove(KEYS.failover) in command.writes
    assert b"given up" in written(command)[KEYS.operation]
    assert b'"refused"' in written(command)[KEYS.operation]
    assert "is given up" in " ".join(stakes(cluster, ME))

    done = replace(running, state=OperationState.DONE)
    assert KEYS.operation not in written(amended(replace(cluster, request=None, operation=done)))


def test_wishes_about_the_voters_are_over_and_what_a_removal_left_is_not() -> None:
    asked = wish(N2, MemberVerb.REPLACE, WishState.ASKED)
    unseated = wish(N3, MemberVerb.REMOVE, WishState.UNSEATED)
    cluster = b.followed(leader=None, wishes={N2: asked, N3: unseated})
    command = amended(cluster)
    assert b'"refused"' in written(command)[key_of(b.SCOPE, N2)]
    assert KeyAt(key_of(b.SCOPE, N2), asked.revision) in command.guards
    assert key_of(b.SCOPE, N3) not in written(command)
    assert "what was asked for n2 is given up: member replace" in " ".join(stakes(cluster, ME))


def recovery_record(cluster: Cluster) -> HistoryRecord:
    """The record that the recovery appends to the history, read as the agent reads it."""
    return read({KEYS.history: written(amended(cluster))[KEYS.history]}).history[-1]


def test_timelines_that_the_lost_may_have_used_are_never_promised() -> None:
    cluster = b.followed(leader=None, history=(b.record(1), b.record(4)))
    record = recovery_record(cluster)
    assert record.timeline == 4 + SET_ASIDE
    assert record.epoch == Epoch(2, 0)
    assert not record.is_promotion
    assert "recovered by an operator" in record.reason
    assert "n2, n3" in record.reason

    epoch = Epoch(2, 70)
    promotion = b.record(record.timeline + 1, parent=Timeline(1), epoch=epoch)
    lead = b.cluster(
        leader=b.leader(epoch=epoch), generation=2, history=(*cluster.history, record, promotion)
    )
    view = b.view(cluster=lead, lease=b.lease(epoch=epoch), server=pg.standby())
    action: Any = b.only(b.decided(view), Promote)
    assert record.timeline in action.burned


@pytest.mark.parametrize(
    ("cluster", "survivor", "said"),
    [
        (b.followed(), ME, "n1 is the synchronous standby of n2"),
        (b.cluster(), ME, "n1 is the last leader known here"),
        (b.followed(sync=b.sync(N3, by=N2)), ME, "provably held by n2 and n3 alone, and not by n1"),
        (b.followed(sync=None), ME, "commits waited for no standby"),
        (b.followed(), WITNESS, "n1 has no PostgreSQL data"),
        (told(4000), ME, "all of it is here"),
        (told(9000), ME, "here it is known to go to 0/1388"),
    ],
)
def test_what_is_at_stake_is_said(cluster: Cluster, survivor: Survivor, said: str) -> None:
    assert said in " ".join(stakes(cluster, survivor))


def test_who_holds_every_commit_is_the_leader_and_whom_commits_waited_for() -> None:
    assert holders(b.followed(sync=b.sync(N3, by=N2))) == (N2, N3)
    assert holders(b.followed(sync=None)) == ()


def test_who_is_lost_for_good_keeps_nobody_from_a_promotion() -> None:
    """Each was named as fenced, and the own primary is ended; a survivor speaks for itself."""
    entries = (entry(N1), entry(N2), entry(MemberName("n4")))
    cluster = with_entry(b.followed(leader=None), *entries)
    removed = {write.key for write in amended(cluster).writes if isinstance(write, Remove)}

    assert removed == {KEYS.disarmed_of(N1), KEYS.disarmed_of(N2)}
    assert any("n2 was left without a deadline" in words for words in stakes(cluster, ME))
