"""The text of postgresql.conf, and what may stand in it. PURE.

`parse(render(x)) == x` for every text but one with a NUL, which PostgreSQL cannot hold at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from raftha.errors import Problem
from raftha.model.postgres import DEFAULT_SIZES, ControlData, ServerPlan, ServerRole
from raftha.model.settings import PostgresConfig
from raftha.pg.libpq import connection, handed_out
from raftha.pg.sizes import DEFAULT_REPLICATION_SLOTS, inherited, shared_memory, whole_number

HEADER: Final = "# Written by raftha: changes made here are lost. Use the cluster's configuration."
BASE_CONF: Final = "postgresql.base.conf"
IDENT_FILE: Final = "raftha_ident.conf"

DEFAULTS: Final[Mapping[str, str]] = {
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "max_replication_slots": str(DEFAULT_REPLICATION_SLOTS),
    "wal_keep_size": "128MB",
    "wal_level": "replica",
    "wal_receiver_timeout": "10s",
    "wal_sender_timeout": "10s",
    **{name: str(size) for name, size in DEFAULT_SIZES.items()},
}
"""What a user may change; see also `slot_limit`."""

ENFORCED: Final[Mapping[str, str]] = {
    "hot_standby": "on",
    "recovery_target_timeline": "latest",
    "restart_after_crash": "off",  # a crash restart bypasses the guardian (R20)
    "wal_log_hints": "on",  # pg_rewind needs it where checksums are off
    "wal_retrieve_retry_interval": "200ms",  # at the default 5 s a follower attaches late (R23)
}
"""What a user may not change: the promises rest on it."""

ARCHIVE_INTERVAL: Final = "5s"  # PostgreSQL's own default
"""`wal_retrieve_retry_interval` of a standby that follows an archive alone: nobody waits for it,
and each look is a program that is started, and perhaps a request that is paid for."""

FLOORS: Final[Mapping[str, int]] = {
    "max_connections": 25,
    "max_locks_per_transaction": 32,
    "max_replication_slots": 4,
    "max_wal_senders": 5,
    "max_worker_processes": 2,
}

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

MANAGED: Final = frozenset(
    {
        "config_file",
        "data_directory",
        "external_pid_file",
        "hba_file",
        "ident_file",
        "listen_addresses",
        "port",
        "primary_conninfo",
        "primary_slot_name",
        "promote_trigger_file",
        "recovery_target",
        "recovery_target_action",
        "recovery_target_inclusive",
        "recovery_target_lsn",
        "recovery_target_name",
        "recovery_target_time",
        "recovery_target_xid",
        "synchronous_standby_names",
        "unix_socket_directories",
    }
)
"""What the agent alone writes."""

ENDS_OF_RECOVERY: Final = (
    "recovery_target",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_xid",
)
"""Set to nothing: what is included may still have one from a recovery to a point in time, at which
a standby would stop replaying, or promote itself past the guardian (R11)."""

OLDEST_MAJOR: Final = 14
LAST_WITH_TRIGGER: Final = 15
"""From 16 on no file promotes."""

SYNCED_FROM_MAJOR: Final = 17
"""From here on PostgreSQL synchronises logical slots itself."""

SLOT_SHARE: Final = 5
LEAST_SLOT_LIMIT_MB: Final = 1024  # max_wal_size: a checkpoint later is no reason to lose a slot

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(?:\.[A-Za-z_][A-Za-z0-9_$]*)?")
_SETTING: Final = re.compile(
    rf"\s*(?P<name>{_NAME.pattern})\s*=?\s*"
    r"(?:'(?P<quoted>(?:[^'\\\n]|\\.|'')*)'|(?P<plain>[^\s'#=]+))\s*(?:#.*)?"
)
_ESCAPE: Final = re.compile(r"''|\\([0-7]{1,3}|.)", re.DOTALL)
_LETTERS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WRITTEN: Final = {
    "'": "''",
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}
_SOCKET_PATH_LIMIT: Final = 107  # sun_path of Linux, less its final NUL


def forbidden(parameters: Mapping[str, str]) -> tuple[Problem, ...]:
    """What is wrong with parameters that a user wants to set; empty if they may all be used."""
    problems = (_problem_of(name, value) for name, value in sorted(parameters.items()))
    return tuple(problem for problem in problems if problem is not None)


def contradictions(parameters: Mapping[str, str]) -> tuple[Problem, ...]:
    """Values that PostgreSQL takes one by one, and with which together it does not start."""
    given = {**DEFAULTS, **{name.lower(): value for name, value in parameters.items()}}
    connections = whole_number(given["max_connections"])
    reserved = [
        whole_number(given.get(name, default)) or 0
        for name, default in (
            ("superuser_reserved_connections", "3"),
            ("reserved_connections", "0"),
        )
    ]
    if connections is None or sum(reserved) < connections:
        return ()
    return (
        Problem(
            "postgresql.parameters.superuser_reserved_connections",
            f"{sum(reserved)} connections are reserved, of {connections}: nobody else would get in",
            "reserve fewer, or raise max_connections",
        ),
    )


def render(settings: Mapping[str, str]) -> str:
    """Lines of `name = 'value'` in order of names. Raises ValueError for what no file can hold."""
    return "".join(f"{_checked(name)} = {quote(settings[name])}\n" for name in sorted(settings))


def parse(text: str) -> dict[str, str]:
    """The settings of a file, the last of each name; comments and includes are passed over.

    Names are lowered, as PostgreSQL does. A line that PostgreSQL would refuse is passed over too.
    """
    found: dict[str, str] = {}
    for line in text.split("\n"):
        match = _SETTING.fullmatch(line)
        if match is None or match["name"].lower().startswith("include"):
            continue
        quoted = match["quoted"]
        found[match["name"].lower()] = match["plain"] if quoted is None else _unescape(quoted)
    return found


def quote(value: str) -> str:
    """A value as a quoted string of postgresql.conf. Raises ValueError for a NUL."""
    if "\0" in value:
        raise ValueError("a value of PostgreSQL cannot hold a NUL character")
    return "'" + "".join(_WRITTEN.get(letter, letter) for letter in value) + "'"


def slot_limit(volume_bytes: int) -> str:
    """`max_slot_wal_keep_size` unless a user sets it: a fifth of the volume that holds the WAL, so
    that the slot of a standby that is gone never fills it. PostgreSQL's own default has no limit.
    """
    return f"{max(volume_bytes // SLOT_SHARE >> 20, LEAST_SLOT_LIMIT_MB)}MB"


def settings(
    *,
    config: PostgresConfig,
    plan: ServerPlan,
    scope: str,
    run_dir: Path,
    passfile: Path,
    control: ControlData | None,
    volume_bytes: int,
    major: int = OLDEST_MAJOR,
    original: Mapping[str, str] = NOTHING,
) -> dict[str, str]:
    """Every setting of the server for this plan.

    A parameter in the node's own file wins over the cluster's. On a standby the five parameters
    that size shared memory are never below `control`: replay would stop, and a promotion with it.
    On a primary they are not raised above the plan's `limits`, for the same of its standbys.
    `volume_bytes` is the size of the file system that holds pg_wal, `major` the server's, and
    `original` what its configuration from before raftha sets.
    """
    lowered = {
        name.lower(): value
        for source in (plan.parameters, config.parameters)
        for name, value in source.items()
    }
    wanted = {
        **DEFAULTS,
        **inherited(original, control),
        "cluster_name": scope,
        "max_slot_wal_keep_size": slot_limit(volume_bytes),
        **lowered,
    }
    if control is not None:
        wanted |= shared_memory(wanted, plan, control)
    return {
        **{name: value for name, value in wanted.items() if name not in MANAGED},
        **ENFORCED,
        **({"wal_retrieve_retry_interval": ARCHIVE_INTERVAL} if plan.archive_only else {}),
        "hba_file": str(config.data_dir / "pg_hba.conf"),
        "ident_file": str(config.data_dir / IDENT_FILE),
        **dict.fromkeys(ENDS_OF_RECOVERY, ""),
        **({"promote_trigger_file": ""} if major <= LAST_WITH_TRIGGER else {}),
        "listen_addresses": ",".join(config.listen_hosts),
        "port": str(config.port),
        **_logical(plan, major, wanted),
        "primary_conninfo": _primary_conninfo(plan, config, passfile, major),
        "primary_slot_name": (plan.upstream.slot or "") if plan.upstream else "",
        "synchronous_standby_names": plan.synchronous_standby_names,
        "unix_socket_directories": str(run_dir),
    }


def is_ours(text: str) -> bool:
    """A postgresql.conf that was written by this product."""
    return text.startswith(HEADER)


def file(settings: Mapping[str, str], base: Path | None = None) -> str:
    """The whole postgresql.conf: the original, or `base` in its place, is included first, so that
    ours wins."""
    return f"{HEADER}\ninclude_if_exists = {quote(str(base or BASE_CONF))}\n\n{render(settings)}"


def without_managed(auto_conf: str) -> str:
    """postgresql.auto.conf less what ALTER SYSTEM must not override; the same text if nothing is.

    The server reads that file last, so one ALTER SYSTEM could undo a pledge or a fence.
    """
    present = parse(auto_conf)
    kept = {name: present[name] for name in present if name not in MANAGED | ENFORCED.keys()}
    if kept == present:
        return auto_conf
    return "# Do not edit this file manually!\n" + render(kept)


def socket_problem(run_dir: Path, port: int) -> Problem | None:
    """Why no Unix socket can be made in `run_dir`; None if one can."""
    path = f"{run_dir}/.s.PGSQL.{port}"
    if len(path.encode()) > _SOCKET_PATH_LIMIT:
        return Problem(
            str(run_dir),
            f"the socket's path would have {len(path.encode())} bytes, at most "
            f"{_SOCKET_PATH_LIMIT} are possible",
            "choose a shorter directory",
        )
    if any(letter in path for letter in ',"'):
        return Problem(str(run_dir), "a socket directory cannot hold a comma or a quote")
    return None


def _problem_of(name: str, value: str) -> Problem | None:
    lowered, where = name.lower(), f"postgresql.parameters.{name}"
    if _NAME.fullmatch(name) is None:
        return Problem(where, "not the name of a parameter")
    if "\0" in value:
        return Problem(where, "a value cannot hold a NUL character")
    if lowered in MANAGED or lowered.startswith("include"):
        return Problem(where, "raftha sets it itself", "remove it")
    if lowered in ENFORCED and value.strip().lower() != ENFORCED[lowered]:
        return Problem(where, f"must be {ENFORCED[lowered]}: failover rests on it", "remove it")
    if lowered == "wal_level" and value.strip().lower() not in ("replica", "logical"):
        return Problem(where, "standbys need more WAL than that", "use replica or logical")
    if lowered in ("fsync", "full_page_writes") and _is_false(value):
        return Problem(where, "a power cut would lose acknowledged commits", "leave it on")
    return _floor_problem(where, lowered, value)


def _floor_problem(where: str, name: str, value: str) -> Problem | None:
    floor = FLOORS.get(name)
    if floor is None:
        return None
    number = whole_number(value)
    if number is None:
        return Problem(where, f"{value!r} is not a whole number")
    if number < floor:
        return Problem(where, f"{number} is too low to run a cluster", f"use {floor} or more")
    return None


def _is_false(value: str) -> bool:
    text = value.strip().lower()
    unique_prefix = len(text) > 0 and any(word.startswith(text) for word in ("false", "no"))
    return text in ("0", "of", "off") or unique_prefix


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"not the name of a parameter: {name!r}")
    return name


def _unescape(text: str) -> str:
    def meaning(match: re.Match[str]) -> str:
        escape = match[1]
        if escape is None:
            return "'"
        if escape[0] in "01234567":
            return chr(int(escape, 8) & 0xFF)
        return _LETTERS.get(escape, escape)

    return _ESCAPE.sub(meaning, text)


def _logical(plan: ServerPlan, major: int, wanted: Mapping[str, str]) -> dict[str, str]:
    """What keeps logical slots ready on standbys: the primary keeps the rows that they need, and
    from 17 on copies of them are synchronised."""
    if not plan.logical:
        return {}
    if plan.role is ServerRole.STANDBY:
        has_source = plan.upstream is not None and plan.upstream.slot is not None
        is_synced = has_source and major >= SYNCED_FROM_MAJOR
        synced = {"sync_replication_slots": "on"} if is_synced else {}
        return {"hot_standby_feedback": "on", **synced}
    if major < SYNCED_FROM_MAJOR or "synchronized_standby_slots" in wanted:
        return {}
    return {"synchronized_standby_slots": ", ".join(plan.awaited)}


def _primary_conninfo(plan: ServerPlan, config: PostgresConfig, passfile: Path, major: int) -> str:
    if plan.upstream is None:
        return ""
    # The server that synchronises slots reads them in an ordinary database.
    is_read = plan.logical and major >= SYNCED_FROM_MAJOR
    extra = {"dbname": "postgres"} if is_read else {}
    who = config.authentication.replication
    return handed_out(connection(plan.upstream, who, passfile, extra))
