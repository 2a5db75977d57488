"""Who may come in: what a hello is judged by, and what this node remembers of each other one.

A voter is an address and the one incarnation that answers there: the random identity of its Raft
directory. Who votes stands in the replicated log (`configuration.py`). Until it does, at the birth
of a cluster, the addresses of the files are the voters, and the first incarnation met at each is
kept in this node's own SQLite file: the check must work before there is a raft leader.

An incarnation that never voted may always come in: it holds the log without a vote until it gets a
seat. One that voted and has no seat any more stays out, because nobody can tell what it forgot.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from msgspec import Struct, field

from raftha.consensus import lineage
from raftha.consensus.commands import NewerFormat, WireError
from raftha.consensus.configuration import Configuration, Seat, encode
from raftha.consensus.greeting import PROTOCOL, Grounds, Hello, Refusal
from raftha.consensus.marks import Doubts, Mark
from raftha.consensus.stable import Voter
from raftha.consensus.verdicts import Verdicts
from raftha.model.store import Accusation

_MAX_TOLD: Final = 256
_NONCE_BYTES: Final = 32


class Identity(Struct, frozen=True, kw_only=True):
    """What this node says of itself on every link."""

    scope: str
    address: str
    name: str
    incarnation: str
    witness: bool
    partners: tuple[str, ...]
    process: str
    api_url: str = ""

    @property
    def seat(self) -> Seat:
        """The seat that this node has or would have."""
        return Seat(self.address, self.name, self.incarnation, self.witness)


class Present(Struct, frozen=True, kw_only=True):
    """How things stand in this node's log. It is published before a message leaves that tells of
    it, so no hello says less than what a peer has heard before."""

    is_new: bool = True
    term: int = 0
    has_voted: bool = False
    last_index: int = 1
    last_term: int = 0
    latest: Configuration | None = None
    latest_index: int = 0
    settled: Configuration | None = None
    settled_index: int = 0
    marks: Mapping[str, Mark] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Whether the configuration in force is committed, as far as this node knows."""
        return self.latest is not None and self.settled_index == self.latest_index


