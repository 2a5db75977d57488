"""What the holder of the leader key does while PostgreSQL is down."""

from __future__ import annotations

from typing import Any, Final

import pytest
from msgspec.structs import replace

from raftha.ha.actions import AskPeers, ReleaseLeader, Start, StopMode, Submit
from raftha.ha.memory import LeaderSeen, Memory, StopSent
from raftha.ha.plans import names_for
from raftha.ha.rules.restart import REPLAYED_BYTES_PER_S
from raftha.ha.table import Decision
from raftha.instants import Seconds
from raftha.model.cluster import Cluster
from raftha.model.ids import Lsn, Revision, Timeline
from raftha.model.postgres import DirectoryState, ServerRole
from raftha.model.settings import DynamicConfig, SynchronousMode, Tags
from raftha.model.store import KeyCreatedAt
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N2, N3

FENCE: Final = KeyCreatedAt(KEYS.leader, Revision(pg.EPOCH.revision))


DOWN_SINCE: Final = pg.at(-0.2)


def down(**more: Any) -> View:
    return b.view(**{"guardian": pg.IDLE_GUARDIAN, "server": None, **more})


def ended(cluster: Cluster) -> Cluster:
    """The history says already that this leader gives its key back."""
    *older, last = cluster.history
    return replace(cluster, history=(*older, replace(last, ended="so it was")))


ENDED: Final = ended(b.cluster())


# lead-10


def test_a_crashed_primary_is_restarted_in_place_behind_the_gate() -> None:
    decision = b.decided(down())
    start = b.only(decision, Start)

    assert decision.rule == "lead-10"
    assert start.epoch == pg.EPOCH
    assert start.plan.role is ServerRole.PRIMARY
    assert start.plan.synchronous_standby_names == names_for(N2)
    assert start.plan.closed


def test_without_a_synchronous_standby_nothing_is_gated() -> None:
    start = b.only(b.decided(down(cluster=b.cluster(sync=b.sync()))), Start)

    assert not start.plan.closed
    assert start.plan.synchronous_standby_names == ""


def test_after_three_tries_the_key_is_given_back() -> None:
    memory = Memory()
    silent = pg.answers(silent=(N2, N3))
    for _ in range(3):
        since = replace(memory, started_at=pg.at(-60), down_since=DOWN_SINCE)
        decision = b.decided(down(peers=silent), since)
        assert b.acts(decision)[0] == "Start"
        memory = decision.memory

    decision = b.decided(down(cluster=ENDED), memory)
    assert b.only(decision, ReleaseLeader).epoch == pg.EPOCH
    assert decision.memory.retry_at is not None


def test_between_two_tries_there_is_a_pause() -> None:
    silent = pg.answers(silent=(N2, N3))
    first = b.decided(down(peers=silent), Memory(down_since=DOWN_SINCE)).memory

    assert b.acts(b.decided(down(peers=silent), first)) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"directory": pg.EMPTY}, "empty"),
        ({"guardian": replace(pg.IDLE_GUARDIAN, burned=(pg.EPOCH,))}, "fenced this epoch"),
        ({"directory": replace(pg.EMPTY, state=DirectoryState.ABSENT)}, "absent"),
        ({"cluster": b.won(b.MINE)}, "cut short"),
        (
            {"cluster": b.won(b.MINE), "last_words": "FATAL: other; PANIC: No space left"},
            "cut short: PANIC: No space left",
        ),
        (
            {
                "cluster": b.won(b.MINE),
                "directory": pg.directory(control=pg.control(timeline=Timeline(3))),
            },
            "timeline 3 was written here, but 2 was committed",
        ),
    ],
)
def test_who_cannot_be_the_primary_gives_the_key_back(more: dict[str, Any], words: str) -> None:
    """What the history says of it comes first: afterwards this node may not write there."""
    view = down(**more)
    noted = b.only(b.decided(view), Submit).command
    assert noted.guards[0] == FENCE
    assert words.encode() in noted.writes[0].value

    decision = b.decided(replace(view, cluster=ended(view.cluster)))
    assert b.acts(decision) == ["ReleaseLeader"]
    assert words in decision.reason


def test_who_is_cut_off_or_has_no_record_gives_the_key_back_without_a_word() -> None:
    alone = down(directory=pg.EMPTY, raft=b.raft(majority=False))
    assert b.acts(b.decided(alone)) == ["ReleaseLeader"]
    unnamed = down(directory=pg.EMPTY, cluster=b.won())
    assert b.acts(b.decided(unnamed)) == ["ReleaseLeader"]


