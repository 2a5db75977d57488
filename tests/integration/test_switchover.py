"""`raftha switchover` and `raftha failover` on a cluster under write load: done, or refused."""

from __future__ import annotations

import subprocess
import sys

import psycopg2
import pytest

from raftha.cli.exits import Exit
from tests.integration import node_support
from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.scene import (
    NewCluster,
    Probe,
    Scene,
    report,
    sync_standbys,
    under_load,
    wait_for_sync,
)

pytestmark = pytest.mark.integration


def raftha(cluster: ClusterHarness, via: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A verb of the command line, with the file of the node `via` and without a question."""
    verb, *rest = words
    return subprocess.run(
        [
            *(sys.executable, "-m", "raftha", verb),
            *("-c", str(cluster.nodes[via].file), "--yes", *rest),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def others(scene: Scene, *names: str) -> list[str]:
    """The members but these."""
    return [node.name for node in scene.cluster.members() if node.name not in names]


def printed(cluster: ClusterHarness, via: str, *words: str) -> str:
    """What a command prints that asks the node `via`."""
    done = node_support.raftha(*words, "-c", cluster.nodes[via].file)
    assert done.returncode == Exit.DONE, done.stdout
    return done.stdout.strip()


def server_behind(uri: str) -> tuple[str, str, bool]:
    """Where a client of this URI gets: port as it was told, port of its own, a standby or not."""
    session = psycopg2.connect(uri, password=PASSWORD)
    try:
        with session.cursor() as cursor:
            cursor.execute("SELECT current_setting('port'), pg_is_in_recovery()")
            own, is_standby = cursor.fetchall()[0]
        return str(session.info.port), own, is_standby
    finally:
        session.close()


@pytest.mark.smoke
def test_a_switchover_goes_where_it_is_asked_to_go(new_cluster: NewCluster, probe: Probe) -> None:
    scene = under_load(new_cluster, probe, synchronous_mode="on")
    cluster = scene.cluster
    (synchronous,) = sync_standbys(cluster)
    (asynchronous,) = others(scene, scene.primary, synchronous)

    done = raftha(cluster, asynchronous, "switchover", "--candidate", asynchronous)
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    assert cluster.wait_for_primary() == asynchronous
    scene.wait_for_writes()
    cluster.wait_until_whole()
    wait_for_sync(cluster)

    (synchronous,) = sync_standbys(cluster)
    words = ("switchover", "--leader", asynchronous, "--candidate", synchronous)
    done = raftha(cluster, scene.primary, *words)
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    assert cluster.wait_for_primary() == synchronous
    scene.wait_for_writes()

    assert scene.ledger.longest_gap_s() <= 10.0
    counts = scene.finish(at_least=50)
    assert counts.ok >= 60
    assert [record["timeline"] for record in report(cluster)["history"]] == [1, 2, 3]


def test_a_switchover_without_a_candidate_chooses_one(
    new_cluster: NewCluster, probe: Probe
) -> None:
    """The URI that was printed before leads to the new primary."""
    scene = under_load(new_cluster, probe)
    cluster = scene.cluster
    asked = ("uri", "--user", "postgres", "--dbname", "postgres")
    uri = printed(cluster, scene.primary, *asked)
    assert server_behind(uri)[1] == str(cluster.nodes[scene.primary].postgres_port)

    done = raftha(cluster, scene.primary, "switchover")

    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    leader = cluster.wait_for_primary()
    assert leader != scene.primary
    scene.wait_for_writes()
    told, own, is_standby = server_behind(uri)
    assert (own, is_standby) == (str(cluster.nodes[leader].postgres_port), False)
    assert printed(cluster, scene.primary, *asked) == uri
    assert printed(cluster, scene.primary, "dsn").endswith(f" port={told}")
    cluster.wait_until_whole()
    assert printed(cluster, scene.primary, "topology").count("\n+ ") == 2
    assert printed(cluster, scene.primary, "version").count(", PostgreSQL ") == 3
    assert server_behind(printed(cluster, leader, *asked, "-r", "replica"))[2]
    assert scene.ledger.longest_gap_s() <= 10.0
    scene.finish(at_least=50)


def test_a_failover_overrules_a_leader_that_is_well(new_cluster: NewCluster, probe: Probe) -> None:
    scene = under_load(new_cluster, probe, synchronous_mode="on")
    (synchronous,) = sync_standbys(scene.cluster)

    done = raftha(scene.cluster, synchronous, "failover", "--candidate", synchronous)

    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    assert scene.cluster.wait_for_primary() == synchronous
    scene.wait_for_writes()
    scene.finish(at_least=50)


def test_what_cannot_be_done_is_refused_with_the_reason_and_nothing_changes(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe)
    cluster, primary = scene.cluster, scene.primary
    one, two = others(scene, primary)
    history = report(cluster)["history"]

    def refused(via: str, *words: str) -> str:
        done = raftha(cluster, via, *words)
        assert done.returncode == Exit.REFUSED, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    assert "n9" in refused(one, "switchover", "--candidate", "n9")
    assert "leader already" in refused(one, "switchover", "--candidate", primary)
    assert primary in refused(one, "switchover", "--leader", one, "--candidate", two)
    assert "n9" in refused(one, "failover", "--candidate", "n9")
    assert "leader already" in refused(one, "failover", "--candidate", primary)
    cluster.kill(one)
    assert one in refused(two, "switchover", "--candidate", one)
    assert one in refused(two, "failover", "--candidate", one)
    scene.wait_for_writes()
    assert report(cluster)["history"] == history
    assert cluster.wait_for_primary() == primary

    cluster.kill(two)
    cluster.wait_for(
        lambda: report(cluster).get("majority") is False, 10, f"{primary} has lost the majority"
    )
    done = raftha(cluster, primary, "switchover", "--candidate", two)
    assert done.returncode == Exit.UNREACHABLE, done.stdout + done.stderr
    assert "majority" in done.stderr
    for name in (one, two):
        cluster.start(name)
    scene.wait_for_writes(timeout_s=30)
    scene.finish()


def test_a_switchover_in_asynchronous_mode_loses_nothing(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe, synchronous_mode="off")
    candidate = others(scene, scene.primary)[0]

    done = raftha(scene.cluster, candidate, "switchover", "--candidate", candidate)

    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    assert scene.cluster.wait_for_primary() == candidate
    scene.wait_for_writes()
    scene.finish(at_least=50)
