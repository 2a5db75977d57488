"""Clusters and standbys that are made by programs of the operator's: out of a backup, up to a point
in time, and what becomes of what such a program leaves when it fails or is cut short."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from raftha.cli.exits import Exit
from raftha.model.postgres import Binaries
from tests.faults.backups import HALF, TARGET, Backup
from tests.integration import processes
from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.node_support import hang_up, rewrite, said_by
from tests.integration.scene import (
    WRITABLE_LIMIT_S,
    NewCluster,
    raftha,
    report,
    sync_standbys,
    wait_for_sync,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

RESTORE_LIMIT_S: Final = 60.0

ASKED: Final = """
import os, sys, psycopg2
if os.path.exists({fails!r}):
    sys.exit("the schema is not ready")
session = psycopg2.connect(sys.argv[-1])
session.cursor().execute("CREATE TABLE public.asked AS SELECT 1 AS id")
session.commit()
assert "harness" not in " ".join(sys.argv) and "harness" in open(os.environ["PGPASSFILE"]).read()
"""


@pytest.fixture
def backup(short_folder: Path, binaries: Binaries) -> Iterator[Backup]:
    folder = short_folder / "b"
    folder.mkdir()
    yield Backup(folder, binaries)
    shutil.rmtree(folder)


def give(cluster: ClusterHarness, section: str, keys: dict[str, Any]) -> None:
    """Put these keys into a section of each node's file."""
    for name in cluster.nodes:
        rewrite(cluster, name, lambda options: options[section].update(keys))


def restored(new_cluster: NewCluster, backup: Backup, **options: Any) -> ClusterHarness:
    """A cluster, not yet started, that is to be made out of the backup."""
    cluster: ClusterHarness = new_cluster(**options)
    give(cluster, "bootstrap", backup.bootstrap())
    return cluster


def aside(cluster: ClusterHarness, name: str, kind: str) -> list[Path]:
    """What is kept beside a node's data directory."""
    pgdata = cluster.nodes[name].pgdata
    return sorted(pgdata.parent.glob(f"{pgdata.name}.{kind}-*"))


def check_restored(cluster: ClusterHarness) -> None:
    """Every member has the rows up to the target, and no setting of that recovery."""
    for name in cluster.nodes:
        cluster.wait_for(
            lambda name=name: cluster.query(name, "SELECT id FROM t ORDER BY id")[:100] == HALF,
            WRITABLE_LIMIT_S,
            f"{name} has the rows",
        )
        assert cluster.query(name, "SELECT id FROM t WHERE id BETWEEN 101 AND 200") == []
        left = cluster.query(
            name,
            "SELECT name, setting FROM pg_settings WHERE setting <> '' AND name ~"
            " '^restore_command$|^recovery_target' AND name !~ 'action$|inclusive$'",
        )
        assert left == [("recovery_target_timeline", "latest")]
        assert cluster.query(name, "SELECT 1 FROM pg_settings WHERE pending_restart") == []
        assert not list(cluster.nodes[name].pgdata.glob("raftha.recovery*"))


def initialising(cluster: ClusterHarness, is_there: Callable[[str], object]) -> str:
    """The node that makes the cluster, once this is so there."""
    found: list[str] = []

    def look() -> bool:
        found[:] = [name for name in cluster.nodes if is_there(name)]
        return bool(found)

    def all_met() -> bool:
        return len((cluster.status() or {}).get("members", [])) == len(cluster.nodes)

    cluster.wait_for(all_met, WRITABLE_LIMIT_S, "all have met, so that one may go")
    cluster.wait_for(look, RESTORE_LIMIT_S, "somebody makes the cluster")
    return found[0]


def test_a_cluster_begins_at_a_point_in_time_of_another_one(
    new_cluster: NewCluster, backup: Backup
) -> None:
    cluster = restored(new_cluster, backup)
    cluster.start_all()
    primary = cluster.wait_until_whole(RESTORE_LIMIT_S)

    (words,) = backup.called()
    assert words.startswith("--scope=test --datadir=")
    assert words.endswith(" --stanza=a b")
    check_restored(cluster)
    assert cluster.query(primary, "SELECT timeline_id FROM pg_control_checkpoint()") == [(2,)]

    wait_for_sync(cluster)
    cluster.query(primary, "INSERT INTO t VALUES (1000)")
    cluster.kill(primary)
    heir = cluster.wait_for_primary(WRITABLE_LIMIT_S, other_than=primary)
    assert cluster.query(heir, "SELECT id FROM t WHERE id > 100") == [(1000,)]
    cluster.start(primary)
    cluster.wait_until_whole(RESTORE_LIMIT_S)
    check_restored(cluster)


