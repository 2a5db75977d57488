"""A primary that wrote what nobody else got comes back: its data directory joins the new line, and
what it alone had is kept beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from raftha.model.ids import Lsn
from tests.integration.harness import ClusterHarness
from tests.integration.node_support import raftha
from tests.integration.processes import Part, runs
from tests.integration.scene import (
    TTL_S,
    WRITABLE_LIMIT_S,
    NewCluster,
    await_line,
    check_quiet,
    log_of,
    report,
    wait_for_sync,
)

pytestmark = pytest.mark.integration


SLACK_BYTES: Final = 2000
"""What a server may write between the question how far it is and its end; rows are far more."""


def diverged_primary(new_cluster: NewCluster, **options: Any) -> tuple[ClusterHarness, str, str]:
    """A cluster whose old primary, dead now, has rows of its own; it and its successor. `end` in
    the old one's folder holds how far it had written."""
    cluster = new_cluster(ttl=TTL_S, synchronous_mode="off", **options)
    cluster.start_all()
    old = cluster.wait_until_whole()
    return cluster, old, diverge(cluster, old)


def diverge(cluster: ClusterHarness, old: str, last: str = "SELECT 1") -> str:
    """Have the primary write what nobody else gets, run the statement `last`, and lose it; the name
    of its successor."""
    cluster.query(old, "CREATE TABLE mine (id int)")
    standbys = [node.name for node in cluster.members() if node.name != old]
    for name in standbys:
        cluster.pause(name, Part.POSTGRES)
    # What lies in the sockets already would still arrive after the thaw.
    cluster.query(old, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
    cluster.wait_for(
        lambda: cluster.query(old, "SELECT count(*) FROM pg_stat_replication") == [(0,)],
        10,
        "nobody streams",
    )
    cluster.query(old, "INSERT INTO mine SELECT generate_series(1, 100)")
    cluster.query(old, last)
    end = cluster.query(old, "SELECT pg_current_wal_insert_lsn()")[0][0]
    cluster.kill(old)
    (cluster.nodes[old].folder / "end").write_text(end, encoding="ascii")
    for name in standbys:
        cluster.resume(name)
    new = cluster.wait_for_primary(WRITABLE_LIMIT_S, other_than=old)
    assert cluster.query(new, "SELECT count(*) FROM mine") == [(0,)], "it did not diverge"
    cluster.query(new, "INSERT INTO mine VALUES (1000)")
    return new


def beside(cluster: ClusterHarness, name: str, pattern: str) -> list[Path]:
    """What is kept beside a node's data directory; the list of its slots is no evidence."""
    found = sorted(cluster.nodes[name].folder.glob(pattern))
    return [path for path in found if path.name != "pgdata.slots"]


def check_joined(cluster: ClusterHarness, old: str, new: str) -> None:
    """The old primary follows, with the rows of the new line alone."""
    assert check_quiet(cluster) == new
    cluster.wait_for(
        lambda: cluster.query(old, "SELECT id FROM mine") == [(1000,)], 10, "the row of the line"
    )
    assert cluster.query(old, "SELECT pg_is_in_recovery()") == [(True,)]
    end = Lsn.parse((cluster.nodes[old].folder / "end").read_text(encoding="ascii"))
    record = report(cluster)["history"][-1]
    lost = Lsn.parse(record["switch"]).behind(end)
    assert abs(record["lost_bytes"] - lost) < SLACK_BYTES < lost, (record, lost)
    told = raftha("history", "-c", cluster.nodes[new].file).stdout
    assert f"{record['lost_bytes']} bytes of WAL were left behind" in told
    kept = beside(cluster, old, "pgdata.diverged-*")[0]
    cluster.wait_for(
        lambda: any(f"{kept} (" in problem["what"] for problem in report(cluster)["problems"]),
        10,
        "what is kept is named",
    )


@pytest.mark.smoke
def test_a_diverged_primary_is_rewound_and_its_wal_is_kept(new_cluster: NewCluster) -> None:
    cluster, old, new = diverged_primary(new_cluster)

    cluster.start(old)
    rewound = await_line(cluster, old, "rewound", 40)
    check_joined(cluster, old, new)

    (kept,) = beside(cluster, old, "pgdata.diverged-wal-*")
    assert str(kept) in rewound.words
    assert [path for path in kept.iterdir() if len(path.name) == 24], "no WAL segment was kept"
    assert beside(cluster, old, "pgdata.rewinding") == []


def test_where_a_rewind_is_forbidden_a_copy_is_made_beside(new_cluster: NewCluster) -> None:
    cluster, old, new = diverged_primary(new_cluster, postgresql={"use_pg_rewind": False})

    cluster.start(old)
    check_joined(cluster, old, new)

    (kept,) = [p for p in beside(cluster, old, "pgdata.diverged-*") if "wal" not in p.name]
    assert (kept / "PG_VERSION").is_file()
    assert not any("rewound" in line.words for line in log_of(cluster, old))


def test_where_a_rewind_fails_a_copy_is_made_beside(new_cluster: NewCluster) -> None:
    cluster, old, new = diverged_primary(new_cluster)
    # pg_rewind reads every file of the target that differs; this one it cannot make sense of.
    control = cluster.nodes[old].pgdata / "backup_label"
    control.write_text("not a label\n", encoding="ascii")

    cluster.start(old)
    await_line(cluster, old, "pg_rewind is impossible, cloning instead", 40)
    check_joined(cluster, old, new)

    (kept,) = [p for p in beside(cluster, old, "pgdata.diverged-*") if "wal" not in p.name]
    assert (kept / "backup_label").is_file()


def test_a_copy_whose_agent_was_killed_is_never_mixed_with_the_next(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(ttl=TTL_S, nodes=2, witnesses=1)
    for name in ("n1", "w1"):
        cluster.start(name)
    primary = cluster.wait_for_primary()
    cluster.query(
        primary, "CREATE TABLE big AS SELECT repeat('x', 2000) FROM generate_series(1, 20000)"
    )
    cluster.start("n2")
    orphans: list[psutil.Process] = []

    def suspended() -> bool:
        """They shall outlive their agent, and the next one's start."""
        orphans[:] = copiers(cluster, "n2")
        for orphan in orphans:
            orphan.suspend()
        return bool(orphans)

    cluster.wait_for(suspended, 20, "a copy is being made")
    cluster.kill_agent("n2")
    (half_made,) = beside(cluster, "n2", "pgdata.new-*[0-9]")
    cluster.start("n2")

    assert cluster.wait_until_whole() == primary
    assert not any(map(runs, orphans))
    assert not half_made.exists()
    assert beside(cluster, "n2", "pgdata.[dfn]*") == []
    rows = [cluster.query(name, "SELECT count(*) FROM big") for name in ("n1", "n2")]
    assert rows == [[(20000,)]] * 2


def copiers(cluster: ClusterHarness, name: str) -> list[psutil.Process]:
    """The programs that copy into a directory beside a node's data directory."""
    found = cluster.processes(name, Part.POSTGRES)
    return [process for process in found if Path(process.exe()).name == "pg_basebackup"]


def test_a_primary_that_lost_nothing_follows_without_a_copy(new_cluster: NewCluster) -> None:
    cluster = new_cluster(ttl=TTL_S)
    cluster.start_all()
    old = cluster.wait_until_whole()
    wait_for_sync(cluster)
    assert cluster.stop(old) == 0
    new = cluster.wait_for_primary(WRITABLE_LIMIT_S, other_than=old)

    cluster.start(old)
    assert check_quiet(cluster) == new

    assert beside(cluster, old, "pgdata.[dfn]*") == []
    await_line(cluster, old, "nothing diverged", 5)
