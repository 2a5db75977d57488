"""For how long nobody could write: from the last renewal of a leader that served until the next one
does, written into the history once."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.agent.loop import _is_quiet
from raftha.ha.actions import Submit
from raftha.ha.keys import encode_history
from raftha.ha.memory import LeaderSeen, Memory, Served
from raftha.ha.serving import last_served
from raftha.instants import Instant, Seconds
from raftha.model.cluster import MemberRole, MemberState
from raftha.model.ids import Epoch, Revision, Timeline
from raftha.model.store import Put
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import EPOCH, N1, N2, at

OLD = Epoch(1, 20)
SEEN = LeaderSeen(revision=Revision(50), at=at(-0.7), name=N2)
BEFORE = Served(epoch=OLD, at=at(-4.5))
FRESH = (b.record(1, epoch=OLD, leader=N2), b.record(2))


def test_a_leader_that_serves_did_so_at_its_last_renewal() -> None:
    view = b.following()

    served = last_served(b.situation(view, Memory(leader_seen=SEEN)))

    assert served == Served(epoch=EPOCH, at=at(-0.7))
    assert last_served(b.situation(view)) is None, "no renewal was seen since the agent started"


@pytest.mark.parametrize(
    "more",
    [
        {"state": MemberState.STOPPING, "role": MemberRole.PRIMARY},
        {"state": MemberState.STOPPED, "role": MemberRole.NONE},
        {"state": MemberState.PROMOTING, "role": MemberRole.STANDBY},
    ],
)
def test_renewals_of_a_leader_whose_server_does_not_serve_do_not_count(more: Any) -> None:
    """It goes on renewing while it is drained for a switchover, or restarted after a crash."""
    view = b.following(cluster=b.followed(members=b.members(b.member(N2, **more))))

    assert last_served(b.situation(view, Memory(leader_seen=SEEN, served=BEFORE))) == BEFORE


def test_the_gap_ends_when_clients_may_write_here() -> None:
    memory = b.leading_memory(b.view(), served=BEFORE)
    closed = b.view(directory=pg.directory(closed=True))

    assert last_served(b.situation(closed, memory)) == BEFORE
    assert last_served(b.situation(b.view(), replace(memory, drained="op1"))) == BEFORE
    served = last_served(b.situation(b.view(), memory))
    assert served == Served(epoch=EPOCH, at=pg.T0, gap_seconds=Seconds(4.5))
    later = last_served(b.situation(b.view(now=at(1)), replace(memory, served=served)))
    assert later == Served(epoch=EPOCH, at=at(1), gap_seconds=Seconds(4.5))


def test_who_was_cut_off_while_another_was_promoted_cannot_tell() -> None:
    """That one may have served for hours."""
    between = b.record(2, epoch=Epoch(1, 30), leader=N2)
    view = b.view(cluster=b.cluster(history=(FRESH[0], between, b.record(3))))
    memory = b.leading_memory(view, served=BEFORE)

    def gap(together_since: Instant | None) -> Seconds | None:
        seen = replace(memory, together_since=together_since)
        served = last_served(b.situation(view, seen))
        assert served is not None
        return served.gap_seconds

    assert gap(at(-1)) is None
    assert gap(at(-60)) == 4.5, "in touch all the while: that one never served"
    alone = last_served(b.situation(b.view(), memory))
    assert (alone and alone.gap_seconds) == 4.5, "nobody came between"


def history_written(history: Any, memory: Memory) -> list[Submit]:
    line = Timeline(2)
    cluster = b.cluster(history=history, timeline=line)
    view = b.view(cluster=cluster, server=pg.primary(timeline=line))
    return [
        act
        for act in b.decided(view, memory).actions
        if isinstance(act, Submit) and act.intent == "history"
    ]


def test_the_gap_is_written_into_the_record_of_the_promotion_once() -> None:
    memory = b.leading_memory(b.view(), served=BEFORE)
    told = (FRESH[0], replace(FRESH[1], gap_seconds=Seconds(4.5)))

    (write,) = history_written(FRESH, memory)

    assert write.command.writes == (Put(KEYS.history, encode_history(told)),)
    assert history_written(told, memory) == []
    assert history_written(FRESH, replace(memory, served=None)) == [], "it is not known"


def test_who_has_served_all_along_tells_no_gap_of_another_lease() -> None:
    memory = b.leading_memory(b.view(), served=Served(epoch=EPOCH, at=at(-1)))

    assert history_written(FRESH, memory) == []
    assert FRESH[1].leader == N1


def test_a_leader_that_goes_on_serving_is_no_reason_to_look_again_soon() -> None:
    view = b.view()
    memory = b.leading_memory(view, served=Served(epoch=EPOCH, at=at(-1)))
    decision = b.decided(view, memory)

    assert decision.memory.served == Served(epoch=EPOCH, at=pg.T0)
    quiet = replace(decision, actions=())
    assert _is_quiet(quiet, replace(decision.memory, served=memory.served))
