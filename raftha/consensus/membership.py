"""Which votes count here, and who gets a seat next: the membership rules on one node.

The configuration in force is the last one in this node's own log, committed or not; before the
first one, the addresses of the files. From it and from who is on which link follows everything
else: whose votes and acknowledgements count, who is only given the log (a newcomer), whether this
node may campaign at all. Nothing here is remembered twice, so nothing can disagree with the log.

Runs on the raft thread; does no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from msgspec import Struct

from raftha.consensus.configuration import (
    Configuration,
    ConfigurationLog,
    Seat,
    party_id,
    unborn,
)
from raftha.consensus.greeting import Hello
from raftha.consensus.stable import Standing, Voter

CATCH_UP_ENTRIES: Final = 64
"""A newcomer holds the log when it lacks no more than this: what is under way in a busy cluster."""


class Outlook(Struct, frozen=True, kw_only=True):
    """What a raft leader knows when it looks for the next step: newcomers that hold the log, and
    voters that answer it now, itself included; both by address."""

    ready: frozenset[str]
    answering: frozenset[str]


class Roll(NamedTuple):
    """Who there is: voters in force, nodes that are given the log, those that will get a seat, and
    everybody on a link, as the library knows them."""

    seats: tuple[Seat, ...]
    newcomers: tuple[Seat, ...]
    expected: tuple[Seat, ...]
    linked: frozenset[str]
    is_voter: bool

    @property
    def is_complete(self) -> bool:
        """Whether every seat is bound and nobody waits for one."""
        return not self.newcomers and all(seat.is_bound for seat in self.seats)


class Membership:
    """The seats in force, and the parties on the links."""

    def __init__(
        self,
        *,
        own: Seat,
        partners: tuple[str, ...],
        standing: Standing,
        first_seen: Mapping[str, Voter],
        log: ConfigurationLog,
    ) -> None:
        self.own = own
        self.standing = standing
        self._at_birth = unborn((own.address, *partners))
        self._met = {
            address: Seat(address, voter.name, voter.incarnation, voter.witness)
            for address, voter in first_seen.items()
        }
        self._log = log
        self._parties: dict[str, Hello] = {}

    # Who is there.

    def meet(self, hello: Hello, last_term: int) -> bool:
        """A link with this node is up. Returns whether this node has just found out that the voters
        stand in a log, which it has yet to get: its file says nothing any more.

        Not so where its own last entry is of a later term than theirs. A raft leader was elected
        since by voters who never had their set: it died with its writer, and if those who outlived
        it gave up their votes for it, nobody would be left to lead."""
        self._parties[hello.address] = hello
        if self._is_unbound(hello.address):
            self._met[hello.address] = hello.seat
        is_over = last_term > hello.last_term
        return self._is_founder and hello.configuration is not None and not is_over

    def named_by(self, hello: Hello) -> tuple[str, ...]:
        """Whom to keep links to, now that this node has greeted: the voters. One without a seat may
        learn of them here, for its file need not name them all."""
        told = None if self.is_voter else hello.configuration
        more = () if told is None else told.seats
        return tuple(seat.address for seat in (*self.others, *more))

    def lose(self, address: str) -> None:
        """The link is gone."""
        self._parties.pop(address, None)

    def departed(
        self, before: Configuration | None, now: Configuration | None, now_index: int
    ) -> list[str]:
        """The parties on a link that had a seat and have none now that this set is known to be
        committed, and stands there in the log. Before, whoever was a voter once was let in, if
        nothing was known yet or the set that it spoke of was a later one."""
        if now is None:
            return []
        return [
            address
            for address, party in self._parties.items()
            if not now.binds(address, party.incarnation)
            and (
                (before is not None and before.binds(address, party.incarnation))
                or (not party.is_new and party.voters_index <= now_index)
            )
        ]

    def knows(self, address: str) -> bool:
        """Whether there is a link with whoever is at this address."""
        return address in self._parties

    # Who votes.

    @property
    def seats(self) -> tuple[Seat, ...]:
        """The voters in force here."""
        latest = self._log.latest
        return self._at_birth if latest is None else latest.seats

    @property
    def others(self) -> tuple[Seat, ...]:
        """The voters in force here but this node."""
        return tuple(seat for seat in self.seats if seat.address != self.own.address)

    @property
    def is_voter(self) -> bool:
        """Whether this node votes, by its own log. One that joins has no seat before its log says
        so, whatever its file says."""
        seat = next((seat for seat in self.seats if seat.address == self.own.address), None)
        if seat is None:
            return False
        if seat.is_bound:
            return seat.incarnation == self.own.incarnation
        return self._is_founder

    def is_majority(self, count: int) -> bool:
        """Whether so many voters are more than half of those in force."""
        return count > len(self.seats) / 2

    def votes(self, address: str) -> bool:
        """Whether the party on the link is the voter in force at its address. Nobody votes at an
        address to which the log binds nobody: two incarnations could in turn, for two sides of a
        cut that each met one of them. Before a birth the first one met there does."""
        party = self._parties.get(address)
        seat = next((seat for seat in self.seats if seat.address == address), None)
        if party is None or seat is None:
            return False
        if not seat.is_bound and self._log.latest is None:
            seat = self._met.get(address, seat)
        return seat.is_bound and seat.incarnation == party.incarnation

    def voter_at(self, address: str) -> Hello | None:
        """The voter in force on the link with this address."""
        return self._parties.get(address) if self.votes(address) else None

    def party_id(self, address: str) -> str:
        """How the library knows the party on a link: a voter by its address, anybody else by its
        incarnation too, so that what it says is never counted as the voter's."""
        party = self._parties.get(address)
        if party is None or self.votes(address):
            return address
        return party_id(party.seat)

    @property
    def roll(self) -> Roll:
        """All of them, as it is now."""
        return Roll(
            seats=self.seats,
            newcomers=tuple(party.seat for party in self.newcomers.values()),
            expected=() if self.latest is None else self.latest.expected,
            linked=frozenset(self.party_id(address) for address in self._parties),
            is_voter=self.is_voter,
        )

    def may_answer(self, peer: str, to: str) -> bool:
        """Whether a vote that `peer` asks for with these words is this node's to give: its log
        names this very incarnation, or both are at the birth of the cluster. They still are if this
        node wrote a first set of voters that names the peer, and the peer never got it: such a log
        wins only if it is of a later term, and then the set has died."""
        if to:
            return to == self.own.incarnation
        return not self.standing.joining and (self._log.latest is None or self.votes(peer))

    @property
    def newcomers(self) -> dict[str, Hello]:
        """Parties without a seat that may get one: they get the log, and count for nothing. Most
        never had one; if one that is expected thinks otherwise, its log holds a step too much."""
        return {
            address: party
            for address, party in self._parties.items()
            if (party.is_new or self._is_expected(party)) and not self.votes(address)
        }

    # What is known.

    @property
    def latest(self) -> Configuration | None:
        """The configuration in force; None before a birth."""
        return self._log.latest

    @property
    def latest_index(self) -> int:
        """Where it stands in the log."""
        return self._log.latest_index

    def next_standing(self) -> Standing:
        """What this directory is, by the log as it is now. A seat that was granted by an entry
        which a later raft leader replaced was never granted."""
        joining, since = self.standing.joining, self.standing.voter_since
        if since is not None and self._log.latest_index < since:
            since = None
        latest = self._log.latest
        if joining and since is None and latest is not None:
            own = self.own
            if latest.binds(own.address, own.incarnation):
                since = self._log.latest_index
        return Standing(joining=joining, voter_since=since)

    def is_new(self, term: int, last_index: int) -> bool:
        """Whether this incarnation never voted: then nobody counts on what it remembers."""
        if self.standing.joining:
            return self.standing.voter_since is None
        return term == 0 and last_index <= 1

    # What the raft leader does next.

    def next_step(self, outlook: Outlook, new_lineage: str) -> Configuration | None:
        """The configuration that should follow the one in force; None if all is well. Each step
        changes one voter at most; the caller sees to it that the one before is committed."""
        known = {**self._met, self.own.address: self.own}
        latest = self._log.latest
        if latest is None:
            return Configuration(lineage=new_lineage, seats=self._at_birth).binding(known.values())
        bound = latest.binding(known.values())
        if bound != latest:
            return bound
        return self._admission(latest, outlook) or self._replacement(latest, outlook)

    def _admission(self, latest: Configuration, outlook: Outlook) -> Configuration | None:
        """Give an expected node its seat, once it holds the log and a majority answers."""
        for expected in latest.expected:
            party = self.newcomers.get(expected.address)
            if party is None or not expected.is_called(party.name):
                continue
            if party.incarnation != expected.incarnation:
                return latest.expecting(party.seat)
            after = latest.admitting(party.seat)
            answering = outlook.answering | {expected.address}
            if expected.address in outlook.ready and _has_majority(after, answering):
                return after
        return None

    def _replacement(self, latest: Configuration, outlook: Outlook) -> Configuration | None:
        """A voter came back with a new Raft directory: first its old incarnation loses the seat.

        It has the same name and address, so the old one, which would hold that address, is gone."""
        for address, party in self.newcomers.items():
            seat = latest.at(address)
            if seat is None or not seat.is_called(party.name) or address not in outlook.ready:
                continue
            after = latest.without(party.name).expecting(party.seat)
            if address not in outlook.answering and _has_majority(after, outlook.answering):
                return after
        return None

    @property
    def _is_founder(self) -> bool:
        """Whether the file still says that this node votes."""
        return not self.standing.joining and self._log.latest is None

    def _is_expected(self, party: Hello) -> bool:
        latest = self._log.latest
        return latest is not None and latest.expects(party.address, party.incarnation)

    def _is_unbound(self, address: str) -> bool:
        return any(seat.address == address and not seat.is_bound for seat in self.seats)


def _has_majority(after: Configuration, answering: frozenset[str]) -> bool:
    present = sum(1 for seat in after.seats if seat.address in answering)
    return present > len(after.seats) / 2
