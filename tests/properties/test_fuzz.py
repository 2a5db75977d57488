"""What strangers, a damaged disk and a broken peer may send: every reader of bytes refuses it with
its own error and nothing else, within bounded memory and bounded work.

Work is counted in calls, not in seconds, and memory in allocated bytes: both are the same on every
machine.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftha.consensus import commands, configuration, greeting, state, wire
from raftha.consensus.commands import LogCommand, NewerFormat, WireError
from raftha.consensus.configuration import Configuration, Seat
from raftha.consensus.greeting import PROTOCOL, Hello
from raftha.consensus.handshake import Handshake, Refused
from raftha.consensus.members import Identity, Registry
from raftha.consensus.security import KeySecurity, MacFraming, PlainFraming, PlainSecurity, Security
from raftha.consensus.state import Head, Image, LogEntry
from raftha.consensus.visiting import Visitors
from raftha.guardian import events, protocol
from tests.properties.test_store_machine import COMMANDS

COUNTS: Final = st.integers(0, 2**62 - 1)
ENTRIES: Final = st.builds(LogEntry, st.binary(max_size=20), COUNTS, COUNTS)
MESSAGES: Final = st.one_of(
    st.builds(wire.Append, COUNTS, COUNTS, COUNTS, COUNTS, st.lists(ENTRIES, max_size=3)),
    st.builds(wire.Chunk, COUNTS, st.binary(max_size=50), st.booleans(), st.booleans()),
    st.builds(wire.Progress, COUNTS, COUNTS, st.booleans(), st.booleans()),
    st.builds(wire.AskVote, COUNTS, COUNTS, COUNTS, st.text(max_size=20)),
    st.builds(wire.Vote, COUNTS),
    st.builds(wire.Canvass, COUNTS, COUNTS, COUNTS, COUNTS, st.text(max_size=20)),
    st.builds(wire.Support, COUNTS, COUNTS, st.booleans()),
    st.builds(wire.Stale, COUNTS),
    st.builds(wire.Forward, st.binary(max_size=50), st.floats(0, 86400)),
)
TEXTS: Final = st.text(max_size=20)
SEATS: Final = st.builds(Seat, TEXTS, TEXTS, TEXTS, st.booleans())
VOTERS: Final = st.builds(
    lambda seats, expected, generation: configuration.encode(
        Configuration(
            lineage="x", generation=generation, seats=tuple(seats), expected=tuple(expected)
        )
    ),
    st.lists(SEATS, max_size=3),
    st.lists(SEATS, max_size=2),
    st.integers(0, 3),
)
HELLOS: Final = st.builds(
    Hello,
    protocol=st.just(PROTOCOL) | st.integers(-1, 9),
    scope=st.just("test") | TEXTS,
    address=st.just("b:1") | TEXTS,
    to=st.just("a:1") | TEXTS,
    name=st.just("n2") | TEXTS,
    incarnation=TEXTS,
    process=TEXTS,
    witness=st.booleans(),
    partners=st.just(["a:1", "c:1"]) | st.lists(TEXTS, max_size=3),
    is_new=st.booleans(),
    term=COUNTS,
    has_voted=st.booleans(),
    last_index=COUNTS,
    last_term=COUNTS,
    voters=st.just(b"") | VOTERS | st.binary(max_size=30),
    voters_index=COUNTS,
    voters_settled=st.booleans(),
    nonce=st.binary(max_size=40),
)
IMAGES: Final = st.builds(Image, ENTRIES, ENTRIES, st.binary(max_size=50), st.just(b"") | VOTERS)
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)

MANY: Final = 20_000
BYTES_PER_BYTE: Final = 80
"""Allocated for each byte that is read; the widest of all, a list of raw values, takes 64."""
SPARE_BYTES: Final = 200_000
SPARE_CALLS: Final = 400


@st.composite
def damaged(draw: st.DrawFn, sound: st.SearchStrategy[bytes]) -> bytes:
    """Bytes that were right once: some replaced, cut out, doubled or cut off."""
    data = bytearray(draw(sound))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 3)):
            case 0:
                junk = draw(st.binary(min_size=1, max_size=8))
                data[at : at + len(junk)] = junk
            case 1:
                del data[at : at + draw(st.integers(1, 16))]
            case 2:
                data[at:at] = data[at : at + draw(st.integers(1, 16))]
            case _:
                del data[at:]
    return bytes(data)


def noise_or(sound: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=300) | damaged(sound)


def unsealed_state(data: bytes) -> object:
    """A stored snapshot, to the last layer."""
    return state.restore(state.unseal(data).state)


SEALED: Final = st.builds(
    lambda previous, index, term, inner: state.seal(
        Image(
            Head(LogEntry(previous, index, term), LogEntry(previous, index + 1, term), b""),
            inner,
        )
    ),
    st.binary(max_size=10),
    st.integers(0, 1000),
    st.integers(0, 9),
    st.binary(max_size=60),
)


@given(noise_or(MESSAGES.map(wire.encode)))
def test_a_frame_is_a_message_or_a_wire_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        assert isinstance(wire.decode(data), wire.Message)


@given(MESSAGES)
def test_a_message_survives_the_wire(message: wire.Message) -> None:
    assert wire.decode(wire.encode(message)) == message


@given(noise_or(COMMANDS.map(commands.encode)))
def test_an_entry_is_a_command_or_an_error_of_its_own(data: bytes) -> None:
    with contextlib.suppress(WireError, NewerFormat):
        assert isinstance(commands.decode(data), LogCommand)


@given(noise_or(HELLOS.map(greeting.encode_hello)))
def test_a_greeting_is_judged_or_a_wire_error(data: bytes) -> None:
    """Also what can be read is judged in words, whatever it says."""
    registry = registry_of_a()
    with contextlib.suppress(WireError):
        reason = registry.refusal(greeting.decode_hello(data))
        assert reason is None or reason


@given(noise_or(SEALED))
def test_a_snapshot_is_whole_or_a_wire_error(data: bytes) -> None:
    with contextlib.suppress(WireError, NewerFormat):
        unsealed_state(data)


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(0, 60), max_size=8))
def test_frames_come_out_as_they_went_in(frames: list[bytes], cuts: list[int]) -> None:
    """In whatever pieces they arrive, and nothing is kept back or left over."""
    for sender, receiver in ((PlainFraming(), PlainFraming()), mac_pair()):
        stream = b"".join(map(sender.wrap, frames))
        places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
        buffer, found = bytearray(), []
        for start, end in pairwise(places):
            buffer += stream[start:end]
            found += receiver.unwrap(buffer)
        assert found == frames
        assert not buffer


@given(st.data())
def test_a_stream_is_frames_or_a_wire_error(data: st.DataObject) -> None:
    """A buffer never grows by reading, and a MAC lets through nothing that was changed."""
    frames = data.draw(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
    sender, receiver = mac_pair()
    sound = b"".join(map(sender.wrap, frames))
    stream = data.draw(noise_or(st.just(sound)))
    for framing in (PlainFraming(), receiver):
        buffer, found = bytearray(stream), []
        with contextlib.suppress(WireError):
            found.extend(framing.unwrap(buffer))
        assert len(buffer) <= len(stream)
        if framing is receiver:
            assert found == frames[: len(found)]


@given(noise_or(HELLOS.map(greeting.encode_hello)), st.binary(max_size=100), st.booleans())
def test_a_greeting_ends_in_an_error_of_its_own(hello: bytes, more: bytes, keyed: bool) -> None:
    """A guest says what it likes and hangs up. The one that is greeted raises what it promises."""
    security: Security = KeySecurity(b"k" * 32) if keyed else PlainSecurity()
    here, there = socket.socketpair()
    with here, there:
        there.sendall(len(hello).to_bytes(2, "big") + hello + more)
        there.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError, WireError, Refused):
            greeted = Handshake(
                registry=registry_of_a(), security=security, visitors=Visitors()
            ).accept(here)
            assert not keyed
            assert greeted.hello.address == "b:1"


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_line_to_the_guardian_is_a_message_or_malformed(line: bytes) -> None:
    with contextlib.suppress(protocol.Malformed):
        message = protocol.decode(line)
        protocol.encode(message)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "epoch",
                "renewal",
                "kill_boot",
                "kill_raw",
                "kill_slept",
                "event",
                "reason",
                "pid",
                "started",
                "status",
            ]
        ),
        JSON,
    )
)
def test_fields_of_the_guardian_are_read_or_malformed(message: dict[str, Any]) -> None:
    for read in (protocol.epoch_in, protocol.arm_in, events.status_from, events.event_from):
        with contextlib.suppress(protocol.Malformed):
            read(message)


def wide(header: bytes, element: bytes, tail: bytes = b"") -> bytes:
    """An array of many small elements: the most objects for the fewest bytes."""
    return header + b"\xdd" + MANY.to_bytes(4, "big") + element * MANY + tail


WIDE: Final = [
    (wire.decode, wide(b"\x96\xa6append\x00\x00\x00\x00", b"\x93\xc4\x00\x00\x00")),
    (wire.decode, wide(b"", b"\x00")),
    (wire.decode, b"\x91" * MANY),
    (
        commands.decode,
        wide(b"\x95\x01\xc0\x00\x00\x93\xa8transact", b"\x92\xa6absent\xa0", b"\x90"),
    ),
    (commands.decode, wide(b"", b"\x02")),
    (commands.decode, b"\x91" * MANY),
    (greeting.decode_hello, wide(b"", b"\x00")),
    (state.restore, wide(b"\x96\x01\x00\x00", b"\x95\xa0\xc4\x00\x00\x00\xc0", b"\x90\x90")),
    (protocol.decode, b"[" * MANY),
    (protocol.decode, b"[" + b"1," * MANY + b"1]"),
]


@pytest.mark.parametrize(("read", "data"), WIDE)
def test_reading_costs_little_more_than_what_is_read(
    read: Callable[[bytes], object], data: bytes
) -> None:
    """Arrays of the smallest elements, and nesting without end."""
    assert allocated(read, data) < BYTES_PER_BYTE * len(data) + SPARE_BYTES
    assert calls(read, data) < len(data) + SPARE_CALLS


def test_a_frame_above_the_limit_is_not_read_at_all() -> None:
    """It is sound but for its size, so nothing else would refuse it."""
    entry = LogEntry(bytes(commands.MAX_COMMAND_BYTES), 1, 1)
    count = wire.MAX_FRAME_BYTES // commands.MAX_COMMAND_BYTES
    data = wire.encode(wire.Append(1, 0, 0, 0, [entry] * count))
    assert len(data) > wire.MAX_FRAME_BYTES

    with pytest.raises(WireError, match="bytes"):
        wire.decode(data)
    assert allocated(wire.decode, data) < SPARE_BYTES


def test_many_small_frames_cost_no_more_than_their_number() -> None:
    framing = PlainFraming()
    stream = framing.wrap(b"") * MANY

    def read(data: bytes) -> object:
        return sum(1 for _ in framing.unwrap(bytearray(data)))

    assert read(stream) == MANY
    assert calls(read, stream) < 10 * MANY


def allocated(read: Callable[[bytes], object], data: bytes) -> int:
    """The most bytes that were allocated at once."""
    tracemalloc.start()
    try:
        attempt(read, data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def calls(read: Callable[[bytes], object], data: bytes) -> int:
    """How many functions were called."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        attempt(read, data)
    finally:
        sys.setprofile(None)
    return count


def attempt(read: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(WireError, NewerFormat, protocol.Malformed):
        read(data)


def mac_pair() -> tuple[MacFraming, MacFraming]:
    return MacFraming(b"one", b"other"), MacFraming(b"other", b"one")


def identity(address: str, name: str) -> Identity:
    others = {"a:1", "b:1", "c:1"} - {address}
    return Identity(
        scope="test",
        address=address,
        name=name,
        incarnation=f"i of {name}",
        witness=False,
        partners=tuple(sorted(others)),
        process="p",
    )


def registry_of_a() -> Registry:
    return Registry(identity("a:1", "n1"), {})


def test_the_fuzzed_structs_are_all_there_is() -> None:
    """A new kind of message is fuzzed too, or this fails."""
    kinds = {type(message) for message in map(_example, wire.Message.__args__)}

    assert kinds == set(wire.Message.__args__)
    assert len(kinds) == 9


def _example(kind: type[msgspec.Struct]) -> msgspec.Struct:
    values = {"entries": [], "data": b"", "payload": b"", "remaining": 1.0, "to": "i"}
    switches = {"first", "last", "reset", "success", "granted"}
    return kind(*(values.get(f, f in switches or 1) for f in kind.__struct_fields__))
