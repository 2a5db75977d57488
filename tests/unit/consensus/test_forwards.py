"""A voter that forwards too much, or what makes no sense, harms nobody but itself."""

from __future__ import annotations

import logging

import pytest

from raftha.consensus import commands, wire
from raftha.consensus.commands import LogCommand
from raftha.consensus.forwards import MAX_UNCOMMITTED, MAX_UNDER_WAY, Forwards
from raftha.consensus.proposals import MAX_PENDING
from raftha.model.store import Barrier, Committed
from tests.sim.group import Group

SANE = commands.encode(LogCommand(body=Barrier()))


def led_by_a(names: str = "abc") -> Group:
    group = Group(names)
    group.elect("a")
    group.create("a", "k")
    group.settle()
    return group


def flood(group: Group, sender: str, count: int, payload: bytes = SANE) -> None:
    for _ in range(count):
        group.inject(sender, "a", wire.Forward(payload, 10.0))
    group.deliver(sender, "a")


def problem(group: Group, of: str) -> str:
    voters = group.node("a").store.status().voters
    return next(voter.problem or "" for voter in voters if voter.address == of)


def backlog(group: Group) -> int:
    core = group.node("a")._core
    return core._journal.last_index - core.engine.commit_index


def test_a_voter_that_floods_the_raft_leader_is_bounded_and_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    group = led_by_a()
    with caplog.at_level(logging.WARNING):
        flood(group, "b", MAX_UNDER_WAY + 500)
        flood(group, "b", 500)

    assert backlog(group) == MAX_UNDER_WAY
    assert problem(group, "b").startswith(f"it forwards more than {MAX_UNDER_WAY} commands")
    assert problem(group, "c") == ""
    told = [record.getMessage() for record in caplog.records if "forwards" in record.getMessage()]
    assert len(told) == 1
    assert told[0].startswith("raft link to b: it forwards more than")


def test_others_are_served_while_one_voter_floods() -> None:
    group = led_by_a()
    flood(group, "b", 3 * MAX_UNDER_WAY)
    own, others = group.create("a", "own"), group.create("c", "others")
    group.deliver("c", "a")
    group.settle(rounds=30)

    assert [type(outcome) for outcome in own + others] == [Committed, Committed]
    assert backlog(group) == 0


def test_what_was_committed_makes_room_again() -> None:
    group = led_by_a()
    flood(group, "b", MAX_UNDER_WAY)
    group.settle(rounds=30)
    assert backlog(group) == 0

    flood(group, "b", 10)

    assert backlog(group) == 10


def test_however_many_voters_flood_the_raft_leader_has_room_for_its_own() -> None:
    group = led_by_a("abcdefg")
    for sender in "bcdefg":
        flood(group, sender, MAX_UNDER_WAY)

    assert backlog(group) == MAX_UNCOMMITTED - MAX_PENDING
    own = group.create("a", "own")
    group.settle(rounds=60)
    assert [type(outcome) for outcome in own] == [Committed]


def test_what_is_no_command_is_refused_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    group = led_by_a()
    before = group.log("a")
    with caplog.at_level(logging.WARNING):
        flood(group, "b", 50, b"nonsense")
        flood(group, "b", 50, SANE[:-1])

    assert group.log("a") == before
    assert "no command for this release" in problem(group, "b")
    assert "run the same release" in problem(group, "b")
    assert len([record for record in caplog.records if "b: it" in record.getMessage()]) == 1
    assert group.node("a")._links.dropped == []


def test_the_account_of_an_earlier_term_is_closed() -> None:
    """Its entries may be gone from the log, and nobody would ever commit them."""
    told: list[str] = []
    forwards = Forwards(lambda peer, _: told.append(peer))
    for index in range(MAX_UNDER_WAY):
        assert forwards.admits("b", 1, 0)
        forwards.took("b", index + 1)
    assert not forwards.admits("b", 1, 0)

    assert forwards.admits("b", 2, 0)
    assert told == ["b"]
