"""Who is let in, and what each refusal says."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from raftha.consensus.members import PROTOCOL, Hello, Identity, Registry
from raftha.consensus.storage import Voter

OWN = Identity(scope="main", address="a:1", name="n1", incarnation="i1", witness=False, members="m")
PEER = Hello(
    protocol=PROTOCOL,
    scope="main",
    address="b:1",
    to="a:1",
    name="n2",
    incarnation="i2",
    witness=True,
    members="m",
    nonce=b"",
)


def registry(**known: Voter) -> Registry:
    return Registry(OWN, ["b:1", "c:1"], {f"{host}:1": voter for host, voter in known.items()})


def test_a_first_meeting_is_recorded_and_a_second_is_not_news() -> None:
    members = registry()
    assert members.refusal(PEER) is None
    assert members.admit(PEER) == Voter(name="n2", incarnation="i2")
    assert members.admit(PEER) is None
    assert members.is_witness("b:1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"protocol": 9}, "same release"),
        ({"scope": "other"}, "cluster 'other'"),
        ({"address": "z:1"}, "not in raft.partner_addrs"),
        ({"to": "q:1"}, "meant to reach q:1"),
        ({"name": "N1"}, "same name"),
        ({"name": "n3"}, "same name"),
        ({"incarnation": "i9"}, "bring the old directory back"),
    ],
)
def test_a_refusal_says_why(change: dict[str, object], said: str) -> None:
    members = registry(b=Voter(name="n2", incarnation="i2"), c=Voter(name="n3", incarnation="i3"))
    assert said in (members.refusal(msgspec.structs.replace(PEER, **change)) or "")


def test_a_forgotten_voter_may_come_back_with_another_directory() -> None:
    members = registry(b=Voter(name="n2", incarnation="old"))
    assert members.refusal(PEER) is not None
    members.forget("b:1")
    assert members.refusal(PEER) is None


def test_a_cause_is_told_once_until_the_peer_was_let_in() -> None:
    members = registry()
    assert members.report("b:1", "why")
    assert not members.report("b:1", "why")
    assert members.problem("b:1") == "why"
    members.admit(PEER)
    assert members.problem("b:1") is None
    assert members.report("b:1", "why")


def test_strangers_fill_the_log_only_so_far() -> None:
    members = registry()
    told = [members.report(f"x:{number}", "noise") for number in range(1000)]
    assert sum(told) < 300
    assert members.problem("x:1") is None


def test_another_list_of_voters_is_shown_and_let_in() -> None:
    members = Registry(replace(OWN, members="other"), ["b:1"], {})
    assert members.refusal(PEER) is None
    members.admit(PEER)
    assert "other voters" in (members.problem("b:1") or "")
