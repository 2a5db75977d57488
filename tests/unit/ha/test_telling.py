"""How far the last leader had written is known after its lease, to whoever starts then too."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from raftha.ha.actions import Submit
from raftha.ha.candidates import obstacle
from raftha.ha.keys import encode_position, encode_sync, encode_told
from raftha.ha.memory import LeaderSeen, Memory
from raftha.ha.telling import last_told, telling
from raftha.model.cluster import HistoryRecord, Told
from raftha.model.ids import Epoch, MemberName, Revision, Timeline
from raftha.model.settings import DynamicConfig, SynchronousMode
from raftha.model.store import (
    Entry,
    Key,
    KeyAbsent,
    KeyAt,
    KeyCreatedAt,
    Put,
    Remove,
    Snapshot,
    Transact,
)
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, N2

NOTE: Final = encode_position(Timeline(2), pg.lsn(5000))
EPOCH: Final = KeyCreatedAt(KEYS.leader, Revision(b.EPOCH.revision))
BOUND: Final = DynamicConfig(synchronous_mode=SynchronousMode.OFF, maximum_lag_on_failover=10)


def told_by_n1(note: bytes = NOTE, **documents: bytes) -> Transact | None:
    """What n1 writes before a renewal with this note, where the store holds these documents."""
    entries = {}
    for name, value in documents.items():
        key = Key(KEYS.prefix + name)
        entries[key] = Entry(
            key=key, value=value, create_revision=Revision(17), mod_revision=Revision(30)
        )
    store = Snapshot(revision=Revision(60), generation=1, taken=pg.T0, entries=entries)
    return telling(KEYS, store, b.lease(), N1, note)


def test_a_leader_that_waits_for_no_standby_tells_how_far_it_is_under_its_epoch() -> None:
    value = encode_told(N1, Timeline(2), pg.lsn(5000))
    put = (Put(KEYS.position, value),)

    assert told_by_n1() == Transact((EPOCH, KeyAbsent(KEYS.position)), put)
    before = encode_told(N2, Timeline(1), pg.lsn(4000))
    # By its creation: another write of the same lease that is on its way stands against none.
    later = Transact((EPOCH, KeyCreatedAt(KEYS.position, Revision(17))), put)
    assert told_by_n1(position=before) == later


def test_nothing_is_told_that_is_known_or_that_nobody_would_ask_for() -> None:
    assert told_by_n1(position=encode_told(N1, Timeline(2), pg.lsn(5000))) is None
    assert told_by_n1(note=b"") is None
    assert told_by_n1(sync=encode_sync(N1, ())) is None


def test_what_a_newer_version_told_is_left_alone() -> None:
    assert told_by_n1(position=b'{"format_version":2,"leader":"n1"}') is None
    assert told_by_n1(position=b'{"format_version":1,"leader":"n1","timeline":1}') is None


def test_a_synchronous_set_ends_with_a_position_in_its_place() -> None:
    """What an earlier time without one has left there may be far behind."""
    old = kept(10, by=N1)
    cluster = b.cluster(config=b.OFF, told=old)
    view = b.view(cluster=cluster, server=pg.primary(written=pg.lsn(7000)))
    put = Put(KEYS.position, encode_told(N1, Timeline(1), pg.lsn(7000)))

    def ending(view: View) -> Transact:
        command = b.only(b.decided(view, b.leading_memory(view)), Submit).command
        assert isinstance(command, Transact)
        assert Remove(KEYS.sync) in command.writes
        assert EPOCH in command.guards
        return command

    assert put in ending(view).writes
    assert KeyAt(KEYS.position, old.revision) in ending(view).guards
    first = replace(view, cluster=replace(cluster, told=None))
    assert put in ending(first).writes
    assert KeyAbsent(KEYS.position) in ending(first).guards
    newer = replace(cluster, told=None, unreadable=frozenset({KEYS.position}))
    assert ending(replace(view, cluster=newer)).writes == (Remove(KEYS.sync),)
    unknown = replace(view, server=pg.primary(written=None))
    assert ending(unknown).writes == (Remove(KEYS.sync),)


def kept(position: int, by: MemberName = N2, timeline: int = 1) -> Told:
    return Told(
        leader=by, timeline=Timeline(timeline), position=pg.lsn(position), revision=Revision(44)
    )


def why_not(
    told: Told | None,
    position: int,
    memory: Memory = b.LOST,
    history: tuple[HistoryRecord, ...] = (b.record(1, leader=N2), b.record(2, leader=N2)),
    **server: Any,
) -> str | None:
    """What stands against n1, which saw no renewal."""
    line = {"history": history, "timeline": Timeline(2)}
    cluster = b.followed(leader=None, sync=None, config=BOUND, told=told, **line)
    view = b.racing(cluster=cluster, server=pg.standby(position, **server))
    return obstacle(b.situation(view, memory))


def test_who_saw_no_renewal_is_bounded_by_what_the_leader_told() -> None:
    assert b.LOST.leader_seen is None
    assert why_not(kept(5000), 4990) is None
    assert why_not(kept(5000), 4989) == (
        "it is 11 bytes behind what the last leader told, more than maximum_lag_on_failover allows"
    )
    assert why_not(kept(5000), 4989, timeline=Timeline(2)) is None, "a line of its own"


def test_who_told_nothing_had_what_it_took_over_with() -> None:
    """A leader that is cut off once it has won may acknowledge rows for a ttl, and tells nothing;
    two in a row, and whoever was away would lack what came in all that time."""
    assert why_not(None, 4990) is None
    assert why_not(None, 4989) == (
        "it is 11 bytes behind where the last leader took over, more than maximum_lag_on_failover "
        "allows"
    )
    assert why_not(None, 4989, timeline=Timeline(2)) is None, "it was there"
    own = (b.record(1, leader=N2), b.record(2, leader=N1))
    assert why_not(None, 4989, history=own) is None, "it holds that, but for what a power cut took"
    recovered = (b.record(1), b.record(2, epoch=Epoch(generation=2, revision=Revision(0))))
    assert why_not(None, 4989, history=recovered) is None, "a recovery says who may lead"


def test_what_cannot_be_read_may_be_anything() -> None:
    unread = frozenset({KEYS.position})
    racing = b.racing(cluster=b.followed(leader=None, sync=None, config=BOUND, unreadable=unread))

    assert "cannot be read" in str(obstacle(b.situation(racing, b.LOST)))
    waits = replace(racing, cluster=replace(racing.cluster, sync=b.sync(N1, by=N2)))
    assert obstacle(b.situation(waits, b.LOST)) is None


def test_whatever_was_told_last_counts() -> None:
    seen = LeaderSeen(
        revision=Revision(50), at=pg.at(-1), timeline=Timeline(1), position=pg.lsn(6000)
    )
    memory = replace(b.LOST, leader_seen=seen)

    assert "1000 bytes" in str(why_not(kept(5500), 5000, memory))
    assert "2000 bytes" in str(why_not(kept(7000), 5000, memory))
    view = b.racing(cluster=b.followed(leader=None, told=kept(10, timeline=2)))
    assert last_told(b.situation(view, memory)) == (2, pg.lsn(10))


def test_who_told_it_holds_it() -> None:
    """Less of it only by what was never acknowledged: without this a power cut of the leader could
    leave nobody who may lead."""
    own = (b.record(1), b.record(2))
    assert why_not(kept(5000, by=N1), 4000, history=own) is None
    seen = LeaderSeen(
        revision=Revision(50), at=pg.at(-1), timeline=Timeline(2), position=pg.lsn(5000)
    )
    memory = replace(b.LOST, leader_seen=seen)
    reason = why_not(kept(5000, by=N1), 4000, memory, history=own)
    assert reason is not None, "of another line it may lack some"
