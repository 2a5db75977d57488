"""How a cluster comes into being."""

from __future__ import annotations

from typing import Any

import pytest

from raftha.ha.actions import (
    AcquireLeader,
    Configure,
    CreateRoles,
    InitDb,
    Start,
    Submit,
    TakeOver,
)
from raftha.ha.announce import member
from raftha.ha.memory import Memory
from raftha.ha.situation import Situation
from raftha.model.cluster import Initialize
from raftha.model.ids import Revision
from raftha.model.postgres import DataDirectory, ServerRole
from raftha.model.store import Grant, KeyAbsent, KeyAt, KeyCreatedAt, Put
from raftha.model.view import JobKind, JobResult, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, N2

RACE_WON = b.unborn(
    leader=b.leader(), initialize=Initialize(by=N1, system_id=None, revision=Revision(40))
)
MADE = JobResult(kind=JobKind.CREATE_ROLES, ended=pg.at(-0.1))


def newborn(**more: Any) -> View:
    given: dict[str, Any] = {
        "cluster": b.unborn(members=b.members()),
        "directory": pg.EMPTY,
        "guardian": pg.IDLE_GUARDIAN,
        "server": None,
        "lease": None,
    }
    return b.view(**{**given, **more})


def initialising(**more: Any) -> View:
    return newborn(**{"cluster": RACE_WON, "lease": b.lease(), **more})


def running(**more: Any) -> View:
    given: dict[str, Any] = {
        "directory": pg.directory(),
        "guardian": pg.guardian(),
        "server": pg.primary(attached=(), slots=(), synchronous_standby_names=""),
    }
    return initialising(**{**given, **more})


def test_a_lone_node_waits_and_names_who_is_missing() -> None:
    decision = b.decided(newborn(raft=b.raft(majority=False)))

    assert decision.rule == "boot-10"
    assert "n2 (127.0.0.1:2382), n3 (127.0.0.1:2383)" in decision.reason
    assert b.acts(decision) == []


def test_after_a_ttl_without_majority_reads_are_served() -> None:
    view = b.following(
        raft=b.raft(majority=False), cluster=b.vacant(), guardian=pg.IDLE_GUARDIAN, server=None
    )
    assert b.acts(b.decided(view, Memory(alone_since=pg.at(-4.9)))) == []

    start = b.only(b.decided(view, Memory(alone_since=pg.at(-5.1))), Start)
    assert start.epoch is None
    assert start.plan.role is ServerRole.STANDBY
    assert start.plan.upstream is None


@pytest.mark.parametrize("directory", [pg.directory(birth=""), pg.directory()])
def test_a_directory_that_is_to_be_brought_in_stays_that_of_a_primary(
    directory: DataDirectory,
) -> None:
    """However long the others take to come: a standby's directory could not found a cluster."""
    alone = newborn(directory=directory, raft=b.raft(majority=False))
    decision = b.decided(alone, Memory(alone_since=pg.at(-600)))
    assert (decision.rule, b.acts(decision)) == ("boot-10", [])


def test_a_leader_with_a_lease_does_not_mind_a_lost_majority() -> None:
    assert b.decided(b.view(raft=b.raft(majority=False))).rule == "lead-40"


def test_an_empty_node_races_for_both_keys_in_one_command() -> None:
    decision = b.decided(newborn())
    command = b.only(decision, AcquireLeader).command

    assert decision.rule == "boot-20"
    assert set(command.guards) == {KeyAbsent(KEYS.initialize), KeyAbsent(KEYS.leader)}
    assert {w.key for w in command.writes if isinstance(w, Put)} == {KEYS.initialize, KEYS.leader}
    assert any(isinstance(w, Grant) for w in command.writes)


def test_a_race_in_flight_is_not_run_again() -> None:
    assert b.acts(b.decided(newborn(pending=frozenset({"leader"})))) == []


