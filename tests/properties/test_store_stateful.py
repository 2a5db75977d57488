"""The key store driven step by step next to its model, and next to a replica that is put back from
snapshots on the way.

Guards and expectations are drawn from what the store holds, right or wrong, so that commands over
several keys succeed and fail about as often; commands of ended sessions, repeated commands and
floors come in between as a network and restarts would make them come.
"""

from __future__ import annotations

from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from raftha.consensus import state
from raftha.consensus.commands import Body, Expire, LogCommand, OpenSession, SessionId
from raftha.consensus.machine import Machine, Superseded
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
from tests.sim.model import Model, Row, Tenure, answer_of, occurrence_of

KEYS: Final = tuple(Key(name) for name in "abcd")
LEASES: Final = (LeaseId("x"), LeaseId("y"))
VOTERS: Final = ("n1", "n2")
TTL: Final = Seconds(5.0)

keys = st.sampled_from(KEYS)
leases = st.sampled_from(LEASES)
voters = st.sampled_from(VOTERS)
values = st.binary(max_size=2)
is_right = st.sampled_from([True, True, True, False])


class StoreAndModel(RuleBasedStateMachine):
    """`machine` and `restored` take every command, the model answers first."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine()
        self.restored = Machine()
        self.model = Model()
        self.sessions: dict[str, SessionId] = {}
        self.lives = dict.fromkeys(VOTERS, 1)
        self.seqs = dict.fromkeys(VOTERS, 0)
        self.floors = dict.fromkeys(VOTERS, 0)
        self.sent: list[LogCommand] = []
        self.highest = 0

    @initialize()
    def begin(self) -> None:
        for voter in VOTERS:
            self.open_session(voter, 1)

    @rule(voter=voters, boot=st.integers(1, 3))
    def open_session(self, voter: str, boot: int) -> None:
        """A process begins, or an earlier one's entry is late."""
        session = SessionId(voter=voter, incarnation=str(self.lives[voter]), boot=boot)
        self.apply(LogCommand(body=OpenSession(), session=session))
        known = self.machine.sessions[voter].id
        if self.sessions.get(voter) != known:
            self.sessions[voter] = known
            self.seqs[voter] = self.floors[voter] = 0

    @rule(voter=voters)
    def replace_directory(self, voter: str) -> None:
        """The voter lost its Raft directory for good; the next one counts from 1 again."""
        self.lives[voter] += 1
        self.open_session(voter, 1)

    @rule(voter=voters, data=st.data())
    def transact(self, voter: str, data: st.DataObject) -> None:
        """Several guards and writes in one command; most keys that are written are named."""
        guards = [
            self.guard(data, key)
            for key in data.draw(st.lists(keys, max_size=3, unique=True), label="guarded keys")
        ]
        if data.draw(st.booleans(), label="lease guarded"):
            guards.append(self.lease_guard(data))
        named = [guard.key for guard in guards if not isinstance(guard, LeaseAt)]
        writable = st.sampled_from(named) if named else keys
        writes = data.draw(st.lists(self.write(writable | keys), max_size=4), label="writes")
        self.send(voter, Transact(tuple(guards), tuple(writes)))

    @rule(voter=voters, lease=leases, key=keys, value=values)
    def take_lease(self, voter: str, lease: LeaseId, key: Key, value: bytes) -> None:
        """What a candidate does: a lease, and a key that goes with it."""
        writes = (Grant(lease, voter, TTL), Put(key, value, lease))
        self.send(voter, Transact((self.true_guard(key),), writes))

    @rule(voter=voters, lease=leases, right=is_right, ttl=st.sampled_from([TTL, Seconds(1.0)]))
    def refresh(self, voter: str, lease: LeaseId, right: bool, ttl: Seconds) -> None:
        self.send(voter, Refresh(lease, self.lease_revision(lease, right=right), ttl, b"note"))

    @rule(voter=voters, lease=leases, right=is_right)
    def revoke(self, voter: str, lease: LeaseId, right: bool) -> None:
        self.send(voter, Revoke(lease, self.lease_revision(lease, right=right)))

    @rule(lease=leases, right=is_right)
    def expire(self, lease: LeaseId, right: bool) -> None:
        """Any replica may propose it, and two may propose the same."""
        expire = Expire(lease, self.lease_revision(lease, right=right))
        self.apply(LogCommand(body=expire))
        self.apply(LogCommand(body=expire))

    @rule(voter=voters)
    def barrier(self, voter: str) -> None:
        before = self.machine.revision
        self.send(voter, Barrier())
        assert self.machine.revision == before

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """A command comes again, perhaps long after: a second raft leader got it too."""
        if not self.sent:
            return
        command = data.draw(st.sampled_from(self.sent), label="again")
        before = state.dump(self.machine)
        self.apply(command)
        result = self.machine.result_of(command.session, command.seq) if command.session else None
        if result is not None and not isinstance(result, Superseded):
            assert state.dump(self.machine) == before

    @rule(voter=voters, back=st.integers(0, 3))
    def answers_arrived(self, voter: str, back: int) -> None:
        """The client needs no more answers up to here: its next command says so."""
        self.floors[voter] = max(self.floors[voter], self.seqs[voter] - back)

    @rule()
    def restore(self) -> None:
        """One replica is put back from its snapshot."""
        self.restored = state.restore(state.dump(self.restored))

    @invariant()
    def all_agree(self) -> None:
        found = {
            key: Row(e.value, e.create_revision, e.mod_revision, e.lease)
            for key, e in self.machine.entries.items()
        }
        tenures = {
            lease: Tenure(x.holder, x.ttl, x.note, x.revision)
            for lease, x in self.machine.leases.items()
        }
        assert found == self.model.keys
        assert tenures == self.model.leases
        assert self.machine.revision == self.model.revision
        assert state.dump(self.machine) == state.dump(self.restored)

    @invariant()
    def revisions_grow_and_no_lease_owns_a_key_that_outlives_it(self) -> None:
        assert self.machine.revision >= self.highest
        self.highest = self.machine.revision
        owners = {e.lease for e in self.machine.entries.values() if e.lease is not None}
        assert owners <= self.machine.leases.keys()

    # What the rules have in common.

    def send(self, voter: str, body: Body) -> None:
        self.seqs[voter] += 1
        command = LogCommand(
            body=body,
            session=self.sessions[voter],
            seq=self.seqs[voter],
            floor=min(self.floors[voter], self.seqs[voter] - 1),
        )
        self.sent.append(command)
        self.apply(command)

    def apply(self, command: LogCommand) -> None:
        known = len(self.model.history)
        expected = self.model.apply(command)
        applied = self.machine.apply(command)
        assert self.restored.apply(command) == applied
        assert answer_of(applied.result) == expected
        assert [occurrence_of(event) for event in applied.events] == self.model.history[known:]

    def true_guard(self, key: Key) -> Guard:
        entry = self.machine.entries.get(key)
        return KeyAbsent(key) if entry is None else KeyAt(key, entry.mod_revision)

    def guard(self, data: st.DataObject, key: Key) -> Guard:
        entry = self.machine.entries.get(key)
        if data.draw(is_right, label=f"{key} right"):
            if entry is not None and data.draw(st.booleans(), label="by creation"):
                return KeyCreatedAt(key, entry.create_revision)
            return self.true_guard(key)
        wrong = Revision(data.draw(st.integers(0, self.machine.revision + 1), label="revision"))
        kinds = [KeyAbsent(key), KeyAt(key, wrong), KeyCreatedAt(key, wrong)]
        return data.draw(st.sampled_from(kinds), label="guard")

    def lease_guard(self, data: st.DataObject) -> Guard:
        lease = data.draw(leases, label="lease")
        return LeaseAt(lease, self.lease_revision(lease, right=data.draw(is_right, label="right")))

    def lease_revision(self, lease: LeaseId, *, right: bool) -> Revision:
        known = self.machine.leases.get(lease)
        if known is None:
            return Revision(self.machine.revision)
        return known.revision if right else Revision(known.revision - 1)

    @staticmethod
    def write(among: st.SearchStrategy[Key]) -> st.SearchStrategy[Write]:
        return st.one_of(
            st.builds(Put, among, values, st.none() | leases),
            st.builds(Remove, among),
            st.builds(Grant, leases, voters, st.just(TTL), values),
        )


def test_the_store_is_a_dictionary_with_revisions() -> None:
    """Any sequence of 40 steps leaves the machine, its restored twin and the model equal."""
    run_state_machine_as_test(StoreAndModel, settings=settings(stateful_step_count=40))
