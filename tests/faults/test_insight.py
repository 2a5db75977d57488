"""What an operator is told after a failover of a real cluster: why, examinations, the archive."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raftha.cli.exits import Exit
from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.node_support import raftha
from tests.integration.scene import wait_for_sync

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

NewCluster = Callable[..., ClusterHarness]
TTL_S = 2.0


def asked(cluster: ClusterHarness, name: str, *arguments: str) -> Any:
    """The JSON that a command prints of the cluster of this node."""
    told = raftha(*arguments, "-c", str(cluster.nodes[name].file), "-o", "json")
    return json.JSONDecoder().raw_decode(told.stdout[told.stdout.index("{") :])[0]


def events(cluster: ClusterHarness, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(cluster, name, "history", "--events")["events"]
    return found


def test_a_failover_is_explained_by_whoever_is_left(new_cluster: NewCluster) -> None:
    cluster = new_cluster(ttl=TTL_S, witnesses=1)
    cluster.start_all()
    old = cluster.wait_until_whole()
    wait_for_sync(cluster)
    cluster.kill(old)
    new = cluster.wait_for_primary(other_than=old)
    left = next(n for n in cluster.nodes if n not in (old, new))

    def reasons() -> dict[str, Any]:
        return {node["name"]: node for node in asked(cluster, left, "why")["nodes"]}

    # The first record of a promotion is of before it; how long it took is added afterwards.
    cluster.wait_for(
        lambda: "no writes for" in reasons()[new]["because"][0], 2 * TTL_S, "how long it took"
    )
    told = reasons()
    assert told[new]["leads"]
    assert f"the lease of {old} ended" in told[new]["because"][0]
    assert "does not answer" in told[old]["because"][0]
    assert told["w1"]["because"] == ["it is a witness: it votes, and has no PostgreSQL to promote"]
    kept = events(cluster, left)
    (takeover,) = [e for e in kept if e["node"] == new and e["kind"] == "takeover" and e["facts"]]
    assert 0 < float(takeover["facts"]["seconds"]) < 2 * TTL_S
    races = [e for e in kept if e["rule"].startswith("elect-") and "positions" in e["facts"]]
    assert new in {e["node"] for e in races}

    cluster.start(old)
    cluster.wait_until_whole()
    jobs = [e["words"] for e in events(cluster, left) if e["node"] == old and e["kind"] == "job"]
    assert any(words.startswith("pg_rewind") for words in jobs), jobs


def test_the_machines_of_a_healthy_cluster_are_found_well(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster = new_cluster(ttl=TTL_S)
    file = str(cluster.nodes["n1"].file)
    before = raftha("doctor", "-c", file, "--before-start")
    assert before.returncode == Exit.DONE, before.stdout
    assert "raft port: 127.0.0.1:" in before.stdout
    cluster.start_all()
    primary = cluster.wait_until_whole()
    wait_for_sync(cluster)

    found = asked(cluster, "n1", "doctor")
    problems = [f for f in found["findings"] if f["finding"]["grade"] == "problem"]
    slow_disk = {"raft disk", "slow-disk"}  # of this machine
    assert [p for p in problems if p["finding"]["check"] not in slow_disk] == []
    checks = {f["finding"]["check"] for f in found["findings"]}
    assert {"release", "settings", "roles", "clock", "ttl budget", "data disk"} <= checks
    reached = {(n, link["to"], link["port"]) for n in found["links"] for link in found["links"][n]}
    names = set(cluster.nodes)
    assert reached == {
        (one, other, port)
        for one in names
        for other in names - {one}
        for port in ("raft", "http", "postgres")
    }
    cluster.query(primary, "ALTER ROLE replicator VALID UNTIL '2001-01-01'")
    sick = raftha("doctor", "-c", file)
    assert (sick.returncode, "role replicator lacks: valid" in sick.stdout) == (Exit.UNWELL, True)
    check_archive(cluster, file, tmp_path / "diag.tar.gz")


def check_archive(cluster: ClusterHarness, file: str, target: Path) -> None:
    """Every password of the cluster is `PASSWORD`, and so is nothing else in it."""
    assert raftha("diag", "-c", file, "--to", str(target)).returncode == Exit.DONE
    with tarfile.open(target) as archive:
        parts = {
            name.partition("/")[2]: found.read().decode()
            for name in archive.getnames()
            if (found := archive.extractfile(name)) is not None
        }
    assert {"node/postgresql.log", "node/events.jsonl", "nodes/n3/doctor"} <= set(parts)
    key = (cluster.nodes["n1"].file.parent / "raft.key").read_text().strip()
    assert [name for name, text in parts.items() if PASSWORD in text or key in text] == []