def test_what_a_program_wrote_of_the_recovery_counts_where_it_is_to_be_kept(
    new_cluster: NewCluster, backup: Backup
) -> None:
    """As pgBackRest does; and a target that is never reached is no beginning of a cluster."""
    cluster: ClusterHarness = new_cluster(nodes=1)
    keep = backup.bootstrap(keep_existing_recovery_conf=True)
    del keep["backup"]["recovery_conf"]
    give(cluster, "bootstrap", keep)
    auto = backup.base / "postgresql.auto.conf"
    written = f"restore_command = '{backup.folder}/fetch %f %p'\nwork_mem = '5MB'\n"
    auto.write_text(written + "recovery_target_name = 'never'\n")
    (backup.base / "recovery.signal").touch()
    cluster.start("n1")
    cluster.wait_for(lambda: aside(cluster, "n1", "failed"), RESTORE_LIMIT_S, "it is put aside")
    cluster.wait_for(
        lambda: "before configured recovery target was reached" in str(report(cluster)),
        WRITABLE_LIMIT_S,
        "the status says why",
    )

    auto.write_text(written + f"recovery_target_name = '{TARGET}'\n")
    cluster.wait_for_primary(RESTORE_LIMIT_S)
    check_restored(cluster)
    assert cluster.query("n1", "SHOW work_mem") == [("5MB",)]
    assert len(aside(cluster, "n1", "failed")) == 1


def test_a_cluster_whose_program_fails_is_put_aside_and_made_anew(
    new_cluster: NewCluster, short_folder: Path
) -> None:
    cluster: ClusterHarness = new_cluster(nodes=1)
    fails, program = short_folder / "fails", short_folder / "asked.py"
    fails.touch()
    program.write_text(ASKED.format(fails=str(fails)))
    give(cluster, "bootstrap", {"post_init": f"{sys.executable} {program}"})
    cluster.start("n1")
    cluster.wait_for(lambda: aside(cluster, "n1", "failed"), RESTORE_LIMIT_S, "it is put aside")
    cluster.wait_for(
        lambda: "the schema is not ready" in str(report(cluster)),
        WRITABLE_LIMIT_S,
        "the status says why",
    )
    assert "the schema is not ready" in raftha(cluster, Exit.DONE, "history", "--events")
    assert "the schema is not ready" in (
        (cluster.nodes["n1"].folder / "raft/run/programs.log").read_text()
    )

    fails.unlink()
    cluster.wait_for_primary(RESTORE_LIMIT_S)
    assert cluster.query("n1", "SELECT id FROM asked") == [(1,)]
    assert len(aside(cluster, "n1", "failed")) == 1


def test_whoever_dies_while_it_restores_leaves_it_to_another(
    new_cluster: NewCluster, backup: Backup
) -> None:
    cluster = restored(new_cluster, backup)
    hangs = backup.folder / "hangs"
    hangs.touch()
    cluster.start_all()
    name = initialising(cluster, lambda name: list(cluster.nodes[name].folder.glob("pgdata.new-*")))
    cluster.wait_for(lambda: (backup.folder / "called").exists(), WRITABLE_LIMIT_S, "it is called")
    hangs.unlink()
    cluster.kill_agent(name)
    assert cluster.wait_for_primary(RESTORE_LIMIT_S) != name
    cluster.start(name)
    cluster.wait_until_whole(RESTORE_LIMIT_S)
    check_restored(cluster)
    assert not list(cluster.nodes[name].folder.glob("pgdata.new-*"))


def test_whoever_dies_while_it_recovers_does_not_go_on_with_it(
    new_cluster: NewCluster, backup: Backup
) -> None:
    """Both have the same identifier, and would write the same timeline."""
    cluster = restored(new_cluster, backup)
    for node in cluster.nodes.values():
        node.folder.mkdir(mode=0o700, exist_ok=True)
        (node.folder / "hold").touch()
    cluster.start_all()
    name = initialising(
        cluster, lambda name: processes.postmaster(cluster.nodes[name].pgdata) is not None
    )
    cluster.kill_agent(name)
    for node in cluster.nodes.values():
        (node.folder / "hold").unlink()
    (cluster.nodes[name].folder / "hold").touch()
    heir = cluster.wait_for_primary(RESTORE_LIMIT_S)
    assert heir != name
    cluster.query(heir, "INSERT INTO t VALUES (1000)")

    cluster.start(name)
    cluster.wait_until_whole(RESTORE_LIMIT_S)
    check_restored(cluster)
    assert len(aside(cluster, name, "replaced")) == 1
    assert cluster.query(name, "SELECT id FROM t WHERE id > 100") == [(1000,)]


def test_an_agent_that_comes_back_while_it_recovers_begins_anew(
    new_cluster: NewCluster, backup: Backup
) -> None:
    cluster = restored(new_cluster, backup, nodes=1, ttl=10.0)
    folder = cluster.nodes["n1"].folder
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "hold").touch()
    cluster.start("n1")
    initialising(cluster, lambda name: processes.postmaster(cluster.nodes[name].pgdata) is not None)
    cluster.kill_agent("n1")
    cluster.start("n1")
    cluster.wait_for(lambda: aside(cluster, "n1", "failed"), RESTORE_LIMIT_S, "it is put aside")
    (folder / "hold").unlink()
    cluster.wait_for_primary(RESTORE_LIMIT_S)
    check_restored(cluster)
    assert len(backup.called()) == 2


