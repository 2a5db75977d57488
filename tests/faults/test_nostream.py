"""A standby that gets its WAL from an archive alone, as its tag `nostream` says: on an ordinary
day, over a failover, and when the archive holds WAL that the new line does not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from raftha.cli.exits import Exit
from raftha.model.ids import Timeline
from raftha.model.postgres import Binaries, ServerPlan, ServerRole
from raftha.pg import clone
from tests.faults.test_cascade import slots, streams_from, tag
from tests.integration.harness import ClusterHarness
from tests.integration.node_support import hang_up, reason_of, rewrite
from tests.integration.node_support import raftha as run_alone
from tests.integration.pg_support import first_primary, ids, nodes, standby_of, until
from tests.integration.processes import Part
from tests.integration.scene import (
    NewCluster,
    Probe,
    await_line,
    raftha,
    report,
    sync_standbys,
    under_load,
)
from tests.integration.test_http import request
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TTL_S: Final = 5.0
"""A failover would only take time from what is tried here."""

LIMIT_S: Final = 30.0
"""The archive is looked into every five seconds."""

IN_ARCHIVE: Final = "/replica?replication_state=in+archive+recovery"
RECEIVERS: Final = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walreceiver'"
MORE_THAN_A_SOCKET_HOLDS: Final = (
    "CREATE TABLE public.filler AS SELECT repeat(i::text, 100) FROM generate_series(1, 60000) AS i"
)
"""24 MiB of WAL."""

MARKS: Final = "public.marks"


def archive_of(cluster: ClusterHarness) -> Path:
    return cluster.nodes["n1"].file.parent / "archive"


def with_archive(new_cluster: NewCluster) -> NewCluster:
    """Clusters whose primary archives; nobody restores from there yet."""

    def make(**options: Any) -> ClusterHarness:
        cluster = new_cluster(**options)
        folder = archive_of(cluster)
        folder.mkdir()
        parameters = {"archive_mode": "on", "archive_command": f"cp %p {folder}/%f"}

        def archives(file: dict[str, Any]) -> None:
            file["bootstrap"]["dcs"]["postgresql"] = {"parameters": parameters}

        for name in cluster.nodes:
            rewrite(cluster, name, archives)
        return cluster

    return make


def restores(cluster: ClusterHarness, name: str) -> None:
    """Have a node restore from the archive."""
    command = f"cp {archive_of(cluster)}/%f %p"
    rewrite(
        cluster,
        name,
        lambda file: file["postgresql"]["parameters"].update(restore_command=command),
    )
    hang_up(cluster, name)


def follows_archive(cluster: ClusterHarness, name: str) -> bool:
    is_cut = cluster.query(name, RECEIVERS) == [(0,)]
    is_cut = is_cut and cluster.query(name, "SHOW primary_conninfo") == [("",)]
    return is_cut and request(cluster, name, "GET", IN_ARCHIVE)[0] == 200


def check_comes_through(cluster: ClusterHarness, name: str, number: int) -> None:
    """A row that is committed now reaches this member."""
    primary = cluster.wait_for_primary()
    cluster.query(primary, f"CREATE TABLE IF NOT EXISTS {MARKS} (id int)")
    cluster.query(primary, f"INSERT INTO {MARKS} VALUES ({number})")
    cluster.query(primary, "SELECT pg_switch_wal()")
    row = f"SELECT id FROM {MARKS} WHERE id = {number}"
    cluster.wait_for(lambda: cluster.query(name, row) == [(number,)], LIMIT_S, f"{name} has it")


def state_of(cluster: ClusterHarness, name: str) -> str:
    return str(next(m["state"] for m in (cluster.status() or {})["members"] if m["name"] == name))


def test_a_member_follows_the_archive_alone_and_nobody_counts_on_it(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts]
) -> None:
    scene = under_load(with_archive(new_cluster), probe, ttl=TTL_S)
    cluster, primary = scene.cluster, scene.primary
    middle, lowest = (node.name for node in cluster.members() if node.name != primary)

    tag(cluster, lowest, nostream=True)
    check_without_restore_command(cluster, lowest)
    restores(cluster, lowest)
    cluster.wait_for(lambda: follows_archive(cluster, lowest), LIMIT_S, f"{lowest} is on its own")
    check_standing(cluster, primary, middle, lowest)
    check_comes_through(cluster, lowest, 1)
    check_operations(cluster, lowest)
    check_comes_through(cluster, lowest, 2)
    check_upstream(cluster, primary, middle, lowest)

    cluster.kill(primary)
    assert scene.await_successor() == middle
    cluster.start(primary)
    check_comes_through(cluster, lowest, 3)
    cluster.wait_for(lambda: follows_archive(cluster, lowest), LIMIT_S, "by the archive alone")
    assert not list(cluster.nodes[lowest].folder.glob("pgdata.diverged-*"))

    tag(cluster, lowest)
    cluster.wait_until_whole()
    conclude(scene, gap_s=15.0)


def check_without_restore_command(cluster: ClusterHarness, name: str) -> None:
    """It is said by `check-config`, and by the status while it lasts."""
    checked = run_alone("check-config", cluster.nodes[name].file)
    assert checked.returncode == Exit.DONE
    assert "tags.nostream" in checked.stdout
    assert "set postgresql.parameters.restore_command" in checked.stdout
    cluster.wait_for(
        lambda: "none is set: it gets no WAL at all" in reason_of(cluster, name),
        LIMIT_S,
        "the status says so",
    )
    assert "no-restore-command" in raftha(cluster, Exit.DONE, "status")


def check_standing(cluster: ClusterHarness, primary: str, middle: str, name: str) -> None:
    """No slot, no commit and no failover counts on it; it is a replica nevertheless."""
    cluster.wait_for(
        lambda: name not in slots(cluster, primary) | slots(cluster, middle), LIMIT_S, "no slot"
    )
    cluster.wait_for(lambda: sync_standbys(cluster) == [middle], LIMIT_S, "no commit waits for it")
    cluster.wait_for(lambda: state_of(cluster, name) == "in archive recovery", LIMIT_S, "its state")
    for path in ("/replica", "/async", "/readiness", "/read-only"):
        assert request(cluster, name, "GET", path)[0] == 200, path
    assert request(cluster, name, "GET", "/replica?replication_state=streaming")[0] == 503
    metrics = str(cluster.get(name, "/metrics")[1])
    assert "patroni_postgres_in_archive_recovery" in metrics
    told = raftha(cluster, Exit.REFUSED, "switchover", "--candidate", name, "--yes")
    assert "nostream" in told
    assert "nostream" in raftha(cluster, Exit.DONE, "why", name)
    assert "no-restore-command" not in raftha(cluster, Exit.DONE, "status")
    assert "does not stream" not in raftha(cluster, Exit.DONE, "status")


def check_operations(cluster: ClusterHarness, name: str) -> None:
    """It is restarted, made anew on request, and after the loss of its directory."""
    raftha(cluster, Exit.DONE, "restart", "--yes", name)
    raftha(cluster, Exit.DONE, "reinit", "--yes", "--wait", name)
    assert list(cluster.nodes[name].folder.glob("pgdata.replaced-*"))
    cluster.kill(name)
    shutil.rmtree(cluster.nodes[name].pgdata)
    cluster.start(name)
    cluster.wait_for(lambda: follows_archive(cluster, name), LIMIT_S, f"{name} is copied")


def check_upstream(cluster: ClusterHarness, primary: str, middle: str, name: str) -> None:
    """Another standby streams from it, if its tag says so, and back from the leader."""
    tag(cluster, middle, replicatefrom=name)
    cluster.wait_for(lambda: streams_from(cluster, middle, name), LIMIT_S, f"below {name}")
    cluster.wait_for(lambda: middle in slots(cluster, name), LIMIT_S, "with a slot there")
    tag(cluster, middle)
    cluster.wait_for(lambda: streams_from(cluster, middle, primary), LIMIT_S, "as before")
    cluster.wait_for(lambda: sync_standbys(cluster) == [middle], LIMIT_S, f"{middle} may lead")


def test_what_the_archive_has_of_a_line_that_was_left_is_undone(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts]
) -> None:
    """The primary archives a segment that the standby which takes over never got."""
    bound = 64 << 20
    scene = under_load(
        with_archive(new_cluster),
        probe,
        ttl=TTL_S,
        synchronous_mode="off",
        maximum_lag_on_failover=bound,
    )
    cluster, primary = scene.cluster, scene.primary
    middle, lowest = (node.name for node in cluster.members() if node.name != primary)
    restores(cluster, lowest)
    tag(cluster, lowest, nostream=True)
    cluster.wait_for(lambda: follows_archive(cluster, lowest), LIMIT_S, f"{lowest} is on its own")

    cluster.pause(middle, Part.POSTGRES)
    cluster.query(primary, MORE_THAN_A_SOCKET_HOLDS)
    check_comes_through(cluster, lowest, 1)
    cluster.kill(primary)
    cluster.resume(middle)
    assert scene.await_successor() == middle
    await_line(cluster, lowest, "rewound", LIMIT_S)
    cluster.start(primary)
    check_comes_through(cluster, lowest, 2)
    assert cluster.query(lowest, f"SELECT id FROM {MARKS}") == [(2,)]
    cluster.wait_for(lambda: follows_archive(cluster, lowest), LIMIT_S, "by the archive alone")

    tag(cluster, lowest)
    cluster.wait_until_whole()
    assert len(report(cluster)["history"]) == 2
    conclude(scene, gap_s=20.0, may_lose=bound)


def test_the_archive_is_followed_over_a_timeline_number_that_was_burned(
    binaries: Binaries, tmp_path: Path
) -> None:
    """The archive has a history of 3 and none of 2, and PostgreSQL looks for that of 2 first."""
    burned, new = Timeline(2), Timeline(3)
    with nodes(binaries, "n1", "n2") as (n1, n2):
        n1.set(archive_mode="on", archive_command=f"cp %p {tmp_path}/%f")
        system_id = first_primary(n1)
        clone.clone(n2.job(), n1.upstream_for("n2", None), system_id)
        n2.set(restore_command=f"cp {tmp_path}/%f %p")
        n2.start(ServerPlan(role=ServerRole.STANDBY, archive_only=True))
        n1.stop()
        n1.start(standby_of(None))
        n1.instance.place_history_files(Timeline(1), (burned,))
        n1.promote()
        n1.sql("INSERT INTO public.t VALUES (1)")
        n1.sql("SELECT pg_switch_wal()")
        until((tmp_path / "00000003.history").exists)
        assert not (tmp_path / "00000002.history").exists()

        n2.instance.place_history_files(new, ())
        until(lambda: ids(n2) == [1], LIMIT_S)
        assert n2.instance.status(2.0).timeline == new
