"""A planned hand-over, from the request to the release of the key."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import AskPeers, ReleaseLeader, Stop, StopMode, Submit
from raftha.ha.keys import encode_sync
from raftha.ha.memory import Memory, StopSent
from raftha.instants import Seconds
from raftha.model.ids import MemberName, Revision, Timeline
from raftha.model.operation import Operation, OperationState, OperationStep, RequestKind, Step
from raftha.model.postgres import ControlState
from raftha.model.settings import SynchronousMode
from raftha.model.store import KeyAt, Put, Remove
from raftha.model.view import JobKind, JobView, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, N2, N3

SEEN = Memory(request_seen="op1", request_since=pg.at(-3))
DRAINING = Memory(drained="op1", drain_since=pg.at(-3))
SENT = StopSent(process="77@1", mode=StopMode.FAST, at=pg.at(-2))
STOPPED = Memory(drained="op1", drain_since=pg.at(-3), stop=SENT)
RECORD_WRITTEN = pg.directory(control=pg.control(state=ControlState.SHUT_DOWN))


def operation(*steps: OperationStep) -> Operation:
    taken = tuple(Step(step=s, by=N1) for s in (OperationStep.REQUESTED, *steps))
    return Operation(
        id="op1",
        kind=RequestKind.SWITCHOVER,
        leader=N1,
        candidate=None,
        state=OperationState.RUNNING,
        message="so far",
        steps=taken,
        revision=Revision(56),
    )


def asked(
    to: MemberName | None = None, *steps: OperationStep, by: MemberName = N1, **more: Any
) -> View:
    """n1 leads and was asked to hand over."""
    given: dict[str, Any] = {
        "cluster": b.cluster(request=b.request(by=by, to=to), operation=operation(*steps)),
        "peers": pg.answers(pg.report(N2), pg.report(N3)),
    }
    return b.view(**{**given, **more})


def down(to: MemberName | None = None, *steps: OperationStep, **more: Any) -> View:
    """The same, and PostgreSQL has written its shutdown record."""
    given: dict[str, Any] = {
        "guardian": pg.IDLE_GUARDIAN,
        "server": None,
        "directory": RECORD_WRITTEN,
    }
    return asked(to, *steps, **{**given, **more})


def test_the_members_are_asked_before_anything_is_stopped() -> None:
    decision = b.decided(asked(peers=pg.answers(pg.report(N2), ago=2.1)))

    assert decision.rule == "hand-10"
    assert b.only(decision, AskPeers).names == (N2, N3)
    assert decision.memory.drained is None


def test_an_answer_from_before_the_request_does_not_count() -> None:
    """A candidate that was down a moment ago may be back."""
    late = Memory(request_seen="op1", request_since=pg.at(0))
    decision = b.decided(asked(N2, peers=pg.answers(pg.report(N2), pg.report(N3), ago=1)), late)

    assert b.acts(decision) == ["AskPeers"]
    long_ago = Memory(request_seen="op1", request_since=pg.at(-9))
    nobody = b.decided(asked(N2, peers={}), long_ago)
    assert "does not answer" in nobody.reason


def test_a_checkpoint_is_written_while_it_still_serves() -> None:
    decision = b.decided(asked(N2), SEEN)

    assert b.acts(decision) == ["Checkpoint"]
    assert decision.memory.drained == "op1"


def test_what_cannot_be_done_is_refused_and_written_down() -> None:
    silent = pg.answers(pg.report(N3), silent=(N2,))
    decision = b.decided(asked(N2, peers=silent), SEEN)
    command = b.only(decision, Submit).command

    assert decision.reason == "switchover refused: n2 does not answer"
    assert Remove(KEYS.failover) in command.writes
    assert KeyAt(KEYS.failover, Revision(55)) in command.guards
    assert b'"refused"' in next(w.value for w in command.writes if isinstance(w, Put))
    assert decision.memory.drained is None


def test_the_checkpoint_is_waited_for() -> None:
    job = JobView(kind=JobKind.CHECKPOINT, started=pg.at(-3))

    assert b.acts(b.decided(asked(job=job), DRAINING)) == []
    long = Memory(drained="op1", drain_since=pg.at(-60))
    assert "Stop" in b.acts(b.decided(asked(job=job), long))


def test_then_it_stops_and_says_so() -> None:
    decision = b.decided(asked(), DRAINING)

    assert b.acts(decision) == ["operation", "Stop"]
    assert b.only(decision, Stop).mode is StopMode.FAST
    assert b'"draining"' in b.only(decision, Submit).command.writes[0].value


def test_a_stop_under_way_is_waited_for() -> None:
    decision = b.decided(asked(None, OperationStep.DRAINING), STOPPED)

    assert b.acts(decision) == []


def test_what_outlives_the_shutdown_record_is_killed() -> None:
    decision = b.decided(asked(directory=RECORD_WRITTEN), STOPPED)

    assert b.only(decision, Stop).mode is StopMode.KILL


@pytest.mark.parametrize(
    ("limit", "mode", "waited", "is_ended"),
    [
        (0, SynchronousMode.QUORUM, 59, False),
        (0, SynchronousMode.QUORUM, 61, True),
        (5, SynchronousMode.QUORUM, 4, False),
        (5, SynchronousMode.ON, 6, True),
        (5, SynchronousMode.OFF, 6, False),
        (300, SynchronousMode.QUORUM, 61, False),
    ],
)
def test_a_stop_takes_no_longer_than_is_allowed(
    limit: float, mode: SynchronousMode, waited: float, *, is_ended: bool
) -> None:
    config = replace(b.ON, synchronous_mode=mode, primary_stop_timeout=Seconds(limit))
    sent = replace(STOPPED, stop=replace(SENT, at=pg.at(-waited)))
    request = {"request": b.request(to=None), "operation": operation(OperationStep.DRAINING)}
    decision = b.decided(asked(cluster=b.cluster(config=config, **request)), sent)

    assert b.acts(decision) == (["Stop"] if is_ended else [])
    if is_ended:
        assert b.only(decision, Stop).mode is StopMode.IMMEDIATE


def test_the_key_is_kept_until_somebody_holds_the_last_record() -> None:
    short = pg.answers(pg.report(N2, 4000), pg.report(N3, 4000))
    decision = b.decided(down(N2, peers=short), STOPPED)

    assert b.acts(decision) == ["AskPeers"]


def test_an_answer_from_before_the_stop_does_not_count() -> None:
    early = pg.answers(pg.report(N2), pg.report(N3), ago=2.5)

    assert b.acts(b.decided(down(peers=early), STOPPED)) == ["AskPeers"]


def test_an_answer_from_another_timeline_does_not_count() -> None:
    other = pg.answers(pg.report(N2, timeline=Timeline(2)))

    assert b.acts(b.decided(down(peers=other), STOPPED)) == ["AskPeers"]


def test_nobody_holds_a_record_that_was_not_written() -> None:
    crashed = b.decided(down(directory=pg.directory()), STOPPED)

    assert b.acts(crashed) == ["AskPeers"]


def test_only_the_one_asked_for_will_do() -> None:
    only_n3 = pg.answers(pg.report(N2, 4000), pg.report(N3, 4001))

    assert b.acts(b.decided(down(N2, peers=only_n3), STOPPED)) == ["AskPeers"]
    assert b.acts(b.decided(down(None, peers=only_n3), STOPPED)) == ["operation"]


def test_the_heir_is_put_into_the_set_before_the_key_is_released() -> None:
    decision = b.decided(down(N3), STOPPED)
    command = b.only(decision, Submit).command

    assert Put(KEYS.sync, encode_sync(N1, (N3,), floor=pg.lsn(4000))) in command.writes
    assert KeyAt(KEYS.sync, Revision(41)) in command.guards
    assert "ReleaseLeader" not in b.acts(decision)


def test_an_heir_that_is_in_the_set_needs_no_change_of_it() -> None:
    command = b.only(b.decided(down(N2), STOPPED), Submit).command

    assert all(w.key != KEYS.sync for w in command.writes if isinstance(w, Put))


def test_the_key_is_released_once_all_is_written_down() -> None:
    decision = b.decided(down(N2, OperationStep.STOPPED), STOPPED)

    assert b.only(decision, ReleaseLeader).epoch == pg.EPOCH
    assert decision.memory.drained is None


def test_a_hand_over_that_nobody_can_take_is_refused() -> None:
    sent = StopSent(process="77@1", mode=StopMode.FAST, at=pg.at(-10.1))
    memory = Memory(drained="op1", drain_since=pg.at(-11), stop=sent)
    decision = b.decided(down(N2, peers=pg.answers(silent=(N2, N3), ago=3)), memory)

    assert decision.reason.startswith("switchover refused: n2 did not receive the last WAL")
    assert b.acts(decision) == ["operation"]
    after = b.decided(
        b.view(guardian=pg.IDLE_GUARDIAN, server=None, directory=RECORD_WRITTEN), decision.memory
    )
    assert after.rule == "lead-10"


def test_a_crash_during_the_checkpoint_does_not_hold_the_key_for_ever() -> None:
    crashed = down(N2, directory=pg.directory(), peers=pg.answers(silent=(N2, N3)))
    begun = Memory(drained="op1", drain_since=pg.at(-10.1))

    assert b.acts(b.decided(crashed, DRAINING)) == ["AskPeers"]
    assert b.acts(b.decided(crashed, begun)) == ["operation"]


def test_what_was_drained_for_is_forgotten_with_the_request() -> None:
    """Otherwise this node would never again be given to clients."""
    view = b.view()

    assert b.decided(view, DRAINING).memory.drained is None
    assert b.decided(asked(), DRAINING).memory.drained == "op1"


def test_a_request_for_another_leader_is_not_begun() -> None:
    assert b.decided(asked(by=N2)).rule == "lead-40"


def test_no_request_is_begun_while_the_agent_stops() -> None:
    assert b.decided(asked(stopping=True)).rule == "stop-20"


def test_an_heir_in_a_quorum_is_said_to_hold_everything_by_itself() -> None:
    """Else it would have to hear another one first, which may be gone."""
    view = down(N3)
    quorum = replace(view.cluster, sync=b.sync(N2, N3, quorum=1))
    command = b.only(b.decided(replace(view, cluster=quorum), STOPPED), Submit).command

    assert Put(KEYS.sync, encode_sync(N1, (N3,), floor=pg.lsn(4000))) in command.writes