def test_what_is_being_written_is_waited_for() -> None:
    writing = down(directory=pg.EMPTY, pending=frozenset({"history"}))
    assert b.acts(b.decided(writing)) == []


def test_a_promotion_that_was_completed_is_restarted() -> None:
    promoted = pg.directory(control=pg.control(timeline=Timeline(2)))

    cluster = b.won(b.MINE)
    assert b.acts(b.decided(down(cluster=cluster, directory=promoted))) == ["Start", "history"]


def test_a_promotion_with_its_standby_signal_left_was_cut_short() -> None:
    half = pg.directory(control=pg.control(timeline=Timeline(2)), standby_signal=True)

    decision = b.decided(down(cluster=ended(b.won(b.MINE)), directory=half))
    assert b.acts(decision) == ["ReleaseLeader"]


def test_a_winner_that_is_down_starts_as_a_standby_first() -> None:
    start = b.only(b.decided(down(cluster=b.won(), directory=pg.STANDBY_DIRECTORY)), Start)

    assert start.epoch is None
    assert start.plan.role is ServerRole.STANDBY


# after a crash


SECONDS_OF_WAL: Final = 60


def crashed(
    more: dict[str, Any] | None = None, *, strikes: int = 0, limit: float = 300.0, **memory: Any
) -> Decision:
    """The primary crashed 0.2 s ago, a minute of recovery behind its last renewal, and everybody
    was asked since; n2 is its synchronous standby."""
    written = Lsn(3900 + SECONDS_OF_WAL * REPLAYED_BYTES_PER_S)
    # As far as this very renewal told, which the store still shows.
    seen = LeaderSeen(revision=Revision(50), at=pg.at(-0.5), timeline=Timeline(1), position=written)
    given: dict[str, Any] = {
        "cluster": b.cluster(
            history=(b.record(strikes=strikes),),
            config=replace(b.ON, primary_start_timeout=Seconds(limit)),
        ),
        "guardian": replace(pg.IDLE_GUARDIAN, last_exit="-9"),
        "peers": pg.answers(pg.report(N2, written.value), pg.report(N3, written.value)),
        **(more or {}),
    }
    remembered = {"leader_seen": seen, "down_since": DOWN_SINCE, **memory}
    return b.decided(down(**given), Memory(**remembered))


def written_by(decision: Decision) -> str:
    return b.only(decision, Submit).command.writes[0].value.decode()


def test_a_crash_that_is_soon_recovered_from_is_restarted_in_place_and_noted() -> None:
    decision = crashed(limit=61)

    assert b.acts(decision) == ["Start", "history"], "the start does not wait for the note"
    assert '"strikes":1' in written_by(decision)
    assert "PostgreSQL ended with status -9, and was restarted in place" in written_by(decision)
    assert b.only(decision, Submit).command.guards[0] == FENCE


def test_a_crash_that_takes_long_to_recover_from_is_handed_over() -> None:
    decision = crashed(limit=59)
    assert "n2 was ready, for about 60 s of recovery" in written_by(decision)
    assert '"strikes"' not in written_by(decision), "whoever takes over counts it"

    noted = crashed({"cluster": ended(b.cluster(config=quick(59.0)))})
    assert b.acts(noted) == ["ReleaseLeader"]


def quick(limit: float) -> DynamicConfig:
    return replace(b.ON, primary_start_timeout=Seconds(limit))


def test_with_a_start_time_out_of_nothing_a_standby_goes_on_at_once() -> None:
    assert "n2 was ready" in written_by(crashed(limit=0, leader_seen=None))


UNREADY: Final[dict[str, dict[str, Any]]] = {
    "it does not answer": {"peers": pg.answers(pg.report(N3), silent=(N2,))},
    "something stands against it": {
        "peers": pg.answers(pg.report(N2, obstacle="x"), pg.report(N3))
    },
    "it is not in the set": {"cluster": b.cluster(sync=b.sync(), config=quick(0.0))},
    "it may not lead": {
        "cluster": b.cluster(
            members=b.members(b.member(N2, tags=Tags(nofailover=True))), config=quick(0.0)
        )
    },
    "it has no vote": {
        "raft": replace(b.raft(), voters=tuple(v for v in b.raft().voters if v.name != N2))
    },
}


