"""The physical slots of a server: which it should have, how far they are, how long they stay. PURE.

Every member keeps a slot for each other one, so that whoever is promoted has the WAL that the rest
needs. A primary's move with their streams; a standby's are moved on to where the primary's slot of
the same name is, as it tells with each renewal: never beyond what that member has confirmed. A slot
keeps whole segments of WAL, so it is moved only once it has fallen one behind. That of the primary
stays where a recovery here would begin: from there on a rewind of it needs the WAL, if it writes
what is lost.

The primary alone judges how long a member may be away; what it drops, the standbys drop too. A slot
that has lost its WAL is missing: made anew it keeps what comes, and its member, if it needs older
WAL than that, is copied anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from raftha.ha.actions import Action, AdvanceSlots, DropSlots, EnsureSlots, MakeLogicalSlots
from raftha.ha.parting import lasting_members
from raftha.ha.situation import Situation
from raftha.ha.upstreams import is_in_touch, streams_elsewhere, streams_from_here
from raftha.instants import Instant, Seconds
from raftha.model.cluster import Cluster, Member
from raftha.model.ids import Lsn, MemberName
from raftha.model.membership import MemberVerb, WishState
from raftha.model.postgres import ServerStatus, StrainedSlot
from raftha.model.report import Level, Notice
from raftha.model.trouble import Trouble
from raftha.model.view import View

SEGMENT_BYTES: Final = 16 << 20
"""What a slot of a standby may be behind: a segment of WAL, by PostgreSQL's default."""


LONGEST_NAME: Final = 63
_MARK_LETTERS: Final = 8
_MARK: Final = re.compile(r"(.+)_[0-9a-f]{8}")


def own_slot(slot: str, me: MemberName, incarnation: str, cluster: Cluster) -> str:
    """The slot of this node, `slot` but for a node that took the place of another machine: that one
    may still stream through the plain name, and would leave its successor without one."""
    wish = cluster.wishes.get(me)
    if wish is None or wish.verb is not MemberVerb.REPLACE or wish.state is WishState.REFUSED:
        return slot
    if not wish.barred or not incarnation or wish.barred == incarnation:
        return slot
    mark = "_" + incarnation[:_MARK_LETTERS].lower()
    return slot[: LONGEST_NAME - len(mark)] + mark


def absent_since(view: View, before: Mapping[MemberName, Instant]) -> Mapping[MemberName, Instant]:
    """Since when each of the other members is not in touch, as this node has noticed."""
    return {
        name: before.get(name, view.now)
        for name, member in view.cluster.members.items()
        if name != view.me.name and not is_in_touch(view.raft, member)
    }


def slot_steps(s: Situation, server: ServerStatus) -> tuple[Action, ...]:
    """What brings the slots of a running server to what they should be."""
    wanted = _wanted(s)
    surplus, missing = _surplus(s, server, wanted), _missing(server, wanted)
    behind = _behind(s, server, wanted)
    steps: list[Action] = []
    if surplus:
        steps.append(DropSlots(surplus))
    if missing:
        steps.append(EnsureSlots(missing))
    if behind:
        steps.append(AdvanceSlots(behind))
    return tuple(steps)


def words_of(step: Action) -> str:
    """A step, in the words of the log; empty for what goes on all the time."""
    match step:
        case EnsureSlots(wanted=wanted):
            return f"making the slots {', '.join(wanted)}"
        case MakeLogicalSlots(wanted=permanent):
            return f"making the logical slots {', '.join(slot.name for slot in permanent)}"
        case DropSlots(names=names):
            return f"dropping the slots {', '.join(names)}, which nobody needs here"
        case _:
            return ""


def missing_slots(s: Situation, server: ServerStatus) -> tuple[str, ...]:
    """The slots that `server` should have and has not, or not any more."""
    return _missing(server, _wanted(s))


def _missing(server: ServerStatus, wanted: tuple[str, ...]) -> tuple[str, ...]:
    sound = set(server.slots) - {slot.name for slot in server.strained_slots if slot.is_lost}
    sound -= {slot.name for slot in server.slot_states if slot.lost}
    return tuple(name for name in wanted if name not in sound)


def _wanted(s: Situation) -> tuple[str, ...]:
    """The slots of members, and the permanent ones that are not called like one of them."""
    if not s.config.postgresql.use_slots:
        return ()
    taken = {member.slot for member in s.cluster.members.values()}
    permanent = {slot.name for slot in s.config.slots if not slot.is_logical}
    return (*_of_members(s), *sorted(permanent - taken))


def _of_members(s: Situation) -> tuple[str, ...]:
    """The slots of the other members: on a primary of those that are here, or were until a while
    ago, but for those that stream elsewhere; on a standby of those for whom the primary has one, of
    the primary itself, and of those that stream from here. One that never streams needs none."""
    members = [m for m in lasting_members(s) if not m.tags.nostream]
    if s.lease is not None:
        return tuple(m.slot for m in members if not (_is_given_up(s, m) or streams_elsewhere(s, m)))
    leader = s.other_leader
    return tuple(
        m.slot
        for m in members
        if m.slot in s.cluster.slots
        or (leader is not None and m.name == leader.name)
        or streams_from_here(s, m)
    )


