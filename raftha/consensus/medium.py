"""What a Raft directory may lie on: a disk that keeps what was synced, writable, with space left.

A voter whose memory is gone after a restart of the machine can vote twice in a term. One that fills
the disk takes PostgreSQL's last space with it and cannot even write why. So neither starts, nothing
is changed by the refusal, and a running voter stops at a floor instead of at nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from raftha.account import own_name
from raftha.errors import ConfigError, Problem

START_FLOOR_BYTES: Final = 64 << 20
"""Less free space than this refuses a start: the log and its snapshot of a busy group take a few
megabytes, at the very most 160 (5000 entries of 32 KiB)."""

STOP_FLOOR_BYTES: Final = 16 << 20
"""Less than this stops a running voter: a WAL segment of PostgreSQL, or four times what SQLite
writes between two checkpoints, is still left for whoever repairs the node."""

OWN_FILES: Final = "raft.*"
"""What a voter keeps in its directory."""

_MOUNTS: Final = Path("/proc/self/mountinfo")
_IN_MEMORY: Final = ("tmpfs", "ramfs")


def check_medium(directory: Path, *, allow_tmpfs: bool) -> None:
    """Look at where the directory lies, or will lie. Changes nothing. Raises ConfigError."""
    ground = _nearest(directory)
    kind = kind_of(ground)
    if kind in _IN_MEMORY and not allow_tmpfs:
        raise _refused(
            f"{directory} lies on {kind}, which a restart of the machine empties: the node would "
            "forget its votes and could vote twice",
            "choose a directory on a disk",
        )
    if os.statvfs(ground).f_flag & os.ST_RDONLY:
        raise _refused(f"{directory} lies on a read-only file system", "mount it writable")
    if not os.access(ground, os.R_OK | os.W_OK | os.X_OK):
        raise _forbidden(directory, ground)
    for path in sorted(directory.glob(OWN_FILES)):
        if not os.access(path, os.R_OK | os.W_OK):
            raise _refused(
                f"{path} cannot be read and written by user {own_name()}",
                f"give the directory with all that is in it to {own_name()}: "
                f"chown -R {own_name()} {directory}",
            )
    free = free_bytes(ground)
    if free is not None and free < START_FLOOR_BYTES:
        raise _refused(
            f"{free >> 20} MiB are free where {directory} lies, {START_FLOOR_BYTES >> 20} MiB are "
            "needed to start",
            "free space there, or choose a directory on another disk",
        )


def free_bytes(directory: Path) -> int | None:
    """What an ordinary user may still write there; None where the file system does not say.
    Raises OSError."""
    told = os.statvfs(directory)
    return told.f_bavail * told.f_frsize if told.f_blocks else None


def kind_of(directory: Path, mounts: Path = _MOUNTS) -> str | None:
    """The type of the file system, such as ext4; None where the kernel's list does not name its
    device (btrfs, overlayfs). Raises OSError."""
    device = os.stat(directory).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        mount, _, source = line.partition(" - ")
        fields = mount.split()
        if len(fields) > 2 and fields[2] == number:
            return source.split()[0]
    return None


def _nearest(directory: Path) -> Path:
    """The directory, or the closest one above it that is there."""
    for path in (directory.absolute(), *directory.absolute().parents):
        if path.is_dir():
            return path
        if path.exists():
            raise _refused(f"{path} is not a directory", "choose another path")
    return Path("/")


def _forbidden(directory: Path, ground: Path) -> ConfigError:
    """The folder above is nobody's to give away, so it is never the remedy."""
    user = own_name()
    if ground == directory.absolute():
        what, remedy = f"{directory} cannot be read and written", f"give it to {user}: chown"
        return _refused(f"{what} by user {user}", f"{remedy} {user} {directory}")
    return _refused(
        f"{directory} is not there, and user {user} cannot make it in {ground}",
        f"as root: install -d -o {user} -m 0700 {directory}",
    )


def _refused(what: str, remedy: str) -> ConfigError:
    return ConfigError([Problem("raft.data_dir", what, remedy)])
