"""Takes the word of a guardian that its agent and its primary are gone, and frees the leader key.

The word counts only for exactly what the store says at that moment: the node that holds the key,
its guardian, its epoch, and the renewal by which its primary lived last. Whatever was said before,
or of another life, names something else and frees nothing.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Protocol

import msgspec

from raftha.errors import RafthaError
from raftha.ha.documents import read_cluster
from raftha.ha.keys import Keys, encode_receipt
from raftha.instants import Seconds
from raftha.logs import event
from raftha.model.cluster import Cluster, Leader
from raftha.model.ids import Epoch, MemberName, Revision
from raftha.model.store import (
    Command,
    Committed,
    Guard,
    KeyAbsent,
    KeyAt,
    LeaseAt,
    Put,
    RaftStatus,
    Remove,
    Revoke,
    Snapshot,
    Transact,
    Write,
)

LOG = logging.getLogger(__name__)

TIMEOUT = Seconds(2.0)
"""For each of the two commands; the greeting in which the word is said must still be open."""


class Store(Protocol):
    """The part of the key store that is used here."""

    def execute(self, command: Command, *, timeout: Seconds) -> Committed: ...

    def peek(self) -> Snapshot: ...


class Group(Protocol):
    """Knows the voters."""

    def status(self) -> RaftStatus: ...


class Word(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a guardian says: the epoch that it has burned, as generation and revision, the revision
    of the last renewal that it knows, and its nonce."""

    epoch: tuple[int, int]
    renewal: int
    guardian: str


_WORD = msgspec.json.Decoder(Word)


class Receipts:
    """Called from the threads that greet visitors."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys
        self._refused: tuple[str, str] | None = None

    def take(self, name: str, said: bytes) -> str | None:
        """Free the leader key at the word of the guardian of `name`; why not, if it is not freed.
        A word that is said again and again is complained of once."""
        try:
            why = self._take(MemberName(name), _WORD.decode(said))
        except msgspec.MsgspecError as error:
            why = f"not a word of a guardian: {error}"
        except RafthaError as error:
            why = f"the store did not free the leader key: {error}"
        refused = None if why is None else (name, why)
        if refused is not None and refused != self._refused:
            event(LOG, logging.WARNING, "receipt refused", name=name, why=why)
        self._refused = refused
        return why

    def _take(self, name: MemberName, word: Word) -> str | None:
        cluster = read_cluster(self._keys, self._store.peek())
        leader = cluster.leader
        why = _mismatch(leader, name, word)
        if why is not None or leader is None:
            return why
        renewal = Revision(word.renewal)
        self._store.execute(self._note(cluster, leader, renewal), timeout=TIMEOUT)
        self._store.execute(Revoke(leader.lease.id, renewal), timeout=TIMEOUT)
        event(
            LOG,
            logging.WARNING,
            "leader key freed: the guardian told that its agent and its primary are gone",
            name=name,
            epoch=str(leader.epoch),
        )
        return None

    def _note(self, cluster: Cluster, leader: Leader, renewal: Revision) -> Transact:
        """For the history, before the key goes: whoever races next may read it. And the end of what
        the same guardian was about to run without a deadline in a maintenance pause: a server that
        died before it was disarmed keeps nobody from a promotion. At this renewal there is no later
        epoch, so the guardian can have started nothing since."""
        key, known = self._keys.receipt, cluster.receipt
        here: Guard = KeyAbsent(key) if known is None else KeyAt(key, known.revision)
        guards: tuple[Guard, ...] = (LeaseAt(leader.lease.id, renewal), here)
        writes: tuple[Write, ...] = (Put(key, encode_receipt(leader.name, leader.epoch)),)
        entry = cluster.disarmed.get(leader.name)
        if entry is not None and entry.guardian == leader.guardian:
            dead = self._keys.disarmed_of(entry.name)
            guards, writes = (*guards, KeyAt(dead, entry.revision)), (*writes, Remove(dead))
        return Transact(guards, writes)


def will_of(group: Group, file: Path) -> tuple[str, ...]:
    """The program that tells the other voters: `raftha.agent.receipt` with this node's file."""
    voters = [voter.address for voter in group.status().voters if not voter.is_self]
    return (sys.executable, "-m", "raftha.agent.receipt", str(file), *sorted(voters))


def _mismatch(leader: Leader | None, name: MemberName, word: Word) -> str | None:
    """Why this word is not about the primary that holds the leader key now; None if it is."""
    if leader is None:
        return "nobody holds the leader key"
    if leader.name != name:
        return f"{leader.name} holds the leader key, not {name}"
    if leader.guardian != word.guardian:
        return f"{name} leads under another guardian than the one that says this"
    generation, revision = word.epoch
    epoch = Epoch(generation, Revision(revision))
    if leader.epoch != epoch:
        return f"{name} leads under epoch {leader.epoch}, not {epoch}"
    if leader.lease.revision != word.renewal:
        return (
            f"the lease of {name} was renewed at revision {leader.lease.revision}, and the "
            f"guardian knows of {word.renewal}"
        )
    return None
