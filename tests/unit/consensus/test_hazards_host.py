"""The hazards that the machine brings about: H26, H27 and H29 of `docs/consensus.md`.

Of each pair the first test shows what the released library does, the second what becomes of it
here. A full disk and a forked child are shown in a process of their own; the disk is a real one,
mounted in a user namespace that only this process sees. That a name server holds nobody up here is
in `test_sockets`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pysyncobj import SyncObj, SyncObjConf, dns_resolver

from raftha.clock import SystemClock
from raftha.consensus.stable import Owner
from raftha.consensus.storage import SqliteStore
from tests.sim.group import Group
from tests.unit.consensus.stock import library_time

pytestmark = pytest.mark.usefixtures("quiet_library")

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
ON_A_SMALL_DISK = 'ulimit -c 0; mount -t tmpfs -o size=20m none "$1"; exec "$2" -c "$3" "$1"'
TIME_LIMIT_S = 60.0

LIBRARY_FILLS_A_DISK = """
import sys
from pysyncobj.journal import FileJournal
journal = FileJournal(sys.argv[1] + "/journal")
for number in range(10_000):
    journal.add(bytes(4000), number, 1)
"""

STORE_FILLS_A_DISK = """
import shutil, sys
from pathlib import Path
from raftha.clock import SystemClock
from raftha.consensus.stable import Owner
from raftha.consensus.state import LogEntry
from raftha.consensus.storage import SqliteStore
from raftha.errors import StorageFailed

disk, clock = Path(sys.argv[1]), SystemClock()
owner = Owner(scope="s", name="n1")
store = SqliteStore(disk / "raft", owner=owner, clock=clock, new_incarnation="i")
store.load()
synced = 0
try:
    for number in range(1, 10_000):
        store.append(LogEntry(bytes(4000), number, 1))
        store.sync()
        synced = number
except StorageFailed as error:
    print(synced, error)
shutil.copytree(disk / "raft", disk.parent / "copy")
"""

LIBRARY_FORKS = """
import os, socket, sys
from pysyncobj.serializer import Serializer

held, release = os.pipe()

class Large:
    "Its writing takes a while."
    def __reduce__(self):
        os.read(held, 1)
        return (int, ())

with socket.socket() as served:
    served.bind(("127.0.0.1", 0))
    served.listen()
    address = served.getsockname()
    Serializer(sys.argv[1], 65536, True, None, None, None).serialize(Large(), 1)
with socket.socket() as again:
    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        again.bind(address)
    except OSError as error:
        print(error.strerror)
os.write(release, b"x")
os.wait()
"""


def sqlite_store(directory: Path) -> SqliteStore:
    owner = Owner(scope="s", name="n1")
    return SqliteStore(directory, owner=owner, clock=SystemClock(), new_incarnation="i")


def on_a_small_disk(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program whose argument is a disk of 20 MiB."""
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel gives no user namespaces to an ordinary user")
    disk = folder / "disk"
    disk.mkdir()
    words = (*NAMESPACE, "sh", "-ec", ON_A_SMALL_DISK, "sh", str(disk), sys.executable, program)
    return subprocess.run(words, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)


def test_h26_the_library_is_killed_by_a_full_disk(tmp_path: Path) -> None:
    """Its journal grows as a sparse map: the disk's end is met by a write into memory."""
    ended = on_a_small_disk(tmp_path, LIBRARY_FILLS_A_DISK)

    assert ended.returncode == -signal.SIGBUS, ended.stderr


def test_h26_a_full_disk_is_an_error_that_says_so_and_costs_nothing_that_was_synced(
    tmp_path: Path,
) -> None:
    ended = on_a_small_disk(tmp_path, STORE_FILLS_A_DISK)

    assert ended.returncode == 0, ended.stderr
    synced, _, said = ended.stdout.partition(" ")
    assert "below the floor of 16 MiB: this node votes no more" in said
    assert len(sqlite_store(tmp_path / "copy").load().entries) == int(synced) > 0


def test_h27_the_library_leaves_its_port_to_a_forked_child(tmp_path: Path) -> None:
    """A dump is written by a child that has all that its parent had open. While it writes, the next
    process cannot serve at that address."""
    words = (sys.executable, "-c", LIBRARY_FORKS, str(tmp_path / "dump"))
    ended = subprocess.run(words, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)

    assert (ended.returncode, ended.stdout) == (0, "Address already in use\n"), ended.stderr


def test_h26_h27_nothing_is_mapped_or_forked(tmp_path: Path) -> None:
    """Neither file of the library exists here, and no thread or process of its own."""
    conf = Group("a").node("a")._core.engine.conf
    store = sqlite_store(tmp_path)
    store.load()

    assert (conf.journalFile, conf.fullDumpFile, conf.useFork) == (None, None, False)
    assert (conf.autoTick, conf.dynamicMembershipChange, conf.password) == (False, False, None)
    assert store._query("PRAGMA mmap_size") == [(0,)]
    store.close()


class NameServer:
    """In the place of the library's resolver: notes on which thread it is waited for."""

    def __init__(self) -> None:
        self.waiting: list[threading.Thread] = []

    def setTimeouts(self, *_: object) -> None:  # noqa: N802
        """The library keeps answers for a while; here there is none."""

    setPreferredAddrFamily = setTimeouts  # noqa: N815

    def resolve(self, _name: str) -> None:
        self.waiting.append(threading.current_thread())


@contextmanager
def asked_by_the_library(names: NameServer) -> Iterator[None]:
    before, dns_resolver._g_resolver = dns_resolver._g_resolver, names
    try:
        yield
    finally:
        dns_resolver._g_resolver = before


def test_h29_the_library_waits_for_a_name_server_on_the_thread_that_ticks() -> None:
    """So no heartbeat leaves, no vote is given and nobody is heard until it has answered. The other
    half is `test_sockets`: whoever hangs holds up a thread of its own alone."""
    names = NameServer()
    with library_time(time.monotonic), asked_by_the_library(names):
        conf = SyncObjConf(autoTick=False, connectionRetryTime=0.0)
        node = SyncObj(None, ["third.test:1"], conf)
        names.waiting.clear()
        node.doTick(0.0)
        node.destroy()

    assert names.waiting == [threading.current_thread()]
