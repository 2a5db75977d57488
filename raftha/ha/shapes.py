"""The shapes of the documents in the store, as they are written: without their revisions. PURE."""

from __future__ import annotations

from typing import Annotated

import msgspec

from raftha.model.cluster import Halt, MemberRole, MemberState
from raftha.model.operation import OperationState, OperationStep, RequestKind
from raftha.model.scheduling import ScheduledRestart, ScheduledSwitchover
from raftha.model.settings import Tags


class LeaderDoc(msgspec.Struct):
    name: str
    guardian: str


class InitializeDoc(msgspec.Struct):
    by: str
    system_id: str | None
    birth: str = ""


class ReceiptDoc(msgspec.Struct):
    name: str
    generation: int
    epoch: int


class SyncDoc(msgspec.Struct):
    leader: str
    sync_standby: list[str]
    quorum: Annotated[int, msgspec.Meta(ge=0)] = 0
    floor: str | None = None


class PositionDoc(msgspec.Struct):
    leader: str
    timeline: int
    position: str


class StatusDoc(msgspec.Struct):
    slots: list[str]
    timeline: int | None
    checkpointed: bool


class RequestDoc(msgspec.Struct):
    id: str
    kind: RequestKind
    leader: str | None
    candidate: str | None
    fenced: str | None = None
    may_lose: bool = False


class DisarmedDoc(msgspec.Struct):
    generation: int
    epoch: int
    guardian: str
    process: str
    incarnation: str


class OperationDoc(msgspec.Struct):
    id: str
    kind: RequestKind
    leader: str | None
    candidate: str | None
    state: OperationState
    message: str
    steps: list[tuple[OperationStep, str]]


class RecordDoc(msgspec.Struct):
    timeline: int
    parent: int | None
    switch: str | None
    generation: int
    epoch: int
    leader: str
    reason: str
    time: float
    seen: str | None = None
    lost_bytes: int | None = None
    strikes: int = 0
    restarts: tuple[str, ...] = ()
    ended: str = ""
    gap_seconds: float | None = None


class HistoryDoc(msgspec.Struct):
    records: list[RecordDoc]


class MemberDoc(msgspec.Struct):
    api_url: str
    host: str
    port: int
    raft: str
    slot: str
    state: MemberState
    role: MemberRole
    timeline: int | None
    postgres_version: int | None
    version: str
    tags: Tags
    has_data: bool
    stream: str = ""
    is_origin: bool = False
    sizes: dict[str, int] = {}
    proxy_url: str = ""


# Made here, at import: msgspec learns about a type when it first meets it, and two threads that
# meet one at the same time crash the process (seen: SIGSEGV in 3 of 40 starts).
_LEARNED = tuple(
    msgspec.json.Decoder(kind)
    for kind in (
        LeaderDoc,
        InitializeDoc,
        SyncDoc,
        ReceiptDoc,
        PositionDoc,
        StatusDoc,
        RequestDoc,
        DisarmedDoc,
        OperationDoc,
        HistoryDoc,
        MemberDoc,
        ScheduledSwitchover,
        ScheduledRestart,
        Halt,
    )
)
