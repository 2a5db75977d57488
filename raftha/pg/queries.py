"""Every SQL text of the product, with the reader of its answer beside it. PURE.

Valid on PostgreSQL 14 to 18. Everything is schema-qualified: a user's search_path or a function
of his own of the same name never comes between.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from raftha.errors import PostgresError
from raftha.instants import Seconds
from raftha.model.ids import Lsn, SystemId, Timeline
from raftha.model.postgres import (
    Attached,
    PendingRestart,
    Receiver,
    ReplayPause,
    ServerSetup,
    ServerStatus,
    SlotState,
    StrainedSlot,
    SyncState,
)

_UNREADABLE: Final = (KeyError, TypeError, ValueError, IndexError)

STATUS: Final = """
SELECT pg_catalog.json_build_object(
  'version', pg_catalog.current_setting('server_version_num')::int,
  'system_id', (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
  'in_recovery', r.recovering,
  'started', pg_catalog.pg_postmaster_start_time()::text,
  'written', CASE WHEN NOT r.recovering THEN pg_catalog.pg_current_wal_lsn() END,
  'flushed', CASE WHEN NOT r.recovering THEN pg_catalog.pg_current_wal_flush_lsn() END,
  'segment', CASE WHEN NOT r.recovering
    THEN pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) END,
  'received', CASE WHEN r.recovering THEN pg_catalog.pg_last_wal_receive_lsn() END,
  'replayed', CASE WHEN r.recovering THEN pg_catalog.pg_last_wal_replay_lsn() END,
  'replayed_at', CASE WHEN r.recovering
    THEN pg_catalog.pg_last_xact_replay_timestamp()::text END,
  'replay_pause', CASE WHEN r.recovering THEN pg_catalog.pg_get_wal_replay_pause_state() END,
  'replay_waits', EXISTS (SELECT 1 FROM pg_catalog.pg_stat_activity AS a
    WHERE a.backend_type = 'startup'
    AND a.wait_event IN ('RecoveryRetrieveRetryInterval', 'RecoveryWalStream')),
  'replay_lag', CASE WHEN r.recovering
    AND pg_catalog.pg_last_wal_receive_lsn() > pg_catalog.pg_last_wal_replay_lsn()
    THEN EXTRACT(EPOCH FROM pg_catalog.clock_timestamp()
                            - pg_catalog.pg_last_xact_replay_timestamp()) END,
  'control_timelines', (SELECT pg_catalog.json_build_array(c.timeline_id,
      (SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()))
    FROM pg_catalog.pg_control_checkpoint() AS c),
  'receiver', (SELECT pg_catalog.json_build_object('status', w.status, 'host', w.sender_host,
      'port', w.sender_port, 'slot', w.slot_name, 'pid', w.pid, 'timeline', w.received_tli)
    FROM pg_catalog.pg_stat_wal_receiver AS w WHERE w.pid IS NOT NULL),
  'restores', pg_catalog.current_setting('restore_command') <> '',
  'attached', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'application_name', s.application_name, 'state', s.state, 'sync_state', s.sync_state,
      'flush', s.flush_lsn, 'replay', s.replay_lsn, 'pid', s.pid) ORDER BY s.pid)
    FROM pg_catalog.pg_stat_replication AS s
    WHERE s.state <> 'backup' AND s.application_name <> 'raftha'),
  'slots', (SELECT pg_catalog.json_agg(p.slot_name ORDER BY p.slot_name)
    FROM pg_catalog.pg_replication_slots AS p
    WHERE p.slot_type = 'physical' AND NOT p.temporary),
  'slot_states', (SELECT pg_catalog.json_agg(pg_catalog.row_to_json(q) ORDER BY q.slot_name)
    FROM (SELECT p.*, pg_catalog.age(p.xmin) AS xmin_age,
        pg_catalog.age(p.catalog_xmin) AS catalog_xmin_age
      FROM pg_catalog.pg_replication_slots AS p WHERE NOT p.temporary) AS q),
  'redo', (SELECT redo_lsn FROM pg_catalog.pg_control_checkpoint()),
  'wal_level', pg_catalog.current_setting('wal_level'),
  'strained_slots', CASE WHEN NOT r.recovering THEN
    (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
        'name', k.slot_name, 'kept', k.kept, 'left', k.room) ORDER BY k.slot_name)
    FROM (SELECT p.slot_name,
        COALESCE(pg_catalog.pg_current_wal_lsn() - p.restart_lsn, 0) AS kept,
        CASE WHEN p.wal_status = 'lost' THEN 0
             WHEN p.safe_wal_size < 1 THEN 1 ELSE p.safe_wal_size END AS room
      FROM pg_catalog.pg_replication_slots AS p
      WHERE p.slot_type = 'physical' AND NOT p.temporary) AS k
    WHERE k.room < k.kept / 4 OR k.room = 0) END,
  'synchronous_standby_names', pg_catalog.current_setting('synchronous_standby_names'),
  'conf_loaded', pg_catalog.pg_conf_load_time()::text,
  'sizes', (SELECT pg_catalog.json_object_agg(z.name, pg_catalog.current_setting(z.name)::int)
    FROM (VALUES ('max_connections'), ('max_worker_processes'), ('max_wal_senders'),
      ('max_prepared_transactions'), ('max_locks_per_transaction')) AS z (name)),
  'pending_restart', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', g.name,
      'running', pg_catalog.current_setting(g.name), 'wanted', COALESCE((SELECT f.setting
        FROM pg_catalog.pg_file_settings AS f WHERE f.name = g.name
        ORDER BY f.seqno DESC LIMIT 1), g.boot_val, '')) ORDER BY g.name)
    FROM pg_catalog.pg_settings AS g WHERE g.pending_restart)
)::text FROM (SELECT pg_catalog.pg_is_in_recovery() AS recovering) AS r
"""

SETUP: Final = """
SELECT pg_catalog.json_build_object(
  'settings', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', s.name, 'setting', s.setting))
    FROM pg_catalog.pg_settings AS s
    WHERE s.name IN ('fsync', 'full_page_writes', 'data_checksums', 'wal_log_hints',
      'synchronous_commit', 'max_wal_senders', 'max_replication_slots', 'server_version_num')),
  'roles', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', r.rolname, 'login', r.rolcanlogin, 'replication', r.rolreplication,
      'superuser', r.rolsuper,
      'valid', r.rolvaliduntil IS NULL OR r.rolvaliduntil > pg_catalog.now()))
    FROM pg_catalog.pg_roles AS r WHERE r.rolname = ANY (%s)))::text
