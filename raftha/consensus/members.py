"""Who the other voters are: what a hello must say, and what this node remembers of each.

A voter is an address of the configuration, answered by one name and one incarnation: the random
identity of its Raft directory. The first incarnation seen at an address is kept in this node's own
SQLite file, not in the replicated state, because the check must work before there is a raft leader
and must also hold on a replica that lags behind. A voter that comes back with another incarnation
has lost its log and its votes; it could help to elect a node that misses committed entries, so it
is refused until an operator replaces the record.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from raftha.consensus.commands import UNDECODABLE, WireError
from raftha.consensus.storage import Voter

PROTOCOL: Final = 1
_MAX_TOLD: Final = 256


class Hello(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each side of a new link says of itself, before anything else."""

    protocol: int
    scope: str
    address: str
    to: str
    name: str
    incarnation: str
    witness: bool
    members: str
    nonce: bytes


_HELLO: Final = msgspec.msgpack.Decoder(Hello)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What this node says of itself on every link."""

    scope: str
    address: str
    name: str
    incarnation: str
    witness: bool
    members: str


def digest_of(addresses: Iterable[str]) -> str:
    """A short hash of the voters' addresses, to notice nodes configured differently."""
    return hashlib.sha256("\n".join(sorted(addresses)).encode()).hexdigest()[:16]


def encode_hello(hello: Hello) -> bytes:
    """The bytes of a hello."""
    return msgspec.msgpack.encode(hello)


def decode_hello(data: bytes) -> Hello:
    """Read a hello. Raises WireError."""
    try:
        return _HELLO.decode(data)
    except UNDECODABLE as error:
        raise WireError("not a hello of raftha") from error


class Registry:
    """The other voters: admits a hello or says why not, and keeps what is wrong with each.

    Used by the node's thread and by threads that shake hands; every method is atomic.
    """

    def __init__(
        self, identity: Identity, peers: Iterable[str], voters: Mapping[str, Voter]
    ) -> None:
        self._identity = identity
        self._peers = frozenset(peers)
        self._voters = {address: voters[address] for address in voters if address in self._peers}
        self._problems: dict[str, str] = {}
        self._told: set[tuple[str, str]] = set()
        self._witnesses: dict[str, bool] = {}
        self._lock = threading.Lock()

    def refusal(self, hello: Hello) -> str | None:
        """Why this peer is not let in; None if it is."""
        own = self._identity
        if hello.protocol != PROTOCOL:
            return (
                f"it speaks protocol {hello.protocol}, this node {PROTOCOL}: "
                "run the same release of raftha on both"
            )
        if hello.scope != own.scope:
            return f"it belongs to cluster {hello.scope!r}, not {own.scope!r}: check the addresses"
        if hello.address not in self._peers:
            return f"{hello.address} is not in raft.partner_addrs of this node"
        if hello.to != own.address:
            return f"it meant to reach {hello.to}, this is {own.address}: check raft.self_addr"
        if hello.name.casefold() == own.name.casefold():
            return f"two agents with the same name {hello.name!r}: here and at {hello.address}"
        return self._refusal_of_voter(hello)

    def admit(self, hello: Hello) -> Voter | None:
        """A link with this peer is up. Returns the record to persist if it is new."""
        voter = Voter(name=hello.name, incarnation=hello.incarnation)
        with self._lock:
            self._witnesses[hello.address] = hello.witness
            self._told = {told for told in self._told if told[0] != hello.address}
            if hello.members == self._identity.members:
                self._problems.pop(hello.address, None)
            else:
                self._problems[hello.address] = "its raft.partner_addrs name other voters than ours"
            if self._voters.get(hello.address) == voter:
                return None
            self._voters[hello.address] = voter
            return voter

    def forget(self, address: str) -> None:
        """Let the next incarnation at this address in."""
        with self._lock:
            self._voters.pop(address, None)
            self._problems.pop(address, None)

    def report(self, address: str, problem: str) -> bool:
        """Note what keeps a peer away; True if it should be logged: each cause is told once until
        the peer was let in again, and strangers can fill the log only so far."""
        with self._lock:
            if address in self._peers:
                self._problems[address] = problem
            if (address, problem) in self._told or len(self._told) >= _MAX_TOLD:
                return False
            self._told.add((address, problem))
            return True

    def voter(self, address: str) -> Voter | None:
        """Who is known to answer at an address."""
        with self._lock:
            return self._voters.get(address)

    def problem(self, address: str) -> str | None:
        """What is wrong with a peer, in words for an operator."""
        with self._lock:
            return self._problems.get(address)

    def is_witness(self, address: str) -> bool | None:
        """Whether a peer is a witness; None if it was never met."""
        with self._lock:
            return self._witnesses.get(address)

    def _refusal_of_voter(self, hello: Hello) -> str | None:
        with self._lock:
            known = self._voters.get(hello.address)
            others = {a: v for a, v in self._voters.items() if a != hello.address}
        for address, voter in others.items():
            if voter.name.casefold() == hello.name.casefold():
                places = f"{address} and {hello.address}"
                return f"two agents with the same name {hello.name!r}: at {places}"
        if known is not None and known.incarnation != hello.incarnation:
            return (
                f"the Raft directory of {known.name} at {hello.address} is another than before: "
                "it lost its log and its votes, so it must not vote; bring the old directory back, "
                "or give the machine a new address in the member list of every node"
            )
        return None
