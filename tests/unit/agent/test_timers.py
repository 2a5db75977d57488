"""Raft timers follow the settings that a node's Raft directory holds when it is opened."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from raftha.agent.timers import Timers
from raftha.consensus import commands, state
from raftha.consensus.commands import LogCommand
from raftha.consensus.machine import Machine
from raftha.consensus.stable import Persisted
from raftha.consensus.state import Head, Image, LogEntry
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName, Revision
from raftha.model.settings import (
    TIMINGS,
    Address,
    BootstrapConfig,
    DynamicConfig,
    NodeConfig,
    Profile,
    RaftConfig,
    RestConfig,
)
from raftha.model.store import KeyAbsent, KeyAt, Put, Transact
from tests.unit.ha import builders as b

HERE = Address("127.0.0.1", 1)
KEY = b.KEYS.config
FIRST = LogEntry(b"", 1, 0)


def timers(profile: Profile = Profile.FAST) -> Timers:
    """Of a node whose file gives this profile."""
    return Timers(
        NodeConfig(
            scope=b.SCOPE,
            name=MemberName("n1"),
            raft=RaftConfig(
                self_addr=HERE, bind_addr=HERE, partner_addrs=(), data_dir=Path("/nonexistent")
            ),
            restapi=RestConfig(listen=HERE, connect_address=HERE),
            bootstrap=BootstrapConfig(dynamic=DynamicConfig(profile=profile)),
        )
    )


def written(machine: Machine, document: Any) -> bytes:
    """The log entry that puts these settings into the store, which has them from now on."""
    known = machine.entries.get(KEY)
    guard = KeyAbsent(KEY) if known is None else KeyAt(KEY, known.mod_revision)
    value = document if isinstance(document, bytes) else msgspec.json.encode(document)
    command = LogCommand(body=Transact((guard,), (Put(KEY, value),)))
    machine.apply(command)
    return commands.REGULAR + commands.encode(command)


def directory(*documents: Any) -> Persisted:
    machine = Machine()
    entries = [LogEntry(written(machine, each), 2 + n, 1) for n, each in enumerate(documents)]
    return Persisted(incarnation="i", boot=1, term=1, entries=(FIRST, *entries))


def settings(**given: object) -> dict[str, object]:
    return {"format_version": 1, **given}


def test_a_new_directory_has_the_timers_of_the_file() -> None:
    chosen = timers(Profile.SLOW)
    assert chosen.choose(Persisted(incarnation="i", boot=1)) == TIMINGS[Profile.SLOW]
    assert chosen.profile is Profile.SLOW


def test_the_settings_that_were_stored_last_go_before_the_file() -> None:
    chosen = timers(Profile.FAST)
    stored = directory(settings(profile="wan"), settings(profile="slow"))
    assert chosen.choose(stored) == TIMINGS[Profile.SLOW]
    assert chosen.profile is Profile.SLOW
    assert timers(Profile.FAST).choose(directory(settings())) == TIMINGS[Profile.LAN], "not given"


def test_settings_of_which_only_a_snapshot_is_left_count() -> None:
    machine = Machine()
    written(machine, settings(profile="slow"))
    last = LogEntry(b"", 9, 1)
    image = Image(Head(LogEntry(b"", 8, 1), last, b""), state.dump(machine))
    stored = Persisted(incarnation="i", boot=1, snapshot=state.seal(image), entries=(last,))
    assert timers().choose(stored) == TIMINGS[Profile.SLOW]


@pytest.mark.parametrize(
    "stored",
    [
        directory(b"\xff"),
        directory({"format_version": 99, "profile": "slow"}),
        Persisted(incarnation="i", boot=1, snapshot=b"no snapshot"),
        Persisted(
            incarnation="i", boot=1, entries=(FIRST, LogEntry(commands.REGULAR + b"\xff", 2, 1))
        ),
    ],
)
def test_what_cannot_be_read_costs_the_timers_of_the_file_and_a_warning(
    stored: Persisted, caplog: pytest.LogCaptureFixture
) -> None:
    assert timers(Profile.SLOW).choose(stored) == TIMINGS[Profile.SLOW]
    assert any(record.levelno == logging.WARNING for record in caplog.records)


def test_a_profile_of_a_newer_version_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    chosen = timers(Profile.SLOW)
    assert chosen.choose(directory(settings(profile="moon"))) == TIMINGS[Profile.LAN]
    assert any(record.levelno == logging.WARNING for record in caplog.records)


def test_who_runs_by_other_timers_than_the_settings_ask_for_says_so() -> None:
    me = MemberName("n1")
    chosen = timers(Profile.FAST)
    before_birth = Cluster(
        revision=Revision(1), generation=1, config=DynamicConfig(profile=Profile.SLOW)
    )
    assert chosen.behind(me, before_birth) == ()
    (notice,) = chosen.behind(me, replace(before_birth, config_revision=Revision(3)))
    assert notice.subject == "n1"
    assert "profile fast" in notice.what
    assert "slow" in notice.what
    assert "restart the agent of n1" in notice.remedy

    chosen.choose(directory(settings(profile="slow")))
    assert chosen.behind(me, replace(before_birth, config_revision=Revision(3))) == ()
