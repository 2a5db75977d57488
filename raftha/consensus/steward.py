"""Carries out what operators wish of the set of voters, on whichever node leads the Raft group.

A wish is an ordinary key of the store (`model/membership.py`), so it is there for every raft leader
that follows. Here it is looked at in each round, ruled on (`wishes.py`), and answered by a command
like any other, which holds only if the wish is still the one that was looked at. Runs on the raft
thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, assert_never

from raftha.clock import Clock
from raftha.consensus.council import Council
from raftha.consensus.machine import Machine
from raftha.consensus.proposals import Pending
from raftha.consensus.wishes import Declined, Fulfilled, HandOver, Ruling, Step, Waiting
from raftha.instants import Instant, Seconds, longest
from raftha.model.ids import Revision
from raftha.model.membership import (
    MemberVerb,
    MemberWish,
    UnreadableWish,
    WishState,
    answering,
    below,
    read_wish,
)
from raftha.model.store import Outcome, Unknown

PATIENCE: Final = Seconds(2.0)
"""A wish is refused for what stands against it so long: a link may just be coming up, and a voter
that answers may just not have been heard yet by a new raft leader."""
RELEASE_PATIENCE: Final = Seconds(10.0)
"""How long the primary has to find another synchronous standby, or none."""
_ANSWER_TIMEOUT: Final = Seconds(2.0)
_LOOK_AGAIN: Final = Seconds(0.1)


class Steward:
    """`submit` hands a command over as this node's own."""

    def __init__(
        self,
        *,
        scope: str,
        clock: Clock,
        council: Council,
        machine: Callable[[], Machine],
        submit: Callable[[Pending], None],
    ) -> None:
        self._scope = scope
        self._below = below(scope)
        self._clock = clock
        self._council = council
        self._machine = machine
        self._submit = submit
        self._read_at = Revision(-1)
        self._asked: tuple[MemberWish, ...] = ()
        self._objected: dict[Revision, Instant] = {}
        self._answering: set[Revision] = set()
        self._doubtful: dict[Revision, int] = {}

    def turn(self) -> None:
        """Go on with the wishes, the oldest first, until one of them takes a step. None is taken
        for a wish whose answer is under way: it may be in the log already, and say otherwise."""
        for wish in self._open_wishes():
            if wish.revision in self._answering or self._is_doubtful(wish):
                continue
            ruling = self._council.rule(wish)
            if ruling is None:
                self._objected.clear()
                return
            if self._act(wish, ruling):
                return

    @property
    def wait(self) -> Seconds:
        """Seconds until a wish is to be looked at again; what it waits for may pass unheard."""
        return _LOOK_AGAIN if self._asked else Seconds(math.inf)

    def _act(self, wish: MemberWish, ruling: Ruling) -> bool:
        """Do what was ruled; whether that was a step."""
        if not isinstance(ruling, Declined):
            self._objected.pop(wish.revision, None)
        match ruling:
            case Step() | HandOver():
                self._council.carry_out(ruling)
                return True
            case Fulfilled():
                is_over = wish.verb is not MemberVerb.REMOVE
                state = WishState.DONE if is_over else WishState.UNSEATED
                self._answer(wish, state, ruling.message)
            case Declined():
                return self._decline(wish, ruling)
            case Waiting():
                pass
            case _:
                assert_never(ruling)
        return False

    def _decline(self, wish: MemberWish, ruling: Declined) -> bool:
        """Refuse what has been impossible for long enough, once nothing of it is left; whether that
        took a step."""
        now = self._clock.now()
        since = self._objected.setdefault(wish.revision, now)
        if longest(since, now) < (PATIENCE if wish.released else RELEASE_PATIENCE):
            return False
        if ruling.undo is not None:
            self._council.carry_out(Step(ruling.undo))
            return True
        self._answer(wish, WishState.REFUSED, ruling.why)
        return False

    def _answer(self, wish: MemberWish, state: WishState, message: str) -> None:
        """Write the answer down. If it is lost the next round comes to the same one. It belongs to
        the term in which this node leads: handed to the raft leader after it, it would come behind
        a step that was taken meanwhile, and speak against it."""
        self._answering.add(wish.revision)
        term = self._council.term

        def done(outcome: Outcome) -> None:
            self._answering.discard(wish.revision)
            if isinstance(outcome, Unknown):
                self._doubtful[wish.revision] = term

        command = answering(self._scope, wish, state, message)
        deadline = self._clock.now().plus(_ANSWER_TIMEOUT)
        only = (self._council.membership.own.address, term)
        self._submit(Pending(command, deadline, done, only))

    def _is_doubtful(self, wish: MemberWish) -> bool:
        """Whether an answer of which nothing is known may lie in the log and be committed yet. Who
        leads in a later term has it behind itself before it may take a step; and it holds for this
        very wish alone, not for the next one of the name."""
        return self._doubtful.get(wish.revision) == self._council.term

    def _open_wishes(self) -> tuple[MemberWish, ...]:
        """The wishes that a raft leader has to look at; read anew when the store has changed."""
        machine = self._machine()
        if machine.revision != self._read_at:
            self._read_at = machine.revision
            self._asked = self._read(machine)
            known = {wish.revision for wish in self._asked}
            self._objected = {at: since for at, since in self._objected.items() if at in known}
            self._doubtful = {at: term for at, term in self._doubtful.items() if at in known}
        return self._asked

    def _read(self, machine: Machine) -> tuple[MemberWish, ...]:
        """What cannot be read was written by a newer release, and is left to it."""
        found = []
        for key, entry in machine.entries.items():
            if not key.startswith(self._below):
                continue
            try:
                wish = read_wish(self._scope, entry)
            except UnreadableWish:
                continue
            if wish.state is WishState.ASKED:
                found.append(wish)
        return tuple(sorted(found, key=lambda wish: wish.revision))
