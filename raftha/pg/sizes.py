"""The five sizes of shared memory in the files of a server, and what is left of the configuration
from before raftha. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from raftha.model.postgres import SIZES, ControlData, ServerPlan, ServerRole, default_size

DEFAULT_REPLICATION_SLOTS: Final = 16


def shared_memory(
    wanted: Mapping[str, str], plan: ServerPlan, control: ControlData
) -> dict[str, str]:
    """Of the sizes those that have to be others than wanted: a standby's are never below what its
    primary ran with, and a primary's go above only where its standbys have gone before."""
    last = _sizes_of(control)
    chosen = {}
    for name in SIZES:
        given = whole_number(wanted[name])
        is_too_low = plan.role is ServerRole.STANDBY and given is not None and given < last[name]
        limit = max(plan.limits.get(name, last[name] if given is None else given), last[name])
        if given is None or is_too_low:
            chosen[name] = str(last[name])
        elif given > limit:
            chosen[name] = str(limit)
    return chosen


def inherited(original: Mapping[str, str], control: ControlData | None) -> dict[str, str]:
    """What stays of the configuration from before raftha, where nobody sets it here: without the
    slots and the level of WAL that it was used with a server does not even start."""
    if control is None:
        return {}
    last, asked = _sizes_of(control), sizes_in(original)
    slots = whole_number(original.get("max_replication_slots", "")) or 0
    return {
        **{name: str(default_size(name, asked, last[name])) for name in SIZES},
        "max_replication_slots": str(max(slots, DEFAULT_REPLICATION_SLOTS)),
        **({"wal_level": "logical"} if original.get("wal_level") == "logical" else {}),
    }


def sizes_in(settings: Mapping[str, str]) -> dict[str, int]:
    """Those of the sizes that are given as a number."""
    found = {name: whole_number(settings.get(name, "")) for name in SIZES}
    return {name: value for name, value in found.items() if value is not None}


def whole_number(value: str) -> int | None:
    """None if it is none."""
    try:
        return int(value.strip())
    except ValueError:
        return None


def _sizes_of(control: ControlData) -> dict[str, int]:
    return {name: int(getattr(control, name)) for name in SIZES}
