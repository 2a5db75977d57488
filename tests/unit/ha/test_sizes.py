"""The five parameters that a standby must not have lower than its primary: raised on the standbys
first, lowered on the primary first."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from raftha.ha.actions import Stop
from raftha.ha.explain import problems
from raftha.ha.plans import primary_plan, standby_plan
from raftha.ha.sizes import pending
from raftha.model.cluster import Cluster, MemberRole, MemberState
from raftha.model.postgres import PendingRestart, ReplayPause
from raftha.model.settings import DynamicConfig, DynamicPostgres
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import N1, N2, N3

HUNDRED = {"max_connections": 100}
TWO_HUNDRED = {"max_connections": 200}


def wanting(cluster: Cluster, connections: int) -> Cluster:
    postgres = DynamicPostgres(parameters={"max_connections": str(connections)})
    return b.with_config(cluster, DynamicConfig(postgresql=postgres))


def leading(connections: int, n2: Any = HUNDRED, n3: Any = HUNDRED, **more: Any) -> View:
    """n1 leads and runs with 100."""
    members = b.members(b.member(N2, sizes=n2), b.member(N3, sizes=n3))
    cluster = wanting(b.cluster(members=members), connections)
    return b.view(cluster=cluster, server=pg.primary(sizes=HUNDRED, **more))


def of_primary(view: View) -> Any:
    return primary_plan(view.cluster, view.me, "").limits


def test_a_raised_value_stays_out_of_the_primarys_files_until_all_standbys_have_it() -> None:
    assert of_primary(leading(200)) == HUNDRED
    assert of_primary(leading(200, n2=TWO_HUNDRED)) == HUNDRED
    assert of_primary(leading(200, n2=TWO_HUNDRED, n3=TWO_HUNDRED)) == {}
    assert of_primary(leading(200, n2={}, n3={})) == {}, "versions that do not tell are not awaited"


def test_what_is_not_raised_is_not_written_into_the_plan() -> None:
    """Or each standby that comes or goes would have the primary read its files again."""
    assert of_primary(leading(100)) == {}
    assert of_primary(leading(50)) == {}


def test_a_standby_that_is_down_is_not_awaited() -> None:
    down = b.member(N3, sizes={}, role=MemberRole.NONE, state=MemberState.STOPPED)
    view = leading(200, n2=TWO_HUNDRED)
    cluster = replace(view.cluster, members={**view.cluster.members, N3: down})

    assert of_primary(replace(view, cluster=cluster)) == {}


def test_a_standby_takes_a_raised_value_at_once() -> None:
    cluster = wanting(b.followed(), 200)
    plan = standby_plan(cluster, b.identity(), cluster.members[N2])

    assert (plan.parameters["max_connections"], plan.limits) == ("200", {})


def test_the_reason_says_who_has_to_restart_before() -> None:
    waits = PendingRestart(
        name="max_connections", running="100", wanted="200", waits_for=("n2", "n3")
    )
    assert pending(b.situation(leading(200))) == (waits,)
    assert str(waits) == "max_connections 100 -> 200, once n2 and n3 were"

    ready = leading(200, n2=TWO_HUNDRED, n3=TWO_HUNDRED)
    assert pending(b.situation(ready)) == (replace(waits, waits_for=()),)
    assert pending(b.situation(leading(100))) == ()


def test_a_lowered_value_waits_for_the_primary() -> None:
    def of_standby(of_leader: dict[str, int]) -> tuple[PendingRestart, ...]:
        leader = b.member(N2, role=MemberRole.PRIMARY, sizes=of_leader)
        cluster = wanting(b.followed(members=b.members(leader)), 50)
        server = pg.standby(sizes=HUNDRED)
        return pending(b.situation(b.following(cluster=cluster, server=server)))

    lower = PendingRestart(name="max_connections", running="100", wanted="50")
    assert of_standby(HUNDRED) == (replace(lower, waits_for=("n2",)),)
    assert of_standby({"max_connections": 50}) == (lower,)


def unset(running: dict[str, int], **more: Any) -> View:
    """n1 leads, and nobody sets a size."""
    view = b.view(server=pg.primary(sizes=running), directory=pg.directory(**more))
    return replace(view, cluster=b.with_config(view.cluster, DynamicConfig()))


def test_a_size_that_is_set_no_more_waits_for_a_restart_to_get_its_default() -> None:
    back = PendingRestart(name="max_locks_per_transaction", running="256", wanted="64")
    locks = {"max_locks_per_transaction": 256}

    assert pending(b.situation(unset(locks))) == (back,)
    assert pending(b.situation(unset({"max_locks_per_transaction": 64}))) == ()
    asked_before = unset(locks, original={"max_locks_per_transaction": 300})
    assert pending(b.situation(asked_before)) == (), "taken over with what it ran with"
    assert pending(b.situation(unset(locks, altered=locks))) == (), "ALTER SYSTEM wins"
    other = replace(back, wanted="512")
    altered = unset(locks, altered={"max_locks_per_transaction": 512})
    assert pending(b.situation(altered)) == (other,)


def test_a_standby_waits_for_its_primary_where_a_size_is_set_no_more() -> None:
    locks = {"max_locks_per_transaction": 256}
    leader = b.member(N2, role=MemberRole.PRIMARY, sizes=locks)
    cluster = b.followed(members=b.members(leader))
    (found,) = pending(b.situation(b.following(cluster=cluster, server=pg.standby(sizes=locks))))

    assert (found.wanted, found.waits_for) == ("64", ("n2",))


def test_a_default_above_what_was_set_is_raised_on_the_standbys_first() -> None:
    """R26: what is set no more may be more than what was set."""
    fifty = {"max_connections": 50}
    members = b.members(b.member(N2, sizes=fifty), b.member(N3, sizes=fifty))
    view = b.view(cluster=b.cluster(members=members), server=pg.primary(sizes=fifty))

    assert of_primary(view) == fifty
    (found,) = pending(b.situation(view))
    assert (found.wanted, found.waits_for) == ("100", ("n2", "n3"))


def test_what_the_server_itself_reports_is_told_with_its_values() -> None:
    buffers = PendingRestart(name="shared_buffers", running="128MB", wanted="64MB")
    s = b.situation(leading(100, pending_restart=(buffers,)))

    assert pending(s) == (buffers,)
    (notice,) = [n for n in problems(s) if "restarted" in n.what]
    assert "shared_buffers 128MB -> 64MB" in notice.what
    assert "restart --pending" in notice.remedy


def stuck(**more: Any) -> View:
    """n1 follows n2, and the WAL here says that a primary ran with 200 connections."""
    leader = b.member(N2, role=MemberRole.PRIMARY, sizes=HUNDRED)
    server = pg.standby(**{"sizes": HUNDRED, "replay_pause": ReplayPause.PAUSED, **more})
    demanding = pg.directory(control=pg.control(**TWO_HUNDRED), standby_signal=True)
    cluster = b.followed(members=b.members(leader))
    return b.following(cluster=cluster, server=server, directory=demanding)


def test_a_standby_that_cannot_replay_any_more_is_restarted() -> None:
    decision = b.decided(stuck())
    assert decision.rule == "replay-10"
    assert b.only(decision, Stop)

    assert b.decided(stuck(replay_pause=ReplayPause.NOT_PAUSED)).rule != "replay-10"
    by_hand = b.decided(stuck(sizes=TWO_HUNDRED))
    assert by_hand.rule != "replay-10", "somebody has paused it, which no restart mends"


def test_a_standby_that_cannot_replay_any_more_is_restarted_before_it_races() -> None:
    view = stuck()
    vacant = replace(view, cluster=replace(view.cluster, leader=None))
    decision = b.decided(vacant)
    assert decision.rule == "replay-10"
    assert b.only(decision, Stop)


def test_in_a_pause_it_is_left_alone() -> None:
    view = stuck()
    paused = replace(view.cluster.config, pause=True)

    decision = b.decided(replace(view, cluster=b.with_config(view.cluster, paused)))
    assert (decision.rule, "Stop" in b.acts(decision)) == ("follow-60", False)


def test_the_members_tell_what_they_run_with() -> None:
    decision = b.decided(leading(100))
    (action,) = [a for a in decision.actions if getattr(a, "intent", "") == "member"]

    assert b'"sizes":{"max_connections":100}' in action.command.writes[0].value
    assert N1 in action.command.writes[0].key
