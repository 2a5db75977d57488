"""What is stored can be read again, and what cannot be read is reported and never overwritten."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from raftha.consensus.commands import MAX_VALUE_BYTES
from raftha.ha import keys as k
from raftha.ha.documents import read_cluster
from raftha.ha.keys import LEADER_LEASE
from raftha.instants import Seconds
from raftha.model.cluster import Cluster, HistoryRecord, Initialize, Member, SlotNote, Told
from raftha.model.ids import Epoch, Lsn, MemberName, Revision, Scope, SystemId, Timeline
from raftha.model.membership import MemberVerb, MemberWish, WishState, key_of, writing
from raftha.model.operation import Operation, OperatorRequest
from raftha.model.postgres import SlotState
from raftha.model.settings import Address, Tags
from raftha.model.store import Entry, Key, Lease, Put, Snapshot
from tests.properties.views import MEMBERS, OPERATIONS, RECORDS, REQUESTS
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.paused import entry

LEASE: Final = Lease(id=LEADER_LEASE, holder="n1", ttl=Seconds(5.0), revision=Revision(50))
TEXTS: Final = st.text(max_size=8)
EVERY_KEY: Final = [
    KEYS.initialize,
    KEYS.config,
    KEYS.leader,
    KEYS.sync,
    KEYS.failover,
    KEYS.operation,
    KEYS.status,
    KEYS.position,
    KEYS.history,
    KEYS.member(pg.N1),
    KEYS.disarmed_of(pg.N1),
]


def read(documents: dict[Key, bytes]) -> Cluster:
    entries = {
        key: Entry(
            key=key,
            value=value,
            create_revision=Revision(40),
            mod_revision=Revision(55),
            lease=LEADER_LEASE if key == KEYS.leader else None,
        )
        for key, value in documents.items()
    }
    return read_cluster(
        KEYS,
        Snapshot(
            revision=Revision(60),
            generation=1,
            taken=pg.T0,
            entries=entries,
            leases={LEASE.id: LEASE},
        ),
    )


@given(TEXTS, TEXTS)
def test_the_leader(name: str, nonce: str) -> None:
    found = read({KEYS.leader: k.encode_leader(MemberName(name), nonce)}).leader

    assert found is not None
    assert (found.name, found.guardian) == (name, nonce)
    assert found.epoch == Epoch(1, 40)
    assert found.lease == LEASE


@given(TEXTS, st.none() | TEXTS, TEXTS)
def test_initialize(by: str, system_id: str | None, birth: str) -> None:
    given_id = None if system_id is None else SystemId(system_id)
    found = read({KEYS.initialize: k.encode_initialize(MemberName(by), given_id, birth)}).initialize

    assert found == Initialize(
        by=MemberName(by), system_id=given_id, revision=Revision(55), birth=birth
    )


def test_a_beginning_that_an_older_release_wrote_has_no_name() -> None:
    found = read({KEYS.initialize: k.encode({"by": "n1", "system_id": "7"})}).initialize

    assert found is not None
    assert found.birth == ""


@given(
    TEXTS,
    st.lists(TEXTS, max_size=3).map(tuple),
    st.integers(0, 8),
    st.none() | st.integers(0, 1 << 64).map(Lsn),
)
def test_the_synchronous_set(
    by: str, standbys: tuple[MemberName, ...], quorum: int, floor: Lsn | None
) -> None:
    found = read({KEYS.sync: k.encode_sync(MemberName(by), standbys, quorum, floor=floor)}).sync

    assert found is not None
    assert (found.leader, found.standbys, found.quorum) == (by, standbys, quorum)
    assert found.floor == floor


def test_a_set_whose_floor_cannot_be_read_is_told() -> None:
    wrong = k.encode({"leader": "n1", "sync_standby": ["n2"], "floor": "0"})

    assert read({KEYS.sync: wrong}).unreadable == {KEYS.sync}


def test_a_set_without_a_quorum_is_written_and_read_as_ever() -> None:
    old = b'{"format_version":1,"leader":"n1","sync_standby":["n2"]}'

    assert k.encode_sync(MemberName("n1"), (MemberName("n2"),)) == old
    found = read({KEYS.sync: old}).sync
    assert found is not None
    assert (found.standbys, found.quorum) == (("n2",), 0)


def test_a_set_with_a_quorum_is_one_that_older_versions_refuse() -> None:
    """They would promote any of its standbys."""
    written = k.encode_sync(MemberName("n1"), (MemberName("n2"), MemberName("n3")), 1)

    assert b'"format_version":2' in written


def test_a_quorum_below_zero_is_not_read() -> None:
    found = read({KEYS.sync: k.encode_sync(MemberName("n1"), (MemberName("n2"),), -1)})

    assert found.sync is None
    assert "quorum" in found.problems[0]


@given(st.lists(TEXTS, max_size=3).map(tuple), st.none() | st.integers(1, 2**31), st.booleans())
def test_the_status(slots: tuple[str, ...], timeline: Timeline | None, done: bool) -> None:
    found = read({KEYS.status: k.encode_status(slots, timeline, checkpointed=done)})

    assert (found.slots, found.timeline, found.checkpointed) == (slots, timeline, done)


@given(TEXTS, st.integers(1, 2**31), st.integers(0, 2**64 - 1))
def test_how_far_a_leader_had_written(by: str, timeline: int, position: int) -> None:
    written = k.encode_told(MemberName(by), Timeline(timeline), Lsn(position))
    found = read({KEYS.position: written}).told

    assert found == Told(
        leader=MemberName(by),
        timeline=Timeline(timeline),
        position=Lsn(position),
        revision=Revision(55),
    )


def test_a_position_that_is_none_is_reported() -> None:
    found = read({KEYS.position: b'{"format_version":1,"leader":"","timeline":1,"position":"?"}'})

    assert found.told is None
    assert "not a WAL position" in found.problems[0]


@given(REQUESTS)
def test_a_request(request: OperatorRequest) -> None:
    found = read({KEYS.failover: k.encode_request(request)}).request

    assert found == replace(request, revision=Revision(55))


@given(OPERATIONS)
def test_an_operation(operation: Operation) -> None:
    found = read({KEYS.operation: k.encode_operation(operation)}).operation

    assert found == replace(operation, revision=Revision(55))


def test_a_history_never_outgrows_what_one_command_can_carry() -> None:
    """The newest records are kept, with what became of their leaders."""
    name = MemberName("n" * 63)
    told = b.record(
        99, leader=name, reason="x" * 200, restarts=("r" * 200,) * 3, ended="e" * 200, strikes=9
    )
    records = tuple(replace(told, timeline=Timeline(10**9 + n)) for n in range(k.KEPT_RECORDS + 1))
    document = k.encode_history(records)
    found = read({KEYS.history: document}).history

    assert len(document) <= MAX_VALUE_BYTES
    assert found[-k.NOTED_RECORDS :] == records[-k.NOTED_RECORDS :]
    assert len(found) >= 20
    assert [record.timeline for record in found] == [r.timeline for r in records[-len(found) :]]


@given(st.lists(RECORDS, max_size=4).map(tuple))
def test_the_history(records: tuple[HistoryRecord, ...]) -> None:
    found = read({KEYS.history: k.encode_history(records)})

    assert found.history == records
    assert found.history_revision == 55


@given(MEMBERS, TEXTS, st.integers(1, 65535), st.dictionaries(TEXTS, st.booleans() | TEXTS))
def test_a_member(member: Member, host: str, port: int, extra: dict[str, Any]) -> None:
    tags = replace(member.tags, extra=extra)
    given_member = replace(member, postgres=Address(host, port), tags=tags, revision=Revision(55))
    found = read({KEYS.member(member.name): k.encode_member(given_member)}).members

    assert found == {member.name: given_member}


def test_the_entry_of_an_older_version_names_no_stream() -> None:
    written = k.encode_member(b.member(pg.N2, stream="n2@1"))
    older = written.replace(b',"stream":"n2@1"', b"")
    assert older != written

    assert read({KEYS.member(pg.N2): older}).members[pg.N2].stream == ""


@given(MEMBERS, st.sampled_from(MemberVerb), st.sampled_from(WishState), TEXTS)
def test_a_wish(member: Member, verb: MemberVerb, state: WishState, text: str) -> None:
    wish = MemberWish(
        id="w",
        verb=verb,
        name=member.name,
        address=text,
        barred=text,
        state=state,
        message=text,
        revision=Revision(55),
    )
    put = writing("demo", wish)
    assert isinstance(put, Put)
    assert read({put.key: put.value}).wishes == {member.name: wish}


def test_a_wish_of_another_format_is_named_and_left_alone() -> None:
    found = read({key_of("demo", "n3"): b'{"format_version": 9}'})

    assert found.wishes == {}
    assert found.unreadable == {key_of("demo", "n3")}


def test_the_settings() -> None:
    found = read({KEYS.config: k.encode_config(b.OFF)})

    assert found.config == b.OFF
    assert found.config_revision == 55


@given(st.integers(1, 2**31), st.integers(0, 2**63))
def test_a_position(timeline: int, position: int) -> None:
    note = k.encode_position(Timeline(timeline), Lsn(position))

    assert k.decode_position(note) == (timeline, Lsn(position))


def test_a_note_tells_how_far_the_readers_of_the_slots_are() -> None:
    told = [
        SlotState(name="n2", position=Lsn(7)),
        SlotState(name="sub", position=Lsn(9), plugin="pgoutput", catalog_xmin=733),
        SlotState(name="lost", position=Lsn(8), lost=True),
        SlotState(name="new"),
    ]
    note = k.encode_position(Timeline(3), Lsn(10), told)

    assert k.decode_position(note) == (3, Lsn(10))
    assert k.decode_slots(note) == {
        "n2": SlotNote(position=Lsn(7)),
        "sub": SlotNote(position=Lsn(9), catalog_xmin=733),
    }
    assert k.decode_slots(k.encode_position(Timeline(3), Lsn(10))) == {}


def test_a_note_stays_short_however_many_slots_there_are() -> None:
    many = [
        SlotState(name=f"{n:0>63}", position=Lsn(2**63), catalog_xmin=2**31) for n in range(999)
    ]
    note = k.encode_position(Timeline(2**31), Lsn(2**63), many)

    assert len(note) < k.LONGEST_NOTE_BYTES + 100
    assert len(k.decode_slots(note)) > 50


@given(st.binary(max_size=12))
@example(b'["\xff",1]')
@example(b"[1]")
@example(b'[1,2,{"\xff":[1,2]}]')
def test_a_note_of_any_kind(note: bytes) -> None:
    assert k.decode_position(note) is None or isinstance(k.decode_position(note), tuple)
    assert isinstance(k.decode_slots(note), dict)


RECORD_WITH_A_BAD_POSITION: Final = k.encode_history((b.record(2),)).replace(b"0/1388", b"nowhere")
STRANGE: Final = [
    b"",
    b"[]",
    b"{}",
    b'{"format_version":2}',
    b'{"format_version":1,"name":7,"records":7}',
    b'{"format_version":1,"x":"\xff"}',
    b"[" * 5000,
    b'{"format_version":1,"x":' + b"[" * 5000,
]


@pytest.mark.parametrize("value", STRANGE, ids=range(len(STRANGE)))
@pytest.mark.parametrize("key", EVERY_KEY)
def test_a_document_that_cannot_be_read_is_named(key: Key, value: bytes) -> None:
    found = read({key: value})
    if key == KEYS.config and value.startswith(b'{"format_version":1'):
        assert found.problems
        return

    assert any(key in problem for problem in found.problems)
    assert key in found.unreadable


def test_a_history_with_a_position_that_is_none_is_named() -> None:
    found = read({KEYS.history: RECORD_WITH_A_BAD_POSITION})

    assert found.history == ()
    assert any(KEYS.history in problem for problem in found.problems)


@given(st.sampled_from(EVERY_KEY), st.binary(max_size=30))
def test_reading_never_fails(key: Key, value: bytes) -> None:
    read({key: value})
    read({key: b'{"format_version":1,' + value})


def test_a_leader_without_a_lease_is_no_leader() -> None:
    entry = Entry(
        key=KEYS.leader,
        value=k.encode_leader(pg.N1, "g"),
        create_revision=Revision(40),
        mod_revision=Revision(40),
    )
    snapshot = Snapshot(
        revision=Revision(60), generation=1, taken=pg.T0, entries={KEYS.leader: entry}
    )

    assert read_cluster(KEYS, snapshot).leader is None
    assert read_cluster(KEYS, snapshot).problems


@pytest.mark.parametrize("key", EVERY_KEY)
def test_what_cannot_be_read_is_not_overwritten(key: Key) -> None:
    unread = frozenset({key})
    views = [
        b.view(cluster=b.cluster(unreadable=unread, sync=None, members={}, slots=())),
        b.racing(cluster=b.followed(leader=None, unreadable=unread, sync=None)),
        b.view(
            cluster=b.unborn(unreadable=unread),
            directory=pg.EMPTY,
            guardian=pg.IDLE_GUARDIAN,
            server=None,
            lease=None,
        ),
    ]
    for view in views:
        for action in b.decided(view, b.LOST).actions:
            command = getattr(action, "command", None)
            writes = command.writes if command is not None else ()
            assert all(w.key != key for w in writes if isinstance(w, Put))


def test_names_of_other_clusters_are_not_read() -> None:
    other = k.Keys(Scope("other"))

    assert read({other.member(pg.N2): k.encode_member(b.member(pg.N2))}).members == {}
    assert Tags() == b.member(pg.N2).tags


def test_an_entry_of_a_disarmed_member_that_cannot_be_read_counts() -> None:
    """A newer version wrote it: nobody is promoted beside it, and nobody removes it."""
    key = KEYS.disarmed_of(pg.N2)
    cluster = read({key: b'{"format_version": 9}'})

    assert cluster.disarmed[pg.N2].guardian == ""
    assert key in cluster.unreadable


def test_an_entry_of_a_disarmed_member_is_read_as_it_was_written() -> None:
    wanted = entry(pg.N2, revision=Revision(55))
    cluster = read({KEYS.disarmed_of(pg.N2): k.encode_disarmed(wanted, pg.EPOCH)})

    assert cluster.disarmed == {pg.N2: wanted}
