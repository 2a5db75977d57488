"""The rules of the deadline: who may arm, start, promote."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftha.guardian import protocol
from raftha.guardian.protocol import Arm, Malformed, Proof, Reading

NOW = Reading(100.0, 100.0)
HELD = Proof(epoch=(1, 10), renewal=5, kill=Reading(110.0, 110.0))


def arm(epoch: tuple[int, int], renewal: int, boot: float, raw: float | None = None) -> Arm:
    return Arm(epoch, renewal, Reading(boot, boot if raw is None else raw))


def test_the_first_epoch_may_be_armed() -> None:
    assert protocol.may_arm(Proof(), arm((1, 10), 1, 110), NOW) is None


def test_a_deadline_may_always_be_moved_back_within_its_epoch() -> None:
    assert protocol.may_arm(HELD, arm((1, 10), 5, 105), NOW) is None
    assert protocol.may_arm(HELD, arm((1, 10), 4, 105), NOW) is None
    assert protocol.may_arm(HELD, arm((1, 10), 4, 90), NOW) is None


def test_moving_back_with_an_older_renewal_keeps_the_newer_one_in_mind() -> None:
    moved = protocol.armed(HELD, arm((1, 10), 3, 105))
    assert moved.renewal == 5
    assert protocol.may_arm(moved, arm((1, 10), 5, 108), NOW) is not None


@pytest.mark.parametrize(
    "kill",
    [
        Reading(111.0, 111.0),
        Reading(111.0, 105.0),
        Reading(105.0, 111.0),
        Reading(105.0, 105.0, 6.0),
    ],
)
def test_moving_forward_on_either_clock_needs_a_newer_renewal(kill: Reading) -> None:
    assert protocol.may_arm(HELD, Arm((1, 10), 5, kill), NOW) is not None
    assert protocol.may_arm(HELD, Arm((1, 10), 6, kill), NOW) is None


def test_an_older_epoch_is_refused_even_with_a_newer_renewal() -> None:
    assert protocol.may_arm(HELD, arm((1, 9), 99, 105), NOW) is not None
    assert protocol.may_arm(HELD, arm((0, 99), 99, 105), NOW) is not None


def test_a_higher_generation_wins_over_any_revision() -> None:
    assert protocol.may_arm(HELD, arm((2, 1), 1, 120), NOW) is None


def test_a_new_epoch_whose_deadline_has_passed_is_refused() -> None:
    assert protocol.may_arm(HELD, arm((1, 11), 6, 99), NOW) is not None
    assert protocol.may_arm(HELD, arm((1, 11), 6, 120, 99), NOW) is not None


def test_an_epoch_at_or_below_a_burned_one_is_refused() -> None:
    spent = protocol.fenced(HELD)
    assert spent.burned == ((1, 10),)
    assert protocol.may_arm(spent, arm((1, 10), 6, 120), NOW) is not None
    reborn = Proof(burned=spent.burned)
    assert protocol.may_arm(reborn, arm((1, 9), 6, 120), NOW) is not None
    assert protocol.may_arm(reborn, arm((1, 11), 6, 120), NOW) is None


def test_burning_twice_counts_once_and_few_are_kept() -> None:
    proof = protocol.fenced(protocol.fenced(HELD))
    assert proof.burned == ((1, 10),)
    for revision in range(11, 60):
        proof = protocol.fenced(proof._replace(epoch=(1, revision)))
    assert len(proof.burned) == protocol.BURNED_KEPT
    assert proof.burned[-1] == (1, 59)


def test_an_epoch_that_is_given_back_is_spent_with_all_that_are_older() -> None:
    for epoch in ((1, 10), (1, 12)):
        proof = protocol.burned(HELD, epoch)
        assert proof.burned == (epoch,)
        assert protocol.may_act(proof, (1, 10), NOW) is not None
        assert protocol.may_act(proof, epoch, NOW) is not None
        assert protocol.may_arm(proof, arm(epoch, 99, 120), NOW) is not None
        assert protocol.may_arm(proof, arm((1, 13), 99, 120), NOW) is None


def test_giving_an_older_epoch_back_leaves_the_armed_one_alone() -> None:
    proof = protocol.burned(HELD, (1, 9))
    assert proof.burned == ((1, 9),)
    assert protocol.may_act(proof, (1, 10), NOW) is None
    assert protocol.burned(protocol.fenced(HELD), (1, 9)).burned == ((1, 10),)


def test_a_disarmed_epoch_needs_a_newer_renewal() -> None:
    disarmed = HELD._replace(kill=None)
    assert protocol.may_arm(disarmed, arm((1, 10), 5, 105), NOW) is not None
    assert protocol.may_arm(disarmed, arm((1, 10), 6, 105), NOW) is None


def test_only_the_armed_epoch_may_be_disarmed() -> None:
    assert protocol.may_disarm(HELD, (1, 10)) is None
    assert protocol.may_disarm(HELD, (1, 9)) is not None
    assert protocol.may_disarm(Proof(), (1, 9)) is not None


def test_a_deadline_is_due_when_either_clock_reaches_it() -> None:
    assert not protocol.is_due(HELD, Reading(109.9, 109.9))
    assert protocol.is_due(HELD, Reading(110.0, 50.0))
    assert protocol.is_due(HELD, Reading(50.0, 110.0))
    assert not protocol.is_due(HELD._replace(kill=None), Reading(999.0, 999.0))


def test_a_deadline_is_due_though_neither_kernel_clock_saw_all_the_time() -> None:
    """CLOCK_BOOTTIME was slewed while the host was awake, CLOCK_MONOTONIC_RAW slept (R6)."""
    held = HELD._replace(kill=Reading(110.0, 110.0, 7.0))
    assert not protocol.is_due(held, Reading(109.4, 105.9, 11.0))
    assert protocol.is_due(held, Reading(109.5, 106.0, 11.0))


def test_a_primary_is_made_only_under_the_armed_epoch_before_its_deadline() -> None:
    assert protocol.may_act(HELD, (1, 10), NOW) is None
    assert protocol.may_act(HELD, (1, 11), NOW) is not None
    assert protocol.may_act(HELD, (1, 10), Reading(110.0, 100.0)) is not None
    assert protocol.may_act(HELD._replace(kill=None), (1, 10), NOW) is not None
    assert protocol.may_act(protocol.fenced(HELD), (1, 10), NOW) is not None
    assert protocol.may_act(Proof(), (1, 10), NOW) is not None


INSTANTS = st.floats(0, 200).map(lambda seconds: Reading(seconds, seconds))
ARMS = st.builds(Arm, st.tuples(st.integers(0, 2), st.integers(0, 3)), st.integers(0, 9), INSTANTS)


EPOCHS = st.tuples(st.integers(0, 2), st.integers(0, 3))


@given(st.lists(st.one_of(ARMS, EPOCHS.map(list), st.none()), max_size=30))
def test_no_sequence_revives_a_burned_epoch_or_extends_one_without_a_renewal(
    script: list[Arm | list[int] | None],
) -> None:
    """None stands for a fence, a list for an epoch that is given back. The rules are checked
    against what they must never let through."""
    proof = Proof()
    dead: set[tuple[int, int]] = set()
    for request in script:
        if request is None:
            dead |= {proof.epoch} if proof.epoch else set()
            proof = protocol.fenced(proof)
            continue
        if isinstance(request, list):
            dead.add((request[0], request[1]))
            proof = protocol.burned(proof, (request[0], request[1]))
            continue
        assert proof.epoch is None or proof.kill is None or proof.epoch not in dead
        if protocol.may_arm(proof, request, NOW) is not None:
            continue
        assert request.epoch not in dead
        assert proof.epoch is None or request.epoch >= proof.epoch
        later = protocol.armed(proof, request)
        if proof.kill and later.kill and later.epoch == proof.epoch:
            is_later = later.kill.boot > proof.kill.boot
            assert not is_later or later.renewal > proof.renewal
        proof = later


def test_messages_survive_the_wire() -> None:
    message = {"id": 3, "do": "arm", "epoch": [1, 2]}
    line = protocol.encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert protocol.decode(line) == message


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"7", b"\xff\xfe"])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(Malformed):
        protocol.decode(line)


@pytest.mark.parametrize("value", [None, 7, [1], [1, 2, 3], [1, "2"], [True, 2], [1.0, 2]])
def test_what_is_no_epoch_is_refused(value: object) -> None:
    with pytest.raises(Malformed, match="epoch"):
        protocol.epoch_in({"epoch": value})


ARMING = {"epoch": [1, 2], "renewal": 3, "kill_boot": 5, "kill_raw": 6.5, "kill_slept": -1e-6}


@pytest.mark.parametrize("value", [None, "9", math.inf, math.nan, -1e11, True])
@pytest.mark.parametrize("field", ["kill_boot", "kill_raw", "kill_slept"])
def test_what_is_no_instant_is_refused(field: str, value: object) -> None:
    with pytest.raises(Malformed, match=field):
        protocol.arm_in({**ARMING, field: value})


def test_nothing_happens_before_the_boot() -> None:
    with pytest.raises(Malformed, match="kill_raw"):
        protocol.arm_in({**ARMING, "kill_raw": -1})


def test_an_arming_is_read() -> None:
    assert protocol.arm_in(ARMING) == Arm((1, 2), 3, Reading(5.0, 6.5, -1e-6))
