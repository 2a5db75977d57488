"""Writes to the store whose answer was lost stay pending until a barrier settles them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from raftha.agent.board import Board
from raftha.agent.effects import Effects
from raftha.ha.actions import Submit
from raftha.instants import Instant, Seconds
from raftha.model.cluster import Cluster
from raftha.model.ids import Revision
from raftha.model.store import (
    Barrier,
    Command,
    Committed,
    Key,
    KeyAbsent,
    NotSent,
    Outcome,
    Put,
    Transact,
    Unknown,
)

NOW = Instant(0.0, 0.0)
WRITE = Submit("sync", Transact((KeyAbsent(Key("k")),), (Put(Key("k"), b""),)))


@dataclass
class FakeStore:
    """Keeps what was submitted; the test answers."""

    sent: list[tuple[Command, Callable[[Outcome], None]]] = field(default_factory=list)

    def submit(
        self, command: Command, *, timeout: Seconds, done: Callable[[Outcome], None]
    ) -> None:
        assert timeout > 0
        self.sent.append((command, done))

    def answer(self, outcome: Outcome) -> Command:
        command, done = self.sent.pop(0)
        done(outcome)
        return command


class IdleKeeper:
    busy = False


def effects_on(store: FakeStore) -> Effects:
    nothing = cast(Any, None)
    return Effects(
        instance=nothing,
        guarding=nothing,
        keeper=cast(Any, IdleKeeper()),
        store=cast(Any, store),
        peers=nothing,
        worker=nothing,
        jobs=nothing,
        board=Board(config=nothing, postgres=nothing, last_tick=NOW),
        clock=nothing,
        log_path=Path("none"),
        graceful=nothing,
        reloaded=lambda: None,
    )


def submitted(store: FakeStore) -> Effects:
    effects = effects_on(store)
    assert effects.perform(WRITE, Cluster(revision=Revision(1), generation=0))
    assert effects.pending == {"sync"}
    return effects


def test_a_definite_answer_ends_the_write() -> None:
    store = FakeStore()
    effects = submitted(store)
    store.answer(NotSent("no raft leader"))
    assert effects.pending == frozenset()


def test_a_lost_answer_keeps_the_write_pending_until_a_barrier_commits() -> None:
    """Taken for a failure, a standby that the store names would no longer be waited for, and what
    the primary then acknowledges alone is lost when that standby is promoted."""
    store = FakeStore()
    effects = submitted(store)
    store.answer(Unknown("timed out"))
    assert effects.pending == {"sync"}

    effects.settle(Seconds(1.0))
    effects.settle(Seconds(1.0))
    assert len(store.sent) == 1, "one barrier at a time"
    assert isinstance(store.answer(Unknown("timed out")), Barrier)
    assert effects.pending == {"sync"}

    effects.settle(Seconds(1.0))
    store.answer(Committed(Revision(2), NOW))
    assert effects.pending == frozenset()


def test_nothing_is_asked_when_nothing_is_open() -> None:
    store = FakeStore()
    effects = submitted(store)
    effects.caught_up = True
    store.answer(Committed(Revision(2), NOW))
    effects.settle(Seconds(1.0))
    assert store.sent == []


def test_a_new_agent_has_caught_up_once_a_barrier_of_its_own_has_committed() -> None:
    store = FakeStore()
    effects = effects_on(store)
    effects.settle(Seconds(1.0))
    assert isinstance(store.answer(Unknown("timed out")), Barrier)
    assert not effects.caught_up

    effects.settle(Seconds(1.0))
    store.answer(Committed(Revision(2), NOW))
    assert effects.caught_up
    effects.settle(Seconds(1.0))
    assert store.sent == []
