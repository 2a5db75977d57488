"""A subscriber over switchovers and failovers: no row is lost to it, and none comes twice.

`--changes 20` changes the primary so many times; a change takes ten to thirty seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import pytest
import yaml

from raftha.model.postgres import Binaries
from tests.faults.conftest import FIGURES
from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.node_support import make_data_directory, open_superuser, raftha, run_program
from tests.integration.ports import PortLeases
from tests.integration.scene import NewCluster, Probe, Scene, report, under_load
from tests.integration.workload import TABLE

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3000)]

LIMIT_S: Final = 60.0
SLOT: Final = "sub"
SLOTS: Final = {SLOT: {"type": "logical", "database": "postgres", "plugin": "pgoutput"}}
PARAMETERS: Final = {"parameters": {"wal_level": "logical"}}
KINDS: Final = ("switchover", "kill")
"""How the primary changes, by turns."""


class Subscriber:
    """A server of its own that takes in the rows of the cluster's table, duplicates and all."""

    def __init__(self, port: int) -> None:
        self._port = port

    def query(self, sql: str) -> list[tuple[object, ...]]:
        session = open_superuser(self._port)
        try:
            with session.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            session.close()

    def subscribe(self, cluster: ClusterHarness) -> None:
        """From now on, to whoever is the primary."""
        ports = [str(node.postgres_port) for node in cluster.members()]
        login = (
            f"host={','.join(['127.0.0.1'] * len(ports))} port={','.join(ports)} user=postgres "
            f"password={PASSWORD} dbname=postgres target_session_attrs=read-write connect_timeout=2"
        )
        self.query(f"CREATE TABLE {TABLE} (id bigint NOT NULL, server text NOT NULL)")
        self.query(
            f"CREATE SUBSCRIPTION s CONNECTION '{login}' PUBLICATION p"
            f" WITH (create_slot = false, slot_name = {SLOT}, copy_data = false)"
        )

    def ids(self, after: int) -> list[int]:
        """The rows that came, each as often as it came."""
        rows = self.query(f"SELECT id FROM {TABLE} WHERE id > {after} ORDER BY id")
        return [int(str(row[0])) for row in rows]


@contextmanager
def subscriber(binaries: Binaries, folder: Path) -> Iterator[Subscriber]:
    """It runs until the end."""
    ports, data = PortLeases(), folder / "subscriber"
    port = ports.take()
    make_data_directory(binaries, data)
    options = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} "
        "-c wal_retrieve_retry_interval=500ms -c fsync=off"
    )
    log = folder / "subscriber.log"
    run_program(binaries, "pg_ctl", "start", "-w", "-D", data, "-l", log, "-o", options)
    try:
        yield Subscriber(port)
    finally:
        run_program(binaries, "pg_ctl", "stop", "-w", "-D", data, "-m", "immediate")
        ports.close()


def wait_until_ready(cluster: ClusterHarness) -> None:
    """Each standby has a copy of the slot from which decoding misses nothing."""
    cluster.wait_until_whole()

    def ready() -> bool:
        found = report(cluster)
        told = any("is not ready here" in notice["what"] for notice in found["problems"])
        names = [node.name for node in cluster.members()]
        return not told and all(cluster.query(n, HAS_SLOT)[0][0] for n in names)

    cluster.wait_for(ready, LIMIT_S, "the logical slot is ready on every standby")
    cluster.wait_until_whole()


HAS_SLOT: Final = f"SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{SLOT}')"
IN_USE: Final = f"SELECT active FROM pg_replication_slots WHERE slot_name = '{SLOT}'"


def change_leader(scene: Scene, how: str, primary: str) -> str:
    """Another member leads, and the old one follows it."""
    cluster = scene.cluster
    if how == "switchover":
        done = raftha("switchover", "--leader", primary, "--yes", "--url", cluster.url(primary))
        assert done.returncode == 0, done.stdout
        return cluster.wait_for_primary(other_than=primary)
    cluster.kill(primary)
    successor = cluster.wait_for_primary(other_than=primary)
    scene.wait_for_writes()
    cluster.start(primary)
    return successor


def differences(wanted: list[int], came: list[int]) -> dict[str, list[int]]:
    """The rows of the cluster against those of its reader, by what is wrong with them."""
    found = {
        "missing": sorted(set(wanted) - set(came)),
        "twice": sorted(row for row, times in Counter(came).items() if times > 1),
        "never in the cluster": sorted(set(came) - set(wanted)),
    }
    return {wrong: rows for wrong, rows in found.items() if rows}


def test_a_subscriber_misses_nothing_and_gets_nothing_twice(
    new_cluster: NewCluster,
    probe: Probe,
    binaries: Binaries,
    short_folder: Path,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    changes = pytestconfig.getoption("--changes")
    scene = under_load(new_cluster, probe, postgresql=PARAMETERS)
    cluster, primary = scene.cluster, scene.primary
    # Decoding looks the publication up as of each change: it must be older than the slot.
    cluster.query(primary, f"CREATE PUBLICATION p FOR TABLE {TABLE}")
    change = short_folder / "slots.yml"
    change.write_text(yaml.safe_dump({"slots": SLOTS}), encoding="utf-8")
    edit = raftha("edit-config", "--apply", change, "--force", "--url", cluster.url(primary))
    assert edit.returncode == 0, edit.stdout
    cluster.wait_for(lambda: cluster.query(primary, HAS_SLOT)[0][0], LIMIT_S, "a slot")
    with subscriber(binaries, short_folder) as reader:
        reader.subscribe(cluster)
        cluster.wait_for(lambda: cluster.query(primary, IN_USE) == [(True,)], LIMIT_S, "a reader")
        begin = scene.ledger.next_id()
        scene.wait_for_writes()
        cluster.wait_for(lambda: reader.ids(begin), LIMIT_S, "the first rows at the reader")
        for how in islice(cycle(KINDS), changes):
            wait_until_ready(cluster)
            primary = change_leader(scene, how, primary)
            scene.wait_for_writes()
        scene.finish()

        rows = cluster.query(primary, f"SELECT id FROM {TABLE} WHERE id > {begin} ORDER BY id")
        wanted = [row[0] for row in rows]
        cluster.wait_for(lambda: wanted[-1] in reader.ids(begin), LIMIT_S, "the last row")
        assert differences(wanted, reader.ids(begin)) == {}
        assert len(wanted) > 20 * changes
    record_property(FIGURES, f"{changes} changes of the primary, {len(wanted)} rows, each once")
    history = str(report(cluster)["history"])
    assert "switchover" in history
    assert "not ready here" not in history
