"""Names of replication slots. PURE."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from raftha.errors import Problem

_OUTSIDE: Final = re.compile(r"[^a-z0-9_]")
_LONGEST: Final = 63  # NAMEDATALEN - 1


def slot_name(member: str) -> str:
    """The slot of a member, by Patroni's rule so that slots survive a migration.

    Lower case; `-` and `.` become `_`; any other character becomes its code point, `u0041`-like.
    """
    lowered = re.sub(r"[-.]", "_", member.lower())
    return _OUTSIDE.sub(lambda found: f"u{ord(found[0]):04d}", lowered)[:_LONGEST]


def collisions(members: Iterable[str]) -> tuple[Problem, ...]:
    """Members whose slots would have the same name."""
    owners: dict[str, list[str]] = {}
    for member in sorted(set(members)):
        owners.setdefault(slot_name(member), []).append(member)
    return tuple(
        Problem(
            "name", f"{' and '.join(names)} would share the slot {slot!r}", "rename one of them"
        )
        for slot, names in owners.items()
        if len(names) > 1
    )
