"""The maintenance pause: each schedule that would make two primaries, and what forbids it."""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from raftha.ha.actions import (
    AcquireLeader,
    Disarm,
    Readopt,
    Rearm,
    ReleaseLeader,
    StopMode,
    Submit,
)
from raftha.ha.keys import encode_disarmed
from raftha.ha.memory import Memory, StopSent
from raftha.ha.pausing import others_disarmed
from raftha.ha.table import Decision
from raftha.model.cluster import Disarmed
from raftha.model.ids import Epoch, Revision
from raftha.model.store import KeyAbsent, KeyAt, KeyCreatedAt, Put, Remove
from raftha.model.view import GuardianView, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS, LOST
from tests.unit.ha.paused import (
    ARMED,
    DISARMED,
    OWN_KEY,
    PAUSE,
    alone,
    entry,
    leading,
    with_entry,
)
from tests.unit.ha.servers import EPOCH, N1, N2, N3

STOPPED: Final = Memory(stop=StopSent(process="77@1", mode=StopMode.FAST, at=pg.at(-1)))


def serving(view: View) -> Decision:
    return b.decided(view, b.leading_memory(view))


# Into the pause.


def test_the_entry_is_committed_before_the_deadline_goes() -> None:
    decision = b.decided(leading())

    assert decision.rule == "pause-30"
    assert b.acts(decision) == ["disarmed"]
    command = b.only(decision, Submit).command
    assert set(command.guards) == {
        KeyCreatedAt(KEYS.leader, Revision(EPOCH.revision)),
        KeyAt(KEYS.config, Revision(11)),
        KeyAbsent(OWN_KEY),
    }
    assert command.writes == (Put(OWN_KEY, encode_disarmed(entry(), EPOCH)),)


def test_the_deadline_goes_once_the_entry_is_read_back() -> None:
    decision = b.decided(leading(entry()))

    assert (decision.rule, b.acts(decision)) == ("pause-30", ["Disarm"])
    assert b.only(decision, Disarm).epoch == EPOCH


@pytest.mark.parametrize("entries", [(), (entry(),)])
def test_nothing_is_disarmed_while_a_write_of_the_entry_is_in_flight(
    entries: tuple[Disarmed, ...],
) -> None:
    """Its outcome may be unknown; and one that removes the entry may still happen."""
    decision = b.decided(leading(*entries, pending=frozenset({"disarmed"})))

    assert (decision.rule, b.acts(decision)) == ("pause-30", [])


@pytest.mark.parametrize(
    "stale", [entry(process="76@1"), entry(guardian="guardian-n1-before"), entry(epoch=None)]
)
def test_an_entry_of_another_server_is_written_anew(stale: Disarmed) -> None:
    """The removal of the old one may be slow; it names a revision that is gone then."""
    if stale.epoch is None:
        stale = Disarmed(name=N1, revision=Revision(57))
    decision = b.decided(leading(stale))

    assert b.acts(decision) == ["disarmed"]
    assert KeyAt(OWN_KEY, Revision(57)) in b.only(decision, Submit).command.guards


def test_a_disarm_under_way_is_not_asked_for_again() -> None:
    decision = b.decided(leading(entry(), lease=b.lease(armed=False)))

    assert (decision.rule, b.acts(decision)) == ("pause-30", [])


def test_a_paused_leader_serves_as_ever() -> None:
    view = leading(entry(), guardian=DISARMED, lease=b.lease(armed=False))

    assert serving(view).rule == "lead-40"


def test_a_cluster_that_is_not_paused_writes_no_entry() -> None:
    decision = serving(leading(paused=False))

    assert (decision.rule, b.acts(decision)) == ("lead-40", [])


def test_a_hand_over_goes_before_the_disarming() -> None:
    cluster = replace(leading().cluster, request=b.request(to=N2))

    assert b.decided(leading(cluster=cluster)).rule == "hand-10"


def test_a_cluster_that_is_not_born_cannot_be_paused() -> None:
    cluster = replace(b.unborn(), config=PAUSE)
    view = b.view(
        cluster=cluster, directory=pg.EMPTY, guardian=pg.IDLE_GUARDIAN, server=None, lease=None
    )

    assert b.decided(view).rule == "boot-20"


# Out of it.


def test_after_a_resume_the_guardian_is_armed_before_the_entry_goes() -> None:
    resumed = leading(entry(), paused=False, guardian=DISARMED, lease=b.lease(armed=False))
    decision = b.decided(resumed)

    assert (decision.rule, b.acts(decision)) == ("pause-40", ["Rearm"])
    assert b.only(decision, Rearm)


