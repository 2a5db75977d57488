"""What a bootstrap by a program of the operator's, or with one at its end, may and may not do."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.actions import (
    Clone,
    PostBootstrap,
    PutAside,
    Start,
    Stop,
    StopMode,
    Submit,
)
from raftha.ha.announce import state
from raftha.ha.memory import Memory
from raftha.ha.plans import primary_plan, recovery_plan
from raftha.model.cluster import Initialize, MemberState
from raftha.model.ids import Epoch, Revision
from raftha.model.postgres import ControlState, DirectoryState, ServerRole
from raftha.model.view import JobKind, JobResult, JobView, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.test_bootstrap import MADE, RACE_WON, initialising, newborn, running

MINE = Memory(making=pg.EPOCH)
ASKED = b.identity(post_bootstrap=True)
RESTORED = pg.directory(
    unborn=True,
    in_one_go=True,
    recovery_signal=True,
    control=pg.control(state=ControlState.PRODUCTION),
)
RECOVERED = replace(RESTORED, recovery_signal=False)
RECOVERING = replace(MINE, plan=recovery_plan(RACE_WON, b.identity()))
SERVING = replace(MINE, plan=primary_plan(RACE_WON, b.identity(), "", closed=True))


def ended(kind: JobKind, error: str | None = None) -> JobResult:
    return JobResult(kind=kind, ended=pg.at(-0.1), error=error)


def recovering(**more: Any) -> View:
    return running(**{"directory": RESTORED, "server": pg.standby(), **more})


def test_an_attempt_remembers_its_lease_and_nothing_of_the_one_before() -> None:
    began = b.decided(initialising(), replace(RECOVERING, making=None)).memory
    assert began.making == pg.EPOCH
    assert b.only(b.decided(initialising(directory=RESTORED), began), Start).plan.recovers


def test_what_was_restored_is_recovered_under_the_lease_and_closed() -> None:
    start = b.only(b.decided(initialising(directory=RESTORED), MINE), Start)
    assert start.epoch == pg.EPOCH, "the guardian ends it with the lease, however it goes on"
    assert start.plan.recovers
    assert start.plan.closed
    assert b.acts(b.decided(recovering(), RECOVERING)) == []


def test_nothing_is_served_with_the_settings_of_the_recovery() -> None:
    decision = b.decided(recovering(server=pg.primary(attached=())), RECOVERING)
    assert b.only(decision, Stop).mode is StopMode.FAST

    view = initialising(directory=RECOVERED)
    start = b.only(b.decided(view, replace(RECOVERING, stop=decision.memory.stop)), Start)
    assert start.epoch == pg.EPOCH
    assert not start.plan.recovers
    assert start.plan.role is ServerRole.PRIMARY


def test_a_recovery_that_came_to_nothing_is_not_begun_again() -> None:
    view = initialising(directory=RESTORED, last_words="FATAL: no such target")
    decision = b.decided(view, RECOVERING)
    assert "no such target" in b.only(decision, PutAside).why
    assert decision.memory.making is None


@pytest.mark.parametrize("memory", [Memory(), Memory(making=Epoch(1, 3))])
@pytest.mark.parametrize("directory", [RESTORED, RECOVERED])
def test_nobody_goes_on_with_what_another_attempt_left(memory: Memory, directory: Any) -> None:
    """Another agent of this node, or this one under another lease."""
    stop = b.only(b.decided(recovering(directory=directory), memory), Stop)
    assert stop.mode is StopMode.IMMEDIATE

    for view in (initialising(directory=directory), newborn(directory=directory)):
        decision = b.decided(view, memory)
        assert decision.rule == "boot-18"
        assert "ended in the middle" in b.only(decision, PutAside).why


@pytest.mark.parametrize(
    "unknown",
    [{"caught_up": False}, {"pending": frozenset({"initialize"})}],
    ids=["agent", "write"],
)
def test_nothing_is_put_aside_that_may_have_been_announced(unknown: Any) -> None:
    """What this replica shows may be older than the cluster: its only data would be put aside."""
    for view in (
        initialising(directory=RECOVERED, **unknown),
        running(directory=RECOVERED, **unknown),
        newborn(directory=RECOVERED, **unknown),
    ):
        assert b.acts(b.decided(view, Memory())) == []


def test_what_was_left_serves_no_reads_either() -> None:
    view = newborn(directory=RESTORED, raft=b.raft(majority=False))
    assert b.acts(b.decided(view, Memory(alone_since=pg.at(-60)))) == []


def test_the_key_is_given_back_once_it_is_put_aside() -> None:
    view = initialising(finished=ended(JobKind.PUT_ASIDE, "post_bootstrap failed; kept in /x"))
    decision = b.decided(view, Memory())
    assert b.acts(decision) == ["ReleaseLeader"]
    assert "kept in /x" in decision.reason


def test_what_cannot_be_put_aside_is_tried_again_later_and_holds_up_nobody() -> None:
    failed = ended(JobKind.PUT_ASIDE, "permission denied")
    decision = b.decided(initialising(directory=RECOVERED, finished=failed), Memory())
    assert b.acts(decision) == ["ReleaseLeader"]
    assert "permission denied" in decision.reason
    later = newborn(directory=RECOVERED, finished=failed)
    assert b.acts(b.decided(later, decision.memory)) == []
    due = replace(decision.memory, retry_at=pg.at(-1))
    assert "permission" not in b.only(b.decided(later, due), PutAside).why


def test_a_directory_that_was_brought_in_is_not_recovered_by_what_lies_in_it() -> None:
    view = initialising(directory=replace(RESTORED, unborn=False, in_one_go=False))
    assert not b.only(b.decided(view, MINE), Start).plan.recovers


def test_a_directory_half_filled_in_place_is_put_aside_too() -> None:
    foreign = pg.directory(
        state=DirectoryState.FOREIGN, control=None, problem="odd", unborn=True, in_one_go=True
    )
    assert b.only(b.decided(newborn(directory=foreign)), PutAside)


def test_the_operator_is_asked_before_anybody_hears_of_the_cluster() -> None:
    view = running(me=ASKED, directory=RECOVERED, finished=MADE)
    assert b.acts(b.decided(view, SERVING)) == ["PostBootstrap"]
    assert b.only(b.decided(view, SERVING), PostBootstrap)

    done = replace(view, finished=ended(JobKind.POST_BOOTSTRAP))
    assert b.only(b.decided(done, SERVING), Submit).intent == "initialize"


def test_an_existing_cluster_that_is_brought_in_is_not_asked_for() -> None:
    view = running(me=ASKED, directory=pg.directory(), finished=MADE)
    assert b.only(b.decided(view, SERVING), Submit).intent == "initialize"


def test_a_program_that_fails_is_not_asked_again() -> None:
    """However late that is noticed."""
    failed = JobResult(kind=JobKind.POST_BOOTSTRAP, ended=pg.at(-99), error="status 3")
    view = running(me=ASKED, directory=RECOVERED, finished=failed)
    decision = b.decided(view, replace(SERVING, last_job=failed.ended))
    assert b.only(decision, Stop).mode is StopMode.IMMEDIATE

    stopped = initialising(me=ASKED, directory=RECOVERED, finished=failed)
    assert "status 3" in b.only(b.decided(stopped, decision.memory), PutAside).why


@pytest.mark.parametrize("kind", [JobKind.RESTORE, JobKind.POST_BOOTSTRAP])
def test_a_program_is_ended_with_the_lease_that_it_was_begun_under(kind: JobKind) -> None:
    job = JobView(kind=kind, started=pg.at(-5))
    assert b.acts(b.decided(newborn(job=job), MINE)) == ["CancelJob"]
    assert b.acts(b.decided(initialising(job=job), MINE)) == []


def test_who_restored_the_same_backup_in_vain_makes_a_copy() -> None:
    """Both have the same system identifier, and the same timeline."""
    known = Initialize(by=pg.N2, system_id=pg.SYSTEM, revision=Revision(40), birth="n2@1")
    cluster = replace(b.followed(), initialize=known)
    view = b.following(cluster=cluster, directory=RECOVERED, guardian=pg.IDLE_GUARDIAN, server=None)
    assert b.only(b.decided(view), Clone).source is not None
    own = replace(view, directory=replace(RECOVERED, birth="n2@1"))
    assert Clone.__name__ not in b.acts(b.decided(own))


def test_what_a_program_made_anew_starts_once_it_counts_as_synchronous_no_more() -> None:
    """The leader lets it out, for it says that it is being made; and takes it in with a proof."""
    made = replace(pg.STANDBY_DIRECTORY, from_backup=True)
    cluster = replace(b.followed(), sync=b.sync(pg.N1, by=pg.N2))
    view = b.following(
        cluster=cluster,
        directory=made,
        guardian=pg.IDLE_GUARDIAN,
        server=None,
        finished=ended(JobKind.CLONE),
    )
    decision = b.decided(view)
    assert Start.__name__ not in b.acts(decision)
    assert "out of the synchronous set" in decision.reason
    assert state(b.situation(view, Memory())) is MemberState.CREATING

    for ready in (
        replace(view, directory=pg.STANDBY_DIRECTORY),
        replace(view, cluster=replace(cluster, sync=b.sync(pg.N3, by=pg.N2))),
        replace(view, cluster=replace(cluster, sync=None)),
    ):
        assert state(b.situation(ready, Memory())) is MemberState.STOPPED
        assert b.only(b.decided(ready), Start).plan.upstream is not None

    late = JobResult(kind=JobKind.CLONE, ended=pg.at(-60))
    for ready in (replace(view, finished=None), replace(view, finished=late)):
        assert b.only(b.decided(ready), Start).plan.upstream is not None, "nobody may be left"


def alone(gone_s: float, **more: Any) -> tuple[View, Memory]:
    """An empty node that can make a copy of nobody, so long after the last leader went."""
    given = {"me": b.identity(copies_alone=True), "cluster": b.vacant(), "directory": pg.EMPTY}
    view = b.following(**{**given, **more}, guardian=pg.IDLE_GUARDIAN, server=None)
    return view, Memory(lost_since=pg.at(-gone_s), lost_at=view.cluster.status_revision)


def test_a_copy_without_a_leader_waits_a_ttl() -> None:
    assert b.acts(b.decided(*alone(1))) == []
    assert b.only(b.decided(*alone(60)), Clone).source is None
    assert b.acts(b.decided(*alone(60, me=b.identity()))) == []
    assert Clone.__name__ not in b.acts(b.decided(*alone(60, directory=pg.STANDBY_DIRECTORY)))
