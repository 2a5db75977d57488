"""Writes the files that configure a server. Never starts, promotes or reloads it.

`standby.signal` is put before everything else and taken away after everything else, so that a
crash between two files leaves a standby, never a primary.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from raftha import files
from raftha.errors import ConfigError
from raftha.model.postgres import ControlData, ServerPlan, ServerRole
from raftha.model.settings import PostgresConfig
from raftha.pg import conf, hba, libpq
from raftha.pg.layout import Layout

BIRTH_FILE: Final = "raftha.birth"
"""Which cluster the directory is part of. In it, for a copy of it is part of the same cluster, and
what pg_rewind makes of another directory too."""


RECOVERY_FILE: Final = "raftha.recovery.conf"
"""The settings of the recovery of what a bootstrap restored."""

BACKUP_FILE: Final = "raftha.from_backup"
"""In a copy that a program of the operator's made, until it follows a leader, or is one: what its
node acknowledged before need not be in it."""


def apply(
    layout: Layout,
    config: PostgresConfig,
    scope: str,
    plan: ServerPlan,
    control: ControlData | None,
    major: int = conf.OLDEST_MAJOR,
) -> bool:
    """Make the files fit the plan; whether any of them changed.

    Raises ConfigError if the plan holds what may not be set (nothing is written then), OSError.
    """
    _check(layout, config, plan)
    data_dir = layout.data_dir
    if plan.birth:
        _written(data_dir / BIRTH_FILE, plan.birth)
    settings = conf.settings(
        config=config,
        plan=plan,
        scope=scope,
        run_dir=layout.run_dir,
        passfile=layout.passfile,
        control=control,
        volume_bytes=_volume_bytes(data_dir / "pg_wal"),
        major=major,
        original=original(data_dir),
    )
    changed = False
    if plan.recovers:
        settings = _recovering(settings, data_dir)
    elif plan.role is ServerRole.STANDBY:
        changed |= _written(data_dir / "standby.signal", "")
    if not plan.recovers:
        changed |= _removed(data_dir / RECOVERY_FILE)
    if plan.upstream is not None or plan.role is ServerRole.PRIMARY:
        _removed(data_dir / BACKUP_FILE)
    changed |= write_passwords(layout, config)
    changed |= _keep_original(data_dir)
    changed |= _written(data_dir / "postgresql.conf", conf.file(settings, config.custom_conf))
    changed |= _rewritten(data_dir / "postgresql.auto.conf", conf.without_managed)
    changed |= _written_access(data_dir, config, plan)
    return changed


def write_passwords(layout: Layout, config: PostgresConfig) -> bool:
    """Put the passwords where libpq looks for them; whether a file changed. Raises OSError."""
    layout.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    users = config.authentication.users
    logins = ((who.username, who.password.reveal()) for who in users if who.password is not None)
    changed = _written(layout.passfile, libpq.pgpass(logins))
    services = libpq.services(users)
    if not services and not layout.service_file.exists():
        return changed
    return _written(layout.service_file, services) or changed


def key_passwords(layout: Layout, config: PostgresConfig) -> dict[str, str]:
    """The variable by which programs and a server find the passwords of keys, where there are any:
    it hides the service file of the system user."""
    has_any = any(who.key_password is not None for who in config.authentication.users)
    return {"PGSERVICEFILE": str(layout.service_file)} if has_any else {}


def birth(data_dir: Path) -> str:
    """Of which cluster this directory is, as `apply` wrote it; empty if that is not known."""
    try:
        return (data_dir / BIRTH_FILE).read_text(errors="replace").strip()
    except OSError:
        return ""


def write_birth(data_dir: Path, birth: str) -> None:
    """Say of which cluster this directory is. Raises OSError."""
    _written(data_dir / BIRTH_FILE, birth)


def mark_from_backup(data_dir: Path) -> None:
    """Say that a program made this copy. Raises OSError."""
    _written(data_dir / BACKUP_FILE, "")


def is_from_backup(data_dir: Path) -> bool:
    """What `mark_from_backup` says, until `apply` has it follow a leader, or be one."""
    return (data_dir / BACKUP_FILE).exists()


def original(data_dir: Path) -> dict[str, str]:
    """What the configuration from before raftha sets in its own file. Raises OSError."""
    text = _read(data_dir / conf.BASE_CONF)
    if text is None:
        found = _read(data_dir / "postgresql.conf")
        text = "" if found is None or conf.is_ours(found) else found
    return conf.parse(text)


def altered(data_dir: Path) -> dict[str, str]:
    """What ALTER SYSTEM has set. Raises OSError."""
    return conf.parse(_read(data_dir / "postgresql.auto.conf") or "")


def has_restore_command(data_dir: Path) -> bool:
    """Whether a stopped directory is configured to fetch WAL from an archive. Raises OSError."""
    written = (data_dir / name for name in ("postgresql.conf", "postgresql.auto.conf"))
    texts = (path.read_text(errors="replace") for path in written if path.exists())
    return any(conf.parse(text).get("restore_command") for text in texts)


def mark_standby(data_dir: Path) -> None:
    """Make sure, durably, that this directory starts as a standby. Raises OSError."""
    _written(data_dir / "standby.signal", "")


def unmark_standby(data_dir: Path) -> bool:
    """Have a stopped directory start as a primary; whether it would not have. Raises OSError."""
    return _removed(data_dir / "standby.signal") | _removed(data_dir / "recovery.signal")


def _recovering(settings: Mapping[str, str], data_dir: Path) -> dict[str, str]:
    given = conf.parse(_read(data_dir / RECOVERY_FILE) or "")
    # Not even empty: to PostgreSQL an empty target beside another one makes two targets.
    plain = {name: text for name, text in settings.items() if name not in conf.ENDS_OF_RECOVERY}
    return {**plain, **given, "recovery_target_action": "promote"}


def _volume_bytes(directory: Path) -> int:
    """The size of the file system that holds it."""
    volume = os.statvfs(directory)
    return volume.f_blocks * volume.f_frsize


def _check(layout: Layout, config: PostgresConfig, plan: ServerPlan) -> None:
    socket = conf.socket_problem(layout.run_dir, config.port)
    problems = [
        *conf.forbidden({**plan.parameters, **config.parameters}),
        *hba.problems(_access_lines(config, plan)),
        *([] if socket is None else [socket]),
    ]
    if problems:
        raise ConfigError(problems)


def _access_lines(config: PostgresConfig, plan: ServerPlan) -> tuple[str, ...]:
    return config.pg_hba or plan.pg_hba


def _written_access(data_dir: Path, config: PostgresConfig, plan: ServerPlan) -> bool:
    system_user = pwd.getpwuid(os.geteuid()).pw_name
    ident = _read(data_dir / "pg_ident.conf") or ""
    lines = _access_lines(config, plan)
    text = hba.render(config.authentication, lines, closed=plan.closed, logical=plan.logical)
    users = config.pg_ident or plan.pg_ident
    users_map = hba.render_map(system_user, config.authentication.users, ident, users)
    changed = _written(data_dir / conf.IDENT_FILE, users_map)
    return _written(data_dir / "pg_hba.conf", text) or changed


def _keep_original(data_dir: Path) -> bool:
    """Keep the configuration that was there before raftha's first, once."""
    base = data_dir / conf.BASE_CONF
    found = _read(data_dir / "postgresql.conf")
    if base.exists() or found is None or conf.is_ours(found):
        return False
    return _written(base, found)


def _rewritten(path: Path, change: Callable[[str], str]) -> bool:
    text = _read(path)
    return text is not None and _written(path, change(text))


def _written(path: Path, text: str) -> bool:
    if _read(path) == text:
        return False
    files.replace(path, text.encode("utf-8", "surrogateescape"))
    return True


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    files.sync_directory(path.parent)
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
