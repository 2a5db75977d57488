"""The keys of one cluster and the documents under them: JSON with a `format_version`. PURE."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec

from raftha.config.dynamic import dump_dynamic
from raftha.model.cluster import Disarmed, HistoryRecord, Member, SlotNote
from raftha.model.ids import Epoch, Lsn, MemberName, Scope, SystemId, Timeline
from raftha.model.operation import Operation, OperatorRequest
from raftha.model.postgres import SlotState
from raftha.model.scheduling import ScheduledRestart, ScheduledSwitchover
from raftha.model.settings import DynamicConfig
from raftha.model.store import Key, LeaseId

FORMAT: Final = 1
QUORUM_FORMAT: Final = 2
"""The format of a `sync` with a quorum."""
LEADER_LEASE: Final = LeaseId("leader")
KEPT_RECORDS: Final = 40
NOTED_RECORDS: Final = 8
LONGEST_REASON: Final = 200
LONGEST_HISTORY_BYTES: Final = 15 << 10
"""Bounds of the `history` document, which one command of the store must carry: the records, those
of them that keep what became of their leader, each sentence, and all of it."""
LONGEST_NOTE_BYTES: Final = 8 << 10
"""Of the slots in the note of a renewal; those beyond it are not told."""
_SLOT_BYTES: Final = 40
"""What a slot takes there beside its name, at most."""
_POSITION: Final = msgspec.json.Decoder(tuple[int, int])
_SLOTTED: Final = msgspec.json.Decoder(tuple[int, int, dict[str, tuple[int, int]]])


class Keys:
    """The names of the keys of one cluster."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.prefix = f"/raftha/{scope}/"

    def _key(self, name: str) -> Key:
        return Key(self.prefix + name)

    @property
    def initialize(self) -> Key:
        return self._key("initialize")

    @property
    def config(self) -> Key:
        return self._key("config")

    @property
    def leader(self) -> Key:
        return self._key("leader")

    @property
    def sync(self) -> Key:
        return self._key("sync")

    @property
    def failover(self) -> Key:
        return self._key("failover")

    @property
    def operation(self) -> Key:
        return self._key("operation")

    @property
    def halt(self) -> Key:
        return self._key("halt")

    @property
    def scheduled_switchover(self) -> Key:
        return self._key("scheduled/switchover")

    @property
    def scheduled_restarts(self) -> str:
        return self._key("scheduled/restart/")

    def scheduled_restart_of(self, name: MemberName) -> Key:
        return self._key(f"scheduled/restart/{name}")

    @property
    def status(self) -> Key:
        return self._key("status")

    @property
    def receipt(self) -> Key:
        return self._key("receipt")

    @property
    def position(self) -> Key:
        return self._key("position")

    @property
    def history(self) -> Key:
        return self._key("history")

    @property
    def disarmed(self) -> str:
        return self._key("disarmed/")

    def disarmed_of(self, name: MemberName) -> Key:
        return self._key(f"disarmed/{name}")

    @property
    def members(self) -> str:
        return self._key("members/")

    def member(self, name: MemberName) -> Key:
        return self._key(f"members/{name}")


def encode(document: Mapping[str, Any]) -> bytes:
    """A stored document: JSON, keys in the order given, with its format version."""
    return msgspec.json.encode({"format_version": FORMAT, **document})


def encode_leader(name: MemberName, guardian: str) -> bytes:
    return encode({"name": name, "guardian": guardian})


def encode_receipt(name: MemberName, epoch: Epoch) -> bytes:
    return encode({"name": name, "generation": epoch.generation, "epoch": epoch.revision})


def encode_disarmed(entry: Disarmed, epoch: Epoch) -> bytes:
    return encode(
        {
            "generation": epoch.generation,
            "epoch": epoch.revision,
            "guardian": entry.guardian,
            "process": entry.process,
            "incarnation": entry.incarnation,
        }
    )


def encode_initialize(by: MemberName, system_id: SystemId | None, birth: str = "") -> bytes:
    return encode({"by": by, "system_id": system_id, "birth": birth})


def encode_config(config: DynamicConfig, given: Collection[str] = ()) -> bytes:
    """Of the timings that follow from others, those that are `given` are stored nevertheless."""
    return encode(dump_dynamic(config, given))


def encode_sync(
    leader: MemberName,
    standbys: tuple[MemberName, ...],
    quorum: int = 0,
    *,
    floor: Lsn | None = None,
) -> bytes:
    """A quorum makes it format 2: a version that knows of none would promote any of them."""
    document = {"leader": leader, "sync_standby": list(standbys)}
    if floor is not None:
        document["floor"] = str(floor)
    if quorum == 0:
        return encode(document)
    return encode({**document, "quorum": quorum, "format_version": QUORUM_FORMAT})