@pytest.mark.parametrize(
    ("guardian", "armed"), [(DISARMED, True), (ARMED, False)], ids=["guardian", "keeper"]
)
def test_both_must_have_armed_before_the_entry_goes(guardian: GuardianView, armed: bool) -> None:
    """The keeper's belief alone may be followed by a disarming that the guardian has yet to do, and
    the guardian's state by one that the keeper has yet to ask for."""
    view = leading(entry(), paused=False, guardian=guardian, lease=b.lease(armed=armed))

    assert "disarmed" not in b.acts(b.decided(view))


def test_the_entry_goes_once_the_deadline_stands() -> None:
    decision = serving(leading(entry(), paused=False))

    assert decision.rule == "lead-40"
    command = b.only(decision, Submit).command
    assert set(command.guards) == {
        KeyAt(OWN_KEY, Revision(57)),
        KeyCreatedAt(KEYS.leader, Revision(EPOCH.revision)),
        KeyAt(KEYS.config, Revision(11)),
    }, "a new pause makes a slow removal fail"
    assert command.writes == (Remove(OWN_KEY),)


def test_in_the_pause_an_armed_primary_keeps_its_entry() -> None:
    assert "disarmed" not in b.acts(b.decided(leading(entry())))


def test_no_server_is_started_before_the_guardian_is_armed() -> None:
    view = leading(paused=False, guardian=pg.IDLE_GUARDIAN, server=None, lease=b.lease(armed=False))

    assert b.acts(b.decided(view)) == ["Rearm"]
    assert "Start" in b.acts(b.decided(replace(view, lease=b.lease())))


# The end of the server.


def test_the_entry_goes_after_a_verified_stop() -> None:
    ended = b.record(ended="PostgreSQL does not run")
    view = leading(entry(), guardian=pg.IDLE_GUARDIAN, server=None)
    view = replace(view, cluster=replace(view.cluster, history=(ended,)))
    decision = b.decided(view)

    assert (decision.rule, b.acts(decision)) == ("pause-20", ["ReleaseLeader", "disarmed"])
    assert b.only(decision, ReleaseLeader).epoch == EPOCH
    assert b.only(decision, Submit).command.guards == (KeyAt(OWN_KEY, Revision(57)),)


def test_the_history_tells_why_a_key_was_given_back_in_a_pause() -> None:
    decision = b.decided(leading(entry(), guardian=pg.IDLE_GUARDIAN, server=None))

    assert (decision.rule, b.acts(decision)) == ("pause-20", ["history", "disarmed"])
    assert "is not started in a maintenance pause" in decision.reason


@pytest.mark.parametrize(
    "view",
    [
        alone(entry(), guardian=GuardianView(alive=False)),
        alone(entry(), guardian=pg.STANDBY_GUARDIAN, server=None),
        alone(entry(), guardian=pg.STANDBY_GUARDIAN, server=pg.primary()),
        alone(entry(), raft=b.raft(majority=False), guardian=pg.IDLE_GUARDIAN, server=None),
    ],
    ids=["no guardian", "no answer", "promoted by hand", "no majority"],
)
def test_the_entry_stays_while_nobody_can_vouch_for_the_end(view: View) -> None:
    assert "disarmed" not in b.acts(b.decided(view))


def test_another_machine_of_that_name_leaves_the_entry_alone() -> None:
    """The lost one may still run its primary."""
    other = entry(guardian="guardian-of-the-lost", incarnation="directory-of-the-lost")
    cluster = with_entry(b.followed(leader=None), other, paused=False)
    view = b.racing(cluster=cluster)
    decision = b.decided(view, LOST)

    assert decision.rule == "elect-15"
    assert "disarmed" not in b.acts(decision)
    assert others_disarmed(b.situation(view)) == (N1,)


@pytest.mark.parametrize("known", [{"guardian": "other"}, {"incarnation": "other"}])
def test_a_machine_is_known_by_its_guardian_or_its_raft_directory(known: dict[str, str]) -> None:
    view = b.racing(cluster=with_entry(b.followed(leader=None), entry(**known)))

    assert others_disarmed(b.situation(view)) == ()


def test_a_guardian_that_was_here_before_was_on_this_machine() -> None:
    """It may be known although the Raft directory was found damaged and made anew."""
    before = entry(guardian="before", incarnation="directory-before")
    view = b.racing(cluster=with_entry(b.followed(leader=None), before))
    assert others_disarmed(b.situation(view)) == (N1,)

    heir = replace(view.guardian, predecessors=("long before", "before"))
    assert others_disarmed(b.situation(replace(view, guardian=heir))) == ()


