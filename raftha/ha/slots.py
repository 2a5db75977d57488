"""The physical slots of a primary: which are missing, and which cannot keep WAL much longer. PURE.

A slot that has lost its WAL is missing: made anew it keeps what comes, and its member, if it needs
older WAL than that, is copied anew.
"""

from __future__ import annotations

from raftha.ha.parting import lasting_members
from raftha.ha.situation import Situation
from raftha.model.ids import MemberName
from raftha.model.postgres import ServerStatus, StrainedSlot
from raftha.model.report import Level, Notice


def missing_slots(s: Situation, server: ServerStatus) -> tuple[str, ...]:
    """The slots that members want here and `server` has not, or not any more."""
    if not s.config.postgresql.use_slots:
        return ()
    sound = set(server.slots) - {slot.name for slot in server.strained_slots if slot.is_lost}
    return tuple(m.slot for m in lasting_members(s) if m.slot not in sound)


def strain(s: Situation) -> list[Notice]:
    """The slots of this primary, of members or others, that are near their limit."""
    slots = () if s.server is None or s.lease is None else s.server.strained_slots
    owners = {member.slot: member.name for member in s.cluster.members.values()}
    return [
        Notice(
            subject=s.me,
            what=_told(slot, owners.get(slot.name)),
            remedy="start that standby or see why it does not stream: without this WAL it is "
            "copied anew; raftha member remove drops the slot of a member that is gone for good; "
            "the limit is max_slot_wal_keep_size",
            level=Level.WARNING,
        )
        for slot in slots
    ]


def _told(slot: StrainedSlot, owner: MemberName | None) -> str:
    whose = f"the slot {slot.name}" + ("" if owner is None else f" of {owner}")
    if slot.is_lost:
        return f"{whose} has lost the WAL that it kept"
    kept, left = slot.kept_bytes >> 20, slot.left_bytes >> 20
    return f"{whose} keeps {kept} MiB of WAL and loses it after {left} MiB more"