def test_a_second_node_takes_over_where_the_first_died() -> None:
    begun = Initialize(by=N2, system_id=None, revision=Revision(40))
    left = b.unborn(initialize=begun, members=b.members())
    command = b.only(b.decided(newborn(cluster=left)), AcquireLeader).command

    assert KeyAt(KEYS.initialize, Revision(40)) in command.guards


def test_a_standby_s_directory_cannot_be_the_origin() -> None:
    decision = b.decided(newborn(directory=pg.STANDBY_DIRECTORY))

    assert decision.rule == "boot-20"
    assert "holds a standby" in decision.reason
    assert b.acts(decision) == []


def test_a_primary_s_directory_can_be_the_origin() -> None:
    assert b.only(b.decided(newborn(directory=pg.directory())), AcquireLeader)


def test_the_others_wait_for_the_one_that_initialises() -> None:
    busy = b.unborn(leader=b.leader(N2))
    decision = b.decided(newborn(cluster=busy))

    assert decision.rule == "boot-30"
    assert b.acts(decision) == []


def test_the_winner_makes_the_cluster_step_by_step() -> None:
    assert b.only(b.decided(initialising()), InitDb)

    start = b.only(b.decided(initialising(directory=pg.directory())), Start)
    assert start.epoch == pg.EPOCH
    assert start.plan.closed

    assert b.only(b.decided(running()), CreateRoles)
    decision = b.decided(running(finished=MADE))
    assert b.only(decision, Configure).plan.closed
    birth = b.only(decision, Submit).command
    assert KeyCreatedAt(KEYS.leader, Revision(pg.EPOCH.revision)) in birth.guards
    written = {w.key for w in birth.writes if isinstance(w, Put)}
    assert written == {KEYS.initialize, KEYS.history, KEYS.status, KEYS.config, KEYS.sync}


def test_the_first_settings_are_stored_as_they_were_given() -> None:
    """Also a timing that would have followed, which a later change of the profile must not move."""
    for given in (frozenset[str](), frozenset({"ttl"})):
        me = b.identity(given_timings=given)
        birth = b.only(b.decided(running(finished=MADE, me=me)), Submit).command
        (put,) = [w for w in birth.writes if isinstance(w, Put) and w.key == KEYS.config]
        assert (b'"ttl"' in put.value, b'"heartbeat"' in put.value) == ("ttl" in given, False)


def test_the_cluster_is_called_after_the_raft_directory_that_it_began_with() -> None:
    """The data directory says so before the store does: a founder that dies in between must not
    find a directory of its own from before the cluster."""
    me = b.identity(stream="n1@0f3c9a71")

    start = b.only(b.decided(initialising(directory=pg.directory(), me=me)), Start)
    assert start.plan.birth == "n1@0f3c9a71"
    decision = b.decided(running(finished=MADE, me=me))
    assert b.only(decision, Configure).plan.birth == "n1@0f3c9a71"
    (put,) = [w for w in b.only(decision, Submit).command.writes if w.key == KEYS.initialize]
    assert b'"birth":"n1@0f3c9a71"' in put.value
    kinds = b.acts(decision)
    assert kinds.index("Configure") < kinds.index("initialize")


def test_a_birth_in_flight_is_not_sent_again() -> None:
    decision = b.decided(running(finished=MADE, pending=frozenset({"initialize"})))

    assert b.acts(decision) == []


def test_roles_that_could_not_be_made_are_made_again_before_the_birth() -> None:
    failed = JobResult(kind=JobKind.CREATE_ROLES, ended=pg.at(-40), error="no connection")
    decision = b.decided(running(finished=failed), Memory(last_job=failed.ended))

    assert b.acts(decision) == ["CreateRoles"]


def test_who_cannot_initialise_gives_the_key_back() -> None:
    failed = JobResult(kind=JobKind.INITDB, ended=pg.at(-0.1), error="disk full")
    decision = b.decided(initialising(finished=failed))

    assert b.acts(decision) == ["ReleaseLeader"]
    assert "disk full" in decision.reason
    waiting = b.decided(newborn(finished=failed), decision.memory)
    assert b.acts(waiting) == []


