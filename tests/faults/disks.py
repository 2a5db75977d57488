"""Disks that can be filled and made read-only under a running node, without being root.

Each node lives in a user namespace of its own, with two small disks in memory below its folder:
`disk` with the data directory, and `wal`, to which `separate_wal` moves the WAL. A namespace and
its disks are gone with the last process in it, however the test ends.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from tests.faults.spaces import Space
from tests.integration.harness import ClusterHarness, Node

DISK_MB: Final = 224
WAL_MB: Final = 160


def write_until_refused(file: RawIOBase, part: bytes) -> None:
    """Append this again and again, until the disk takes no more."""
    with suppress(OSError):
        while file.write(part):
            continue


class DiskCluster(ClusterHarness):
    """Nodes on disks of their own."""

    data = "disk/pgdata"
    sizes_mb: ClassVar[Mapping[str, int]] = {"disk": DISK_MB, "wal": WAL_MB}

    def write_files(self) -> None:
        self._spaces: dict[str, Space] = {}
        super().write_files()
        for name, node in self.nodes.items():
            space = self._spaces[name] = Space("--mount")
            for disk, megabytes in self.sizes_mb.items():
                (node.folder / disk).mkdir(mode=0o700, parents=True)
                options = f"size={megabytes}m,mode=0700"
                space.run("mount", "-t", "tmpfs", "-o", options, "none", node.folder / disk)

    def _postgres_options(self, node: Node) -> dict[str, Any]:
        options = super()._postgres_options(node)
        options["parameters"] |= {"min_wal_size": "32MB", "max_wal_size": "48MB"}
        return options

    def surroundings(self, name: str) -> Sequence[str]:
        return self._spaces[name].entrance

    def close(self) -> None:
        try:
            super().close()
        finally:
            for space in self._spaces.values():
                space.close()

    def seen(self, name: str, path: Path) -> Path:
        """Where a path of a node is found from here."""
        return self._spaces[name].seen(path)

    def separate_wal(self, name: str) -> None:
        """Put the WAL of a node that is stopped on its second disk."""
        wal = self.nodes[name].pgdata / "pg_wal"
        place = self.nodes[name].folder / "wal" / "pg_wal"
        shutil.move(self.seen(name, wal), self.seen(name, place))
        self.seen(name, wal).symlink_to(place)

    def fill(self, name: str, disk: str, spare_mb: int = 0) -> None:
        """Leave nothing of a disk, or so much."""
        folder = self.seen(name, self.nodes[name].folder / disk)
        with (folder / "filler").open("ab", buffering=0) as filler:
            for size in (1 << 20, 4096):
                write_until_refused(filler, bytes(size))
            self.assert_full(name, disk)
            filler.truncate(filler.tell() - (spare_mb << 20))

    def assert_full(self, name: str, disk: str, spare: int = 0) -> None:
        """The kernel says so; a server that has ended left its lock and its temporary files, which
        may be so many spare blocks."""
        left = os.statvfs(self.seen(name, self.nodes[name].folder / disk)).f_bavail
        assert left <= spare, f"{left} blocks are free on {disk} of {name}"

    def empty(self, name: str, disk: str) -> None:
        """Undo `fill`."""
        (self.seen(name, self.nodes[name].folder / disk) / "filler").unlink()

    def make_read_only(self, name: str) -> None:
        """From now on nothing below the data directory can be opened to write. As long as a server
        holds files open the kernel refuses to remount; what is mounted over each directory has none
        open."""
        pgdata = self.nodes[name].pgdata
        below = sorted(path.name for path in self.seen(name, pgdata).iterdir() if path.is_dir())
        for path in (*(pgdata / each for each in below), pgdata):
            self._spaces[name].run("mount", "--bind", path, path)
            self._spaces[name].run("mount", "-o", "remount,bind,ro", path)
        with pytest.raises(OSError, match="Read-only file system"):
            (self.seen(name, pgdata) / "pg_wal" / "proof").touch()

    def make_writable(self, name: str) -> None:
        """Undo `make_read_only`."""
        pgdata = self.nodes[name].pgdata
        self._spaces[name].run("umount", "--lazy", pgdata)
        for path in self.seen(name, pgdata).iterdir():
            if path.is_dir():
                self._spaces[name].run("umount", "--lazy", path)
