"""Reads every document under the cluster's prefix into one `Cluster`. PURE.

A document that cannot be read is reported in `Cluster.problems` and counts as absent for everything
but writing: nothing overwrites what it does not understand, because its revision is not named.
"""

from __future__ import annotations

from msgspec.structs import replace

from raftha.config.dynamic import read_stored
from raftha.ha.keys import QUORUM_FORMAT, Keys
from raftha.ha.reading import Reader, typed
from raftha.ha.shapes import (
    DisarmedDoc,
    HistoryDoc,
    InitializeDoc,
    LeaderDoc,
    MemberDoc,
    OperationDoc,
    PositionDoc,
    ReceiptDoc,
    RecordDoc,
    RequestDoc,
    StatusDoc,
    SyncDoc,
)
from raftha.instants import Seconds
from raftha.model.cluster import (
    Cluster,
    Disarmed,
    Halt,
    HistoryRecord,
    Initialize,
    Leader,
    Member,
    Receipt,
    SyncSet,
    Told,
)
from raftha.model.ids import Epoch, Lsn, MemberName, Revision, SystemId, Timeline
from raftha.model.membership import MemberWish, UnreadableWish, below, read_wish
from raftha.model.operation import (
    Operation,
    OperatorRequest,
    Step,
)
from raftha.model.scheduling import ScheduledRestart, ScheduledSwitchover
from raftha.model.settings import Address, DynamicConfig
from raftha.model.store import Entry, Key, Snapshot


def read_cluster(keys: Keys, snapshot: Snapshot, before: Cluster | None = None) -> Cluster:
    """Decode everything under the prefix. Total: what cannot be read is named in `problems`.
    `before` is what was read from an earlier snapshot: the settings, whose checks are what takes
    longest, are taken over while the store has them at the same revision."""
    reader = Reader(snapshot)
    config, config_revision = _read_config(keys, reader, before)
    history, history_revision = _read_history(keys, reader)
    status = typed(reader, keys.status, StatusDoc)
    return Cluster(
        revision=snapshot.revision,
        generation=snapshot.generation,
        initialize=_read_initialize(keys, reader),
        config=config,
        config_revision=config_revision,
        leader=_read_leader(keys, reader),
        members=_read_members(keys, reader),
        wishes=_read_wishes(keys, reader),
        sync=_read_sync(keys, reader),
        receipt=_read_receipt(keys, reader),
        told=_read_told(keys, reader),
        halt=_read_halt(keys, reader),
        scheduled_switchover=_read_scheduled_switchover(keys, reader),
        scheduled_restarts=_read_scheduled_restarts(keys, reader),
        disarmed=_read_disarmed(keys, reader),
        request=_read_request(keys, reader),
        operation=_read_operation(keys, reader),
        history=history,
        history_revision=history_revision,
        slots=tuple(status[1].slots) if status else (),
        timeline=Timeline(status[1].timeline) if status and status[1].timeline else None,
        checkpointed=status[1].checkpointed if status else False,
        status_revision=status[0].mod_revision if status else None,
        problems=tuple(reader.problems),
        unreadable=frozenset(reader.unreadable),
    )


def renewed(cluster: Cluster, snapshot: Snapshot) -> Cluster:
    """The cluster as `read_cluster` read it, at a later revision with the same keys: a lease was
    renewed, which on a healthy cluster is all that happens."""
    leader = cluster.leader
    if leader is not None:
        leader = replace(leader, lease=snapshot.leases[leader.lease.id])
    return replace(cluster, revision=snapshot.revision, leader=leader)


def may_tell(keys: Keys, snapshot: Snapshot) -> bool:
    """The `position` is absent or can be read: only then a leader of this version may write it."""
    reader = Reader(snapshot)
    return _read_told(keys, reader) is not None or keys.position not in reader.unreadable


def _read_initialize(keys: Keys, reader: Reader) -> Initialize | None:
    found = typed(reader, keys.initialize, InitializeDoc)
    if found is None:
        return None
    entry, doc = found
    return Initialize(
        by=MemberName(doc.by),
        system_id=None if doc.system_id is None else SystemId(doc.system_id),
        revision=entry.mod_revision,
        birth=doc.birth,
    )


