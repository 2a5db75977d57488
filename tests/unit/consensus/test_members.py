"""Who is let in, and what each refusal says."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from raftha.consensus.commands import WireError
from raftha.consensus.configuration import Configuration, Seat, encode
from raftha.consensus.greeting import (
    Grounds,
    Refusal,
    decode_hello,
    decode_verdict,
    encode_hello,
    encode_verdict,
)
from raftha.consensus.members import Present, Registry
from raftha.consensus.stable import Voter
from raftha.model.store import Accusation
from tests.unit.consensus.greetings import OWN, PEER, said

SEATS = (
    Seat("a:1", "n1", "i1"),
    Seat("b:1", "n2", "i2", witness=True),
    Seat("c:1", "n3", "i3"),
)
BORN = Configuration(lineage="x", seats=SEATS)


def registry(**known: Voter) -> Registry:
    return Registry(OWN, {f"{host}:1": voter for host, voter in known.items()})


def settled(configuration: Configuration = BORN, index: int = 5) -> Registry:
    """A registry of a node in whose log this is committed."""
    members = registry()
    members.publish(
        Present(
            latest=configuration,
            latest_index=index,
            settled=configuration,
            settled_index=index,
        )
    )
    return members


def why(refusal: Refusal | None) -> str:
    return "" if refusal is None else refusal.why


def test_a_first_meeting_is_recorded_and_a_second_is_not_news() -> None:
    members = registry()
    assert members.refusal(PEER) is None
    assert members.admit(PEER) == Voter(name="n2", incarnation="i2", witness=True)
    assert members.admit(PEER) is None
    assert members.seat(Seat("b:1")) == Seat("b:1", "n2", "i2", witness=True)


def test_who_has_a_seat_in_the_log_is_not_recorded_beside_it() -> None:
    assert settled().admit(PEER) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scope": "other"}, "cluster 'other'"),
        ({"to": "q:1"}, "meant to reach q:1"),
        ({"address": "a:1"}, "same raft.self_addr"),
        ({"name": "N1"}, "same name"),
        ({"name": "n3"}, "same name"),
        ({"incarnation": "i9"}, "waits for a raft leader"),
        ({"voters": b"\x10\xff"}, "cannot be read"),
        (
            {"partners": ["a:1", "d:1"]},
            "only in the file of n1: c:1; only in the file of n2: d:1",
        ),
    ],
)
def test_before_a_birth_a_refusal_says_why(change: dict[str, object], words: str) -> None:
    members = registry(b=Voter(name="n2", incarnation="i2"), c=Voter(name="n3", incarnation="i3"))
    assert words in why(members.refusal(said(**change)))


def test_after_the_birth_the_files_are_only_addresses_to_dial() -> None:
    assert settled().refusal(said(partners=["z:1"], is_new=False)) is None


def test_an_incarnation_that_never_voted_may_come_in_without_a_seat() -> None:
    assert settled().refusal(said(address="d:1", name="n4", incarnation="i4")) is None


def test_a_new_directory_may_come_back_where_an_old_one_had_the_seat() -> None:
    assert settled().refusal(said(incarnation="another life")) is None


def test_a_second_living_process_under_one_name_is_refused() -> None:
    members = settled()
    members.admit(said(is_new=False))
    double = members.refusal(said(incarnation="another life"))
    assert "stop one of the two" in why(double)
    assert "same name" in why(members.refusal(said(address="d:1", incarnation="another life")))
    members.lost("b:1")
    assert members.refusal(said(incarnation="another life")) is None


@pytest.mark.parametrize(
    ("change", "grounds"),
    [
        ({"incarnation": "former"}, Grounds.REPLACED),
        ({"address": "d:1", "name": "n4"}, Grounds.REMOVED),
    ],
)
def test_a_former_voter_stays_out_and_is_told_why(
    change: dict[str, object], grounds: Grounds
) -> None:
    refusal = settled().refusal(said(is_new=False, **change))
    assert refusal is not None
    assert refusal.grounds is grounds


def test_a_voter_that_our_lagging_log_does_not_know_is_let_in() -> None:
    """It shows a later configuration with itself in it: ours is merely old."""
    later = replace(BORN, seats=(*SEATS, Seat("d:1", "n4", "i4")))
    hello = said(
        address="d:1",
        name="n4",
        incarnation="i4",
        is_new=False,
        voters=encode(later),
        voters_index=6,
    )
    assert settled(index=5).refusal(hello) is None
    assert settled(index=7).refusal(hello) is not None


def test_a_step_that_is_not_committed_turns_nobody_away_for_good() -> None:
    members = registry()
    without = BORN.without("n2")
    members.publish(Present(latest=without, latest_index=6, settled=BORN, settled_index=5))
    assert members.refusal(said(is_new=False)) is None


def test_clusters_born_apart_do_not_mix() -> None:
    other = replace(BORN, lineage="y")
    apart = said(is_new=False, voters=encode(other), voters_index=9, voters_settled=True)
    assert "born apart" in why(settled().refusal(apart))


def test_a_first_set_that_was_never_committed_makes_no_cluster_of_its_own() -> None:
    """Seen in the simulation: two raft leaders of a birth had each written one; one node was left
    with the set of the one, the others had committed that of the other."""
    other = replace(BORN, lineage="y")
    left = said(is_new=False, voters=encode(other), voters_index=4, voters_settled=False)
    assert settled().refusal(left) is None
    members = registry()
    members.publish(Present(latest=other, latest_index=4))
    assert members.refusal(said(voters=encode(BORN), voters_index=9, voters_settled=True)) is None


def test_after_a_recovery_the_past_is_told_that_it_is_over() -> None:
    past = said(is_new=False, voters=encode(BORN), voters_index=9)
    refusal = settled(replace(BORN, generation=1)).refusal(past)
    assert refusal is not None
    assert refusal.grounds is Grounds.RECOVERED
    without_a_set = settled(replace(BORN, generation=1)).refusal(said(is_new=False))
    assert without_a_set == refusal
    present = said(voters=encode(replace(BORN, generation=1)), voters_index=1)
    assert settled().refusal(present) is None


def test_a_hello_of_another_release_is_answered_in_clear_words() -> None:
    for other in ({"protocol": 9}, {"protocol": 9, "a new field": 1}):
        with pytest.raises(WireError, match="same release"):
            decode_hello(msgspec.msgpack.encode(other))
    with pytest.raises(WireError, match="not a hello"):
        decode_hello(b"\xff")
    assert decode_hello(encode_hello(PEER)) == PEER


@pytest.mark.parametrize("grounds", tuple(Grounds))
def test_a_verdict_reaches_the_other_side_with_its_grounds(grounds: Grounds) -> None:
    told = decode_verdict(encode_verdict(Refusal("so it is", grounds)))
    assert told == Refusal("it refuses this node, of which it says: so it is", grounds)
    assert decode_verdict(encode_verdict(None)) is None
    assert decode_verdict(b"something new\nx") == Refusal(
        "it refuses this node, of which it says: x"
    )


def test_a_verdict_that_voids_the_directory_outweighs_others() -> None:
    members = registry()
    members.judged("c:1", Refusal("y"))
    members.judged("b:1", Refusal("x", Grounds.ROLLED_BACK))
    members.judged("b:1", Refusal("z"))
    assert members.verdict == Refusal("x", Grounds.ROLLED_BACK)
    members.admit(said())
    assert members.verdict == Refusal("x", Grounds.ROLLED_BACK), "it knows no more for that"


def test_where_a_node_answers_over_http_is_known_while_it_is_linked() -> None:
    members = registry()
    assert members.api_url("b:1") == ""
    members.admit(said())
    assert members.api_url("b:1") == "http://b:8008"
    members.lost("b:1")
    assert members.api_url("b:1") == ""


def test_a_verdict_is_over_once_the_peer_that_gave_it_lets_this_node_in() -> None:
    members = registry()
    members.judged("b:1", Refusal("two agents of one name"))
    members.judged("c:1", Refusal("the files differ"))
    members.judged("b:1", Refusal("two agents of one address"))
    assert members.verdict == Refusal("two agents of one address")
    assert members.accusation == Accusation(address="b:1", why="two agents of one address")

    members.admit(said())
    assert members.verdict == Refusal("the files differ"), "only b:1 let it in"
    assert members.accusation == Accusation(address="c:1", why="the files differ")
    members.admit(said(address="c:1", name="n3", incarnation="i3"))
    assert members.verdict is None


def test_a_verdict_is_over_once_the_peer_that_gave_it_has_no_seat_any_more() -> None:
    members = settled()
    members.judged("b:1", Refusal("two agents of one name"))
    members.publish(Present(latest=BORN.without("n3"), latest_index=6))
    assert members.verdict == Refusal("two agents of one name")
    members.publish(Present(latest=BORN.without("n2"), latest_index=7))
    assert members.verdict is None


def test_that_this_node_is_out_weighs_more_than_what_keeps_single_peers_apart() -> None:
    members = settled()
    members.judged("b:1", Refusal("two agents of one name"))
    members.judged("d:1", Refusal("removed", Grounds.REMOVED))
    assert members.barred == "removed"
    members.admit(said())
    assert members.barred == "removed", "d:1, a voter that this log has not heard of, stands by it"


def test_what_keeps_a_stranger_apart_is_no_verdict_on_this_node() -> None:
    members = settled()
    members.judged("x:1", Refusal("it belongs to cluster 'other'"))
    assert members.verdict is None
    for number in range(1000):
        members.judged(f"x:{number}", Refusal("removed", Grounds.REMOVED))
    assert len(members._verdicts._held) < 300
    members.judged("y:1", Refusal("replaced", Grounds.REPLACED))
    assert members.verdict == Refusal("replaced", Grounds.REPLACED)


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
