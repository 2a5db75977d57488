"""`/metrics` of real members and a real witness, read by the parser of Prometheus' own library."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.harness import ClusterHarness
from tests.integration.processes import Part

pytestmark = pytest.mark.integration

NewCluster = Callable[..., ClusterHarness]
Values = dict[str, float]
WITNESS_BYTES = 45 << 20


def scrape(cluster: ClusterHarness, name: str) -> Values:
    """Each sample's value by its name and, in braces, what its labels say beside the node."""
    with urllib.request.urlopen(cluster.url(name) + "/metrics", timeout=2) as answer:
        page = answer.read().decode()
    values: Values = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = dict(sample.labels)
            if not sample.name.startswith("process_"):
                assert (labels.pop("scope"), labels.pop("name")) == ("test", name), sample
            words = ",".join(labels[label] for label in sorted(labels))
            # This reader, unlike Prometheus, gives each counter the ending that Patroni's lack.
            plain = sample.name.removesuffix("_total") if "patroni" in sample.name else sample.name
            values[plain + (f"{{{words}}}" if words else "")] = sample.value
    return values


def started(new_cluster: NewCluster) -> tuple[ClusterHarness, str, str]:
    """A cluster in which the standby may take over; its primary and its standby."""
    cluster = new_cluster(nodes=2, witnesses=1, synchronous_mode="on")
    cluster.start_all()
    primary = cluster.wait_until_whole()
    standby = "n2" if primary == "n1" else "n1"
    cluster.wait_for(
        lambda: cluster.get(standby, "/sync")[0] == 200, 10, f"{standby} is synchronous"
    )
    return cluster, primary, standby


def test_members_and_witness_tell_what_they_are(new_cluster: NewCluster) -> None:
    cluster, primary, standby = started(new_cluster)
    cluster.wait_for(
        lambda: scrape(cluster, primary)["raftha_lease_renewals_total{committed}"] >= 3,
        10,
        "three renewals",
    )
    of = {name: scrape(cluster, name) for name in cluster.nodes}

    leads = {name: values["raftha_raft_is_leader"] for name, values in of.items()}
    assert sum(leads.values()) == 1
    for name, values in of.items():
        expected = {
            "raftha_raft_has_majority": 1,
            "raftha_raft_voters": 3,
            "raftha_raft_quorum": 2,
            "raftha_raft_voters_in_touch": 3,
            "raftha_leader_known": 1,
            "raftha_ttl_seconds": 2,
        }
        assert {key: values[key] for key in expected} == expected, name
        assert values["raftha_raft_term"] == of[primary]["raftha_raft_term"]
        assert values["raftha_raft_commit_index"] >= values["raftha_raft_applied_index"] > 0
        assert values["raftha_raft_fsync_seconds_count"] > 0
        assert 0 <= values["raftha_view_age_seconds"] < 2
        silent = [value for key, value in values.items() if "voter_silence" in key]
        assert len(silent) == 2
        assert all(0 <= value < 1 for value in silent)
        lags = [value for key, value in values.items() if "voter_lag" in key]
        assert len(lags) == (2 if leads[name] else 0)
    here, there, witness = of[primary], of[standby], of["w1"]
    assert here["raftha_routed"] == here["raftha_postgres_primary"] == 1
    assert here["raftha_holds_leader_key"] == here["patroni_primary"] == 1
    assert 0 < here["raftha_lease_remaining_seconds"] <= 2
    assert here["raftha_loop_seconds_count"] > 0
    assert here["raftha_fences_total{deadline}"] == 0
    assert there["raftha_routed"] == there["raftha_postgres_primary"] == 0
    assert there["raftha_sync_standby"] == there["patroni_postgres_streaming"] == 1
    assert there["raftha_postgres_lag_bytes"] >= 0
    assert (here["raftha_rpo_bytes"], "raftha_rpo_bytes" in there) == (0, False)
    assert here["patroni_postgres_server_version"] == there["patroni_postgres_server_version"]
    assert here["patroni_xlog_location"] > 0
    assert abs((there["patroni_xlog_replayed_timestamp"] or time.time()) - time.time()) < 600
    assert (here["patroni_failover_priority"], here["patroni_standby_leader"]) == (1, 0)
    started_at = cluster.query(
        primary, "SELECT extract(epoch FROM pg_postmaster_start_time())::float8"
    )
    assert here["patroni_postmaster_start_time"] == pytest.approx(started_at[0][0], abs=1)
    assert not [key for key in witness if "postgres" in key or key.startswith("patroni_")]


def test_a_witness_is_small(new_cluster: NewCluster) -> None:
    """After it has voted, answered for the whole cluster and been scraped."""
    cluster, _, _ = started(new_cluster)
    for path in ("/cluster", "/metrics", "/patroni", "/store", "/health") * 5:
        with urllib.request.urlopen(cluster.url("w1") + path, timeout=3) as answer:
            assert answer.read()

    (agent,) = cluster.processes("w1", Part.AGENT)
    told = scrape(cluster, "w1")["process_resident_memory_bytes"]
    held = psutil.Process(agent.pid).memory_info().rss
    print(f"a witness holds {held / 2**20:.1f} MiB")
    assert told == pytest.approx(held, rel=0.05)
    assert held <= WITNESS_BYTES


def test_a_fence_and_a_failover_are_counted(new_cluster: NewCluster) -> None:
    cluster, primary, standby = started(new_cluster)
    term = scrape(cluster, standby)["raftha_raft_term"]

    cluster.pause(primary, Part.AGENT)
    assert cluster.wait_for_primary(15.0, other_than=primary) == standby
    cluster.resume(primary)

    def counted() -> bool:
        return scrape(cluster, primary)["raftha_fences_total{deadline}"] == 1

    cluster.wait_for(counted, 10, f"{primary} counts its fence")
    fenced = scrape(cluster, primary)
    assert fenced["raftha_fence_seconds_count"] == 1
    assert 0 < fenced["raftha_fence_seconds_sum"] < 2
    assert fenced["raftha_routed"] == 0
    assert scrape(cluster, standby)["raftha_routed"] == 1
    assert scrape(cluster, standby)["raftha_failover_seconds_count"] == 1
    assert scrape(cluster, standby)["raftha_raft_term"] >= term