def _read_config(
    keys: Keys, reader: Reader, before: Cluster | None
) -> tuple[DynamicConfig, Revision | None]:
    entry = reader.snapshot.entries.get(keys.config)
    if entry is not None and before is not None and _is_known(keys.config, entry, before, reader):
        return before.config, before.config_revision
    found = reader.read(keys.config)
    if found is None:
        return DynamicConfig(), None
    entry, document = found
    document.pop("format_version")
    config, strange = read_stored(document, keys.config)
    if strange:
        wrong = "; ".join(f"{each.where}: {each.what}" for each in strange)
        reader.refuse(keys.config, f"{wrong}; what is understood of it is in force here")
    return config, entry.mod_revision


def _is_known(key: Key, entry: Entry, before: Cluster, reader: Reader) -> bool:
    """The settings were read, without a complaint, from this very revision."""
    is_same = (before.generation, before.config_revision) == (
        reader.snapshot.generation,
        entry.mod_revision,
    )
    return is_same and key not in before.unreadable


def _read_leader(keys: Keys, reader: Reader) -> Leader | None:
    found = typed(reader, keys.leader, LeaderDoc)
    if found is None:
        return None
    entry, doc = found
    lease = reader.snapshot.leases.get(entry.lease) if entry.lease else None
    if lease is None:
        reader.refuse(keys.leader, "it has no lease")
        return None
    return Leader(
        name=MemberName(doc.name),
        guardian=doc.guardian,
        epoch=Epoch(reader.snapshot.generation, entry.create_revision),
        revision=entry.mod_revision,
        lease=lease,
    )


def _read_sync(keys: Keys, reader: Reader) -> SyncSet | None:
    found = typed(reader, keys.sync, SyncDoc, QUORUM_FORMAT)
    if found is None:
        return None
    entry, doc = found
    try:
        floor = None if doc.floor is None else Lsn.parse(doc.floor)
    except ValueError as error:
        reader.refuse(keys.sync, str(error))
        return None
    return SyncSet(
        leader=MemberName(doc.leader),
        standbys=tuple(MemberName(name) for name in doc.sync_standby),
        revision=entry.mod_revision,
        quorum=doc.quorum,
        floor=floor,
    )


def _read_receipt(keys: Keys, reader: Reader) -> Receipt | None:
    found = typed(reader, keys.receipt, ReceiptDoc)
    if found is None:
        return None
    entry, doc = found
    return Receipt(
        name=MemberName(doc.name),
        epoch=Epoch(doc.generation, Revision(doc.epoch)),
        revision=entry.mod_revision,
    )


def _read_told(keys: Keys, reader: Reader) -> Told | None:
    found = typed(reader, keys.position, PositionDoc)
    if found is None:
        return None
    entry, doc = found
    try:
        position = Lsn.parse(doc.position)
    except ValueError as error:
        reader.refuse(keys.position, str(error))
        return None
    return Told(
        leader=MemberName(doc.leader),
        timeline=Timeline(doc.timeline),
        position=position,
        revision=entry.mod_revision,
    )


def _read_disarmed(keys: Keys, reader: Reader) -> dict[MemberName, Disarmed]:
    """One that cannot be read stands nevertheless: that it is there is all that the others need."""
    found = {}
    for key, entry in reader.snapshot.entries.items():
        if not key.startswith(keys.disarmed):
            continue
        name, revision = MemberName(key.removeprefix(keys.disarmed)), entry.mod_revision
        read = typed(reader, key, DisarmedDoc)
        found[name] = Disarmed(name=name, revision=revision)
        if read is not None:
            doc = read[1]
            found[name] = Disarmed(
                name=name,
                revision=revision,
                epoch=Epoch(doc.generation, Revision(doc.epoch)),
                guardian=doc.guardian,
                process=doc.process,
                incarnation=doc.incarnation,
            )
    return found


def _name(text: str | None) -> MemberName | None:
    return None if text is None else MemberName(text)


def _read_request(keys: Keys, reader: Reader) -> OperatorRequest | None:
    found = typed(reader, keys.failover, RequestDoc)
    if found is None:
        return None
    entry, doc = found
    return OperatorRequest(
        id=doc.id,
        kind=doc.kind,
        leader=_name(doc.leader),
        candidate=_name(doc.candidate),
        revision=entry.mod_revision,
        fenced=_name(doc.fenced),
        may_lose=doc.may_lose,
    )


