"""What Prometheus reads of this process: counts that were kept, and values looked up when it asks.

The only file that imports prometheus_client, of which it uses the histograms, the counters and the
text format. Nothing is global: each process that serves `/metrics` makes one `Metrics`, and whoever
has something to count is handed a method of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct, field
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES: Final = ("committed", "rejected", "notsent", "unknown")
FENCE_REASONS: Final = ("deadline", "asked", "stop", "failure")

_DISK_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_LOOP_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_FENCE_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
_RENEWAL_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_TAKEOVER_BUCKETS: Final = (
    0.5,
    1.0,
    1.5,
    2.0,
    3.0,
    4.0,
    5.0,
    6.0,
    8.0,
    10.0,
    15.0,
    30.0,
    60.0,
    300.0,
)
_OWN_LABELS: Final = ("scope", "name")
_CREATED: Final = "_created"


class Reading(Struct, frozen=True, kw_only=True):
    """One value at the instant of the question. `counts` says that it only ever grows; its name
    then ends with `_total`, unless it is Patroni's."""

    name: str
    doc: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    counts: bool = False


class Metrics:
    """The counts of one process; every sample carries the cluster's and the node's name."""

    def __init__(self, *, scope: str, name: str, witness: bool) -> None:
        self._own = (scope, name)
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._fsync = self._histogram(
            "raftha_raft_fsync_seconds",
            "Time that making the Raft log durable took.",
            _DISK_BUCKETS,
        )
        self._loop = self._histogram(
            "raftha_loop_seconds", "Time of one round: observe, decide, perform.", _LOOP_BUCKETS
        )
        self._fence_time = self._histogram(
            "raftha_fence_seconds",
            "Time from the start of a fence until no process of the instance was left.",
            _FENCE_BUCKETS,
        )
        self._renewal_time = self._histogram(
            "raftha_lease_renewal_seconds",
            "Time from the hand-over of a renewal until the guardian had the deadline.",
            _RENEWAL_BUCKETS,
        )
        self._takeovers = self._histogram(
            "raftha_failover_seconds",
            "Time from the last renewal of a leader that served until clients could write here.",
            _TAKEOVER_BUCKETS,
        )
        self._renewals = self._counter(
            "raftha_lease_renewals", "Renewals of the leader lease that have ended.", "outcome"
        )
        self._fences = self._counter(
            "raftha_fences", "Fences: kills of the whole PostgreSQL instance.", "reason"
        )
        if not witness:
            self._begin_at_zero()

    def synced(self, seconds: float) -> None:
        """The Raft log was made durable."""
        self._fsync.labels(*self._own).observe(seconds)

    def ticked(self, seconds: float) -> None:
        """The loop has ended a round."""
        self._loop.labels(*self._own).observe(seconds)

    def settled(self, outcome: str, seconds: float | None) -> None:
        """A renewal has ended in one of OUTCOMES; one that committed after so long."""
        self._renewals.labels(*self._own, outcome).inc()
        if seconds is not None:
            self._renewal_time.labels(*self._own).observe(seconds)

    def took_over(self, seconds: float) -> None:
        """Clients may write here, so long after the last renewal of the leader before."""
        self._takeovers.labels(*self._own).observe(seconds)

    def fenced(self, reason: str, seconds: float) -> None:
        """The guardian has killed the instance, for one of FENCE_REASONS."""
        self._fences.labels(*self._own, reason).inc()
        self._fence_time.labels(*self._own).observe(seconds)

    def _begin_at_zero(self) -> None:
        """What is counted from nothing can be told from what is not counted, and its first
        increase be seen."""
        self._loop.labels(*self._own)
        self._fence_time.labels(*self._own)
        self._renewal_time.labels(*self._own)
        self._takeovers.labels(*self._own)
        for outcome in OUTCOMES:
            self._renewals.labels(*self._own, outcome)
        for reason in FENCE_REASONS:
            self._fences.labels(*self._own, reason)

    def expose(self, readings: Iterable[Reading]) -> bytes:
        """Everything in Prometheus' text format: the counts, and these readings."""
        found = tuple(readings)
        page = generate_latest(_Page(self._registry, self._families(found)))
        for name in {each.name for each in found if each.counts and not _is_named(each)}:
            # The library has no counter of such a name; what reads the page has.
            page = page.replace(b"# TYPE %s gauge\n" % name.encode(), _type_of(name))
        return page

    def _histogram(self, name: str, doc: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, doc, _OWN_LABELS, buckets=buckets, registry=self._registry)

    def _counter(self, name: str, doc: str, label: str) -> Counter:
        return Counter(name, doc, (*_OWN_LABELS, label), registry=self._registry)

    def _families(self, readings: Iterable[Reading]) -> Iterator[Metric]:
        own = dict(zip(_OWN_LABELS, self._own, strict=True))
        families: dict[str, Metric] = {}
        for reading in readings:
            family = families.get(reading.name)
            if family is None:
                kind = "counter" if reading.counts and _is_named(reading) else "gauge"
                family = Metric(reading.name.removesuffix("_total"), reading.doc, kind)
                families[reading.name] = family
            family.add_sample(reading.name, {**own, **reading.labels}, reading.value)
        yield from families.values()


def _is_named(counter: Reading) -> bool:
    return counter.name.endswith("_total")


def _type_of(name: str) -> bytes:
    return f"# TYPE {name} counter\n".encode()


class _Page(Collector):
    """What one answer consists of. The times at which the library began to count are left out:
    they double the page, and a count that starts again is told by its fall."""

    def __init__(self, registry: CollectorRegistry, families: Iterable[Metric]) -> None:
        self._registry = registry
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            kept = Metric(family.name, family.documentation, family.type, family.unit)
            kept.samples = [x for x in family.samples if not x.name.endswith(_CREATED)]
            if kept.samples:
                yield kept
        yield from self._families
