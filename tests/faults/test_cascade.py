"""A standby that streams from another one, as its tag says, over the loss of each other member; and
a copy that is taken from a standby."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Final

import pytest

from raftha.cli.exits import Exit
from tests.integration.harness import ClusterHarness
from tests.integration.node_support import hang_up, rewrite
from tests.integration.scene import NewCluster, Probe, raftha, report, under_load
from tests.integration.test_http import request
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

LIMIT_S: Final = 20.0
STREAM: Final = (
    "SELECT status || ' ' || sender_port FROM pg_stat_wal_receiver WHERE status = 'streaming'"
)
SLOTS: Final = "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'physical'"


def streams_from(cluster: ClusterHarness, name: str, source: str) -> bool:
    port = cluster.nodes[source].postgres_port
    return cluster.query(name, STREAM) == [(f"streaming {port}",)]


def slots(cluster: ClusterHarness, name: str) -> set[str]:
    return {row[0] for row in cluster.query(name, SLOTS)}


def tags(cluster: ClusterHarness, name: str) -> dict[str, object]:
    """Those that the store knows of."""
    members = (cluster.status() or {"members": ()})["members"]
    return next((m.get("tags", {}) for m in members if m["name"] == name), {})


def tag(cluster: ClusterHarness, name: str, **wanted: object) -> None:
    rewrite(cluster, name, lambda options: options.update(tags=wanted))
    hang_up(cluster, name)


def test_a_standby_below_another_outlasts_the_loss_of_each(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts]
) -> None:
    scene = under_load(new_cluster, probe)
    cluster, primary = scene.cluster, scene.primary
    middle, lowest = (n.name for n in cluster.members() if n.name != primary)
    tag(cluster, lowest, replicatefrom=middle)

    def is_below(source: str) -> Callable[[], bool]:
        return lambda: streams_from(cluster, lowest, source)

    cluster.wait_for(is_below(middle), LIMIT_S, f"{lowest} streams from {middle}")
    tree = json.loads(raftha(cluster, Exit.DONE, "topology", "-o", "json"))["members"][0]
    shown = {
        m["name"]: [below["name"] for below in m.get("standbys", ())] for m in tree["standbys"]
    }
    assert (tree["name"], shown) == (primary, {middle: [lowest]})
    cluster.wait_for(
        lambda: lowest not in slots(cluster, primary) and lowest in slots(cluster, middle),
        LIMIT_S,
        "its slot is at its upstream alone",
    )

    cluster.kill(middle)
    cluster.wait_for(is_below(primary), LIMIT_S, f"{lowest} streams from the leader")
    cluster.start(middle)
    cluster.wait_for(is_below(middle), LIMIT_S, f"{lowest} streams from {middle} again")

    cluster.wait_for(
        lambda: report(cluster).get("sync_standbys") == [middle], LIMIT_S, f"{middle} may lead"
    )
    cluster.kill(primary)
    assert scene.await_successor() == middle, "nobody but who streamed from the leader may lead"
    cluster.start(primary)
    cluster.wait_for(is_below(middle), LIMIT_S, f"{lowest} streams from {middle} still")
    tag(cluster, lowest)
    cluster.wait_until_whole()
    conclude(scene, gap_s=15.0)


def test_a_new_copy_is_taken_from_a_standby_that_is_tagged_for_it(
    new_cluster: NewCluster, probe: Probe
) -> None:
    scene = under_load(new_cluster, probe)
    cluster, primary = scene.cluster, scene.primary
    source, anew = (n.name for n in cluster.members() if n.name != primary)
    tag(cluster, source, clonefrom=True)
    cluster.wait_for(lambda: "clonefrom" in tags(cluster, source), LIMIT_S, "the tag is known")

    node = cluster.nodes[anew]
    cluster.kill(anew)
    shutil.rmtree(node.pgdata)
    cluster.start(anew)
    text = f"cloning from {source}"
    cluster.wait_for(lambda: text in node.log.read_text("utf-8"), LIMIT_S, "it is copied")
    cluster.wait_until_whole()
    check_copies_of_the_leader(cluster, anew)
    scene.finish()


def check_copies_of_the_leader(cluster: ClusterHarness, name: str) -> None:
    """An operator may want them in spite of the tag: by the command, or by either key of HTTP."""

    def copies() -> int:
        primary = cluster.wait_for_primary()
        return cluster.nodes[name].log.read_text("utf-8").count(f"cloning from {primary} ")

    before = copies()
    raftha(cluster, Exit.DONE, "reinit", "--yes", "--wait", "--from-leader", name)
    assert copies() > before
    for key in ("from_leader", "from-leader"):
        before = copies()
        cluster.wait_for(
            lambda key=key: request(cluster, name, "POST", "/reinitialize", {key: True})[0] == 202,
            LIMIT_S,
            f"{key} is taken",
        )
        cluster.wait_for(lambda before=before: copies() > before, 2 * LIMIT_S, key)
        cluster.wait_until_whole()
