"""What a wish looks like, and what a raft leader rules on it, by who votes and who answers."""

from __future__ import annotations

import pytest

from raftha.consensus.configuration import Configuration, Seat
from raftha.consensus.wishes import Declined, Scene, Step, Waiting, rule
from raftha.model.ids import MemberName
from raftha.model.membership import MemberVerb, MemberWish, UnreadableWish, read_wish, writing
from raftha.model.store import Entry, Put

A, B, C, D = (Seat(name, name, f"life of {name}") for name in "abcd")


def wish(verb: MemberVerb, name: str, address: str = "", barred: str = "") -> MemberWish:
    return MemberWish(
        id="w", verb=verb, name=MemberName(name), address=address or name, barred=barred
    )


def test_a_wish_is_read_as_it_was_written_and_nothing_else() -> None:
    wanted = wish(MemberVerb.REPLACE, "c", "d", "life of c")
    put = writing("sim", wanted)
    assert isinstance(put, Put)
    entry = Entry(
        key=put.key, value=put.value, create_revision=wanted.revision, mod_revision=wanted.revision
    )
    assert read_wish("sim", entry) == wanted
    newer = put.value.replace(b'"format_version":1', b'"format_version":2')
    for value in (newer, b"[]", b"\xff"):
        broken = Entry(
            key=put.key, value=value, create_revision=wanted.revision, mod_revision=wanted.revision
        )
        with pytest.raises(UnreadableWish):
            read_wish("sim", broken)


def test_a_raft_leader_hands_over_to_nobody_who_lacks_something() -> None:
    """It would win the election again, or nobody would."""
    scene = Scene(
        latest=Configuration(lineage="x", seats=(A, B, C)),
        own=A,
        newcomers={},
        ready=frozenset(),
        answering=frozenset("abc"),
        heirs=frozenset(),
    )
    assert isinstance(rule(wish(MemberVerb.REMOVE, "a"), scene), Waiting)


def test_a_node_that_was_admitted_and_never_came_is_forgotten() -> None:
    latest = Configuration(lineage="x", seats=(A, B, C), expected=(D,))
    scene = Scene(
        latest=latest,
        own=A,
        newcomers={},
        ready=frozenset(),
        answering=frozenset("abc"),
        heirs=frozenset(),
    )
    ruling = rule(wish(MemberVerb.REMOVE, "d"), scene)
    assert ruling == Step(Configuration(lineage="x", seats=(A, B, C)))


def test_the_operator_is_told_which_node_keeps_the_new_one_out() -> None:
    """Of two machines with the name and without a vote, the first to come was let in."""
    scene = Scene(
        latest=Configuration(lineage="x", seats=(A, B, C)),
        own=A,
        newcomers={"e": Seat("e", "c", "life of e")},
        ready=frozenset("e"),
        answering=frozenset("ab"),
        heirs=frozenset(),
    )
    ruling = rule(wish(MemberVerb.REPLACE, "c", "d", "life of c"), scene)
    assert isinstance(ruling, Declined)
    assert "no c at d is in touch" in ruling.why
    assert "another c, without a vote, at e: stop that one" in ruling.why


def test_who_is_alive_is_not_replaced() -> None:
    """Two of one name: the one with the vote answers."""
    scene = Scene(
        latest=Configuration(lineage="x", seats=(A, B, C)),
        own=A,
        newcomers={"d": Seat("d", "c", "another life")},
        ready=frozenset("d"),
        answering=frozenset("abc"),
        heirs=frozenset("bc"),
    )
    ruling = rule(wish(MemberVerb.REPLACE, "c", "d", "life of c"), scene)
    assert isinstance(ruling, Declined)
    assert "stop the old node first" in ruling.why


def test_the_old_seat_is_kept_until_the_new_node_holds_the_log() -> None:
    scene = Scene(
        latest=Configuration(lineage="x", seats=(A, B, C)),
        own=A,
        newcomers={"d": Seat("d", "c", "another life")},
        ready=frozenset(),
        answering=frozenset("ab"),
        heirs=frozenset("b"),
    )
    assert isinstance(rule(wish(MemberVerb.REPLACE, "c", "d", "life of c"), scene), Waiting)


def test_a_replacement_that_leaves_too_few_who_answer_is_refused() -> None:
    scene = Scene(
        latest=Configuration(lineage="x", seats=(A, B, C)),
        own=A,
        newcomers={"d": Seat("d", "c", "another life")},
        ready=frozenset("d"),
        answering=frozenset("a"),
        heirs=frozenset(),
    )
    ruling = rule(wish(MemberVerb.REPLACE, "c", "d", "life of c"), scene)
    assert isinstance(ruling, Declined)
    assert "no answer from b" in ruling.why


def test_one_that_took_the_seat_meanwhile_is_not_thrown_out_again() -> None:
    """The wish names the Raft directory that is to go, not whoever has the name."""
    scene = Scene(
        latest=Configuration(lineage="x", seats=(A, B, Seat("c", "c", "second life"))),
        own=A,
        newcomers={"d": Seat("d", "c", "another life")},
        ready=frozenset("d"),
        answering=frozenset("ab"),
        heirs=frozenset("b"),
    )
    ruling = rule(wish(MemberVerb.REPLACE, "c", "d", "life of c"), scene)
    assert isinstance(ruling, Declined)