def test_a_cluster_that_is_known_is_not_initialised_again() -> None:
    view = newborn(cluster=b.vacant())

    assert b.decided(view).rule == "elect-10"


def test_an_empty_node_waits_a_ttl_for_the_others_to_say_what_they_have() -> None:
    view = newborn(cluster=b.unborn())
    first = b.decided(view)
    assert b.acts(first) == []
    assert "n2, n3" in first.reason

    assert b.only(b.decided(view, Memory(together_since=pg.at(-5.0))), AcquireLeader)


def test_an_empty_node_leaves_the_race_to_whoever_has_a_cluster_to_bring_in() -> None:
    founder = b.unborn(members=b.members(b.member(N2, has_data=True)))
    waiting = b.decided(newborn(cluster=founder), Memory(together_since=pg.at(-60)))
    assert b.acts(waiting) == []
    assert "n2" in waiting.reason

    assert b.only(b.decided(newborn(cluster=founder, directory=pg.directory())), AcquireLeader)


def test_a_primary_s_directory_waits_a_ttl_for_the_others_to_say_what_they_have() -> None:
    view = newborn(cluster=b.unborn(), directory=pg.directory())
    first = b.decided(view)
    assert b.acts(first) == []
    assert "n2, n3" in first.reason

    assert b.only(b.decided(view, Memory(together_since=pg.at(-5.0))), AcquireLeader)


def test_of_two_primaries_directories_neither_is_brought_in() -> None:
    """The cluster that one of them would make would undo what only the other holds."""
    rivals = b.unborn(members=b.members(b.member(N2, has_data=True, is_origin=True)))
    long = Memory(together_since=pg.at(-60))
    waiting = b.decided(newborn(cluster=rivals, directory=pg.directory()), long)
    assert b.acts(waiting) == []
    assert "n2" in waiting.reason
    assert "move the older one away" in waiting.reason

    alone = b.unborn(members=b.members(b.member(N2, has_data=True)))
    assert b.only(b.decided(newborn(cluster=alone, directory=pg.directory()), long), AcquireLeader)


@pytest.mark.parametrize(
    ("directory", "has_data", "is_origin"),
    [
        (pg.directory(), True, True),
        (pg.STANDBY_DIRECTORY, True, False),
        (pg.directory(unborn=True), False, False),
        (pg.EMPTY, False, False),
    ],
)
def test_a_node_says_whether_it_could_bring_a_cluster_in(
    directory: DataDirectory, has_data: bool, is_origin: bool
) -> None:
    view = newborn(cluster=b.unborn(), directory=directory)
    said = member(Situation(view, Memory(), KEYS))
    assert (said.has_data, said.is_origin) == (has_data, is_origin)

    known = newborn(cluster=b.vacant(), directory=directory)
    after = member(Situation(known, Memory(), KEYS))
    assert (after.has_data, after.is_origin) == (False, False)


def test_a_superuser_that_the_directory_does_not_have_is_told() -> None:
    why = 'FATAL: role "postgres" does not exist'
    decision = b.decided(running(server=None, server_problem=why))

    assert why in decision.reason
    assert "postgresql.authentication.superuser.username" in decision.reason


def test_an_initialize_key_that_cannot_be_read_is_not_taken_for_absent() -> None:
    unread = b.unborn(unreadable=frozenset({KEYS.initialize}), leader=b.leader())
    decision = b.decided(running(cluster=unread, finished=MADE))

    assert decision.rule == "boot-15"
    assert b.acts(decision) == []


def test_the_server_that_runs_on_the_directory_is_stopped_once_the_race_is_won() -> None:
    theirs = pg.directory(stranger=4711, birth="")
    waits = newborn(directory=theirs, raft=b.raft(majority=False))
    assert b.acts(b.decided(waits)) == []

    won = initialising(directory=theirs)
    assert b.only(b.decided(won), TakeOver).pid == 4711
    stopped = initialising(directory=pg.directory(birth=""))
    assert b.only(b.decided(stopped), Start).epoch is not None
