"""Replicas against each other on any commands at all, and decoders against noise. The store against
its model is in `test_store_stateful`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raftha.consensus import commands, configuration, greeting, state, wire
from raftha.consensus.commands import Expire, LogCommand, OpenSession, SessionId, WireError
from raftha.consensus.machine import Happened, Machine
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.store import (
    Barrier,
    Grant,
    Key,
    KeyAbsent,
    KeyAt,
    KeyCreatedAt,
    LeaseAt,
    LeaseId,
    Put,
    Refresh,
    Remove,
    Revoke,
    Transact,
)

KEYS = st.sampled_from([Key("a"), Key("b"), Key("c")])
LEASES = st.sampled_from([LeaseId("x"), LeaseId("y")])
REVISIONS = st.integers(0, 12).map(Revision)
VALUES = st.binary(max_size=3)
TTLS = st.floats(0.5, 60.0).map(Seconds)
GUARDS = st.one_of(
    st.builds(KeyAbsent, KEYS),
    st.builds(KeyAt, KEYS, REVISIONS),
    st.builds(KeyCreatedAt, KEYS, REVISIONS),
    st.builds(LeaseAt, LEASES, REVISIONS),
)
WRITES = st.one_of(
    st.builds(Put, KEYS, VALUES, st.none() | LEASES),
    st.builds(Remove, KEYS),
    st.builds(Grant, LEASES, st.sampled_from(["n1", "n2"]), TTLS, VALUES),
)
BODIES = st.one_of(
    st.builds(
        Transact,
        st.lists(GUARDS, max_size=2).map(tuple),
        st.lists(WRITES, max_size=3).map(tuple),
    ),
    st.builds(lambda key, value: Transact((KeyAbsent(key),), (Put(key, value),)), KEYS, VALUES),
    st.builds(Refresh, LEASES, REVISIONS, TTLS, VALUES),
    st.builds(Revoke, LEASES, REVISIONS),
    st.builds(Expire, LEASES, REVISIONS),
    st.just(Barrier()),
    st.just(OpenSession()),
)
SESSIONS = st.builds(
    SessionId,
    voter=st.sampled_from(["n1", "n2"]),
    incarnation=st.just("i"),
    boot=st.integers(1, 2),
)
COMMANDS = st.builds(
    LogCommand,
    body=BODIES,
    session=st.none() | SESSIONS,
    seq=st.integers(0, 9),
    floor=st.integers(0, 4),
)


@given(st.lists(COMMANDS, max_size=30), st.integers(0, 30))
def test_a_restored_replica_goes_on_like_the_others(items: list[LogCommand], at: int) -> None:
    straight, restored = Machine(), Machine()
    for number, command in enumerate(items):
        if number == at:
            restored = state.restore(state.dump(restored))
        first, second = straight.apply(command), restored.apply(command)
        assert first == second
    assert state.dump(straight) == state.dump(restored)
    assert (
        straight.size_bytes == restored.size_bytes == state.restore(state.dump(straight)).size_bytes
    )


@given(st.lists(COMMANDS, max_size=25), st.data())
def test_a_repeated_command_changes_nothing(items: list[LogCommand], data: st.DataObject) -> None:
    machine = Machine()
    for command in items:
        applied = machine.apply(command)
        if command.session is not None and isinstance(applied.result, Happened):
            before = state.dump(machine)
            for _ in range(data.draw(st.integers(0, 2))):
                machine.apply(command)
            assert state.dump(machine) == before


@given(COMMANDS)
def test_a_command_survives_its_encoding(command: LogCommand) -> None:
    assert commands.decode(commands.encode(command)) == command


@given(st.binary(max_size=200))
def test_noise_is_a_wire_error_and_nothing_else(noise: bytes) -> None:
    def decode_voters(noise: bytes) -> object:
        return configuration.decode(configuration.KIND + noise)

    decoders = commands.decode, wire.decode, state.unseal, greeting.decode_hello, decode_voters
    for decode in decoders:
        try:
            decode(noise)
        except WireError:
            continue
        except commands.NewerFormat:
            assert noise[:1] >= b"\x90"


@given(COMMANDS, st.integers(0, 300), st.binary(max_size=4))
def test_a_damaged_command_is_a_wire_error_or_a_command(
    command: LogCommand, at: int, junk: bytes
) -> None:
    sound = commands.encode(command)
    try:
        commands.decode(sound[:at] + junk + sound[at + len(junk) :])
    except (WireError, commands.NewerFormat):
        return
