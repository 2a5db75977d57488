"""Short builders of what is known of servers: directories, guardians, statuses, answers of peers.

Every builder takes overrides by keyword. Instants are told from `T0`, when the views are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from raftha.ha.plans import names_for
from raftha.instants import Instant
from raftha.model.cluster import MemberRole, MemberState
from raftha.model.ids import Epoch, Lsn, MemberName, SystemId, Timeline
from raftha.model.postgres import (
    Attached,
    ControlData,
    ControlState,
    DataDirectory,
    DirectoryState,
    Receiver,
    ServerStatus,
    SyncState,
)
from raftha.model.report import PeerReport
from raftha.model.settings import Address
from raftha.model.view import GuardianView, PeerAnswer, StreamCut

N1, N2, N3 = (MemberName(name) for name in ("n1", "n2", "n3"))
SYSTEM: Final = SystemId("7000000000000000001")
EPOCH: Final = Epoch(1, 40)
PLEDGED: Final = Epoch(1, 60)
"""The floor of a position that counts: the store's revision after the leader of `EPOCH`."""
T0: Final = Instant(1000.0, 1000.0)


@dataclass(slots=True)
class FakeClock:
    """A clock that is moved by hand."""

    instant: Instant = T0

    def now(self) -> Instant:
        return self.instant

    def wall(self) -> float:
        return 1.7e9 + self.instant.boot

    def advance(self, seconds: float) -> Instant:
        self.instant = self.instant.plus(seconds)
        return self.instant


def lsn(value: int) -> Lsn:
    return Lsn(value)


def at(seconds: float) -> Instant:
    """So many seconds after the moment at which the views here are taken; before it if negative."""
    return T0.plus(seconds)


def number(name: MemberName) -> int:
    return int(name[1:])


def address(name: MemberName) -> Address:
    return Address("127.0.0.1", 5430 + number(name))


def control(**more: Any) -> ControlData:
    given: dict[str, Any] = {
        "system_id": SYSTEM,
        "state": ControlState.PRODUCTION,
        "checkpoint": lsn(4000),
        "redo": lsn(3900),
        "timeline": Timeline(1),
        "minimum_recovery_end": lsn(0),
        "minimum_recovery_timeline": Timeline(0),
        "checksums": True,
        "wal_log_hints": True,
        "max_connections": 100,
        "max_worker_processes": 8,
        "max_wal_senders": 10,
        "max_prepared_transactions": 0,
        "max_locks_per_transaction": 64,
    }
    return ControlData(**{**given, **more})


def directory(**more: Any) -> DataDirectory:
    given: dict[str, Any] = {
        "path": Path("/data"),
        "state": DirectoryState.PRESENT,
        "major": 15,
        "control": control(),
    }
    return DataDirectory(**{**given, **more})


EMPTY: Final = DataDirectory(path=Path("/data"), state=DirectoryState.EMPTY)
STANDBY_DIRECTORY: Final = directory(
    control=control(state=ControlState.ARCHIVE_RECOVERY), standby_signal=True
)


def guardian(**more: Any) -> GuardianView:
    given: dict[str, Any] = {
        "alive": True,
        "nonce": "guardian-n1",
        "running": True,
        "primary": True,
        "epoch": EPOCH,
        "process": "77@1",
    }
    return GuardianView(**{**given, **more})


IDLE_GUARDIAN: Final = guardian(running=False, primary=False, epoch=None, process="")
STANDBY_GUARDIAN: Final = guardian(primary=False, epoch=None)


def attached(name: MemberName, flush: int | None = 5000, **more: Any) -> Attached:
    given: dict[str, Any] = {
        "application_name": name,
        "state": "streaming",
        "sync_state": SyncState.ASYNC,
        "flush": None if flush is None else lsn(flush),
        "replay": None if flush is None else lsn(flush),
        "pid": 900 + number(name),
    }
    return Attached(**{**given, **more})


def primary(**more: Any) -> ServerStatus:
    given: dict[str, Any] = {
        "version": 150018,
        "system_id": SYSTEM,
        "in_recovery": False,
        "timeline": Timeline(1),
        "started": "then",
        "written": lsn(5000),
        "flushed": lsn(5000),
        "attached": (attached(N2), attached(N3)),
        "slots": ("n2", "n3"),
        "synchronous_standby_names": names_for(N2),
    }
    return ServerStatus(**{**given, **more})


def standby(position: int | None = 5000, **more: Any) -> ServerStatus:
    where = None if position is None else lsn(position)
    given: dict[str, Any] = {
        "version": 150018,
        "system_id": SYSTEM,
        "in_recovery": True,
        "timeline": Timeline(1),
        "started": "then",
        "received": where,
        "replayed": where,
        "slots": ("n2", "n3"),
        "synchronous_standby_names": "raftha_nobody",
    }
    return ServerStatus(**{**given, **more})


def cut(**more: Any) -> StreamCut:
    """The stream of the server that runs was cut a moment before it was asked for its status."""
    return StreamCut(**{"process": "77@1", "floor": PLEDGED, "at": at(-0.2), **more})


def receiver(source: MemberName) -> Receiver:
    return Receiver(
        status="streaming", host="127.0.0.1", port=address(source).port, slot=None, pid=1
    )


def report(name: MemberName, position: int | None = 5000, **more: Any) -> PeerReport:
    where = None if position is None else lsn(position)
    given: dict[str, Any] = {
        "name": name,
        "system_id": SYSTEM,
        "state": MemberState.STREAMING,
        "role": MemberRole.STANDBY,
        "primary_alive": False,
        "timeline": Timeline(1),
        "position": where,
        "received": where,
        "replayed": where,
        "pledged": PLEDGED,
    }
    return PeerReport(**{**given, **more})


def answers(*reports: PeerReport, ago: float = 0.1, silent: tuple[MemberName, ...] = ()) -> Any:
    """What members answered to a question asked so long ago; `silent` did not."""
    given = {r.name: PeerAnswer(asked=at(-ago), report=r) for r in reports}
    return given | {n: PeerAnswer(asked=at(-ago), report=None) for n in silent}
