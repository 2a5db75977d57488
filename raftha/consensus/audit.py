"""The parts of the Raft library that ours lean on, and the check that they are what was audited."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from raftha.errors import RafthaError

AUDITED_VERSION: Final = "0.3.17"
AUDITED: Final = {
    "__init__": "09df12cd7fd7d727",
    "_onTick": "cc9eb08232d005ba",
    "_checkCommandsToApply": "a386a8079361d204",
    "_SyncObj__applyLogEntries": "073db677773b5a2d",
    "_SyncObj__doApplyCommand": "1ea7aa506e950d0a",
    "_SyncObj__onMessageReceived": "ddfe34b6c0282179",
    "_SyncObj__sendNextNodeIdx": "68aaeefc267b8896",
    "_SyncObj__generateRaftTimeout": "92ed37d3620e781a",
    "_SyncObj__getCurrentLogIndex": "e5af22ca246686bd",
    "_SyncObj__getCurrentLogTerm": "1cb8867e6a13d397",
    "_SyncObj__getPrevLogIndexTerm": "6766914806ae2311",
    "_SyncObj__getEntries": "e29c4b33293b2101",
    "_SyncObj__deleteEntriesFrom": "3b23c411bb903d36",
    "_SyncObj__onBecomeLeader": "5a3fd97bc17dc1cf",
    "_SyncObj__setCurrentTerm": "0ad5bf456ac06bd3",
    "_SyncObj__setState": "2c1f239f7bd79b39",
    "_SyncObj__onLeaderChanged": "53b7685e1d897887",
    "_SyncObj__sendAppendEntries": "9cb9073128c392fa",
    "_SyncObj__connectedToAnyone": "acd40e9e3ac6c4cc",
    "_SyncObj__parseChangeClusterRequest": "b2d5d695b12e592f",
    "_SyncObj__tryLogCompaction": "c2f8a0ec14cc7312",
}
"""Private parts of the library that `syncobj.py` overrides or relies on, each with the start of the
SHA-256 of the source that was audited."""
AUDITED_FILE: Final = "e8bdf06797085d73"
"""The same of the file that they are in."""


class LibraryMismatch(RafthaError):
    """The installed pysyncobj is not the one that was audited."""


def verify_library(
    library: type,
    version: str,
    audited: Mapping[str, str] = AUDITED,
    audited_file: str = AUDITED_FILE,
) -> None:
    """Raise LibraryMismatch unless every part that is leaned on is the audited one.

    Where the whole file is what was audited, so are its parts; to take each out of it would cost
    40 ms of every start (measured).
    """
    if version == AUDITED_VERSION and _file_digest(library) == audited_file:
        return
    changed = [name for name, digest in audited.items() if _digest(library, name) != digest]
    if version != AUDITED_VERSION or changed:
        raise LibraryMismatch(
            f"pysyncobj {version} is installed, raftha needs exactly {AUDITED_VERSION} "
            f"unmodified (differs: {', '.join(changed) or 'version'}): "
            f"pip install 'pysyncobj=={AUDITED_VERSION}'"
        )


def _digest(library: type, name: str) -> str:
    part = library.__dict__.get(name)
    source = "" if part is None else inspect.getsource(part)
    return _short(source.encode())


def _file_digest(library: type) -> str:
    path = inspect.getsourcefile(library)
    return "" if path is None else _short(Path(path).read_bytes())


def _short(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()[:16]
