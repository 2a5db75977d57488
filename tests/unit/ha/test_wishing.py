"""From an operator's words to a wish: what a person can get wrong is told before it is written."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raftha.ha.wishing import NotPossible, absence, command_of, wish_of
from raftha.model.ids import Revision
from raftha.model.membership import MemberVerb, MemberWish, asking, writing
from raftha.model.report import MemberChangeRequest
from raftha.model.store import KeyAbsent, KeyAt, KeyCreatedAt, RaftRole, RaftStatus, VoterStatus
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N2, N3

NEWCOMER = VoterStatus(address="d:1", name="N4", is_self=False, connected=True, incarnation="i4")


def group(*joiners: VoterStatus, silent: tuple[str, ...] = (), **more: Any) -> RaftStatus:
    """n1's view of n1, n2 and n3, of whom some are not in touch."""
    voters = tuple(
        replace(
            voter,
            incarnation=f"life of {voter.name}",
            connected=voter.connected and voter.name not in silent,
        )
        for voter in b.raft().voters
    )
    return replace(b.raft(), voters=voters, joiners=joiners, **more)


def wished(
    verb: str, name: str, address: str | None = None, raft: RaftStatus | None = None, **more: Any
) -> MemberWish:
    asked = MemberChangeRequest(verb=MemberVerb(verb), name=name, address=address)
    return wish_of(asked, raft or group(), b.cluster(**more), "w")


def test_the_name_is_written_as_the_node_spells_it() -> None:
    assert wished("add", "n4", "d:1", group(NEWCOMER)).name == "N4"
    assert wished("remove", "N3").name == "n3"
    assert wished("replace", "N3", "d:1", group(silent=("n3",))).name == "n3"


def test_a_replacement_names_the_directory_that_is_to_go() -> None:
    wish = wished("replace", "n3", "d:1", group(silent=("n3",)))

    assert (wish.address, wish.barred) == ("d:1", "life of n3")
    same = wished("replace", "n3", None, group(silent=("n3",)))
    assert same.address == b.identity(N3).raft


@pytest.mark.parametrize(
    ("verb", "name", "address", "words"),
    [
        ("add", "n4", None, "at which Raft address"),
        ("add", "n3", "d:1", "raftha member replace n3 d:1"),
        ("add", "n3", b.identity(N3).raft, "has a vote already"),
        ("add", "n9", b.identity(N3).raft, "calls itself n3"),
        ("add", "n9", "d:1", "calls itself N4"),
        ("add", "n4", "e:1", "is in touch at d:1"),
        ("remove", "n9", None, "there are: N4, n1, n2, n3"),
        ("remove", "n1", None, "switchover"),
        ("remove", "n4", None, "stop its agent first"),
        ("replace", "n9", "d:1", "no voter is called n9"),
        ("replace", "n3", "d:1", "is alive"),
        ("replace", "n1", "d:1", "is alive"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    verb: str, name: str, address: str | None, words: str
) -> None:
    with pytest.raises(NotPossible, match=words):
        wished(verb, name, address, group(NEWCOMER))


def test_a_replacement_does_not_take_the_address_of_another() -> None:
    with pytest.raises(NotPossible, match="calls itself n2"):
        wished("replace", "n3", b.identity(N2).raft, group(silent=("n3",)))


def test_a_dead_primary_is_replaced_only_once_another_leads() -> None:
    raft = group(silent=("n1",))
    raft = replace(raft, voters=tuple(replace(v, is_self=False) for v in raft.voters))
    with pytest.raises(NotPossible, match="choose another leader"):
        wished("replace", "n1", "d:1", raft)
    with pytest.raises(NotPossible, match="no leader"):
        wished("replace", "n1", "d:1", raft, leader=None)
    assert wished("replace", "n1", "d:1", raft, leader=b.leader(N2))


def test_without_a_majority_nothing_is_wished() -> None:
    with pytest.raises(NotPossible, match="no majority"):
        wished("remove", "n3", None, group(majority=False))


def test_the_last_voter_is_not_removed() -> None:
    alone = replace(group(), voters=group().voters[2:])
    with pytest.raises(NotPossible, match="last voter"):
        wished("remove", "n3", None, alone)


def test_a_voter_whom_nobody_has_met_goes_by_its_address() -> None:
    unmet = VoterStatus(address="z:1", name=None, is_self=False, connected=False, bound=False)
    raft = replace(group(), voters=(*group().voters, unmet))

    assert wished("remove", "z:1", None, raft).name == "z:1"


def test_what_a_node_without_a_vote_left_is_cleared_away_too() -> None:
    """It announced itself, and was never admitted."""
    left = b.members(b.member(N3, raft="d:1"))
    only_two = replace(group(), voters=group().voters[:2])

    assert wished("remove", "n3", None, only_two, members=left).address == "d:1"


@pytest.mark.parametrize(("name", "released"), [("n2", False), ("n3", True)])
def test_whom_commits_wait_for_has_to_be_released_first(name: str, released: bool) -> None:
    wish = wished("remove", name)

    assert writing("demo", replace(wish, released=released)) in (
        command_of(KEYS, b.cluster(), wish).writes
    )


def test_a_wish_is_written_only_while_the_same_member_leads() -> None:
    wish = wished("remove", "n3")
    led = command_of(KEYS, b.cluster(), wish)
    assert KeyCreatedAt(KEYS.leader, Revision(pg.EPOCH.revision)) in led.guards
    vacant = command_of(KEYS, b.vacant(), wish)
    assert KeyAbsent(KEYS.leader) in vacant.guards
    assert KeyAt(KEYS.sync, b.sync().revision) in led.guards
    before = replace(wish, revision=Revision(50))
    again = command_of(KEYS, b.cluster(wishes={wish.name: before}), wish)
    assert asking("demo", wish, before).guards[0] in again.guards


def test_the_raft_leader_says_beforehand_that_nobody_is_there_to_get_the_vote() -> None:
    leads, follows = group(NEWCOMER, role=RaftRole.LEADER), group(role=RaftRole.FOLLOWER)
    there, nowhere = wished("add", "n4", "d:1", leads), wished("add", "n5", "e:1", leads)

    assert absence(there, leads) is None
    assert "no n5 at e:1 is in touch" in (absence(nowhere, leads) or "")
    assert "without a vote: N4 at d:1" in (absence(nowhere, leads) or "")
    assert absence(nowhere, follows) is None, "another node does not know whom the leader hears"
    assert absence(wished("remove", "n3", raft=leads), leads) is None
