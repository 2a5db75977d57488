"""Data directories that are not what a node expects: adopted where that is right, else left alone.

Whatever lies there is never changed unless it is taken into use, and the message says what it is
and what to do. Other nodes never notice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raftha.model.postgres import Binaries
from raftha.pg import versions
from tests.integration.harness import ClusterHarness
from tests.integration.node_support import (
    Options,
    assert_idle,
    fingerprint,
    make_data_directory,
    reason_of,
    refusal,
    rewrite,
    run_by_hand,
    run_program,
    wait_until_said,
    wait_until_told,
)
from tests.integration.processes import Part

pytestmark = pytest.mark.integration

NewCluster = Callable[..., ClusterHarness]
LONGER_THAN_TTL_S = 3.0
ROWS = "CREATE TABLE public.kept AS SELECT generate_series(1, 1000) AS id"


def system_id(binaries: Binaries, path: Path) -> str:
    report = run_program(binaries, "pg_controldata", "-D", path)
    line = next(line for line in report.splitlines() if "system identifier" in line)
    return line.split()[-1]


@contextmanager
def left_alone(cluster: ClusterHarness, name: str) -> Iterator[None]:
    """In here the node starts nothing on its data directory, and changes nothing in it."""
    pgdata = cluster.nodes[name].pgdata
    before = fingerprint(pgdata)
    yield
    assert not cluster.processes(name, Part.POSTGRES), "a server runs on it"
    assert fingerprint(pgdata) == before, "something in the directory was changed"
    siblings = {path.name for path in pgdata.parent.glob("pgdata*")} - {"pgdata.slots"}
    assert siblings == {"pgdata"}, f"it was copied or moved: {siblings}"


def other_major(binaries: Binaries) -> Binaries:
    found = [item for item in versions.find_all() if item.major != binaries.major]
    if not found:
        pytest.skip(f"PostgreSQL {binaries.major} is the only major here")
    return found[-1]


def test_a_primary_that_was_made_by_hand_is_adopted_with_its_rows(
    new_cluster: NewCluster, binaries: Binaries
) -> None:
    cluster = new_cluster()
    node = cluster.nodes["n2"]
    make_data_directory(binaries, node.pgdata)
    assert node.postgres_port is not None
    run_by_hand(binaries, node.pgdata, node.postgres_port, ROWS)
    system = system_id(binaries, node.pgdata)

    # Two empty nodes may found a cluster without a third that is not there yet: it comes first.
    cluster.start("n2")
    wait_until_said(cluster, "n2", "waiting for a majority")
    time.sleep(LONGER_THAN_TTL_S)
    assert not cluster.processes("n2", Part.POSTGRES), "as a standby's it could not be brought in"
    cluster.start_all()

    assert cluster.wait_until_whole() == "n2", "an empty node must not found another cluster"
    for name in cluster.nodes:
        assert cluster.query(name, "SELECT count(*) FROM public.kept") == [(1000,)]
        found = cluster.query(name, "SELECT system_identifier::text FROM pg_control_system()")
        assert found == [(system,)]


def test_a_standby_of_an_unknown_cluster_is_refused_with_the_reason(
    new_cluster: NewCluster, binaries: Binaries
) -> None:
    cluster = new_cluster(nodes=1)
    node = cluster.nodes["n1"]
    make_data_directory(binaries, node.pgdata)
    (node.pgdata / "standby.signal").touch()
    assert node.postgres_port is not None
    run_by_hand(binaries, node.pgdata, node.postgres_port)

    with left_alone(cluster, "n1"):
        cluster.start("n1")
        wait_until_said(cluster, "n1", str(node.pgdata), "holds a standby")
        assert "only the node with the primary's data directory" in reason_of(cluster, "n1")
        assert_idle(cluster, "n1")
        assert cluster.primary() is None


def test_a_foreign_folder_is_refused_and_used_once_it_is_empty(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=1, synchronous_mode="off")
    node = cluster.nodes["n1"]
    photos = node.pgdata / "photos"
    photos.mkdir(parents=True)
    node.pgdata.chmod(0o700)
    (photos / "one.jpg").write_bytes(b"precious")

    with left_alone(cluster, "n1"):
        cluster.start("n1")
        wait_until_said(cluster, "n1", str(node.pgdata), "holds no PG_VERSION", "elsewhere")
        wait_until_told(cluster, "n1", str(node.pgdata), "holds no PG_VERSION")
        assert_idle(cluster, "n1")

    photos.rename(node.folder / "photos")
    assert cluster.wait_for_primary() == "n1"
    assert (node.folder / "photos" / "one.jpg").read_bytes() == b"precious"


@contextmanager
def of_mode(path: Path, mode: int) -> Iterator[None]:
    """In here the directory has this mode, afterwards one that can be cleared away."""
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(0o700)


@pytest.mark.parametrize("mode", [0o755, 0o000], ids=["0755", "0000"])
def test_wrong_permissions_are_told_and_heal_by_chmod(
    new_cluster: NewCluster, binaries: Binaries, mode: int
) -> None:
    cluster = new_cluster(nodes=1, synchronous_mode="off")
    pgdata = cluster.nodes["n1"].pgdata
    make_data_directory(binaries, pgdata)

    with of_mode(pgdata, mode), left_alone(cluster, "n1"):
        cluster.start("n1")
        wait_until_said(cluster, "n1", str(pgdata), "mode 755" if mode else "Permission denied")
        wait_until_told(cluster, "n1", str(pgdata), "chmod 0700")
        assert_idle(cluster, "n1")

    assert cluster.wait_for_primary() == "n1"


def test_data_of_another_major_is_refused(new_cluster: NewCluster, binaries: Binaries) -> None:
    other = other_major(binaries)
    cluster = new_cluster(nodes=1)
    pgdata = cluster.nodes["n1"].pgdata
    make_data_directory(other, pgdata)

    with left_alone(cluster, "n1"):
        said = refusal(cluster, "n1")

    assert f"no usable PostgreSQL {other.major} (the data's major)" in said
    assert f"{binaries.bin_dir}: has {binaries.version}" in said


def test_the_directory_of_another_cluster_is_left_alone(
    new_cluster: NewCluster, binaries: Binaries
) -> None:
    cluster = new_cluster()
    for name in ("n1", "n2"):
        cluster.start(name)
    primary = cluster.wait_for_primary()
    stranger = cluster.nodes["n3"].pgdata
    make_data_directory(binaries, stranger)
    cluster.query(primary, ROWS)
    ours = cluster.query(primary, "SELECT system_identifier::text FROM pg_control_system()")[0][0]

    with left_alone(cluster, "n3"):
        cluster.start("n3")
        theirs = system_id(binaries, stranger)
        line = wait_until_said(cluster, "n3", "belongs to another cluster", theirs, ours)
        assert str(stranger) in line
        assert "move it away" in line
        wait_until_told(cluster, "n3", theirs, ours)
        assert_idle(cluster, "n3")
    assert cluster.primary() == primary
    cluster.query(primary, "INSERT INTO public.kept VALUES (0)")

    stranger.rename(stranger.with_name("stranger"))
    assert cluster.wait_until_whole() == primary
    assert cluster.query("n3", "SELECT count(*) FROM public.kept") == [(1001,)]


def test_programs_of_another_major_on_one_node_are_told(
    new_cluster: NewCluster, binaries: Binaries
) -> None:
    other = other_major(binaries)
    cluster = new_cluster()

    def take_the_other(options: Options) -> None:
        options["postgresql"]["bin_dir"] = str(other.bin_dir)

    for name in ("n1", "n2"):
        cluster.start(name)
    primary = cluster.wait_for_primary()
    rewrite(cluster, "n3", take_the_other)

    cluster.start("n3")
    wait_until_told(cluster, "n3", str(binaries.major), str(other.major), within_s=15)
    if cluster.runs("n3"):
        assert_idle(cluster, "n3")
    assert cluster.primary() == primary
    cluster.stop("n3")

    rewrite(cluster, "n3", lambda o: o["postgresql"].update(bin_dir=str(binaries.bin_dir)))
    cluster.start("n3")
    assert cluster.wait_until_whole() == primary
