"""A cluster under the load that a fault meets here, and how long an outage may be.

Beside the prober, which writes to every node each 50 ms: a session on every node whose transactions
keep a processor busy before they commit, one that waits long for each answer and so hears what a
frozen server says when it thaws, and 200 idle sessions on the primary. All write to one ledger.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import psutil
from psycopg2 import extensions

from tests.integration import processes
from tests.integration.harness import ClusterHarness, Node
from tests.integration.processes import Part
from tests.integration.scene import Scene
from tests.integration.workload import INSERT, WriteProber

LEASE_S: Final = 3.0
"""The ttl of these clusters. The time for health is half of it, the default."""

HEALTH_S: Final = LEASE_S / 2
PROMISED_S: Final = LEASE_S + 1.0
"""L1, from the last renewal on."""

ALLOWANCE_S: Final = 3.0
"""What a run may take longer than is promised: these machines have two processors for three nodes,
the load and the tests. What was seen is printed at the end of the run."""

FOUND_S: Final = HEALTH_S + 1.0
"""From the fault to the first renewal that is held back: the time for health, one heartbeat, and
what a look may be late on these machines."""

HELD_BACK: Final = "renewal held back"
IDLE_SESSIONS: Final = 200
PATIENCE_S: Final = 60.0
BUSY: Final = INSERT.replace(
    "VALUES (%s, %s)",
    "SELECT n.id, n.server FROM (SELECT %s::bigint, %s::text) AS n (id, server),"
    " (SELECT count(*) FROM generate_series(1, 4000000)) AS burned",
)
"""Burns a processor for half a second and more, then commits."""

BUSY_NOW: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%burned%'"
    " AND pid <> pg_backend_pid()"
)
CLIENTS: Final = (
    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    " AND pid <> pg_backend_pid()"
)


class BusyCluster(ClusterHarness):
    """Its servers have room for the idle sessions."""

    def _postgres_options(self, node: Node) -> dict[str, Any]:
        options = super()._postgres_options(node)
        options["parameters"]["max_connections"] = IDLE_SESSIONS + 50
        return options


@dataclass(frozen=True, slots=True)
class Crowd:
    """The load beside the prober. It ends with `leave`."""

    idle: tuple[extensions.connection, ...]
    writers: tuple[WriteProber, ...]

    def leave(self) -> None:
        """End the writers, and let the sessions go."""
        for writer in self.writers:
            writer.stop()
        for session in self.idle:
            session.close()


def gather(scene: Scene, idle: int = IDLE_SESSIONS) -> Crowd:
    """Open the sessions, and wait until a transaction is busy on the primary."""
    cluster = scene.cluster
    names = [node.name for node in cluster.members()]
    ledger, connect = scene.ledger, scene.prober.connect
    busy = WriteProber(ledger, names, connect, 0.3, statement=BUSY, limit_s=PATIENCE_S)
    patient = WriteProber(ledger, names, connect, limit_s=PATIENCE_S)
    with ThreadPoolExecutor(4) as threads:
        sessions = tuple(threads.map(lambda _: cluster.connect(scene.primary, 10), range(idle)))
    crowd = Crowd(sessions, (busy, patient))
    for writer in crowd.writers:
        writer.start()
    cluster.wait_for(lambda: is_busy(scene), 20, f"a busy transaction on {scene.primary}")
    return crowd


def is_busy(scene: Scene) -> bool:
    """A transaction that burns a processor runs on the primary at this moment."""
    return bool(scene.cluster.query(scene.primary, BUSY_NOW)[0][0])


def clients_of(cluster: ClusterHarness, name: str) -> list[psutil.Process]:
    """The processes that serve sessions; those of the agent are among them."""
    found = []
    for (pid,) in cluster.query(name, CLIENTS):
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def parts_of(scene: Scene, words: tuple[str, ...]) -> list[psutil.Process]:
    """The processes of the primary's node that these words name, in this order."""
    cluster, name = scene.cluster, scene.primary
    found: list[psutil.Process] = []
    for word in words:
        match word:
            case "backends":
                found += clients_of(cluster, name)
            case "postmaster":
                postmaster = processes.postmaster(cluster.nodes[name].pgdata)
                found += [postmaster] if postmaster else []
            case _:
                found += cluster.processes(name, Part(word))
    return found