@pytest.mark.parametrize("why", UNREADY)
def test_without_a_standby_that_is_ready_it_is_restarted_in_place_after_all(why: str) -> None:
    decision = crashed(UNREADY[why], limit=0)

    assert b.acts(decision)[0] == "Start"
    assert "no standby was ready" in written_by(decision)


def test_who_could_go_on_is_asked_after_the_crash_and_for_a_moment_only() -> None:
    before = {"peers": pg.answers(pg.report(N2), pg.report(N3), ago=0.3)}
    assert b.only(crashed(before, limit=0), AskPeers).names == (N2, N3)
    long_before = {"peers": pg.answers(pg.report(N2), pg.report(N3), ago=1.2)}
    assert b.acts(crashed(long_before, limit=0, down_since=pg.at(-1.1)))[0] == "Start"
    assert b.acts(crashed(before))[0] == "Start", "nobody is asked where nobody is needed"


@pytest.mark.parametrize(("lag", "act"), [(1000, "history"), (1001, "Start")])
def test_without_a_synchronous_set_a_standby_may_lose_what_is_tolerated(lag: int, act: str) -> None:
    written = 3900 + SECONDS_OF_WAL * REPLAYED_BYTES_PER_S
    config = replace(quick(0.0), synchronous_mode=SynchronousMode.OFF, maximum_lag_on_failover=1000)
    peers = pg.answers(pg.report(N2, written - lag), pg.report(N3, 0))
    decision = crashed({"cluster": b.cluster(sync=None, config=config), "peers": peers})

    assert b.acts(decision)[0] == act


def test_a_primary_that_keeps_crashing_is_handed_over_the_fourth_time() -> None:
    assert b.acts(crashed(strikes=2))[0] == "Start"
    assert "n2 was ready, for it went 3 times before" in written_by(crashed(strikes=3))


def test_a_primary_that_keeps_crashing_and_has_no_heir_is_started_ever_later() -> None:
    nobody = {"peers": pg.answers(silent=(N2, N3))}

    for strikes, pause in ((3, 2.5), (4, 5.0), (5, 10.0), (9, 10.0)):
        early = crashed(nobody, strikes=strikes, down_since=pg.at(0.01 - pause))
        assert b.acts(early) == []
        assert "without peace since" in early.reason
        late = crashed(nobody, strikes=strikes, down_since=pg.at(-0.01 - pause))
        assert b.acts(late) == ["Start", "history"]
        assert f'"strikes":{strikes + 1}' in written_by(late)


def test_a_server_that_was_stopped_on_purpose_is_no_crash() -> None:
    """A hand-over that was refused after the stop."""
    sent = StopSent(process="77@1", mode=StopMode.FAST, at=pg.at(-1))

    assert b.acts(crashed(limit=0, strikes=5, stop=sent)) == ["Start"]


def test_the_second_try_of_one_restart_is_not_counted() -> None:
    nobody = {"peers": pg.answers(silent=(N2, N3))}
    assert b.acts(crashed(nobody, strikes=5, starts=1, started_at=pg.at(-9))) == ["Start"]


@pytest.mark.parametrize("stop", [None, StopSent(process="77@1", mode=StopMode.FAST, at=pg.at(-1))])
def test_a_start_that_came_to_nothing_is_reason_enough_to_hand_over(stop: StopSent | None) -> None:
    """A full disk ends the server at each start: three tries take three seconds."""
    asked = crashed({"peers": {}}, starts=1, started_at=pg.at(-0.1), stop=stop)
    assert b.only(asked, AskPeers).names == (N2, N3)
    decision = crashed(starts=1, started_at=pg.at(-0.1), stop=stop)
    assert "n2 was ready, for a start came to nothing" in written_by(decision)


def test_a_server_that_came_back_and_crashes_anew_is_another_crash() -> None:
    memory = crashed().memory
    again = b.decided(b.view(), memory).memory

    assert again.down_since is None
    assert b.acts(b.decided(down(), again)) == ["Start", "history"]


# lead-20


def test_a_server_that_starts_is_waited_for() -> None:
    decision = b.decided(b.view(server=None, server_problem="starting up"))

    assert decision.rule == "lead-20"
    assert "starting up" in decision.reason
    assert b.acts(decision) == []
