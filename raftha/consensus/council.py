"""Keeps the library's count in step with the voters that the log names, and changes them.

What `membership.py` decides is carried out here: the library is told whom to count from the moment
a configuration stands in the log, and a raft leader appends the next one when it is due. Runs on
the raft thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import assert_never

from raftha.consensus import configuration
from raftha.consensus.configuration import Configuration
from raftha.consensus.greeting import Hello
from raftha.consensus.journal import Journal
from raftha.consensus.marks import Marks
from raftha.consensus.members import Present
from raftha.consensus.membership import CATCH_UP_ENTRIES, Membership, Outlook
from raftha.consensus.stable import StableStore, Standing
from raftha.consensus.syncobj import Engine
from raftha.consensus.wishes import HandOver, Ruling, Scene, Step, rule
from raftha.instants import Seconds
from raftha.model.membership import MemberWish


class Council:
    """Everything about voters that one node does by itself."""

    def __init__(
        self,
        *,
        membership: Membership,
        engine: Engine,
        journal: Journal,
        store: StableStore,
        random: Random,
        now: Callable[[], float],
        fallback: Seconds,
        patience: Seconds,
        marks: Marks,
    ) -> None:
        self.membership = membership
        self._engine = engine
        self._journal = journal
        self._store = store
        self._random = random
        self._now = now
        self._fallback = fallback
        self._patience = patience
        self._marks = marks
        self.roll = membership.roll
        self._arranged: tuple[int, Configuration | None] = (-1, None)
        self._shown: tuple[object, ...] = ()
        self._present = Present()
        self._heard: dict[str, tuple[int, float]] = {}

    def meet(self, hello: Hello) -> None:
        """A link with this node is up. Raises WireError."""
        if self.membership.meet(hello, self._journal.last_term):
            self._keep_standing(Standing(joining=True))
        voter = self.membership.voter_at(hello.address)
        if voter is not None:
            self._marks.greeted(voter, self._now())
        self._tell_library()

    def hear(self, voter: Hello) -> None:
        """A voter has answered this raft leader."""
        self._heard[voter.incarnation] = (self._engine.term, self._now())

    def lose(self, peer: str) -> None:
        """The link with this node is gone."""
        self._engine.disconnected(self.membership.party_id(peer))
        self.membership.lose(peer)
        self._tell_library()

    def follow_log(self) -> None:
        """Let the library count whom the log names, if that has changed."""
        if self._arranged != (self.membership.latest_index, self.membership.latest):
            standing = self.membership.next_standing()
            if standing != self.membership.standing:
                self._keep_standing(standing)
            self._tell_library()

    def advance(self) -> None:
        """Append the next set of voters, if one is due: one step at a time, and none before an
        entry of this raft leader's own term is committed, or a step that an earlier one left
        behind could take effect beside this one."""
        if self.is_settled or not self._may_step():
            return
        lineage = f"{self._random.getrandbits(64):016x}"
        after = self.membership.next_step(self._outlook(), lineage)
        if after is not None:
            self._append(after)

    @property
    def is_settled(self) -> bool:
        """Whether no step is to be taken that no operator wishes."""
        return self.membership.latest is not None and self.roll.is_complete

    def rule(self, wish: MemberWish) -> Ruling | None:
        """What is to be done about an operator's wish now; None if this node may change nothing: it
        does not lead, or the step before is under way."""
        latest = self.membership.latest
        if latest is None or not self._engine.is_leading or not self._may_step():
            return None
        outlook = self._outlook()
        own, last = self.membership.own, self._journal.last_index
        matches = self._engine.matches
        newcomers = {a: party.seat for a, party in self.membership.newcomers.items()}
        scene = Scene(
            latest=latest,
            own=own,
            newcomers=newcomers,
            ready=outlook.ready,
            answering=outlook.answering,
            heirs=frozenset(
                address
                for address in outlook.answering - {own.address}
                if matches.get(address, 0) == last
            ),
        )
        return rule(wish, scene)

    def carry_out(self, step: Step | HandOver) -> None:
        """Take the step that was ruled, at once."""
        match step:
            case Step():
                self._append(step.after)
            case HandOver():
                # Long enough for all others to lose patience and one of them to win; if none does,
                # this node may, and tries again.
                self._engine.step_down(Seconds(2 * self._patience))
            case _:
                assert_never(step)

    @property
    def term(self) -> int:
        """The present one."""
        return self._engine.term

    def answering(self) -> frozenset[str]:
        """The voters that answer this raft leader now, and itself, by address. After its election
        the library takes all to do so for a while, or it would lead nobody."""
        horizon = self._now() - self._fallback
        answers = self._engine.answers
        others = [seat.address for seat in self.membership.others]
        heard = [address for address in others if answers.get(address, horizon) > horizon]
        return frozenset((self.membership.own.address, *heard))

    def answers_lapse(self) -> float:
        """When this raft leader has lost its majority if nobody answers any more, on the raw clock;
        never if it is one by itself."""
        needed = len(self.membership.seats) // 2
        if not needed:
            return math.inf
        answers = self._engine.answers
        heard = sorted(answers.get(seat.address, 0.0) for seat in self.membership.others)
        return heard[-needed] + self._fallback

    @property
    def present(self) -> Present:
        """What this node's hello tells, and a peer's is judged by: the same object as long as
        nothing of it has changed."""
        ballot = self._journal.ballot
        last, last_term = self._journal.last_index, self._journal.last_term
        commit, marks = self._engine.commit_index, self._marks.known
        latest, standing = self.membership.latest, self.membership.standing
        index = self.membership.latest_index
        shown = (ballot, last, last_term, commit, latest, index, standing, marks)
        if shown == self._shown:
            return self._present
        self._shown = shown
        term, vote = ballot
        settled, settled_index = self._journal.configurations.as_of(commit)
        self._present = Present(
            is_new=self.membership.is_new(term, last),
            term=term,
            has_voted=vote is not None,
            last_index=last,
            last_term=last_term,
            latest=latest,
            latest_index=index,
            settled=settled,
            settled_index=settled_index,
            marks=marks,
        )
        return self._present

    def _may_step(self) -> bool:
        """Whether the step before is committed, and an entry of the own term."""
        settled = self._engine.commit_index
        if self._journal.term_at(settled) != self._engine.term:
            return False
        return self.membership.latest_index <= settled

    def _append(self, after: Configuration) -> None:
        index = self._journal.last_index + 1
        self._journal.add(configuration.encode(after), index, self._engine.term)
        self.follow_log()

    def _outlook(self) -> Outlook:
        enough = max(1, self._journal.last_index - CATCH_UP_ENTRIES)
        matches, id_of = self._engine.matches, self.membership.party_id
        held = {address: matches.get(id_of(address), 0) for address in self.membership.newcomers}
        ready = frozenset(address for address, index in held.items() if index >= enough)
        own = self.membership.own.address
        # Who is only taken to answer may be the raft leader whose loss brought this one to lead.
        answering = [address for address in self.answering() if self._has_answered(address)]
        return Outlook(ready=ready, answering=frozenset({own, *answering}))

    def _has_answered(self, address: str) -> bool:
        """Whether the voter on the link with this address has answered this raft leader lately."""
        voter = self.membership.voter_at(address)
        term, when = (0, 0.0) if voter is None else self._heard.get(voter.incarnation, (0, 0.0))
        return term == self._engine.term and self._now() - when < self._fallback

    def _tell_library(self) -> None:
        self._arranged = (self.membership.latest_index, self.membership.latest)
        roll = self.roll = self.membership.roll
        self._engine.arrange(self.membership.others, roll.newcomers, roll.linked)

    def _keep_standing(self, standing: Standing) -> None:
        self._store.save_standing(standing)
        self.membership.standing = standing
