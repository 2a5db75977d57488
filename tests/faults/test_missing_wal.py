"""A rewind that needs WAL which the directory has no more, and there is no archive: the new primary
has it, or a copy is made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from raftha.errors import PostgresError
from raftha.model.postgres import Binaries
from raftha.pg import clone, rewind
from raftha.pg.timeline import Relation
from tests.integration.node_support import raftha
from tests.integration.pg_support import (
    Node,
    attach,
    caught_up,
    first_primary,
    ids,
    is_streaming,
    nodes,
    standby_of,
    until,
)
from tests.integration.scene import TTL_S, NewCluster, await_line, log_of
from tests.integration.test_pg_rejoin import old_primary_diverges
from tests.integration.test_rejoin import check_joined, diverge

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

SEGMENTS: Final = 6
"""Written after the last checkpoint that both sides have."""

LITTLE: Final = {"wal_keep_size": "0", "min_wal_size": "32MB", "max_wal_size": "1GB"}


def segments(node: Node) -> set[str]:
    folder: Path = node.config.data_dir / "pg_wal"
    return {path.name for path in folder.iterdir() if len(path.name) == 24}


def write_segment(node: Node) -> str:
    """Its name."""
    ((name,),) = node.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")
    node.sql("SELECT pg_logical_emit_message(false, 'x', 'y')")
    node.sql("SELECT pg_switch_wal()")
    return str(name)


def much_after_a_checkpoint(n1: Node, n2: Node) -> list[str]:
    """The names of the segments since."""
    for node in (n1, n2):
        node.set(**LITTLE)
    system_id = first_primary(n1)
    attach(n1, n2, system_id)
    n1.instance.checkpoint(30.0)
    until(lambda: caught_up(n1, n2))
    n2.instance.checkpoint(30.0)
    written = [write_segment(n1) for _ in range(SEGMENTS)]
    until(lambda: caught_up(n1, n2))
    return written


def test_wal_that_was_recycled_comes_from_the_new_primary(binaries: Binaries) -> None:
    with nodes(binaries, "n1", "n2") as (n1, n2):
        written = much_after_a_checkpoint(n1, n2)
        n2.instance.create_slot("n1")
        old_primary_diverges(n1, n2, "fast")
        assert not set(written) <= segments(n1)
        assert set(written) <= segments(n2)
        source = n2.upstream_for("n1", "n1")
        comparison = rewind.compare(n1.job(), source)
        assert comparison.relation is Relation.DIVERGED

        done = rewind.rewind(n1.job(), source, comparison)

        assert done.fetched >= SEGMENTS - 1
        n1.start(standby_of(source))
        until(lambda: is_streaming(n1) and caught_up(n2, n1))
        assert ids(n1) == ids(n2) == [200]


def test_what_the_new_primary_lacks_too_means_a_copy(binaries: Binaries) -> None:
    with nodes(binaries, "n1", "n2") as (n1, n2):
        written = much_after_a_checkpoint(n1, n2)
        old_primary_diverges(n1, n2, "fast")
        assert not set(written) & segments(n2)
        n2.instance.create_slot("n1")
        source = n2.upstream_for("n1", "n1")
        comparison = rewind.compare(n1.job(), source)
        before = segments(n1)

        with pytest.raises(PostgresError, match=r"WAL segment \w+ is missing, and .* no more"):
            rewind.rewind(n1.job(), source, comparison)

        assert segments(n1) >= before
        problem = n1.instance.inspect().problem
        assert problem is not None
        assert "did not end" in problem
        clone.clone(n1.job(stamp="S"), source)
        n1.start(standby_of(source))
        until(lambda: is_streaming(n1) and caught_up(n2, n1))
        assert ids(n1) == ids(n2) == [200]


def test_a_former_primary_is_rewound_with_wal_from_its_successor(new_cluster: NewCluster) -> None:
    """Its last checkpoint lies behind the fork, and what it wrote between the one before and the
    fork was recycled. Its slot on a standby keeps that WAL, though the new primary has made a
    checkpoint too."""
    cluster = new_cluster(
        ttl=TTL_S, synchronous_mode="off", postgresql={"parameters": dict(LITTLE)}
    )
    cluster.start_all()
    old = cluster.wait_until_whole()
    for _ in range(SEGMENTS):
        cluster.query(old, "SELECT pg_logical_emit_message(false, 'x', 'y')")
        cluster.query(old, "SELECT pg_switch_wal()")
    cluster.wait_until_whole()
    new = diverge(cluster, old, last="CHECKPOINT")

    cluster.start(old)
    rewound = await_line(cluster, old, "rewound", 60)
    assert re.search(rf"segments_fetched=[{SEGMENTS - 1}-9]", rewound.words), rewound
    check_joined(cluster, old, new)
    told = raftha("history", "--events", "-c", cluster.nodes[new].file).stdout
    assert "segments_fetched" in told
    assert not any("cloning" in line.words for line in log_of(cluster, old))
