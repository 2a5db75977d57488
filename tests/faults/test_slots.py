"""Slots on every node: of members and permanent ones, over a failover, and of who is away."""

from __future__ import annotations

from typing import Final, cast

import pytest

from raftha.model.ids import Lsn
from tests.integration.harness import ClusterHarness
from tests.integration.machines import ChangingCluster
from tests.integration.node_support import raftha
from tests.integration.processes import Part
from tests.integration.scene import (
    NewCluster,
    Probe,
    await_line,
    log_of,
    report,
    under_load,
)
from tests.integration.test_rejoin import diverged_primary

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LIMIT_S: Final = 20.0
PLACES: Final = (
    "SELECT slot_name, restart_lsn::text FROM pg_replication_slots WHERE slot_type = 'physical'"
    " AND (restart_lsn IS NOT NULL OR slot_name = 'theirs')"
)
PERMANENT: Final = {"backup": {"type": "physical"}}


def places(cluster: ClusterHarness, name: str) -> dict[str, Lsn]:
    """Where the physical slots of a node begin to keep WAL."""
    return {slot: Lsn.parse(where or "0/0") for slot, where in cluster.query(name, PLACES)}


def write_segment(cluster: ClusterHarness, primary: str) -> None:
    cluster.query(primary, "SELECT pg_logical_emit_message(false, 'x', 'y')")
    cluster.query(primary, "SELECT pg_switch_wal()")


def test_every_node_keeps_the_slots_of_the_others_and_moves_them_on(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, slots=PERMANENT)
    cluster, primary = scene.cluster, scene.primary
    names = [node.name for node in cluster.members()]
    cluster.query(primary, "SELECT pg_create_physical_replication_slot('theirs')")

    def settled() -> bool:
        return all(places(cluster, n).keys() >= ({*names, "backup"} - {n}) for n in names)

    cluster.wait_for(settled, LIMIT_S, "each node has the slots of the others")
    before = {name: places(cluster, name) for name in names}
    for _ in range(3):
        write_segment(cluster, primary)
    cluster.query(primary, "CHECKPOINT")

    def moved() -> bool:
        """A slot of the primary moves with the restart points of its keeper."""
        for name in names:
            cluster.query(name, "CHECKPOINT")
        there = {name: places(cluster, name) for name in names}
        return all(
            there[n][m] > before[n][m] for n in names if n != primary for m in names if m != n
        )

    cluster.wait_for(moved, LIMIT_S, "the slots on the standbys have moved")
    for name in names:
        # Nobody reads it: it stays where it was, on the primary by itself, elsewhere with it.
        assert places(cluster, name)["backup"] == before[name]["backup"]
        assert all(
            places(cluster, name)[m] <= places(cluster, primary)[m]
            for m in names
            if m not in (name, primary) and name != primary
        )

    cluster.kill(primary)
    successor = scene.await_successor()
    assert places(cluster, successor)["backup"] == before[successor]["backup"]
    assert places(cluster, successor)[primary] >= before[successor][primary]
    cluster.start(primary)
    cluster.wait_until_whole()
    cluster.wait_for(settled, LIMIT_S, "each node has the slots of the others again")
    assert "theirs" in places(cluster, primary)
    scene.finish()


def test_the_slot_of_who_is_away_is_dropped_after_its_time_and_made_anew(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, member_slots_ttl="5s")
    cluster, primary = scene.cluster, scene.primary
    names = [node.name for node in cluster.members()]
    away, other = (name for name in names if name != primary)
    cluster.wait_for(lambda: away in places(cluster, other), LIMIT_S, "a slot on the standby")
    cluster.stop(away)

    def told() -> bool:
        words = f"its slot {away} keeps WAL"
        return any(words in notice["what"] for notice in report(cluster).get("problems", []))

    cluster.wait_for(told, LIMIT_S, "somebody is told that the slot is kept")
    for name in (primary, other):
        cluster.wait_for(
            lambda name=name: away not in places(cluster, name), LIMIT_S, f"no slot on {name}"
        )
    cluster.start(away)
    cluster.wait_until_whole()
    scene.finish()


def test_a_rewind_takes_all_slots_and_they_are_made_anew(new_cluster: NewCluster) -> None:
    """pg_rewind leaves none behind, of members or permanent: its target held some at the start."""
    cluster, old, new = diverged_primary(new_cluster, slots=PERMANENT)
    wanted = {node.name for node in cluster.members()} - {old} | {"backup"}
    kept = {path.name for path in (cluster.nodes[old].pgdata / "pg_replslot").iterdir()}
    assert kept == wanted

    cluster.start(old)
    rewound = await_line(cluster, old, "rewound", 40)
    cluster.wait_until_whole()
    cluster.wait_for(lambda: places(cluster, old).keys() == wanted, LIMIT_S, "the slots")
    since = [line for line in log_of(cluster, old) if line.at >= rewound.at]
    made = [line.words for line in since if "making the slots" in line.words]
    assert all(any(name in words for words in made) for name in wanted), made

    # They are of use: who leads here again has everybody stream through them.
    moved = raftha("switchover", "--candidate", old, "--yes", "--url", cluster.url(new))
    assert moved.returncode == 0, moved.stdout
    assert cluster.wait_until_whole() == old
    active = "SELECT slot_name FROM pg_replication_slots WHERE active ORDER BY 1"
    assert [name for (name,) in cluster.query(old, active)] == sorted(wanted - {"backup"})


def test_a_forgotten_transaction_on_a_standby_is_told_by_how_much_it_holds_back(
    new_cluster: NewCluster, probe: Probe
) -> None:
    """In `status`, by the slot of that standby."""
    feedback = {"hot_standby_feedback": True, "wal_receiver_status_interval": "1s"}
    scene = under_load(new_cluster, probe, postgresql={"parameters": feedback})
    cluster = scene.cluster
    standby, other = (n.name for n in cluster.members() if n.name != scene.primary)

    def held() -> dict[str, int]:
        return {rows["slot"]: rows["transactions"] for rows in report(cluster).get("held", [])}

    session = cluster.connect(standby, 10)
    session.autocommit = False
    with session, session.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM pg_class")
        cluster.wait_for(lambda: held().get(standby, 0) > 100, LIMIT_S, f"{standby} holds rows")
        assert held()[other] < held()[standby]
        screen = raftha("status", "--url", cluster.url(scene.primary)).stdout
        assert f"transactions by {standby}" in screen
    session.close()
    cluster.wait_for(lambda: held().get(standby, 0) < 100, LIMIT_S, "vacuum may go on")
    scene.finish()


def test_a_replaced_machine_that_still_streams_does_not_keep_its_successor_out(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, kind=ChangingCluster)
    cluster, primary = cast(ChangingCluster, scene.cluster), scene.primary
    name = next(node.name for node in cluster.members() if node.name != primary)
    cluster.kill_agent(name)
    old = cluster.second_machine(name)
    cluster.start(name)
    cluster.await_standing(name, "newcomer", by=primary)
    cluster.member("replace", name, cluster.address(name), by=primary)

    def streams() -> bool:
        rows = cluster.query(primary, "SELECT slot_name FROM pg_replication_slots WHERE active")
        return any(slot.startswith(f"{name}_") for (slot,) in rows)

    cluster.wait_for(streams, 3 * LIMIT_S, f"the new {name} streams")
    assert cluster.processes(old, Part.POSTGRES), "nobody was in its way"
    cluster.wait_for(lambda: name not in places(cluster, primary), LIMIT_S, "the old slot is gone")
    cluster.kill(old)
    del cluster.nodes[old]
    scene.finish()
