"""A disk that answers no more: each write to it stays in the kernel, where no signal ends it.

Freezing a file system takes root: run `python -m pytest tests/faults/test_frozen_disk.py` as root;
the nodes, and the test but for the mounts, run as the user of the server. `tests/run` skips this.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.faults.stage import ALLOWANCE_S, FOUND_S, HEALTH_S, HELD_BACK, LEASE_S, PROMISED_S
from tests.integration.harness import ClusterHarness
from tests.integration.scene import NewCluster, Probe, await_line, under_load
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

USER: Final = "postgres"
IMAGE_MB: Final = 256
LIMIT_S: Final = 20.0


@pytest.fixture(autouse=True)
def server_user() -> Iterator[None]:
    """The rights of root are put aside, for `as_root` alone."""
    if os.getuid() != 0:
        pytest.skip("freezing a disk takes root")
    try:
        account = pwd.getpwnam(USER)
    except KeyError:
        pytest.skip(f"there is no user {USER}")
    os.setresgid(account.pw_gid, account.pw_gid, 0)
    os.setresuid(account.pw_uid, account.pw_uid, 0)
    yield
    os.setresuid(0, 0, 0)
    os.setresgid(0, 0, 0)


def as_root(*words: object) -> None:
    """Run a command of the system. Raises CalledProcessError."""
    mine = os.geteuid()
    os.seteuid(0)
    try:
        command = [str(word) for word in words]
        subprocess.run(command, user=0, group=0, check=True, timeout=LIMIT_S, capture_output=True)
    finally:
        os.seteuid(mine)


class ImageCluster(ClusterHarness):
    """Each data directory lies on a file system of its own, in a file."""

    data = "disk/pgdata"

    def write_files(self) -> None:
        self._mounts = ExitStack()
        super().write_files()
        for node in self.nodes.values():
            disk = node.folder / "disk"
            disk.mkdir(mode=0o700, parents=True)
            image = node.folder / "image"
            with image.open("wb") as file:
                file.truncate(IMAGE_MB << 20)
            subprocess.run(["/usr/sbin/mkfs.ext4", "-q", image], check=True, timeout=LIMIT_S)
            as_root("mount", "-o", "loop", image, disk)
            self._mounts.callback(as_root, "umount", disk)
            as_root("chown", f"{USER}:", disk)
            as_root("chmod", "0700", disk)

    def freeze(self, name: str) -> None:
        """From now on no write to this node's disk ends."""
        disk = self.disk(name)
        as_root("fsfreeze", "--freeze", disk)
        self._mounts.callback(self.thaw, name)

    def thaw(self, name: str) -> None:
        """Undo `freeze`, once or again."""
        with suppress(subprocess.CalledProcessError):
            as_root("fsfreeze", "--unfreeze", self.disk(name))

    def disk(self, name: str) -> Path:
        return self.nodes[name].folder / "disk"

    def close(self) -> None:
        for name in self.nodes:
            self.thaw(name)  # or what writes there could not be killed
        try:
            super().close()
        finally:
            self._mounts.close()


def test_a_frozen_disk_costs_the_lease(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts]
) -> None:
    """The processes that wait for the disk outlive SIGKILL, and can acknowledge nothing."""
    scene = under_load(new_cluster, probe, kind=ImageCluster, ttl=LEASE_S)
    cluster = scene.cluster
    assert isinstance(cluster, ImageCluster)

    since = time.time()
    cluster.freeze(scene.primary)
    with subprocess.Popen(["touch", cluster.disk(scene.primary) / "proof"]) as proof:
        try:
            line = await_line(cluster, scene.primary, HELD_BACK, FOUND_S + LEASE_S, since)
            assert "does not answer" in line.words
            assert line.at - since <= FOUND_S, f"found out after {line.at - since:.2f} s"
            scene.await_successor()
            assert psutil.Process(proof.pid).status() == psutil.STATUS_DISK_SLEEP
        finally:
            cluster.thaw(scene.primary)

    conclude(scene, gap_s=PROMISED_S + HEALTH_S + ALLOWANCE_S)
