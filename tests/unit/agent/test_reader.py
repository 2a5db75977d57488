"""The cluster as a node reads it: like the store at each revision, and decoded no oftener than its
keys change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from msgspec.structs import replace

from raftha.agent.reader import ClusterReader
from raftha.consensus.commands import Expire, LogCommand
from raftha.consensus.machine import Happened, Machine
from raftha.ha.documents import read_cluster
from raftha.ha.keys import (
    LEADER_LEASE,
    encode_config,
    encode_initialize,
    encode_leader,
    encode_status,
    encode_sync,
)
from raftha.instants import Seconds
from raftha.model.cluster import Cluster
from raftha.model.ids import Revision, SystemId
from raftha.model.settings import DynamicConfig
from raftha.model.store import (
    Grant,
    KeyAbsent,
    KeyAt,
    Put,
    Refresh,
    Snapshot,
    Transact,
)
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, T0

BEFORE_BIRTH: Final = DynamicConfig(ttl=Seconds(7.0))
SETTINGS: Final = encode_config(DynamicConfig())


@dataclass
class FakeStore:
    """A replica of one."""

    machine: Machine = field(default_factory=Machine)

    def do(self, body: Any) -> None:
        applied = self.machine.apply(LogCommand(body=body))
        assert isinstance(applied.result, Happened), applied

    def peek(self) -> Snapshot:
        machine = self.machine
        return Snapshot(
            revision=machine.revision,
            generation=machine.generation,
            taken=T0,
            entries=dict(machine.entries),
            leases=dict(machine.leases),
        )

    def status(self) -> Any:
        raise NotImplementedError


def led() -> FakeStore:
    """A store in which n1 leads."""
    store = FakeStore()
    store.do(
        Transact(
            (KeyAbsent(KEYS.leader), KeyAbsent(KEYS.initialize), KeyAbsent(KEYS.status)),
            (
                Grant(LEADER_LEASE, N1, Seconds(5.0)),
                Put(KEYS.leader, encode_leader(N1, "g"), LEADER_LEASE),
                Put(KEYS.initialize, encode_initialize(N1, SystemId("7"))),
                Put(KEYS.status, encode_status((), None, checkpointed=False)),
            ),
        )
    )
    return store


def as_stored(store: FakeStore) -> Cluster:
    return replace(read_cluster(KEYS, store.peek()), config=BEFORE_BIRTH)


def renew(store: FakeStore, note: bytes) -> None:
    lease = store.machine.leases[LEADER_LEASE]
    store.do(Refresh(lease.id, lease.revision, Seconds(4.0), note))


def test_a_renewal_is_taken_over_and_nothing_is_decoded_anew() -> None:
    store = led()
    reader = ClusterReader(store, KEYS, BEFORE_BIRTH)
    first = reader.read()
    assert first == as_stored(store)
    assert reader.read() is first

    renew(store, b"[1,5000]")
    second = reader.read()
    assert second == as_stored(store)
    assert second.leader is not None
    assert second.leader.lease.note == b"[1,5000]"
    assert second.members is first.members, "decoded again though no key has changed"
    renew(store, b"[1,6000]")
    assert reader.read() == as_stored(store)


def test_every_change_of_a_key_is_seen() -> None:
    store = led()
    reader = ClusterReader(store, KEYS, BEFORE_BIRTH)
    reader.read()

    renew(store, b"")
    reader.read()
    store.do(
        Transact((KeyAbsent(KEYS.config),), (Put(KEYS.config, encode_config(DynamicConfig())),))
    )
    assert reader.settings() == DynamicConfig()
    lease = store.machine.leases[LEADER_LEASE]
    store.do(Expire(lease.id, lease.revision))
    assert reader.read() == read_cluster(KEYS, store.peek())
    assert reader.read().leader is None


def test_settings_are_read_again_only_when_they_were_written_again() -> None:
    store = led()
    store.do(Transact((KeyAbsent(KEYS.config),), (Put(KEYS.config, SETTINGS),)))
    reader = ClusterReader(store, KEYS, BEFORE_BIRTH)
    first = reader.settings()

    store.do(Transact((KeyAbsent(KEYS.sync),), (Put(KEYS.sync, encode_sync(N1, ())),)))
    assert reader.read() == read_cluster(KEYS, store.peek())
    assert reader.settings() is first, "read again though they have not changed"
    written = store.machine.entries[KEYS.config].mod_revision
    changed = encode_config(DynamicConfig(ttl=Seconds(9.0)))
    store.do(Transact((KeyAt(KEYS.config, written),), (Put(KEYS.config, changed),)))
    assert reader.settings().ttl == 9.0


def test_settings_of_another_generation_are_read_whatever_their_revision_is() -> None:
    store = led()
    store.do(Transact((KeyAbsent(KEYS.config),), (Put(KEYS.config, SETTINGS),)))
    reader = ClusterReader(store, KEYS, BEFORE_BIRTH)
    reader.read()

    entry = store.machine.entries[KEYS.config]
    other = replace(entry, value=encode_config(DynamicConfig(ttl=Seconds(9.0))))
    store.machine.entries[KEYS.config] = other
    store.machine.generation, store.machine.revision = 1, Revision(9)
    assert reader.settings().ttl == 9.0


@pytest.mark.parametrize("stored", [b'{"format_version":99}', b'{"format_version":1,"ttl":-1}'])
def test_settings_that_cannot_be_read_are_complained_of_at_every_look(stored: bytes) -> None:
    store = led()
    store.do(Transact((KeyAbsent(KEYS.config),), (Put(KEYS.config, stored),)))
    reader = ClusterReader(store, KEYS, BEFORE_BIRTH)
    assert KEYS.config in reader.read().unreadable

    store.do(Transact((KeyAbsent(KEYS.sync),), (Put(KEYS.sync, encode_sync(N1, ())),)))
    assert KEYS.config in reader.read().unreadable


def test_another_generation_is_another_cluster_whatever_its_keys_are() -> None:
    """After a recovery the epochs that were read before mean nothing any more."""
    store = led()
    reader = ClusterReader(store, KEYS, BEFORE_BIRTH)
    reader.read()

    store.machine.generation, store.machine.revision = 1, Revision(9)
    assert reader.read() == as_stored(store)


def test_before_anything_is_stored_the_files_settings_count() -> None:
    assert ClusterReader(FakeStore(), KEYS, BEFORE_BIRTH).settings() == BEFORE_BIRTH