def test_what_we_stopped_ourselves_is_started_again_in_a_pause() -> None:
    view = b.following(cluster=with_entry(b.followed()), guardian=pg.IDLE_GUARDIAN, server=None)

    assert (b.decided(view).rule, b.acts(b.decided(view))) == ("pause-20", [])
    assert b.acts(b.decided(view, STOPPED)) == ["Start"]


# Without a lease.


def test_a_disarmed_primary_outlives_its_lease_and_takes_the_key_again() -> None:
    decision = b.decided(alone(entry()))
    acquire = b.only(decision, AcquireLeader)

    assert decision.rule == "safety-27"
    assert not acquire.armed, "in the pause the guardian is left alone"
    assert KeyAt(OWN_KEY, Revision(57)) in acquire.command.guards, "an operator may say it is off"
    assert {KeyAbsent(KEYS.disarmed_of(name)) for name in (N2, N3)} <= set(acquire.command.guards)


def test_after_a_resume_the_key_is_taken_again_with_a_deadline() -> None:
    assert b.only(b.decided(alone(entry(), paused=False)), AcquireLeader).armed


@pytest.mark.parametrize(
    "view",
    [
        alone(caught_up=False),
        alone(caught_up=False, cluster=with_entry(b.followed())),
        alone(entry(), raft=b.raft(majority=False)),
        alone(entry(), lease=b.lease(valid_until=pg.at(-1.0))),
        alone(entry(), server=None),
        alone(entry(), entry(N2)),
    ],
    ids=["not read", "an old leader", "alone", "lapsed", "hung", "another is disarmed"],
)
def test_a_disarmed_primary_is_left_running(view: View) -> None:
    decision = b.decided(view)

    assert (decision.rule, b.acts(decision)) == ("safety-27", [])


@pytest.mark.parametrize(
    "view",
    [
        alone(),
        alone(entry(process="76@1")),
        alone(entry(epoch=Epoch(0, 40))),
        alone(entry(), cluster=with_entry(b.followed(), entry())),
        alone(entry(), raft=replace(b.raft(), barred="removed")),
        alone(entry(), directory=pg.EMPTY),
    ],
    ids=[
        "declared off",
        "another server",
        "recovered since",
        "another leads",
        "removed",
        "no directory",
    ],
)
def test_a_disarmed_primary_that_the_store_does_not_know_is_stopped(view: View) -> None:
    decision = b.decided(view)

    assert (decision.rule, b.acts(decision)) == ("safety-30", ["Stop"])


def test_a_restarted_agent_takes_its_lease_up_and_leaves_the_guardian_disarmed() -> None:
    cluster = with_entry(b.cluster(), entry())
    again = b.only(b.decided(alone(cluster=cluster)), Readopt)
    assert not again.armed

    won_again = alone(cluster=cluster, guardian=replace(DISARMED, epoch=Epoch(1, 30)))
    assert not b.only(b.decided(won_again), Readopt).armed
    resumed = alone(cluster=with_entry(b.cluster(), entry(), paused=False))
    assert b.only(b.decided(resumed), Readopt).armed


def test_a_lease_is_not_taken_up_for_a_disarmed_primary_without_its_entry() -> None:
    assert b.decided(alone(cluster=with_entry(b.cluster()))).rule == "safety-30"


# The agent is stopped.


def test_a_stopped_agent_leaves_its_server_in_a_pause() -> None:
    standby = b.following(cluster=with_entry(b.followed()), stopping=True)
    disarmed = leading(entry(), guardian=DISARMED, lease=b.lease(armed=False), stopping=True)
    unread = alone(caught_up=False, stopping=True)

    for view in (standby, disarmed, unread, alone(entry(), stopping=True)):
        assert b.acts(b.decided(view)) == ["EndAgent"]


def test_an_agent_that_is_stopped_before_it_disarmed_does_that_first() -> None:
    assert b.acts(b.decided(leading(stopping=True))) == ["disarmed"]
    assert b.acts(b.decided(leading(entry(), stopping=True))) == ["Disarm"]


def test_an_agent_that_was_stopped_says_so_before_it_ends() -> None:
    view = leading(
        entry(), paused=False, stopping=True, guardian=pg.IDLE_GUARDIAN, server=None, lease=None
    )

    assert b.acts(b.decided(view)) == ["disarmed"]
    gone = replace(view, cluster=with_entry(b.cluster(), paused=False))
    assert b.acts(b.decided(gone)) == ["EndAgent"]