def _read_halt(keys: Keys, reader: Reader) -> Halt | None:
    """One that cannot be read stops the servers nevertheless."""
    entry = reader.snapshot.entries.get(keys.halt)
    if entry is None:
        return None
    found = typed(reader, keys.halt, Halt)
    by = MemberName("somebody") if found is None else found[1].by
    return Halt(by=by, revision=entry.mod_revision)


def _read_scheduled_switchover(keys: Keys, reader: Reader) -> ScheduledSwitchover | None:
    found = typed(reader, keys.scheduled_switchover, ScheduledSwitchover)
    return None if found is None else replace(found[1], revision=found[0].mod_revision)


def _read_scheduled_restarts(keys: Keys, reader: Reader) -> dict[MemberName, ScheduledRestart]:
    restarts = {}
    for key in sorted(reader.snapshot.entries):
        found = None
        if key.startswith(keys.scheduled_restarts):
            found = typed(reader, key, ScheduledRestart)
        if found is not None:
            entry, restart = found
            restarts[restart.member] = replace(restart, revision=entry.mod_revision)
    return restarts


def _read_operation(keys: Keys, reader: Reader) -> Operation | None:
    found = typed(reader, keys.operation, OperationDoc)
    if found is None:
        return None
    entry, doc = found
    return Operation(
        id=doc.id,
        kind=doc.kind,
        leader=_name(doc.leader),
        candidate=_name(doc.candidate),
        state=doc.state,
        message=doc.message,
        steps=tuple(Step(step=step, by=MemberName(by)) for step, by in doc.steps),
        revision=entry.mod_revision,
    )


def _read_history(keys: Keys, reader: Reader) -> tuple[tuple[HistoryRecord, ...], Revision | None]:
    found = typed(reader, keys.history, HistoryDoc)
    if found is None:
        return (), None
    entry, doc = found
    try:
        records = tuple(_record(row) for row in doc.records)
    except ValueError as error:
        reader.refuse(keys.history, str(error))
        return (), None
    return records, entry.mod_revision


def _record(row: RecordDoc) -> HistoryRecord:
    return HistoryRecord(
        timeline=Timeline(row.timeline),
        parent=None if row.parent is None else Timeline(row.parent),
        switch=None if row.switch is None else Lsn.parse(row.switch),
        epoch=Epoch(row.generation, row.epoch),
        leader=MemberName(row.leader),
        reason=row.reason,
        wall=row.time,
        seen=None if row.seen is None else Lsn.parse(row.seen),
        lost_bytes=row.lost_bytes,
        strikes=row.strikes,
        restarts=row.restarts,
        ended=row.ended,
        gap_seconds=None if row.gap_seconds is None else Seconds(row.gap_seconds),
    )


def _read_wishes(keys: Keys, reader: Reader) -> dict[MemberName, MemberWish]:
    wishes = {}
    for key, entry in sorted(reader.snapshot.entries.items()):
        if not key.startswith(below(keys.scope)):
            continue
        try:
            wish = read_wish(keys.scope, entry)
        except UnreadableWish as error:
            reader.refuse(key, str(error))
            continue
        wishes[wish.name] = wish
    return wishes


def _read_members(keys: Keys, reader: Reader) -> dict[MemberName, Member]:
    members = {}
    for key in sorted(reader.snapshot.entries):
        if not key.startswith(keys.members):
            continue
        found = typed(reader, key, MemberDoc)
        if found is None:
            continue
        entry, doc = found
        name = MemberName(key.removeprefix(keys.members))
        members[name] = Member(
            name=name,
            api_url=doc.api_url,
            postgres=Address(doc.host, doc.port),
            raft=doc.raft,
            slot=doc.slot,
            state=doc.state,
            role=doc.role,
            timeline=None if doc.timeline is None else Timeline(doc.timeline),
            postgres_version=doc.postgres_version,
            agent_version=doc.version,
            tags=doc.tags,
            has_data=doc.has_data,
            is_origin=doc.is_origin,
            stream=doc.stream,
            proxy_url=doc.proxy_url,
            sizes=doc.sizes,
            revision=entry.mod_revision,
        )
    return members