"""
_RIGHTS: Final = ("login", "replication", "superuser", "valid")

READ: Final = "SELECT oid FROM pg_catalog.pg_database ORDER BY oid LIMIT 1"
CONF_LOADED: Final = "SELECT pg_catalog.pg_conf_load_time()::text"
LIBRARY_FOLDERS: Final = """
SELECT (SELECT setting FROM pg_catalog.pg_config WHERE name = 'PKGLIBDIR'),
  pg_catalog.current_setting('dynamic_library_path')
"""
SETTING_ERRORS: Final = """
SELECT name, setting, error FROM pg_catalog.pg_file_settings
WHERE error IS NOT NULL AND name IS NOT NULL ORDER BY seqno
"""
HBA_ERRORS: Final = """
SELECT line_number, error FROM pg_catalog.pg_hba_file_rules WHERE error IS NOT NULL
ORDER BY line_number
"""
TRY_SETTING: Final = "SELECT pg_catalog.set_config(%s, %s, true)"
"""It ends with its own transaction."""
RELOAD: Final = "SELECT pg_catalog.pg_reload_conf()"
CHECKPOINT: Final = "CHECKPOINT"
FLUSHED: Final = "SELECT pg_catalog.pg_current_wal_flush_lsn()::text"
UPSTREAM: Final = "SELECT pg_catalog.current_setting('primary_conninfo')"
RECEIVER_PID: Final = """
SELECT pid FROM pg_catalog.pg_stat_activity WHERE backend_type = 'walreceiver'
UNION SELECT pid FROM pg_catalog.pg_stat_wal_receiver WHERE pid IS NOT NULL
"""
"""pg_stat_wal_receiver alone shows no receiver that is still connecting."""
IDENTIFY_SYSTEM: Final = "IDENTIFY_SYSTEM"

STARTED: Final = "SELECT pg_catalog.pg_postmaster_start_time()"

TABLESPACES: Final = "SELECT pg_catalog.pg_tablespace_location(oid) FROM pg_catalog.pg_tablespace"

SLOTS: Final = """
SELECT slot_name, active, COALESCE(wal_status, ''), restart_lsn IS NOT NULL
FROM pg_catalog.pg_replication_slots WHERE slot_type = 'physical' AND NOT temporary
ORDER BY slot_name
"""
SLOT_NAMES: Final = (
    "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE NOT temporary ORDER BY slot_name"
)
READ_FILE: Final = "SELECT pg_catalog.pg_read_binary_file(%s, 0, 104857600, true)"
"""None where there is no such file."""

READ_PART: Final = "SELECT pg_catalog.pg_read_binary_file(%s, %s, %s, true)"
"""From an offset on, at most so many bytes: none behind the end, None if there is no such file."""

CREATE_LOGICAL_SLOT: Final = (
    "SELECT pg_catalog.pg_create_logical_replication_slot(%s, %s, false, false)"
)
CREATE_SYNCED_SLOT: Final = (
    "SELECT pg_catalog.pg_create_logical_replication_slot(%s, %s, false, false, true)"
)
"""From 17 on: it is copied to standbys by PostgreSQL itself."""

CREATE_SLOT: Final = "SELECT pg_catalog.pg_create_physical_replication_slot(%s, true)"
ADVANCE_SLOTS: Final = """
SELECT p.slot_name, pg_catalog.pg_replication_slot_advance(p.slot_name, w.target)
FROM pg_catalog.pg_replication_slots AS p
JOIN ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::pg_catalog.pg_lsn[]))
  AS w(name, target)
  ON w.name = p.slot_name
