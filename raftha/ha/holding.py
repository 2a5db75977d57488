"""Dead rows that slots keep vacuum from removing: told, with a warning once they are many. PURE.

The slot of a standby with `hot_standby_feedback` holds what the queries there may still read, and
goes on holding it while that standby is away; a logical slot holds rows of the system catalogs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from raftha.ha.situation import Situation
from raftha.model.cluster import Member
from raftha.model.postgres import HeldRows, ServerStatus, SlotState
from raftha.model.report import Level, Notice
from raftha.model.trouble import Trouble

MANY: Final = 10_000_000
"""Transactions whose dead rows pile up, from which the operator is told: a twentieth of where
PostgreSQL begins to freeze tables by force (`autovacuum_freeze_max_age`), in vain while a slot
holds it back. At a thousand transactions a second they take three hours."""


def held_rows(server: ServerStatus | None) -> tuple[HeldRows, ...]:
    """What each slot of a primary keeps. A standby's tell the primary, whose slots tell of it."""
    if server is None or not server.is_primary:
        return ()
    return tuple(rows for slot in server.slot_states for rows in _of_slot(slot))


def _of_slot(slot: SlotState) -> Iterator[HeldRows]:
    age, catalog_age = slot.xmin_age, slot.catalog_xmin_age
    if age is not None:
        yield HeldRows(slot=slot.name, transactions=age)
    if catalog_age is not None and (age is None or catalog_age > age):
        yield HeldRows(slot=slot.name, transactions=catalog_age, catalog=True)


def notices(s: Situation) -> list[Notice]:
    """The slots of this primary that hold back vacuum for long."""
    if s.lease is None:
        return []
    owners = {member.slot: member for member in s.other_members}
    return [
        Notice(
            subject=s.me,
            code=Trouble.SLOT_HOLDS_ROWS,
            what=_told(rows, owners.get(rows.slot)),
            remedy=_remedy(owners.get(rows.slot)),
            level=Level.WARNING,
        )
        for rows in held_rows(s.server)
        if rows.transactions >= MANY
    ]


def _told(rows: HeldRows, owner: Member | None) -> str:
    whose = f"the slot {rows.slot}" + ("" if owner is None else f" of {owner.name}")
    where = " in the system catalogs" if rows.catalog else ""
    return (
        f"{whose} holds back vacuum: the dead rows of {rows.transactions} transactions stay{where}"
    )


def _remedy(owner: Member | None) -> str:
    if owner is None:
        return (
            "see that its reader runs and gets on; if nobody needs it, drop the slot "
            "(pg_drop_replication_slot), or take it out of `slots`"
        )
    name = owner.name
    return (
        f"end what is so old on {name}: backend_xmin in pg_stat_activity, xmin and catalog_xmin in "
        f"pg_replication_slots tell what it is; where {name} is away, start it, or give it up with "
        f"raftha member remove {name}"
    )
