"""A healthy cluster that nobody uses is quiet (L4): what stands in its Raft log and in its WAL
after a while is read back, record by record."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import time
from collections import Counter
from typing import Final

import pytest

from raftha.consensus import commands
from raftha.consensus.storage import FILE_NAME
from raftha.model.postgres import Binaries
from raftha.model.store import Refresh, Transact
from tests.integration.harness import ClusterHarness
from tests.integration.scene import TTL_S, NewCluster, check_quiet, log_of

pytestmark = pytest.mark.integration

QUIET_FOR_S: Final = 16.0
"""PostgreSQL's background writer logs the running transactions each 15 s where there was a write
since: with one in it, the list of PostgreSQL's own records below is no empty claim."""

SETTLED_S: Final = 2.0
HEARTBEAT_S: Final = TTL_S / 5
OWN_RECORDS: Final = {"RUNNING_XACTS", "CHECKPOINT_ONLINE", "CHECKPOINT_REDO"}
"""What PostgreSQL itself writes into the WAL of a server without clients and autovacuum."""
REGULAR: Final = b"\0"
"""The library's mark before a command of ours."""

_RECORD: Final = re.compile(r"desc: (\w+)")


def test_a_healthy_cluster_writes_renewals_and_nothing_else(
    new_cluster: NewCluster, binaries: Binaries
) -> None:
    cluster = new_cluster(ttl=TTL_S, postgresql={"parameters": {"autovacuum": "off"}})
    cluster.start_all()
    primary = check_quiet(cluster)
    begin = settled_position(cluster, primary)

    since, first = time.time(), commit_index(cluster, primary)
    time.sleep(QUIET_FOR_S)
    last = commit_index(cluster, primary)
    took = time.time() - since
    end = position(cluster, primary)
    lines = [line for name in cluster.nodes for line in log_of(cluster, name, since)]

    assert [line.words for line in lines if line.level != "DEBUG"] == [], "somebody did something"
    assert check_quiet(cluster) == primary
    records = wal_records(cluster, primary, binaries, begin, end)
    assert set(records) <= OWN_RECORDS, f"not PostgreSQL's own: {records}"
    written = log_entries(cluster, primary, first, last)
    renewals = written.pop("renewal")
    assert not written, f"{dict(written)} besides {renewals} renewals in {took:.1f} s"
    assert 0.5 * took / HEARTBEAT_S < renewals < 1.1 * took / HEARTBEAT_S + 1


def position(cluster: ClusterHarness, primary: str) -> str:
    """Up to where the primary has written."""
    return str(cluster.query(primary, "SELECT pg_current_wal_insert_lsn()")[0][0])


def settled_position(cluster: ClusterHarness, primary: str) -> str:
    """The position once it stands still: the cluster's beginning, and the hint bits that the first
    look at a page sets, are behind."""
    seen = [(time.monotonic(), position(cluster, primary))]

    def stands() -> bool:
        now = position(cluster, primary)
        if now != seen[-1][1]:
            seen.append((time.monotonic(), now))
        return time.monotonic() - seen[-1][0] >= SETTLED_S

    cluster.wait_for(stands, 20, f"the WAL of {primary} stands still")
    return seen[-1][1]


def wal_records(
    cluster: ClusterHarness, primary: str, binaries: Binaries, begin: str, end: str
) -> Counter[str]:
    """The kinds of the records between two positions, counted."""
    if begin == end:
        return Counter()
    timeline = cluster.get(primary, "/patroni")[1]["timeline"]
    command = [
        str(binaries.bin_dir / "pg_waldump"),
        f"--path={cluster.nodes[primary].pgdata / 'pg_wal'}",
        f"--timeline={timeline}",
        f"--start={begin}",
        f"--end={end}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return Counter(_RECORD.findall(done.stdout))


def commit_index(cluster: ClusterHarness, name: str) -> int:
    """How far this voter knows the log to be committed."""
    index: int = cluster.get(name, "/patroni")[1]["raft"]["commit_index"]
    return index


def log_entries(cluster: ClusterHarness, name: str, first: int, last: int) -> Counter[str]:
    """What stands in a voter's log behind `first` up to `last`, by kind; ends that node."""
    cluster.kill(name)
    store = sqlite3.connect(cluster.nodes[name].folder / "raft" / FILE_NAME)
    try:
        statement = "SELECT command FROM log WHERE idx > ? AND idx <= ?"
        rows = store.execute(statement, (first, last)).fetchall()
    finally:
        store.close()
    assert len(rows) == last - first, "the log was shortened"
    return Counter(kind_of(row[0]) for row in rows)


def kind_of(entry: bytes) -> str:
    """A renewal, the keys that a command writes, or the name of any other command."""
    if entry[:1] != REGULAR:
        return "the first entry of a raft leader"
    body = commands.decode(entry[1:]).body
    if isinstance(body, Refresh):
        return "renewal"
    if isinstance(body, Transact):
        return " ".join(sorted(str(getattr(write, "key", write)) for write in body.writes))
    return type(body).__name__