WHERE NOT p.active AND COALESCE(p.confirmed_flush_lsn, p.restart_lsn) < w.target
"""
"""Each is moved at most to what a standby has replayed, by PostgreSQL itself."""

END_STREAM: Final = """
SELECT pg_catalog.pg_terminate_backend(s.active_pid, %s)
FROM pg_catalog.pg_replication_slots AS s WHERE s.slot_name = %s AND s.active_pid IS NOT NULL
"""
DROP_SLOT: Final = "SELECT pg_catalog.pg_drop_replication_slot(%s)"

DUPLICATES: Final = """
SELECT pid, application_name FROM (
  SELECT pid, application_name, pg_catalog.row_number() OVER (
    PARTITION BY pg_catalog.lower(application_name)
    ORDER BY pid IN (SELECT active_pid FROM pg_catalog.pg_replication_slots
      WHERE active_pid IS NOT NULL) DESC, backend_start DESC, pid DESC) AS rank
  FROM pg_catalog.pg_stat_replication
  WHERE state IN ('startup', 'catchup', 'streaming', 'stopping')
    AND pg_catalog.lower(application_name) = ANY(%s)
) AS ranked WHERE rank > 1 ORDER BY pid
"""
TERMINATE: Final = "SELECT pg_catalog.pg_terminate_backend(%s)"

ROLE: Final = """
SELECT rolsuper, rolreplication, rolcanlogin, rolpassword
FROM pg_catalog.pg_authid WHERE rolname = %s
"""
REWIND_FUNCTIONS: Final = (
    "pg_catalog.pg_ls_dir(text, boolean, boolean)",
    "pg_catalog.pg_stat_file(text, boolean)",
    "pg_catalog.pg_read_binary_file(text)",
    "pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)",
)
"""What pg_rewind calls on its source, from its manual."""
MAY_EXECUTE: Final = "SELECT pg_catalog.has_function_privilege(%s, %s, 'EXECUTE')"


class Slot(Struct, frozen=True, kw_only=True):
    """A physical slot; `lost`: WAL that it ought to keep is gone."""

    name: str
    active: bool
    lost: bool
    reserving: bool


class Identity(Struct, frozen=True, kw_only=True):
    """An answer to IDENTIFY_SYSTEM: a standby names the timeline that it has replayed."""

    system_id: SystemId
    timeline: Timeline
    position: Lsn


def identifier(name: str) -> str:
    """A name quoted for SQL. Raises ValueError for a NUL."""
    if "\0" in name:
        raise ValueError("a name cannot hold a NUL character")
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def grant_execute(function: str, role: str) -> str:
    """The statement that lets a role call a function; its text is a psycopg2 template."""
    return f"GRANT EXECUTE ON FUNCTION {function} TO {identifier(role)}"


def timeline_history(timeline: Timeline) -> str:
    """The replication command that asks for a history file."""
    return f"TIMELINE_HISTORY {timeline:d}"


def parse_status(text: str) -> ServerStatus:
    """Reads the answer to STATUS. Raises PostgresError."""
    try:
        return _status(json.loads(text))
    except _UNREADABLE as error:
        raise PostgresError(f"the server's status cannot be read: {error!r}") from error


def parse_setup(text: str) -> ServerSetup:
    """Reads the answer to SETUP. Raises PostgresError."""
    try:
        answer = json.loads(text)
        return ServerSetup(
            settings={row["name"]: str(row["setting"]) for row in answer["settings"]},
            roles={
                row["name"]: frozenset(right for right in _RIGHTS if row[right])
                for row in answer["roles"] or ()
            },
        )
    except _UNREADABLE as error:
        raise PostgresError(f"the server's settings cannot be read: {error!r}") from error


def parse_slots(rows: Sequence[Sequence[Any]]) -> tuple[Slot, ...]:
    """Reads the answer to SLOTS."""
    return tuple(
        Slot(name=str(name), active=bool(active), lost=wal_status == "lost", reserving=bool(kept))
        for name, active, wal_status, kept in rows
    )


def parse_identity(row: Sequence[Any]) -> Identity:
    """Reads the answer to IDENTIFY_SYSTEM. Raises PostgresError."""
    try:
        return Identity(
            system_id=SystemId(str(row[0])),
            timeline=Timeline(int(row[1])),
            position=Lsn.parse(str(row[2])),
        )
    except _UNREADABLE as error:
        raise PostgresError(f"IDENTIFY_SYSTEM answered something unexpected: {row!r}") from error


def _status(answer: Mapping[str, Any]) -> ServerStatus:
    receiver = answer["receiver"]
    lag = answer["replay_lag"]
    return ServerStatus(
        version=int(answer["version"]),
        system_id=SystemId(answer["system_id"]),
        in_recovery=bool(answer["in_recovery"]),
        timeline=_timeline(answer),
        started=str(answer["started"]),
        written=_lsn(answer["written"]),
        flushed=_lsn(answer["flushed"]),
        received=_lsn(answer["received"]),
        replayed=_lsn(answer["replayed"]),
        replayed_at=answer["replayed_at"],
        replay_pause=ReplayPause(answer["replay_pause"] or ReplayPause.NOT_PAUSED),
        replay_waits=bool(answer["replay_waits"]),
        replay_lag_seconds=None if lag is None else Seconds(max(0.0, float(lag))),
        receiver=None if receiver is None else _receiver(receiver),
        restores=bool(answer["restores"]),
        attached=tuple(_attached(row) for row in answer["attached"] or ()),
        slots=tuple(answer["slots"] or ()),
        slot_states=tuple(_slot_state(row) for row in answer["slot_states"] or ()),
        redo=_lsn(answer["redo"]),
        wal_level=str(answer["wal_level"]),
        strained_slots=tuple(_strained(row) for row in answer["strained_slots"] or ()),
        synchronous_standby_names=str(answer["synchronous_standby_names"]),
        conf_loaded=str(answer["conf_loaded"]),
        pending_restart=tuple(_pending(row) for row in answer["pending_restart"] or ()),
        sizes={str(name): int(value) for name, value in answer["sizes"].items()},
    )


def _pending(row: Mapping[str, Any]) -> PendingRestart:
    return PendingRestart(
        name=str(row["name"]), running=str(row["running"]), wanted=str(row["wanted"])
    )


def _timeline(answer: Mapping[str, Any]) -> Timeline:
    """The control file is behind after a promotion, so a primary's WAL file name comes first."""
    if answer["segment"] is not None:
        return Timeline(int(answer["segment"][:8], 16))
    known = [int(number) for number in answer["control_timelines"] if number is not None]
    if answer["receiver"] is not None and answer["receiver"]["timeline"] is not None:
        known.append(int(answer["receiver"]["timeline"]))
    return Timeline(max(known))


