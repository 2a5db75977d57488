"""`raftha store` against running nodes: alike everywhere, and honest without a majority."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import ClusterHarness
from tests.integration.node_support import raftha

pytestmark = pytest.mark.integration

NewCluster = Callable[..., ClusterHarness]


def stored(cluster: ClusterHarness, name: str, *words: object) -> dict[str, Any]:
    done = raftha("store", "get", *words, "-c", cluster.nodes[name].file, "-o", "json")
    assert done.returncode == 0, done.stdout
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_members_and_witness_tell_the_same_store(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=2, witnesses=1)
    cluster.start_all()
    primary = cluster.wait_until_whole()

    for name in cluster.nodes:
        told = stored(cluster, name, "leader")
        (entry,) = told["entries"]
        assert (told["answered_by"], told["linearizable"]) == (name, True)
        assert entry["key"] == "/raftha/test/leader"
        assert (entry["value"]["name"], entry["lease"]) == (primary, "leader")
        local = stored(cluster, name, "leader", "--local")
        assert local["entries"][0]["create_revision"] == entry["create_revision"]
        assert local["age_seconds"] < 2.0
    screen = raftha("store", "list", "members/", "-c", cluster.nodes["w1"].file).stdout
    assert [line.split()[0] for line in screen.splitlines()[1:3]] == [
        "/raftha/test/members/n1",
        "/raftha/test/members/n2",
    ]
    assert "everything committed is in it" in screen


def test_a_watch_tells_the_whole_life_of_the_leader_key(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster = new_cluster(nodes=2, witnesses=1)
    cluster.start_all()
    primary = cluster.wait_until_whole()
    standby = "n2" if primary == "n1" else "n1"
    cluster.wait_for(
        lambda: stored(cluster, "w1", "sync")["entries"][0]["value"]["sync_standby"] == [standby],
        10,
        f"{standby} may take over",
    )
    seen = tmp_path / "seen"
    words = ("store", "watch", "leader", "--after", "0", "-o", "json")
    with seen.open("wb") as out:
        watch = subprocess.Popen(
            [sys.executable, "-m", "raftha", *words, "-c", str(cluster.nodes["w1"].file)],
            stdout=out,
        )
    try:
        cluster.kill(primary)
        assert cluster.wait_for_primary(15.0, other_than=primary) == standby
        cluster.wait_for(lambda: len(seen.read_text().splitlines()) >= 3, 5, "three events")
    finally:
        watch.send_signal(signal.SIGINT)
        code = watch.wait(5)

    events = [json.loads(line) for line in seen.read_text().splitlines()]
    assert code == 0
    assert [(event["kind"], event["value"]["name"]) for event in events] == [
        ("created", primary),
        ("expired", primary),
        ("created", standby),
    ]
    revisions = [event["revision"] for event in events]
    assert revisions == sorted(set(revisions))


def test_without_a_majority_only_the_nodes_own_replica_is_told(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=0, witnesses=3)
    cluster.start_all()
    cluster.wait_for(lambda: (cluster.status() or {}).get("majority"), 10, "a majority")
    stored(cluster, "w1")
    for name in ("w2", "w3"):
        cluster.kill(name)
    # Only w1's own address: a file would name the others too, which take long to fail.
    url = f"http://127.0.0.1:{cluster.nodes['w1'].rest_port}"

    strict = raftha("store", "list", "--url", url)
    local = raftha("store", "list", "--local", "--url", url)

    assert strict.returncode == 3, strict.stdout
    assert "no node tells what the store holds" in strict.stdout
    assert f"{url} answered (503)" in strict.stdout
    assert local.returncode == 0, local.stdout
    assert "w1's own replica" in local.stdout
