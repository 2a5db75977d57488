"""Tablespaces, and WAL on a disk of its own: made, copied, taken over, copied back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from tests.integration.harness import ClusterHarness
from tests.integration.scene import NewCluster, wait_for_sync

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

COUNT = "SELECT count(*)::int FROM far"


def test_parts_of_a_data_directory_that_lie_elsewhere_are_copied_and_never_written_over(
    new_cluster: NewCluster, short_folder: Path
) -> None:
    """All nodes are on one machine and so want the same place for the tablespace, as a node does
    whose directory is copied anew."""
    cluster = new_cluster(nodes=2, witnesses=1)
    for node in cluster.members():
        options = cluster.options(node)
        wal = {"waldir": str(node.folder / "wal")}
        options["bootstrap"]["initdb"].append(wal)
        options["postgresql"]["basebackup"] = [wal, {"max-rate": "500M"}]
        node.file.write_text(yaml.safe_dump(options), encoding="utf-8")
    place = short_folder / "volume" / "far"
    place.mkdir(parents=True, mode=0o700)
    cluster.start("n1")
    cluster.start("w1")
    cluster.wait_for_primary(60)
    cluster.query("n1", f"CREATE TABLESPACE far LOCATION '{place}'")
    cluster.query("n1", "CREATE TABLE far TABLESPACE far AS SELECT generate_series(1, 5000)")
    assert wal_of(cluster, "n1") == cluster.nodes["n1"].folder / "wal"

    cluster.start("n2")
    cluster.wait_until_whole(60)
    assert wal_of(cluster, "n2") == cluster.nodes["n2"].folder / "wal"
    first = space_of(cluster, "n2")
    assert first.name.startswith("far.raftha-")
    assert space_of(cluster, "n1") == place

    copied_anew(cluster, "n2")
    second = space_of(cluster, "n2")
    assert second not in (first, place)
    assert first.is_dir(), "it is kept with the directory that was replaced"
    assert wal_of(cluster, "n2").name.startswith("wal.raftha-")

    wait_for_sync(cluster)
    cluster.kill("n1")
    cluster.wait_for(lambda: cluster.primary() == "n2", 30, "n2 has taken over")
    cluster.query("n2", "INSERT INTO far SELECT generate_series(1, 5000)")
    cluster.start("n1")
    cluster.wait_until_whole(60)
    copied_anew(cluster, "n1")
    third = space_of(cluster, "n1")
    assert third.parent == place.parent
    assert third not in (first, second, place)
    assert set(place.parent.iterdir()) == {place, first, second, third}
    for name in ("n1", "n2"):
        cluster.wait_for(
            lambda name=name: cluster.query(name, COUNT) == [(10000,)], 15, f"all rows on {name}"
        )


def copied_anew(cluster: ClusterHarness, name: str) -> None:
    """A standby whose rewind was cut short: what it had is kept, and a copy made."""
    cluster.stop(name)
    (cluster.nodes[name].folder / "pgdata.rewinding").touch()
    cluster.start(name)
    cluster.wait_until_whole(60)
    assert list(cluster.nodes[name].folder.glob("pgdata.diverged-2*")), "nothing was copied"


def wal_of(cluster: ClusterHarness, name: str) -> Path:
    return Path(os.readlink(cluster.nodes[name].pgdata / "pg_wal"))


def space_of(cluster: ClusterHarness, name: str) -> Path:
    (link,) = (cluster.nodes[name].pgdata / "pg_tblspc").iterdir()
    return Path(os.readlink(link))
