"""The operator's word about the maintenance pause, and about a machine that is off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from raftha.agent.lifesigns import LifeSign
from raftha.agent.operations import Operations
from raftha.agent.pauses import Pauses
from raftha.config.dynamic import parse_dynamic
from raftha.errors import CompareFailed, OutcomeUnknown, RafthaError, StoreUnavailable
from raftha.ha.keys import encode, encode_config
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.operation import OperationState, RequestKind
from raftha.model.report import OperationReport, OperationRequest
from raftha.model.settings import DynamicConfig
from raftha.model.store import (
    Command,
    Committed,
    Entry,
    KeyAt,
    Put,
    RaftStatus,
    Remove,
    Snapshot,
    Transact,
)
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS, LOST
from tests.unit.ha.paused import entry, others


@dataclass(slots=True)
class FakeStore:
    """Holds one value of `config`; `error` is what a write ends with."""

    value: bytes | None = None
    majority: bool = True
    error: RafthaError | None = None
    written: list[Command] = field(default_factory=list)

    def execute(self, command: Command, *, timeout: Seconds) -> Committed:
        assert timeout > 0
        if self.error is not None:
            raise self.error
        self.written.append(command)
        return Committed(Revision(60), pg.T0)

    def peek(self) -> Snapshot:
        entries = {}
        if self.value is not None:
            entries[KEYS.config] = Entry(
                key=KEYS.config,
                value=self.value,
                create_revision=Revision(5),
                mod_revision=Revision(11),
            )
        return Snapshot(revision=Revision(50), generation=1, taken=pg.T0, entries=entries)

    def status(self) -> RaftStatus:
        return b.raft(majority=self.majority)


def pauses(store: FakeStore) -> Pauses:
    return Pauses(store=store, keys=KEYS, timeout=lambda: Seconds(1.0))


def written(store: FakeStore) -> DynamicConfig:
    (command,) = store.written
    assert isinstance(command, Transact)
    assert command.guards == (KeyAt(KEYS.config, Revision(11)),)
    (put,) = command.writes
    assert isinstance(put, Put)
    return parse_dynamic(msgspec.json.decode(put.value), "config")


def test_a_pause_changes_nothing_else_of_the_settings() -> None:
    before = DynamicConfig(ttl=Seconds(7.0), heartbeat=Seconds(1.5))
    store = FakeStore(encode_config(before))

    assert pauses(store).change(paused=True).state is OperationState.DONE
    assert written(store) == replace(before, pause=True)


def test_a_resume_takes_the_word_back() -> None:
    store = FakeStore(encode_config(DynamicConfig(pause=True)))

    assert pauses(store).change(paused=False).state is OperationState.DONE
    assert written(store) == DynamicConfig()


@pytest.mark.parametrize(
    ("store", "paused", "words"),
    [
        (FakeStore(encode_config(DynamicConfig(pause=True))), True, "paused already"),
        (FakeStore(encode_config(DynamicConfig())), False, "not paused"),
        (FakeStore(encode_config(DynamicConfig()), majority=False), True, "no majority"),
        (FakeStore(), True, "nobody has initialised"),
        (FakeStore(encode({"ttl": "long"})), True, "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused(store: FakeStore, paused: bool, words: str) -> None:
    told = pauses(store).change(paused=paused)

    assert told.state is OperationState.REFUSED
    assert words in told.message
    assert store.written == []


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (CompareFailed("x"), OperationState.REFUSED),
        (StoreUnavailable("x"), OperationState.REFUSED),
        (OutcomeUnknown("x"), OperationState.UNKNOWN),
    ],
)
def test_the_end_of_the_write_is_told_as_it_is(error: RafthaError, state: OperationState) -> None:
    store = FakeStore(encode_config(DynamicConfig()), error=error)

    assert pauses(store).change(paused=True).state is state


def failover(sign: LifeSign, execute: Callable[[Transact], None]) -> OperationReport:
    operations = Operations(
        clock=pg.FakeClock(),
        random=Random(1),
        situation=lambda: b.situation(others(entry(pg.N2)), LOST),
        execute=execute,
        operation=lambda: None,
        look=lambda _member: sign,
    )
    asked = OperationRequest(kind=RequestKind.FAILOVER, candidate=pg.N1, fenced=pg.N2)
    return operations.operate(asked)


def test_a_machine_that_answers_is_not_taken_for_off() -> None:
    told = failover(LifeSign(name="n2", answering=("PostgreSQL at n2:5432",)), pytest.fail)

    assert told.state is OperationState.REFUSED
    assert "n2 answers: PostgreSQL at n2:5432" in told.message
    assert "Nothing was changed" in told.message


def test_the_word_that_a_silent_machine_is_off_goes_with_the_request() -> None:
    commands: list[Transact] = []

    assert failover(LifeSign(name="n2"), commands.append).state is OperationState.RUNNING
    assert Remove(KEYS.disarmed_of(pg.N2)) in commands[0].writes