def _is_given_up(s: Situation, member: Member) -> bool:
    """It has been away for too long."""
    return member.name in s.memory.away and _left_s(s, member) <= 0


def _left_s(s: Situation, member: Member) -> Seconds:
    """For how long its slot is still kept. An agent that is restarted is not away: that may take a
    ttl."""
    kept_s = s.config.ttl + s.config.member_slots_ttl
    return Seconds(kept_s - s.since(s.memory.away.get(member.name)))


def _surplus(s: Situation, server: ServerStatus, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Slots of members, or made here, that should not be here or not as they are. What a primary
    keeps for a removed member goes in the order of its removal (`parting`)."""
    ours = {m.slot for m in s.cluster.members.values()} | s.view.made_slots
    left = {name for name in ours.difference(wanted) if not is_ignored(s, name)}
    if s.lease is not None:
        idle = {slot.name for slot in server.slot_states if not slot.active}
        leaving = {m.slot for m in s.other_members} - {m.slot for m in lasting_members(s)}
        left = (left & (idle | _of_replaced(s))) - leaving
    else:
        left |= _holding_back(s, server, wanted)
    return tuple(name for name in server.slots if name in left)


def _of_replaced(s: Situation) -> set[str]:
    """What the slots of members were called whose machine was replaced. Whoever streams through one
    is a machine that belongs to the cluster no more."""
    marked = (_MARK.fullmatch(member.slot) for member in s.cluster.members.values())
    return {match[1] for match in marked if match}


def is_ignored(s: Situation, name: str, plugin: str = "", database: str = "") -> bool:
    """`ignore_slots` has an entry that means it."""
    return any(matcher.fits(name, plugin, database) for matcher in s.config.ignore_slots)


def _holding_back(s: Situation, server: ServerStatus, wanted: tuple[str, ...]) -> set[str]:
    """Slots of a standby that still have the oldest transaction of a stream from when it was the
    primary: through the standby's own feedback they would keep dead rows on the primary for ever.
    Made anew a slot keeps WAL from the last restart point on, so its reader must be that far."""
    notes = positions_told(s, server)
    return {
        slot.name
        for slot in server.slot_states
        if slot.name in wanted and slot.has_xmin and not slot.active
        if server.redo is not None and notes.get(slot.name, Lsn(0)) >= server.redo
    }


def _behind(s: Situation, server: ServerStatus, wanted: tuple[str, ...]) -> Mapping[str, Lsn]:
    """The slots of a standby that are to be moved on, and to where. What streams from here moves
    its own: the primary may have a slot for it that was made since."""
    notes = positions_told(s, server)
    own = {m.slot for m in s.other_members if m.tags.replicatefrom == s.me}
    return {
        slot.name: notes[slot.name]
        for slot in server.slot_states
        if slot.name in wanted and slot.name not in own and slot.name in notes
        if not (slot.active or slot.lost)
        if slot.position is not None
        and notes[slot.name].value >= slot.position.value + SEGMENT_BYTES
    }


def positions_told(s: Situation, server: ServerStatus) -> Mapping[str, Lsn]:
    """How far the readers of the slots are, as the leader told last; and up to where a rewind of
    the leader needs no WAL: the last checkpoint that both have is no older than the last restart
    point here. Nothing unless its line is followed."""
    seen, leader = s.memory.leader_seen, s.leader_member
    if seen is None or leader is None or seen.name != leader.name or server.is_primary:
        return {}
    replayed = server.replayed
    if replayed is None or seen.timeline != server.timeline:
        return {}
    told = {name: min(note.position, replayed) for name, note in seen.slots.items()}
    return told if server.redo is None else {**told, leader.slot: min(server.redo, replayed)}


def waiting(s: Situation) -> list[Notice]:
    """The slots that this primary keeps for members that are away."""
    server = s.server
    if s.lease is None or server is None:
        return []
    return [
        Notice(
            code=Trouble.SLOT_WAITS,
            subject=s.me,
            what=f"{member.name} is not in touch; its slot {member.slot} keeps WAL for "
            f"{_left_s(s, member) / 60:.0f} more minutes",
            remedy="start it; when member_slots_ttl has passed the slot is dropped, and the member "
            "may have to be copied anew",
            level=Level.WARNING,
        )
        for member in lasting_members(s)
        if member.slot in server.slots
        and s.since(s.memory.away.get(member.name)) > s.config.ttl
        and _left_s(s, member) > 0
    ]


def strain(s: Situation) -> list[Notice]:
    """The slots of this primary, of members or others, that are near their limit."""
    slots = () if s.server is None or s.lease is None else s.server.strained_slots
    owners = {member.slot: member.name for member in s.cluster.members.values()}
    return [
        Notice(
            code=Trouble.SLOT_STRAINED,
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
