"""The page that Prometheus reads, judged by the library's own parser."""

from __future__ import annotations

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from raftha.metrics import FENCE_REASONS, Metrics, Reading

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(page: bytes) -> Samples:
    """Each sample's value by name and labels, the process's own left out."""
    found: Samples = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return {key: value for key, value in found.items() if not key[0].startswith("process_")}


def own(**labels: str) -> frozenset[tuple[str, str]]:
    return frozenset({"scope": "main", "name": "n1", **labels}.items())


def test_what_was_counted_stands_on_the_page_with_both_names() -> None:
    metrics = Metrics(scope="main", name="n1", witness=False)
    metrics.synced(0.004)
    metrics.synced(0.4)
    metrics.ticked(0.02)
    metrics.settled("committed", 0.004)
    metrics.settled("committed", 0.3)
    metrics.settled("unknown", None)
    metrics.fenced("deadline", 0.12)

    told = samples(metrics.expose([]))

    assert told["raftha_raft_fsync_seconds_count", own()] == 2
    assert told["raftha_raft_fsync_seconds_sum", own()] == 0.404
    assert told["raftha_raft_fsync_seconds_bucket", own(le="0.005")] == 1
    assert told["raftha_loop_seconds_count", own()] == 1
    assert told["raftha_lease_renewals_total", own(outcome="committed")] == 2
    assert told["raftha_lease_renewals_total", own(outcome="unknown")] == 1
    assert told["raftha_fences_total", own(reason="deadline")] == 1
    assert told["raftha_fence_seconds_sum", own()] == 0.12
    assert not [name for name, _ in told if name.endswith("_created")]


def test_a_member_begins_at_zero_and_a_witness_has_no_counts_of_postgresql() -> None:
    member = samples(Metrics(scope="main", name="n1", witness=False).expose([]))
    witness = samples(Metrics(scope="main", name="n1", witness=True).expose([]))

    for reason in FENCE_REASONS:
        assert member["raftha_fences_total", own(reason=reason)] == 0
    assert witness == {}


def test_readings_become_gauges_and_counters_and_names_are_escaped() -> None:
    metrics = Metrics(scope="main", name="n1", witness=True)
    page = metrics.expose(
        [
            Reading(name="raftha_a", doc="A.", value=1.5, labels={"voter": 'a "b"\\c\n'}),
            Reading(name="raftha_c_total", doc="C.", value=7, counts=True),
            Reading(name="raftha_a", doc="A.", value=2, labels={"voter": "b"}),
        ]
    )

    told = samples(page)

    assert told["raftha_a", own(voter='a "b"\\c\n')] == 1.5
    assert told["raftha_a", own(voter="b")] == 2
    assert told["raftha_c_total", own()] == 7
    kinds = {family.name: family.type for family in text_string_to_metric_families(page.decode())}
    assert (kinds["raftha_a"], kinds["raftha_c"]) == ("gauge", "counter")
    assert page.count(b"# TYPE raftha_a ") == 1


def test_two_registries_know_nothing_of_each_other_nor_of_the_global_one() -> None:
    first, second = (Metrics(scope="main", name="n1", witness=True) for _ in range(2))
    first.synced(1.0)

    assert "raftha_raft_fsync_seconds_count" not in {name for name, _ in samples(second.expose([]))}
    assert not [family for family in REGISTRY.collect() if family.name.startswith("raftha")]