def encode_status(
    slots: tuple[str, ...], timeline: Timeline | None, *, checkpointed: bool
) -> bytes:
    return encode({"slots": list(slots), "timeline": timeline, "checkpointed": checkpointed})


def encode_request(request: OperatorRequest) -> bytes:
    return encode(
        {
            "id": request.id,
            "kind": request.kind,
            "leader": request.leader,
            "candidate": request.candidate,
            "fenced": request.fenced,
            "may_lose": request.may_lose,
        }
    )


def encode_halt(by: MemberName) -> bytes:
    return encode({"by": by})


def encode_scheduled(scheduled: ScheduledSwitchover | ScheduledRestart) -> bytes:
    document = msgspec.structs.asdict(scheduled)
    del document["revision"]
    return encode(document)


def encode_operation(operation: Operation) -> bytes:
    return encode(
        {
            "id": operation.id,
            "kind": operation.kind,
            "leader": operation.leader,
            "candidate": operation.candidate,
            "state": operation.state,
            "message": operation.message,
            "steps": [[step.step, step.by] for step in operation.steps],
        }
    )


def encode_history(records: tuple[HistoryRecord, ...]) -> bytes:
    """The records, without the oldest where all of them would be too much."""
    rows = [_row(record) for record in records]
    for row, record in tuple(zip(rows, records, strict=True))[-NOTED_RECORDS:]:
        notes = {"strikes": record.strikes, "restarts": record.restarts, "ended": record.ended}
        row.update({name: note for name, note in notes.items() if note})
    while len(document := encode({"records": rows})) > LONGEST_HISTORY_BYTES:
        del rows[0]
    return document


def _row(record: HistoryRecord) -> dict[str, Any]:
    return {
        "timeline": record.timeline,
        "parent": record.parent,
        "switch": None if record.switch is None else str(record.switch),
        "generation": record.epoch.generation,
        "epoch": record.epoch.revision,
        "leader": record.leader,
        "reason": record.reason,
        "time": record.wall,
        "seen": None if record.seen is None else str(record.seen),
        "lost_bytes": record.lost_bytes,
        **({} if record.gap_seconds is None else {"gap_seconds": record.gap_seconds}),
    }


def encode_member(member: Member) -> bytes:
    return encode(
        {
            "api_url": member.api_url,
            "host": member.postgres.host,
            "port": member.postgres.port,
            "raft": member.raft,
            "slot": member.slot,
            "state": member.state,
            "role": member.role,
            "timeline": member.timeline,
            "postgres_version": member.postgres_version,
            "version": member.agent_version,
            "tags": msgspec.to_builtins(member.tags),
            "has_data": member.has_data,
            "is_origin": member.is_origin,
            "stream": member.stream,
            "sizes": dict(member.sizes),
            **({"proxy_url": member.proxy_url} if member.proxy_url else {}),
        }
    )


def encode_told(leader: MemberName, timeline: Timeline, position: Lsn) -> bytes:
    return encode({"leader": leader, "timeline": timeline, "position": str(position)})


def encode_position(timeline: Timeline, position: Lsn, states: Iterable[SlotState] = ()) -> bytes:
    """The note that a renewal carries: how far the primary had written, for the bound of loss; and
    how far the readers of its slots are, for the slots of the same names on standbys."""
    head = (int(timeline), position.value)
    slots: dict[str, tuple[int, int]] = {}
    size = 0
    for slot in states:
        size += len(slot.name) + _SLOT_BYTES
        if slot.position is not None and not slot.lost and size <= LONGEST_NOTE_BYTES:
            slots[slot.name] = (slot.position.value, slot.catalog_xmin or 0)
    return msgspec.json.encode((*head, slots) if slots else head)


def decode_position(note: bytes) -> tuple[Timeline, Lsn] | None:
    """How far the leader had written, by the note of its lease; None if it does not say."""
    found = _decoded(note)
    return None if found is None else (Timeline(found[0]), Lsn(found[1]))


def decode_slots(note: bytes) -> Mapping[str, SlotNote]:
    """How far the readers of the leader's slots are, by the note of its lease."""
    found = _decoded(note)
    if found is None or len(found) < 3:
        return {}
    return {
        name: SlotNote(position=Lsn(position), catalog_xmin=xmin or None)
        for name, (position, xmin) in found[2].items()
    }


def _decoded(note: bytes) -> Any:
    for shape in (_POSITION, _SLOTTED):
        try:
            return shape.decode(note)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return None
