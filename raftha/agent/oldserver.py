"""What an agent left running: a server under its guardian, seen by another than the agent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from raftha.errors import GuardianGone
from raftha.guardian.client import GuardianClient
from raftha.instants import Seconds

_KILL_TIMEOUT: Final = Seconds(5.0)


def is_guarded(socket_path: Path) -> bool:
    """Whether a guardian answers there."""
    with _connected(socket_path, "observer") as guardian:
        return guardian is not None


def end_primary(socket_path: Path) -> bool:
    """Kill the server of this guardian if it may write; whether it was one. Raises GuardianError if
    it cannot be killed. A standby is left alone."""
    with _connected(socket_path, "agent") as guardian:
        if guardian is None or not guardian.status().is_primary:
            return False
        guardian.kill(_KILL_TIMEOUT)
        return True


@contextmanager
def _connected(socket_path: Path, role: str) -> Iterator[GuardianClient | None]:
    """A guardian to ask; None where none answers."""
    client = GuardianClient(socket_path, role=role)
    try:
        client.connect()
    except GuardianGone:
        yield None
        return
    try:
        yield client
    finally:
        client.close()