COPY: Final = """#!/bin/sh
{fill} "$@" && touch "$PGDATA/came_by_program"
"""


def equip(cluster: ClusterHarness, name: str, backup: Backup, **more: Any) -> None:
    """Have a node's copies made out of the backup, or else as usual."""
    program = backup.program("copy", COPY.replace("{fill}", str(backup.folder / "fill")))
    keys = {
        "create_replica_methods": ["backup", "basebackup"],
        "backup": {"command": str(program), **more},
    }
    rewrite(cluster, name, lambda options: options["postgresql"].update(keys))


def test_standbys_are_made_by_a_program_and_what_does_not_fit_is_refused(
    new_cluster: NewCluster, backup: Backup
) -> None:
    archive = backup.folder / "wal"
    archive.mkdir()
    parameters = {"archive_mode": "on", "archive_command": f"cp %p {archive}/%f"}
    cluster: ClusterHarness = new_cluster(postgresql={"parameters": parameters})
    equip(cluster, "n3", backup, no_leader=1)
    for name in ("n1", "n2"):
        cluster.start(name)
    primary = cluster.wait_for_primary()
    cluster.query(primary, "CREATE TABLE t (id int)")
    base = backup.folder / "own"
    take_backup(cluster, primary, base, backup)
    have_it_recover(base, archive)
    cluster.query(primary, "INSERT INTO t VALUES (1)")
    cluster.query(primary, "SELECT pg_switch_wal()")
    backup.source(base)

    cluster.start("n3")
    cluster.wait_until_whole(RESTORE_LIMIT_S)
    made = cluster.nodes["n3"].pgdata / "came_by_program"
    assert made.exists()
    (words,) = backup.called()
    assert "--role=replica" in words
    assert "--connstring=host=" in words
    assert PASSWORD not in words
    assert cluster.query("n3", "SELECT id FROM t") == [(1,)]

    (backup.folder / "fails").touch()
    raftha(cluster, Exit.DONE, "reinit", "n3", "--force")
    cluster.wait_for(lambda: not made.exists(), RESTORE_LIMIT_S, "a base backup was made")
    cluster.wait_until_whole(RESTORE_LIMIT_S)
    assert "the backup is away" in said_by(cluster, "n3")
    assert not aside(cluster, "n3", "failed")

    (backup.folder / "fails").unlink()
    backup.source(backup.base)
    raftha(cluster, Exit.DONE, "reinit", "n3", "--force")
    cluster.wait_for(lambda: aside(cluster, "n3", "failed"), RESTORE_LIMIT_S, "it is kept aside")
    cluster.wait_until_whole(RESTORE_LIMIT_S)
    assert "of another cluster" in said_by(cluster, "n3")
    assert not made.exists()
    assert (aside(cluster, "n3", "failed")[0] / "came_by_program").exists()

    check_a_copy_without_a_leader(cluster, primary, backup)


def have_it_recover(base: Path, archive: Path) -> None:
    """As programs leave it that know an archive."""
    with (base / "postgresql.auto.conf").open("a") as auto:
        auto.write(f"restore_command = 'cp {archive}/%f %p'\nrecovery_target = 'immediate'\n")


def check_a_copy_without_a_leader(cluster: ClusterHarness, primary: str, backup: Backup) -> None:
    """It is made, and does not lead, though the store names it: the rows that it acknowledged are
    not in the backup."""
    made = cluster.nodes["n3"].pgdata / "came_by_program"
    (other,) = {"n1", "n2"} - {primary}
    rewrite(cluster, other, lambda options: options.update(tags={"nofailover": True}))
    hang_up(cluster, other)
    cluster.wait_for(
        lambda: sync_standbys(cluster) == ["n3"], WRITABLE_LIMIT_S, f"{other} may not lead"
    )
    base = backup.folder / "newer"
    take_backup(cluster, primary, base, backup)
    have_it_recover(base, backup.folder / "wal")
    backup.source(base)
    cluster.query(primary, "INSERT INTO t VALUES (2)")
    cluster.kill("n3")
    cluster.kill(primary)
    cluster.nodes["n3"].pgdata.rename(cluster.nodes["n3"].folder / "away")
    cluster.start("n3")
    cluster.wait_for(made.exists, RESTORE_LIMIT_S, "a copy is made though nobody leads")
    cluster.wait_for(
        lambda: "maybe from an older backup" in said_by(cluster, "n3"),
        RESTORE_LIMIT_S,
        "it says why it does not lead",
    )
    assert cluster.primary() is None
    cluster.start(primary)
    assert cluster.wait_until_whole(RESTORE_LIMIT_S) == primary
    assert cluster.query("n3", "SELECT id FROM t ORDER BY id") == [(1,), (2,)]


def take_backup(cluster: ClusterHarness, name: str, target: Path, backup: Backup) -> None:
    """A base backup without WAL, as those tools make it that keep an archive."""
    port = cluster.nodes[name].postgres_port
    where = f"host=127.0.0.1 port={port} user=replicator password={PASSWORD}"
    backup.run("pg_basebackup", "-D", target, "-d", where, "-X", "none", "-c", "fast")
