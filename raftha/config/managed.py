"""Parameters of PostgreSQL that raftha sets itself: a value in a file has no effect. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from raftha.config.reading import Reading

_OF_NODE: Final = "it belongs to one machine, and stands in the section postgresql of its file"
_OF_FOLLOWING: Final = "each member follows whoever leads"

MANAGED_PARAMETERS: Final[Mapping[str, str]] = {
    "cluster_name": "it is the scope",
    "data_directory": _OF_NODE,
    "hba_file": "the file is written from postgresql.pg_hba",
    "hot_standby": "every member is asked for its position, so it must take connections",
    "listen_addresses": _OF_NODE,
    "port": _OF_NODE,
    "primary_conninfo": _OF_FOLLOWING,
    "primary_slot_name": _OF_FOLLOWING,
    "promote_trigger_file": "a file that promotes would bypass the guardian",
    "recovery_target_timeline": _OF_FOLLOWING,
    "restart_after_crash": "a start that bypasses the guardian could show commits that no standby"
    " holds",
    "synchronous_standby_names": "it follows synchronous_mode, in step with the key `sync`",
}
"""Each with the reason."""


def warn_managed(reading: Reading, path: str) -> None:
    """Warn of each parameter at `path` that will have no effect."""
    given = reading.get(path, dict) or {}
    for name in sorted(MANAGED_PARAMETERS.keys() & given.keys()):
        reading.warn(f"{path}.{name}", "ignored: raftha sets this parameter", "remove it")


def parameters_at(reading: Reading, prefix: str) -> dict[str, str]:
    """The parameters that have an effect, those of recovery among them, which Patroni keeps apart:
    since PostgreSQL 12 they are parameters like others."""
    recovery = reading.get(prefix + "recovery_conf", dict) or {}
    return without_managed({**recovery, **(reading.get(prefix + "parameters", dict) or {})})


def without_managed(parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters that have an effect."""
    return {name: value for name, value in parameters.items() if name not in MANAGED_PARAMETERS}
