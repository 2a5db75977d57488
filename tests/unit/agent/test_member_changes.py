"""How a node takes in an operator's wish about votes, and what it tells when the store objects."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from raftha.agent.group import without_vote
from raftha.agent.membership import MemberChanges
from raftha.errors import CompareFailed, OutcomeUnknown, RafthaError, StoreUnavailable
from raftha.model.cluster import Cluster
from raftha.model.ids import Revision
from raftha.model.membership import MemberVerb, MemberWish, WishState
from raftha.model.operation import OperationState
from raftha.model.report import MemberChangeRequest, Standing
from raftha.model.store import Transact, VoterStatus
from tests.unit.ha import builders as b
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N3, T0

REMOVE_N3 = MemberChangeRequest(verb=MemberVerb.REMOVE, name="N3")


class Desk:
    """A node's side of a wish: its cluster, and a store that fails as told."""

    def __init__(self, cluster: Cluster | None = None, error: RafthaError | None = None) -> None:
        self.written: list[Transact] = []
        self.error = error
        self.changes = MemberChanges(
            random=Random(1),
            keys=KEYS,
            cluster=lambda: cluster or b.cluster(),
            raft=b.raft,
            execute=self.execute,
        )

    def execute(self, command: Transact) -> None:
        self.written.append(command)
        if self.error is not None:
            raise self.error


def wish(state: WishState = WishState.ASKED) -> MemberWish:
    return MemberWish(
        id="before",
        verb=MemberVerb.REMOVE,
        name=N3,
        address=b.identity(N3).raft,
        state=state,
        revision=Revision(50),
    )


def test_a_wish_is_written_once_and_told_as_under_way() -> None:
    desk = Desk()
    told = desk.changes.ask(REMOVE_N3)

    assert (told.state, told.name) == (OperationState.RUNNING, "n3")
    assert len(desk.written) == 1


def test_what_is_not_possible_is_never_written() -> None:
    desk = Desk()
    told = desk.changes.ask(MemberChangeRequest(verb=MemberVerb.REMOVE, name="n1"))

    assert told.state is OperationState.REFUSED
    assert desk.written == []


def test_the_same_wish_again_is_the_one_under_way() -> None:
    desk = Desk(b.cluster(wishes={N3: wish()}))

    assert desk.changes.ask(REMOVE_N3).id == "before"
    assert desk.written == []


def test_a_wish_that_has_ended_is_made_anew() -> None:
    desk = Desk(b.cluster(wishes={N3: wish(WishState.REFUSED)}))

    assert desk.changes.ask(REMOVE_N3).id != "before"
    assert len(desk.written) == 1


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (CompareFailed("x"), OperationState.REFUSED),
        (StoreUnavailable("x"), OperationState.REFUSED),
        (OutcomeUnknown("x"), OperationState.UNKNOWN),
    ],
)
def test_a_lost_answer_is_told_as_unknown(error: RafthaError, state: OperationState) -> None:
    assert Desk(error=error).changes.ask(REMOVE_N3).state is state


def test_the_latest_wish_is_found_in_any_spelling() -> None:
    desk = Desk(b.cluster(wishes={N3: wish(WishState.DONE)}))

    latest = desk.changes.latest("N3")
    assert latest is not None
    assert latest.state is OperationState.DONE
    assert desk.changes.latest("n2") is None


def test_nodes_without_a_vote_are_listed_by_what_they_are() -> None:
    def node(name: str) -> VoterStatus:
        return VoterStatus(address=f"{name}:1", name=name, is_self=False, connected=True)

    raft = replace(b.raft(), expected=(node("d"),), joiners=(node("d"), node("e")))
    gone = replace(wish(WishState.DONE), name="f")
    back = replace(wish(WishState.DONE), name="e")
    refused = replace(wish(WishState.REFUSED), name="g")
    cluster = b.cluster(wishes={w.name: w for w in (gone, back, refused)})

    found = {line.name: line.standing for line in without_vote(raft, cluster, T0)}
    assert found == {
        "d": Standing.ADMITTED,
        "e": Standing.NEWCOMER,
        "f": Standing.REMOVED,
    }
