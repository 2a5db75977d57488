"""What a promotion without synchronous replication may leave behind (S7), by the ledger alone.

The bound is `maximum_lag_on_failover` and what the old primary wrote in one ttl. Both are compared
with what its history says; neither is asked of the product.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from raftha.model.ids import Lsn
from tests.integration.workload import Attempt, Outcome

LATE_S: Final = 1.0
"""How old a position may be that a renewal tells: it was asked of the server before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What may be lost of one timeline: so many bytes, and what was written in so many seconds."""

    lag_bytes: int
    ttl_s: float


def loss_violations(
    attempts: Iterable[Attempt],
    rows: set[int],
    history: Iterable[Mapping[str, Any]],
    bound: Bound,
) -> list[str]:
    """What is lost beyond the bound, and what is lost and the history does not say."""
    taken = [a for a in attempts if a.outcome is Outcome.OK]
    line = [record for record in history if record["switch"] is not None]
    found = []
    for timeline in sorted({a.timeline for a in taken if a.id not in rows}):
        own = [a for a in taken if a.timeline == timeline]
        record = departure(line, timeline)
        if record is None:
            found.append(f"rows of timeline {timeline} are lost, and no promotion left it")
            continue
        end = max(a.position for a in own if a.id not in rows)
        lost = Lsn.parse(record["switch"]).behind(Lsn(end))
        allowed = bound.lag_bytes + written_in(own, bound.ttl_s + LATE_S)
        if lost > allowed:
            found.append(f"timeline {timeline} lost {lost} bytes, allowed: {allowed}")
        if record["lost_bytes"] is None or record["lost_bytes"] < max(1, lost):
            found.append(f"timeline {timeline} lost {lost} bytes, told: {record['lost_bytes']}")
    return found


def departure(line: Sequence[Mapping[str, Any]], timeline: int) -> Mapping[str, Any] | None:
    """The last promotion away from a timeline; if nobody went on from it, away from the one that it
    came from."""
    parents = {record["timeline"]: record["parent"] for record in line}
    left: int | None = timeline
    while left is not None:
        later = [r for r in line if r["parent"] == left and r["timeline"] > timeline]
        if later:
            return later[-1]
        left = parents.get(left)
    return None


def written_in(attempts: Iterable[Attempt], seconds: float) -> int:
    """The most WAL, in bytes, that one server was seen to write in so long."""
    seen = sorted((a.ended, a.position) for a in attempts)
    first = most = 0
    for at, position in seen:
        while seen[first][0] < at - seconds:
            first += 1
        most = max(most, position - seen[first][1])
    return most
