"""The table of voters: who is how far behind, by whose word."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raftha.agent.group import peer_group, voter_reports
from raftha.instants import Seconds
from raftha.model.report import PeerGroup, VoterReport
from raftha.model.store import FsyncTimes, RaftStatus, VoterStatus
from raftha.model.view import PeerAnswer
from tests.unit.ha import builders as b
from tests.unit.ha.servers import N1, N2, N3, T0, report

WITNESS = VoterStatus(address="w1:1", name="w1", is_self=False, connected=True, witness=True)


def status(leader: int, **changes: object) -> RaftStatus:
    """n1's view of n1, n2, n3 and a witness; the voter of this number leads."""
    voters = tuple(
        replace(voter, last_contact=None if voter.is_self else T0.plus(-0.2))
        for voter in (*b.raft().voters, WITNESS)
    )
    whole = replace(b.raft(), voters=voters, leader=voters[leader].address, commit_index=90)
    return replace(whole, fsync=FsyncTimes(p99=Seconds(0.004)), **changes)  # type: ignore[arg-type]


def answer(commit: int, fsync: float, **matches: int) -> PeerAnswer:
    group = PeerGroup(
        commit_index=commit,
        fsync_seconds=Seconds(fsync),
        matches={
            b.identity(name).raft if name != "w1" else "w1:1": at  # type: ignore[arg-type]
            for name, at in matches.items()
        },
    )
    return PeerAnswer(asked=T0, report=replace(report(N2), group=group))


def lines(raft: RaftStatus, **answers: PeerAnswer) -> dict[str, VoterReport]:
    told = voter_reports(raft, b.cluster(), answers, T0)  # type: ignore[arg-type]
    return {line.name: line for line in told}


def behind(raft: RaftStatus, **answers: PeerAnswer) -> dict[str, int | None]:
    return {name: line.behind_entries for name, line in lines(raft, **answers).items()}


def test_the_raft_leader_tells_of_all() -> None:
    own, second, third, witness = status(0).voters
    raft = status(
        0,
        voters=(
            own,
            replace(second, match_index=95),
            replace(third, match_index=70),
            replace(witness, match_index=89),
        ),
    )
    assert behind(raft) == {"n1": 0, "n2": 0, "n3": 20, "w1": 1}
    assert peer_group(raft).matches[third.address] == 70


def test_another_members_word_is_taken_where_it_leads() -> None:
    """Also where somebody asked a moment later has committed more meanwhile."""
    told = answer(100, 0.02, n1=100, n3=60, w1=98)
    assert behind(status(1), n2=told, n3=answer(105, 0.1)) == {"n1": 0, "n2": 0, "n3": 40, "w1": 2}


def test_a_witness_tells_of_itself_and_of_all_where_it_leads() -> None:
    told = answer(100, 0.03, n1=97, n2=100, n3=60)
    raft = status(3)
    assert behind(raft, w1=told) == {"n1": 3, "n2": 0, "n3": 40, "w1": 0}
    assert lines(raft, w1=told)["w1"].fsync_seconds == 0.03
    assert behind(status(0), w1=answer(80, 0.03))["w1"] == 10


def test_under_a_silent_witness_members_are_measured_by_their_own_word() -> None:
    assert behind(status(3), n2=answer(85, 0.02)) == {"n1": 0, "n2": 5, "n3": None, "w1": 0}


def test_without_a_leader_nothing_is_made_up() -> None:
    assert behind(replace(status(0), leader=None)) == {"n1": 0, "n2": None, "n3": None, "w1": None}


def test_a_node_without_a_vote_that_nobody_answers_tells_what_it_has() -> None:
    alone = status(1)
    strangers = tuple(replace(voter, is_self=False) for voter in alone.voters)

    assert set(behind(replace(alone, voters=strangers, leader=None)).values()) == {None}


def test_each_line_has_the_last_contact_and_who_answers_its_fsync() -> None:
    raft = status(0)
    own, second, third, witness = raft.voters
    third = replace(third, connected=False, last_contact=T0.plus(-42.0))
    told = lines(
        replace(raft, voters=(own, second, third, replace(witness, name=None))),
        n2=answer(90, 0.02),
    )
    assert list(told) == ["n1", "n2", "n3", "w1:1"]
    assert [line.fsync_seconds for line in told.values()] == [0.004, 0.02, None, None]
    silences = [line.last_contact_seconds for line in told.values()]
    assert silences == pytest.approx([0.0, 0.2, 42.0, 0.2])
    assert [line.role for line in told.values()] == ["leader", "follower", "-", "follower"]
    assert [line.in_touch for line in told.values()] == [True, True, False, True]
    assert N1 in told
    assert N3 in told
