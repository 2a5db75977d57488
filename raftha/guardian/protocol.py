"""What agent and guardian say to one another, and the rules of the deadline. PURE.

One JSON object per line. A request carries `id` and `do`; its reply the same `id` and either
the answer's fields or `refused`, a sentence for people. A line with `event` is pushed, unasked.

The rules below are the whole of what makes a promotion or a primary legitimate. They do no I/O,
read no clock, and consult nothing but their arguments.
"""

from __future__ import annotations

import json

from raftha.guardian.typed import Any, Final, NamedTuple

VERSION: Final = 2
"""Of what is said here. A guardian outlives its agent, and the next may be of another release."""

MAX_LINE: Final = 1 << 20
"""Longest line in bytes: argv and environment of a postmaster stay far below it."""

BURNED_KEPT: Final = 16
"""How many burned epochs are remembered. The highest alone decides; the others are for people."""

LATEST_INSTANT_S: Final = 1e10
"""No host is up for three centuries; the kernel's timer takes no more than 64 bits of seconds."""

_READER: Final = json.JSONDecoder()
_JSON: Final = json.JSONEncoder(separators=(",", ":"))
"""Made once: `json.dumps` would make one for each message."""

EpochPair = tuple[int, int]
"""(generation, revision): compared in that order."""

Message = dict[str, Any]


class Reading(NamedTuple):
    """Seconds since boot on CLOCK_BOOTTIME and on CLOCK_MONOTONIC_RAW, and the seconds suspended,
    which the second does not count."""

    boot: float
    raw: float
    slept: float = 0.0

    @property
    def steady(self) -> float:
        """Seconds since boot on the clock that is neither slewed nor stopped by a suspend."""
        return self.raw + self.slept


class Proof(NamedTuple):
    """What this guardian knows about the right to write.

    `epoch` is the highest one ever armed here, `renewal` the revision of the renewal that `kill`
    rests on. `kill` is None before the first arming and while disarmed. `burned` are the epochs
    that a fence ended, or that were given back, in ascending order: nothing is ever started under
    them again.
    """

    epoch: EpochPair | None = None
    renewal: int = 0
    kill: Reading | None = None
    burned: tuple[EpochPair, ...] = ()


class Arm(NamedTuple):
    """The request to put a deadline in force. The kill starts when CLOCK_BOOTTIME or the steady
    clock reaches it: the one counts what it was slewed, the other does not. So long after it, if
    that is said, the kernel ends a guardian that is stuck, under this deadline and later ones."""

    epoch: EpochPair
    renewal: int
    kill: Reading
    dead_man_s: float | None = None


class Malformed(ValueError):
    """A line is not a message, or a field of it has the wrong form."""


def left_s(kill: Reading, now: Reading) -> float:
    """Seconds until the first clock reaches its instant; not positive once one has."""
    return min(kill.boot - now.boot, kill.steady - now.steady)


def is_past(kill: Reading, now: Reading) -> bool:
    """Whether either clock has reached its instant."""
    return left_s(kill, now) <= 0


def is_due(proof: Proof, now: Reading) -> bool:
    """Whether a primary must be killed now."""
    return proof.kill is not None and is_past(proof.kill, now)


def may_arm(proof: Proof, request: Arm, now: Reading) -> str | None:
    """Why this deadline may not be put in force; None if it may.

    Backwards is always allowed within an epoch. Forwards needs a renewal that is newer than the one
    the present deadline rests on. A new epoch must be above every epoch seen or burned, and alive.
    """
    highest_burned = proof.burned[-1] if proof.burned else None
    if highest_burned is not None and request.epoch <= highest_burned:
        return f"epoch {show(request.epoch)} is not above {show(highest_burned)}, which is burned"
    if proof.epoch is None or request.epoch > proof.epoch:
        if is_past(request.kill, now):
            return f"the deadline of the new epoch {show(request.epoch)} has already passed"
        return None
    if request.epoch < proof.epoch:
        return f"epoch {show(request.epoch)} is older than {show(proof.epoch)}, seen before"
    if request.renewal > proof.renewal:
        return None
    if proof.kill is None:
        return f"disarmed: renewal {request.renewal} is not newer than {proof.renewal}"
    is_back = request.kill.boot <= proof.kill.boot and request.kill.steady <= proof.kill.steady
    if is_back:
        return None
    return (
        f"renewal {request.renewal} is not newer than {proof.renewal}: "
        "with it the deadline may only be moved back"
    )