class Registry:
    """The other nodes: admits a hello or says why not, and keeps what is wrong with each.

    Used by the node's thread and by threads that shake hands; every method is atomic.
    """

    def __init__(self, identity: Identity, voters: Mapping[str, Voter]) -> None:
        self._identity, self._partners = identity, frozenset(identity.partners)
        self._first_seen = dict(voters)
        self._present = Present()
        self._linked: dict[str, Hello] = {}
        self._problems: dict[str, str] = {}
        self._told: set[tuple[str, str]] = set()
        self._doubts = Doubts()
        self._verdicts = Verdicts()
        self._lock = threading.Lock()

    def hello(self, to: str) -> Hello:
        """What this node says now."""
        own, present = self._identity, self._present
        latest = present.latest
        return Hello(
            protocol=PROTOCOL,
            scope=own.scope,
            address=own.address,
            to=to,
            name=own.name,
            incarnation=own.incarnation,
            process=own.process,
            witness=own.witness,
            api_url=own.api_url,
            partners=list(own.partners),
            is_new=present.is_new,
            term=present.term,
            has_voted=present.has_voted,
            last_index=present.last_index,
            last_term=present.last_term,
            voters=b"" if latest is None else encode(latest),
            voters_index=present.latest_index,
            voters_settled=present.is_settled,
            nonce=secrets.token_bytes(_NONCE_BYTES),
        )

    def publish(self, present: Present) -> None:
        """From now on judge, and speak, by this."""
        before, self._present = self._present, present
        if present.latest is not before.latest:
            with self._lock:
                self._verdicts.lift(partial(self._has_left, before.latest))

    def refusal(self, hello: Hello) -> Refusal | None:
        """Why this peer is not let in; None if it is."""
        own = self._identity
        if hello.scope != own.scope:
            what = f"it belongs to cluster {hello.scope!r}, not {own.scope!r}"
            return Refusal(f"{what}: check the addresses")
        if hello.to != own.address:
            what = f"it meant to reach {hello.to}, this is {own.address}"
            return Refusal(f"{what}: check raft.self_addr")
        if hello.address == own.address:
            return Refusal(f"two agents with the same raft.self_addr {own.address}")
        if hello.name.casefold() == own.name.casefold():
            return Refusal(
                f"two agents with the same name {hello.name!r}: here and at {hello.address}"
            )
        try:
            theirs = hello.configuration
        except (WireError, NewerFormat) as error:
            return Refusal(f"its set of voters cannot be read: {error}")
        with self._lock:
            return (
                self._refusal_of_voter(hello, theirs)
                or self._refusal_of_double(hello)
                or self._refusal_of_rollback(hello)
            )

    def admit(self, hello: Hello) -> Voter | None:
        """A link with this peer is up. Returns the record to persist if it is new."""
        voter = _record_of(hello)
        with self._lock:
            self._linked[hello.address] = hello
            if self._is_known(hello.address):
                self._doubts.dispel(hello)
            self._verdicts.lift(lambda address: address == hello.address)
            self._told = {told for told in self._told if told[0] != hello.address}
            self._problems.pop(hello.address, None)
            if not self._is_unbound(hello.address) or self._first_seen.get(hello.address) == voter:
                return None
            self._first_seen[hello.address] = voter
            return voter

    def outlived(self, hello: Hello) -> str | None:
        """Where a node is in touch whose name this one, which was let in, has got."""
        with self._lock:
            other = self._namesake(hello)
        return None if other is None else other.address

    def lost(self, address: str) -> None:
        """The link with this peer is gone."""
        with self._lock:
            self._linked.pop(address, None)

    def report(self, address: str, problem: str) -> bool:
        """Note what keeps a peer away; True if it should be logged: each cause is told once until
        the peer was let in again, and strangers can fill the log only so far."""
        with self._lock:
            if self._is_known(address):
                self._problems[address] = problem
            if (address, problem) in self._told or len(self._told) >= _MAX_TOLD:
                return False
            self._told.add((address, problem))
            return True

    def judged(self, address: str, refusal: Refusal) -> None:
        """A peer has turned this node away for what this node is. A stranger may say only that it
        is no voter any more: whatever else keeps them apart is the stranger's."""
        with self._lock:
            if refusal.grounds is not Grounds.OTHER or self._is_known(address):
                self._verdicts.add(address, refusal)

    @property
    def verdict(self) -> Refusal | None:
        """What the others hold against this node itself."""
        return self._verdicts.worst

    @property
    def accusation(self) -> Accusation | None:
        """The same, with where it came from."""
        return self._verdicts.accusation

    @property
    def barred(self) -> str | None:
        """Why this node never votes again from the directory that it has."""
        return self._verdicts.barred

    def seat(self, seat: Seat) -> Seat:
        """A seat with what is known of who has it, by the link or by the first meeting."""
        with self._lock:
            linked = self._linked.get(seat.address)
            first = self._first_seen.get(seat.address)
        if seat.is_bound:
            return seat
        if seat.address == self._identity.address:
            return self._identity.seat
        if linked is not None:
            return linked.seat
        if first is not None:
            return Seat(seat.address, first.name, first.incarnation, first.witness)
        return seat

    def api_url(self, address: str) -> str:
        """Where a node answers over HTTP; empty while there is no link to it."""
        if address == self._identity.address:
            return self._identity.api_url
        with self._lock:
            linked = self._linked.get(address)
        return "" if linked is None else linked.api_url

    def problem(self, address: str) -> str | None:
        """What is wrong with a peer, in words for an operator."""
        with self._lock:
            return self._problems.get(address)

    # Judgement; the lock is held.

    def _refusal_of_double(self, hello: Hello) -> Refusal | None:
        """One name, one address, one living process."""
        same = self._linked.get(hello.address)
        if same is not None and same.incarnation != hello.incarnation:
            return Refusal(
                f"another process is in touch as {same.name} at {hello.address}, with another Raft "
                "directory: stop one of the two"
            )
        other = self._namesake(hello)
        if other is None or self._is_heir(hello, other):
            return None
        return _same_name(hello, other.address)

    def _namesake(self, hello: Hello) -> Hello | None:
        """Another node of the same name that is in touch."""
        for address, other in self._linked.items():
            if address != hello.address and other.name.casefold() == hello.name.casefold():
                return other
        return None

    def _is_heir(self, hello: Hello, other: Hello) -> bool:
        """Whether the name is this node's rather than the other's: the later of the sets of voters
        that are known gave it the vote of that name. A node that starts does not know how much of
        its log is committed, and may have let a machine in that was replaced; and a newcomer of a
        voter's name has no claim to it but where the log has that name: the voter, and the machine
        that it replaced, may both have lost their directories."""
        theirs = hello.configuration if hello.voters_settled else None
        return self._claim(hello, theirs) > self._claim(other, other.configuration)

    def _claim(self, hello: Hello, spoken: Configuration | None) -> tuple[int, bool]:
        """Where the latest set of voters stands that has a seat for this node, by our log or its
        own words, 0 if there is none; and whether our log has its name at its address."""
        ours = self._present.latest
        own = self._present.latest_index if ours is not None and ours.binds(*_who(hello)) else 0
        said = hello.voters_index if spoken is not None and spoken.binds(*_who(hello)) else 0
        return max(own, said), ours is not None and ours.home(hello.name) == hello.address

    def _refusal_of_voter(self, hello: Hello, theirs: Configuration | None) -> Refusal | None:
        ours = self._present.latest
        if ours is None:
            return None if theirs is not None else self._refusal_at_birth(hello)
        if theirs is not None:
            certain = hello.voters_settled and self._present.is_settled
            reason = lineage.refusal(ours, theirs, certain=certain)
            if reason is not None or theirs.generation > ours.generation:
                return reason
        elif ours.generation > 0 and not hello.is_new:
            return lineage.left_behind(ours)
        if self._is_unbound(hello.address):
            return self._refusal_of_first_seen(hello)
        who = _who(hello)
        if hello.name != (name := ours.spelling(hello.name)):
            return Refusal(f"its name is spelled {name} in the cluster: write it so in its file")
        if hello.is_new or ours.binds(*who) or ours.expects(*who):
            return None
        return self._refusal_of_former(hello, theirs)

    def _refusal_at_birth(self, hello: Hello) -> Refusal | None:
        """Before any configuration both files must name the same voters, or each could find a
        majority of its own."""
        ours, theirs = set(self._identity.partners), set(hello.partners)
        ours.add(self._identity.address)
        theirs.add(hello.address)
        if ours != theirs:
            return Refusal(
                "raft.partner_addrs differ: "
                f"only in the file of {self._identity.name}: {_listed(ours - theirs)}; "
                f"only in the file of {hello.name}: {_listed(theirs - ours)}; "
                "name the same voters in both"
            )
        return self._refusal_of_first_seen(hello)

    def _refusal_of_first_seen(self, hello: Hello) -> Refusal | None:
        for address, voter in self._first_seen.items():
            is_same_name = voter.name.casefold() == hello.name.casefold()
            if is_same_name and address != hello.address and self._is_unbound(address):
                return _same_name(hello, address)
        known = self._first_seen.get(hello.address)
        if known is None or known.incarnation == hello.incarnation:
            return None
        return Refusal(
            f"the Raft directory of {known.name} at {hello.address} is another than before, and "
            "the set of voters is not in the log yet: it waits for a raft leader"
        )

    def _refusal_of_former(self, hello: Hello, theirs: Configuration | None) -> Refusal | None:
        """It was a voter and has no seat here: out, unless our log is merely behind its own, or
        the step that took its seat may still be undone."""
        settled = self._present.settled
        if settled is None or settled.binds(hello.address, hello.incarnation):
            return None
        if theirs is not None and hello.voters_index > self._present.settled_index:
            return None
        seat = settled.at(hello.address)
        if seat is not None and seat.is_called(hello.name):
            return Refusal(
                f"another Raft directory has the seat of {hello.name} at {hello.address}",
                Grounds.REPLACED,
            )
        heir = settled.named(hello.name)
        what, other_name = "was removed from the cluster", ""
        if heir is not None:
            what, other_name = f"was replaced, by {heir.address}", " under another name"
        return Refusal(
            f"{hello.name} at {hello.address} {what}: its Raft directory never votes again. Stop "
            f"its agent; to bring it back, empty raft.data_dir there, start it{other_name}, and "
            "use raftha member add",
            Grounds.REMOVED,
        )

    def _refusal_of_rollback(self, hello: Hello) -> Refusal | None:
        """It promised more than it knows. A process that is linked at this moment may promise on
        while it greets anew, and cannot have lost its memory."""
        mark = self._present.marks.get(hello.address)
        linked = self._linked.get(hello.address)
        if mark is None or (linked is not None and linked.process == hello.process):
            return None
        missing = mark.contradicts(hello)
        if missing is None:
            return None
        what = f"the Raft directory of {hello.name} at {hello.address}"
        if self._doubts.is_first(hello):
            return Refusal(f"{what} seems older than it was, it is to greet again: {missing}")
        return Refusal(f"{what} is an older copy: {missing}", Grounds.ROLLED_BACK)

    def _has_left(self, before: Configuration | None, address: str) -> bool:
        """Whether it had a seat, or before there were any a place in the file, and has none now."""
        if self._has_seat(address):
            return False
        return address in self._partners if before is None else before.at(address) is not None

    def _is_unbound(self, address: str) -> bool:
        """Whether this address has a vote, and the log does not say whose."""
        latest = self._present.latest
        if latest is None:
            return address in self._partners
        seat = latest.at(address)
        return seat is not None and not seat.is_bound

    def _is_known(self, address: str) -> bool:
        return address in self._partners or self._has_seat(address)

    def _has_seat(self, address: str) -> bool:
        latest = self._present.latest
        return latest is not None and latest.at(address) is not None


def _who(hello: Hello) -> tuple[str, str]:
    return hello.address, hello.incarnation


def _record_of(hello: Hello) -> Voter:
    return Voter(name=hello.name, incarnation=hello.incarnation, witness=hello.witness)


def _same_name(hello: Hello, address: str) -> Refusal:
    places = f"{address} and {hello.address}"
    return Refusal(f"two agents with the same name {hello.name!r}: at {places}")


def _listed(addresses: Iterable[str]) -> str:
    return ", ".join(sorted(addresses)) or "nothing"
