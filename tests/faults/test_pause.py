"""The maintenance pause on real PostgreSQL: who runs on, who is not promoted, and how it ends."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from raftha.cli.exits import Exit
from tests.integration.harness import ClusterHarness
from tests.integration.scene import (
    TTL_S,
    NewCluster,
    Probe,
    Scene,
    postmaster_pid,
    report,
    sync_standbys,
    under_load,
)

pytestmark = pytest.mark.integration

SETTLE_S = 10.0


def raftha(cluster: ClusterHarness, via: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A verb of the command line, with the file of the node `via`."""
    verb, *rest = words
    return subprocess.run(
        [sys.executable, "-m", "raftha", verb, "-c", str(cluster.nodes[via].file), *rest],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def paused(new_cluster: NewCluster, probe: Probe) -> Scene:
    """A cluster under load in a pause that every member keeps to."""
    scene = under_load(new_cluster, probe)
    done = raftha(scene.cluster, "n1", "pause", "--wait")
    assert done.returncode == Exit.DONE, done
    assert disarmed(scene.cluster) == [scene.primary]
    assert (scene.cluster.status() or {}).get("pause") is True
    return scene


def disarmed(cluster: ClusterHarness) -> list[str]:
    return list(report(cluster).get("disarmed", []))


def problems(cluster: ClusterHarness) -> str:
    return " ".join(f"{p['what']} {p['remedy']}" for p in report(cluster).get("problems", []))


def others(scene: Scene) -> list[str]:
    return [node.name for node in scene.cluster.members() if node.name != scene.primary]


def await_vacancy(scene: Scene) -> None:
    """The lease of the primary has lapsed, and the key is free."""
    scene.cluster.wait_for(
        lambda: report(scene.cluster) and report(scene.cluster)["leader"] is None,
        SETTLE_S,
        "the leader key is free",
    )


def nobody_is_promoted(scene: Scene, seconds: float) -> None:
    """For so long the others stay standbys."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name in others(scene):
            assert scene.cluster.query(name, "SELECT pg_is_in_recovery()") == [(True,)]
        time.sleep(0.2)


def test_a_paused_primary_outlives_its_agent_and_is_armed_again(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = paused(new_cluster, probe)
    cluster, primary = scene.cluster, scene.primary
    assert "MAINTENANCE PAUSE" in problems(cluster)
    pid = postmaster_pid(cluster, primary)

    cluster.kill_agent(primary)
    await_vacancy(scene)
    nobody_is_promoted(scene, 2 * TTL_S)
    scene.wait_for_writes()

    cluster.start(primary)
    cluster.wait_for(lambda: cluster.primary() == primary, SETTLE_S, "the key is taken again")
    assert disarmed(cluster) == [primary]
    cluster.kill_agent(primary)
    nobody_is_promoted(scene, 2 * TTL_S)
    assert postmaster_pid(cluster, primary) == pid, "the agent that came back has armed it"
    cluster.start(primary)
    cluster.wait_for(lambda: cluster.primary() == primary, SETTLE_S, "the key is taken again")

    done = raftha(cluster, others(scene)[0], "resume", "--wait")
    assert done.returncode == Exit.DONE, done
    assert disarmed(cluster) == []
    assert postmaster_pid(cluster, primary) == pid, "nothing was restarted"
    scene.wait_for_writes()

    cluster.kill_agent(primary)
    scene.await_successor()
    cluster.start(primary)
    scene.finish()


def test_after_a_resume_elsewhere_nobody_is_promoted_before_an_operator_says_so(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = paused(new_cluster, probe)
    cluster, primary = scene.cluster, scene.primary
    candidate, *_ = sync_standbys(cluster)
    pid = postmaster_pid(cluster, primary)
    failover = ("failover", "--candidate", candidate, "--yes")

    cluster.kill_agent(primary)
    assert raftha(cluster, candidate, "resume").returncode == Exit.DONE
    await_vacancy(scene)
    nobody_is_promoted(scene, 2 * TTL_S)
    assert f"--fenced {primary}" in problems(cluster)

    refused = raftha(cluster, candidate, *failover)
    assert refused.returncode == Exit.REFUSED, refused
    assert f"--fenced {primary}" in refused.stderr
    alive = raftha(cluster, candidate, *failover, "--fenced", primary)
    assert alive.returncode == Exit.REFUSED, alive
    assert "answers" in alive.stderr
    assert disarmed(cluster) == [primary], "what is refused changes nothing"
    assert postmaster_pid(cluster, primary) == pid
    scene.wait_for_writes()

    cluster.kill(primary)
    done = raftha(cluster, candidate, *failover, "--fenced", primary)
    assert done.returncode == Exit.DONE, done
    assert scene.await_successor() == candidate
    assert disarmed(cluster) == []
    assert f"said that {primary} is off" in report(cluster)["history"][-1]["reason"]
    cluster.start(primary)
    scene.finish()


@pytest.mark.parametrize("end", ["stop", "switchover"])
def test_in_a_pause_what_an_operator_does_is_done(
    new_cluster: NewCluster, probe: Probe, end: str
) -> None:
    """An agent that is stopped leaves its server; a hand-over to a named member goes on."""
    scene = paused(new_cluster, probe)
    acts: dict[str, Callable[[Scene], None]] = {"stop": stop_agents, "switchover": switch_over}

    acts[end](scene)
    assert raftha(scene.cluster, "n1", "resume", "--wait").returncode == Exit.DONE
    scene.finish()


def stop_agents(scene: Scene) -> None:
    cluster = scene.cluster
    pids = {node.name: postmaster_pid(cluster, node.name) for node in cluster.members()}
    for name in (scene.primary, *others(scene)):
        assert cluster.stop(name) == 0
    scene.wait_for_writes()
    cluster.start_all()
    cluster.wait_for_primary()
    assert pids == {node.name: postmaster_pid(cluster, node.name) for node in cluster.members()}


def switch_over(scene: Scene) -> None:
    cluster, candidate = scene.cluster, others(scene)[-1]
    nameless = raftha(cluster, "n1", "switchover", "--yes")
    assert nameless.returncode == Exit.REFUSED, nameless
    assert "name the candidate" in nameless.stderr
    done = raftha(cluster, "n1", "switchover", "--candidate", candidate, "--yes")
    assert done.returncode == Exit.DONE, done
    cluster.wait_for(lambda: disarmed(cluster) == [candidate], SETTLE_S, "the next is disarmed")
    cluster.wait_until_whole()
