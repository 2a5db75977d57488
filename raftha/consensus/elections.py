"""Elections: who may stand for one, who supports whom, and whose vote counts.

The library holds the election itself. Before one disturbs anybody, a canvass asks whether a
majority would support it: nobody does who hears a raft leader or holds more. A vote is asked of an
incarnation, not of an address, and counted once for each voter that the candidate's log names.
Runs on the raft thread.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import assert_never

from msgspec import Struct, field

from raftha.consensus import wire
from raftha.consensus.journal import Journal
from raftha.consensus.marks import Marks
from raftha.consensus.membership import Membership
from raftha.consensus.syncobj import Engine
from raftha.model.settings import RaftTimings


class _Canvass(Struct):
    """A round of asking for support before an election disturbs anybody."""

    term: int
    round: int
    supporters: set[str] = field(default_factory=set)


class _Ballots(Struct):
    """Who voted for this candidate in a term: each voter counts once."""

    term: int = 0
    voters: set[str] = field(default_factory=set)


class Elections:
    """One voter's part in elections."""

    def __init__(
        self,
        *,
        engine: Engine,
        membership: Membership,
        journal: Journal,
        timings: RaftTimings,
        marks: Marks,
        random: Random,
        now: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._membership = membership
        self._journal = journal
        self._timings = timings
        self._marks = marks
        self._random = random
        self._now = now
        self._ballots = _Ballots()
        self._canvass: _Canvass | None = None
        self.has_support = False
        self.leader_heard = float("-inf")

    def tick(self, now: float) -> None:
        """Without a raft leader for too long: ask for support. With it, the library's next turn
        holds the election."""
        if self._engine.election_due < now and not self.has_support:
            self._start_canvass(now)
        self.has_support = False

    def take(
        self, peer: str, message: wire.AskVote | wire.Vote | wire.Canvass | wire.Support
    ) -> None:
        """What somebody asks of this voter, or answers."""
        match message:
            case wire.AskVote():
                is_loyal = self.hears_leader() and message.term > self._engine.term
                if self._membership.may_answer(peer, message.to) and not is_loyal:
                    self._engine.hand(peer, message)
            case wire.Vote():
                self._count_vote(peer, message)
            case wire.Canvass():
                self._answer_canvass(peer, message)
            case wire.Support():
                self._take_support(peer, message)
            case _:
                assert_never(message)

    def hear_leader(self) -> None:
        """The rightful raft leader has spoken."""
        self.leader_heard = self._now()
        self._canvass = None

    def hears_leader(self) -> bool:
        """Whether there is a raft leader as far as this voter knows."""
        recent = self._now() - self.leader_heard < self._timings.election_min
        return self._engine.is_leading or recent

    def grant_time_after_pause(self, now: float, ticked: float) -> None:
        """After a pause of this process the messages that waited are read before it campaigns."""
        half = self._timings.election_min / 2
        if now - ticked > half:
            self._engine.election_due = max(self._engine.election_due, now + half)

    def hasten(self) -> None:
        """Lose patience within half of the shortest, at a random time, if not sooner anyway: a
        majority is in touch and knows no raft leader. A canvass before one speaks disturbs
        nobody."""
        if self._engine.leader is None:
            soon = self._now() + self._timings.election_min * self._random.uniform(0.1, 0.5)
            self._engine.election_due = min(self._engine.election_due, soon)

    def _start_canvass(self, now: float) -> None:
        others = self._membership.others
        if self._membership.is_voter and not others:
            return
        self._engine.election_due = now + self._engine.draw_patience()
        self._engine.forget_leader()
        if not self._membership.is_voter:
            return
        _, index, term = self._journal[-1]
        self._canvass = _Canvass(self._engine.term, self._random.getrandbits(60))
        words = (self._engine.term, self._canvass.round, index, term)
        self._engine.out.extend(
            (seat.address, wire.Canvass(*words, seat.incarnation)) for seat in others
        )

    def _answer_canvass(self, peer: str, message: wire.Canvass) -> None:
        _, index, term = self._journal[-1]
        is_up_to_date = (message.last_term, message.last_index) >= (term, index)
        is_current = message.term >= self._engine.term
        is_free = self._membership.may_answer(peer, message.to) and not self.hears_leader()
        granted = is_up_to_date and is_current and is_free
        self._engine.out.append((peer, wire.Support(self._engine.term, message.round, granted)))

    def _take_support(self, peer: str, message: wire.Support) -> None:
        if not self._membership.votes(peer):
            return
        self._engine.follow_term(message.term)
        canvass = self._canvass
        if canvass is None or self._engine.is_leading or not message.granted:
            return
        if (message.round, self._engine.term) != (canvass.round, canvass.term):
            return
        canvass.supporters.add(peer)
        if self._membership.is_majority(1 + len(canvass.supporters)):
            self._canvass = None
            self.has_support = True
            self._engine.election_due = 0.0

    def _count_vote(self, peer: str, message: wire.Vote) -> None:
        voter = self._membership.voter_at(peer)
        if message.term != self._engine.term or voter is None:
            return
        self._marks.voted(voter, message.term, self._now())
        if self._ballots.term != message.term:
            self._ballots = _Ballots(message.term)
        if peer not in self._ballots.voters:
            self._ballots.voters.add(peer)
            self._engine.hand(peer, message)
