"""Where a Raft directory may lie. That real tmpfs, read-only and small disks are refused is shown
by `tests/integration/test_bad_medium.py`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raftha.clock import SystemClock
from raftha.consensus import medium
from raftha.consensus.medium import check_medium, free_bytes, kind_of
from raftha.consensus.stable import Owner
from raftha.consensus.state import LogEntry
from raftha.consensus.storage import SqliteStore
from raftha.errors import ConfigError, StorageFailed

OWNER = Owner(scope="s", name="n1")


def mounts(folder: Path, device: int, kind: str) -> Path:
    number = f"{os.major(device)}:{os.minor(device)}"
    path = folder / "mountinfo"
    path.write_text(
        "22 1 0:4 / /proc rw shared:5 - proc proc rw\n"
        f"36 35 {number} / /var\\040lib rw,noatime shared:1 master:2 - {kind} /dev/x rw,errors=x\n",
        encoding="utf-8",
    )
    return path


def test_the_type_is_that_of_the_mount_with_the_device(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    assert kind_of(tmp_path, mounts(tmp_path, device, "tmpfs")) == "tmpfs"
    assert kind_of(tmp_path, mounts(tmp_path, device, "ext4")) == "ext4"


def test_a_device_that_is_not_listed_is_of_unknown_type(tmp_path: Path) -> None:
    assert kind_of(tmp_path, mounts(tmp_path, tmp_path.stat().st_dev + 1, "tmpfs")) is None


def test_the_kernels_own_list_can_be_read() -> None:
    assert kind_of(Path("/proc")) == "proc"


def test_a_good_place_is_accepted_and_not_made(tmp_path: Path) -> None:
    check_medium(tmp_path / "a" / "raft", allow_tmpfs=True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match=r"raft\.data_dir: .*/file is not a directory"):
        check_medium(tmp_path / "file" / "raft", allow_tmpfs=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    check_medium(tmp_path, allow_tmpfs=True)
    file = tmp_path / "raft.sqlite"
    file.touch(0o400)
    with pytest.raises(
        ConfigError, match=r"raft\.sqlite cannot be read and written by user .*chown -R"
    ):
        check_medium(tmp_path, allow_tmpfs=True)
    file.chmod(0o600)
    check_medium(tmp_path, allow_tmpfs=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_a_remedy_never_gives_away_the_folder_above(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ConfigError, match=rf"\(give it to .*: chown \S+ {tmp_path}\)"):
            check_medium(tmp_path, allow_tmpfs=True)
        with pytest.raises(ConfigError, match=rf"cannot make it in {tmp_path} \(as root: install"):
            check_medium(tmp_path / "raft", allow_tmpfs=True)
    finally:
        tmp_path.chmod(0o700)


def test_free_space_is_what_statvfs_says(tmp_path: Path) -> None:
    told = os.statvfs(tmp_path)
    free = free_bytes(tmp_path)
    assert free is not None
    assert abs(free - told.f_bavail * told.f_frsize) < 1 << 30


def test_a_voter_stops_at_the_floor_and_keeps_what_it_had_synced(tmp_path: Path) -> None:
    free = medium.STOP_FLOOR_BYTES
    store = SqliteStore(
        tmp_path,
        owner=OWNER,
        clock=SystemClock(),
        new_incarnation="new",
        measure_free=lambda _path: free,
    )
    store.load()
    store.append(LogEntry(b"kept", 1, 1))
    store.sync()
    assert store.free_bytes == free

    free -= 1
    store.append(LogEntry(b"too late", 2, 1))
    with pytest.raises(StorageFailed, match=r"15 MiB are free .* floor of 16 MiB.* free 64 MiB"):
        store.sync()
    assert store._connection is not None
    assert store._lock is not None
    store._connection.close()
    os.close(store._lock)
    again = SqliteStore(tmp_path, owner=OWNER, clock=SystemClock(), new_incarnation="new")
    assert [entry.command for entry in again.load().entries] == [b"kept"]