def _lsn(text: str | None) -> Lsn | None:
    return None if text is None else Lsn.parse(text)


def _strained(row: Mapping[str, Any]) -> StrainedSlot:
    kept, left = int(row["kept"]), int(row["left"])
    return StrainedSlot(name=str(row["name"]), kept_bytes=kept, left_bytes=left)


def _slot_state(row: Mapping[str, Any]) -> SlotState:
    """A row of pg_replication_slots, which has more columns in later versions, and two ages."""
    restart, catalog_xmin = _lsn(row["restart_lsn"]), row["catalog_xmin"]
    is_gone = row["wal_status"] == "lost" or row.get("conflicting")
    return SlotState(
        name=str(row["slot_name"]),
        position=_lsn(row["confirmed_flush_lsn"]) or restart,
        restart=restart,
        plugin=row["plugin"] or "",
        database=row["database"] or "",
        active=bool(row["active"]),
        lost=bool(is_gone or row.get("invalidation_reason")),
        xmin_age=row["xmin_age"],
        catalog_xmin=None if catalog_xmin is None else int(catalog_xmin),
        catalog_xmin_age=row["catalog_xmin_age"],
        failover=bool(row.get("failover")),
        synced=bool(row.get("synced")),
    )


def _receiver(row: Mapping[str, Any]) -> Receiver:
    return Receiver(
        status=str(row["status"]),
        host=row["host"],
        port=row["port"],
        slot=row["slot"] or None,
        pid=int(row["pid"]),
    )


def _attached(row: Mapping[str, Any]) -> Attached:
    return Attached(
        application_name=str(row["application_name"]),
        state=str(row["state"]),
        sync_state=SyncState(row["sync_state"]),
        flush=_lsn(row["flush"]),
        replay=_lsn(row["replay"]),
        pid=int(row["pid"]),
    )