def armed(proof: Proof, request: Arm) -> Proof:
    """The state after a request that `may_arm` allowed."""
    same_epoch = request.epoch == proof.epoch
    renewal = max(proof.renewal, request.renewal) if same_epoch else request.renewal
    return proof._replace(epoch=request.epoch, renewal=renewal, kill=request.kill)


def may_act(proof: Proof, epoch: EpochPair, now: Reading) -> str | None:
    """Why no primary may be made under this epoch now (start, promote); None if one may."""
    if epoch in proof.burned:
        return f"epoch {show(epoch)} is burned: win a new one"
    if proof.epoch != epoch:
        held = show(proof.epoch) if proof.epoch else "none"
        return f"no proof of epoch {show(epoch)}: the epoch armed here is {held}"
    if proof.kill is None:
        return f"epoch {show(epoch)} has no deadline in force: arm it first"
    if is_past(proof.kill, now):
        return f"the deadline of epoch {show(epoch)} has passed: renew the lease and arm again"
    return None


def may_disarm(proof: Proof, epoch: EpochPair) -> str | None:
    """Why the deadline may not be taken away; None if it may."""
    if proof.epoch == epoch:
        return None
    held = show(proof.epoch) if proof.epoch else "none"
    return f"epoch {show(epoch)} is not the one armed here ({held})"


def fenced(proof: Proof) -> Proof:
    """The state after a fence: the epoch held, if any, is spent."""
    return proof._replace(kill=None) if proof.epoch is None else burned(proof, proof.epoch)


def burned(proof: Proof, epoch: EpochPair) -> Proof:
    """The state once this epoch is spent, and with it every one that is older."""
    spent = proof.burned
    if not spent or epoch > spent[-1]:
        spent = (*spent, epoch)[-BURNED_KEPT:]
    is_over = proof.epoch is None or proof.epoch <= epoch
    return proof._replace(kill=None if is_over else proof.kill, burned=spent)


def show(epoch: EpochPair) -> str:
    """The form that people read."""
    return f"{epoch[0]}.{epoch[1]}"


def encode(message: Message) -> bytes:
    """One line of the wire."""
    return _JSON.encode(message).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message in one line. Raises Malformed."""
    try:
        message = _READER.decode(line.decode())
    except (ValueError, RecursionError) as problem:
        raise Malformed(f"not JSON: {problem}") from problem
    if not isinstance(message, dict):
        raise Malformed("not a JSON object")
    return message


def epoch_in(message: Message, field: str = "epoch") -> EpochPair:
    """The epoch in a message. Raises Malformed."""
    value = message.get(field)
    if not isinstance(value, list) or [type(part) for part in value] != [int, int]:
        raise Malformed(f"{field}: [generation, revision] expected, not {value!r}")
    return value[0], value[1]


def arm_in(message: Message) -> Arm:
    """The arming in a message. Raises Malformed, also for an instant that is not finite."""
    renewal = message.get("renewal")
    if type(renewal) is not int:
        raise Malformed(f"renewal: a revision expected, not {renewal!r}")
    kill = Reading(
        _instant(message, "kill_boot"),
        _instant(message, "kill_raw"),
        # What was read between two clocks may be a little below zero.
        _instant(message, "kill_slept", earliest=-LATEST_INSTANT_S),
    )
    is_said = message.get("dead_man_s") is not None
    margin = _instant(message, "dead_man_s") if is_said else None
    return Arm(epoch_in(message), renewal, kill, margin)


def _instant(message: Message, field: str, earliest: float = 0.0) -> float:
    value = message.get(field)
    if type(value) not in (int, float):
        raise Malformed(f"{field}: seconds since boot expected, not {value!r}")
    seconds: int | float = value or 0
    if not earliest <= seconds <= LATEST_INSTANT_S:
        raise Malformed(f"{field}: not an instant of this host: {value!r:.60}")
    return float(seconds)
