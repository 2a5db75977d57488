"""Parameters of PostgreSQL that raftha sets itself: a value in a file has no effect. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from raftha.config.reading import Reading

MANAGED_PARAMETERS: Final = frozenset(
    {
        "cluster_name",
        "data_directory",
        "hba_file",
        "hot_standby",
        "listen_addresses",
        "port",
        "primary_conninfo",
        "primary_slot_name",
        "promote_trigger_file",
        "recovery_target_timeline",
        "restart_after_crash",
        "synchronous_standby_names",
    }
)


def warn_managed(reading: Reading, path: str) -> None:
    """Warn of each parameter at `path` that will have no effect."""
    given = reading.get(path, dict) or {}
    for name in sorted(MANAGED_PARAMETERS.intersection(given)):
        reading.warn(f"{path}.{name}", "ignored: raftha sets this parameter", "remove it")


def without_managed(parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters that have an effect."""
    return {name: value for name, value in parameters.items() if name not in MANAGED_PARAMETERS}
