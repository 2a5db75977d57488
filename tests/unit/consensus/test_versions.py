"""Whatever another release wrote or says is refused in words that tell what to do, and is not taken
for damage. The rest of it: hellos in `test_members`, commands and sets of voters in
`test_hazards_commands` and `test_membership`, the file of a voter in `test_records`, documents in
the store in `tests/unit/ha`, the guardian in `tests/unit/guardian`."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
import pytest

from raftha.clock import SystemClock
from raftha.consensus import state, wire
from raftha.consensus.commands import WireError
from raftha.consensus.greeting import PROTOCOL, encode_hello
from raftha.consensus.handshake import Handshake
from raftha.consensus.machine import Machine
from raftha.consensus.members import Registry
from raftha.consensus.security import KeySecurity
from raftha.consensus.stable import Origin, Owner
from raftha.consensus.state import Head, Image, LogEntry, seal
from raftha.consensus.storage import FILE_NAME, SqliteStore
from raftha.consensus.visiting import Visitors
from raftha.errors import StorageFailed
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.store import Entry, Key, Lease, LeaseId
from tests.sim.fakes import Fatal
from tests.sim.group import Group
from tests.unit.consensus.greetings import OWN, said

HEAD = Head(LogEntry(b"\x01", 8, 1), LogEntry(b"\x01", 9, 1), b"")
L = LeaseId("l")
KEY = b"k" * 32
NEWER_STATE = msgspec.msgpack.encode([state.FORMAT + 1, 0, 0, [], [], []])


def led_by_a() -> Group:
    group = Group()
    group.elect("a")
    group.settle()
    return group


def later(sealed: bytes) -> bytes:
    """The same in the format of a later release."""
    return sealed[:3] + bytes([sealed[3] + 1]) + sealed[4:]


def stored(directory: Path) -> SqliteStore:
    owner = Owner(scope="s", name="n1")
    return SqliteStore(directory, owner=owner, clock=SystemClock(), new_incarnation="i")


def test_a_state_is_written_as_its_format_says() -> None:
    """Entries and leases are written as they are in memory. Another order of their fields, or one
    more, would be another format."""
    entry = Entry(
        key=Key("k"), value=b"v", create_revision=Revision(1), mod_revision=Revision(2), lease=L
    )
    lease = Lease(id=L, holder="n1", ttl=Seconds(5.0), revision=Revision(3), note=b"note")
    machine = Machine(
        revision=Revision(4), generation=5, entries={entry.key: entry}, leases={L: lease}
    )
    assert msgspec.msgpack.decode(state.dump(machine)) == [
        state.FORMAT,
        5,
        4,
        [["k", b"v", 1, 2, "l"]],
        [["l", "n1", 5.0, 3, b"note"]],
        [],
    ]


@pytest.mark.parametrize("revision", [-1, 2**62])
def test_a_state_with_a_number_that_cannot_be_is_none(revision: int) -> None:
    packed = [state.FORMAT, 0, 4, [["k", b"v", 1, revision, None]], [], []]
    with pytest.raises(WireError, match="not a state of the key store"):
        state.restore(msgspec.msgpack.encode(packed))


def test_a_stored_snapshot_of_another_release_is_left_as_it_is(tmp_path: Path) -> None:
    store = stored(tmp_path)
    store.load()
    image = seal(Image(HEAD, state.dump(Machine())))
    store.stage(Origin.RECEIVED, later(image), first=True)
    store.replace([HEAD.previous, HEAD.last])
    store.close()
    before = (tmp_path / FILE_NAME).read_bytes()

    with pytest.raises(StorageFailed, match="format b'4', this release reads b'3': use the rel"):
        stored(tmp_path).load()

    assert not list(tmp_path.glob("raft-void*"))
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_snapshot_of_another_release_that_arrives_cuts_the_link_and_changes_nothing() -> None:
    group = led_by_a()
    log, keys = group.log("b"), group.keys("b")
    image = later(seal(Image(HEAD, b"")))
    group.inject("a", "b", wire.Chunk(group.term("a"), image, True, True))
    group.deliver("a", "b")

    [(peer, reason)] = group.node("b")._links.dropped
    assert peer == "a"
    assert "use the release of raftha that wrote it" in reason
    assert (group.log("b"), group.keys("b")) == (log, keys)


def test_a_state_of_a_newer_release_ends_the_process() -> None:
    group = led_by_a()
    image = seal(Image(HEAD, NEWER_STATE))
    group.inject("a", "b", wire.Chunk(group.term("a"), image, True, True))
    with pytest.raises(Fatal, match=r"a snapshot of format .*: upgrade raftha on this node"):
        group.deliver("a", "b")


def test_who_dials_with_another_protocol_is_told_which_one_is_spoken_here() -> None:
    """It would see a connection that ends, and its operator would look for another cause."""
    registry = Registry(OWN, {})
    handshake = Handshake(registry=registry, security=KeySecurity(KEY), visitors=Visitors())
    hello = encode_hello(said(protocol=PROTOCOL + 1))
    dialer, acceptor = socket.socketpair()
    with dialer, acceptor:
        dialer.sendall(len(hello).to_bytes(2, "big") + hello)
        with pytest.raises(WireError, match=f"it speaks protocol {PROTOCOL + 1}, this node"):
            handshake.accept(acceptor)
        acceptor.close()
        answer = dialer.recv(1000)[2:]
    assert msgspec.msgpack.decode(answer) == {"protocol": PROTOCOL}


def test_a_message_of_an_unknown_kind_cuts_the_link_with_the_reason() -> None:
    """The greeting has made sure that both speak one protocol, so this is noise."""
    group = led_by_a()
    group.network.flying["a", "b"].append(msgspec.msgpack.encode(["teleport", 1]))
    group.deliver("a", "b")

    [(peer, reason)] = group.node("b")._links.dropped
    assert peer == "a"
    assert "not a message: Invalid value 'teleport'" in reason
