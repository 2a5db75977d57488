"""Reads what pg_controldata prints under LC_ALL=C. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from raftha.errors import PostgresError
from raftha.model.ids import Lsn, SystemId, Timeline
from raftha.model.postgres import ControlData, ControlState

_STATES: Final[Mapping[str, ControlState]] = {
    "starting up": ControlState.STARTING_UP,
    "shut down": ControlState.SHUT_DOWN,
    "shut down in recovery": ControlState.SHUT_DOWN_IN_RECOVERY,
    "shutting down": ControlState.SHUTTING_DOWN,
    "in crash recovery": ControlState.CRASH_RECOVERY,
    "in archive recovery": ControlState.ARCHIVE_RECOVERY,
    "in production": ControlState.PRODUCTION,
}


def parse(output: str) -> ControlData:
    """Raises PostgresError if a line is missing or unreadable."""
    fields = {
        name.strip(): value.strip()
        for name, colon, value in (line.partition(":") for line in output.splitlines())
        if colon
    }
    try:
        return _build(fields)
    except (KeyError, ValueError) as error:
        raise PostgresError(
            f"pg_controldata printed something unexpected: {error}; "
            "check that bin_dir fits the data directory"
        ) from error


def _build(fields: Mapping[str, str]) -> ControlData:
    return ControlData(
        system_id=SystemId(fields["Database system identifier"]),
        state=_STATES[fields["Database cluster state"]],
        checkpoint=Lsn.parse(fields["Latest checkpoint location"]),
        redo=Lsn.parse(fields["Latest checkpoint's REDO location"]),
        timeline=Timeline(int(fields["Latest checkpoint's TimeLineID"])),
        minimum_recovery_end=Lsn.parse(fields["Minimum recovery ending location"]),
        minimum_recovery_timeline=Timeline(int(fields["Min recovery ending loc's timeline"])),
        checksums=fields["Data page checksum version"] != "0",
        wal_log_hints=fields["wal_log_hints setting"] == "on",
        max_connections=int(fields["max_connections setting"]),
        max_worker_processes=int(fields["max_worker_processes setting"]),
        max_wal_senders=int(fields["max_wal_senders setting"]),
        max_prepared_transactions=int(fields["max_prepared_xacts setting"]),
        max_locks_per_transaction=int(fields["max_locks_per_xact setting"]),
    )
