"""The key store against a dictionary, replicas against each other, and decoders against noise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raftha.consensus import commands, members, state, wire
from raftha.consensus.commands import Body, Expire, LogCommand, OpenSession, SessionId, WireError
from raftha.consensus.machine import Happened, Machine
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.store import (
    Barrier,
    Grant,
    Guard,
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
    Write,
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


class Model:
    """A dictionary with revisions, as simple as it can be said."""

    def __init__(self) -> None:
        self.revision = 0
        self.keys: dict[str, tuple[bytes, int, int, str | None]] = {}
        self.leases: dict[str, int] = {}

    def holds(self, guard: Guard) -> bool:
        match guard:
            case KeyAbsent(key):
                return key not in self.keys
            case KeyAt(key, revision):
                return key in self.keys and self.keys[key][2] == revision
            case KeyCreatedAt(key, revision):
                return key in self.keys and self.keys[key][1] == revision
            case LeaseAt(lease, revision):
                return self.leases.get(lease) == revision

    def write(self, write: Write, named: set[str], revision: int) -> bool:
        match write:
            case Put(key, value, lease):
                created = self.keys[key][1] if key in self.keys else revision
                if key not in named or (lease is not None and lease not in self.leases):
                    return False
                self.keys[key] = (value, created, revision, lease)
            case Remove(key):
                if key not in named:
                    return False
                self.keys.pop(key, None)
            case Grant(lease_id, _, _, _):
                if lease_id in self.leases:
                    return False
                self.leases[lease_id] = revision
        return True

    def apply(self, body: Body) -> None:
        before = (dict(self.keys), dict(self.leases))
        match body:
            case Transact(guards, writes):
                named = {guard.key for guard in guards if not isinstance(guard, LeaseAt)}
                done = all(self.holds(guard) for guard in guards)
                done = done and all(self.write(w, named, self.revision + 1) for w in writes)
                if not done:
                    self.keys, self.leases = before
            case Refresh(lease, expect, _, _):
                if self.leases.get(lease) == expect:
                    self.leases[lease] = self.revision + 1
            case Revoke(lease, expect) | Expire(lease, expect):
                if self.leases.get(lease) == expect:
                    del self.leases[lease]
                    self.keys = {k: v for k, v in self.keys.items() if v[3] != lease}
        if (self.keys, self.leases) != before:
            self.revision += 1


@given(st.lists(BODIES, max_size=30))
def test_the_store_is_a_dictionary_with_revisions(bodies: list[Body]) -> None:
    machine, model = Machine(), Model()
    session = SessionId(voter="n1", incarnation="i", boot=1)
    machine.apply(LogCommand(body=OpenSession(), session=session))
    for number, body in enumerate(bodies, start=1):
        machine.apply(LogCommand(body=body, session=session, seq=number, floor=0))
        model.apply(body)
        found = {
            key: (e.value, e.create_revision, e.mod_revision, e.lease)
            for key, e in machine.entries.items()
        }
        assert found == model.keys
        assert {lease: x.revision for lease, x in machine.leases.items()} == model.leases
        assert machine.revision == model.revision


@given(st.lists(COMMANDS, max_size=30), st.integers(0, 30))
def test_a_restored_replica_goes_on_like_the_others(items: list[LogCommand], at: int) -> None:
    straight, restored = Machine(), Machine()
    for number, command in enumerate(items):
        if number == at:
            restored = state.restore(state.dump(restored))
        first, second = straight.apply(command), restored.apply(command)
        assert first == second
    assert state.dump(straight) == state.dump(restored)


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
    for decode in (commands.decode, wire.decode, state.unseal, members.decode_hello):
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
