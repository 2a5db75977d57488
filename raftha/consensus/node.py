"""`RaftNode`: one voter, put together from core, replica, links, storage and proposals.

`step` does one round by hand: hear, propose, offer, make durable, send, tick, publish, once more
make durable and send, answer. The simulation calls it; `start` runs it on a thread. The order
inside a round is a safety rule: nothing is sent before the disk holds what it reflects (a raft
leader's new entries reflect nothing of its disk, and go first), and nobody is answered before the
state that the answer speaks of can be read. What others wait for goes before what nobody does.

If nothing came of what was heard, the round only says what is due: a heartbeat, or the answer to
one. Most of an idle cluster's rounds are such.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from raftha.clock import Clock
from raftha.consensus import commands, wire
from raftha.consensus.commands import LogCommand, SessionId, WireError
from raftha.consensus.complaints import Complaints
from raftha.consensus.core import RaftCore
from raftha.consensus.greeting import Grounds, Refusal
from raftha.consensus.links import Down, LinkEvent, Links, Received, Up
from raftha.consensus.members import Identity, Present, Registry
from raftha.consensus.overview import Facts, status_of
from raftha.consensus.proposals import Pending, Proposals, Route
from raftha.consensus.replica import Replica
from raftha.consensus.stable import Persisted, StableStore
from raftha.consensus.steward import Steward
from raftha.consensus.store import KeyStore
from raftha.consensus.watch import WatchHub
from raftha.errors import StorageFailed
from raftha.instants import Instant, Seconds
from raftha.model.settings import RaftTimings, TlsFiles
from raftha.model.store import RaftStatus

EXPIRY_TIMEOUT: Final = Seconds(1.0)
_LONGEST_WAIT: Final = 0.45
"""Longest sleep, in shortest election timeouts: the elections take half of one for a pause."""
_WHOLE_ROUND_S: Final = 0.5
"""Longest time without a whole round."""
_SOON_S: Final = 0.1
"""A round that has something to hear does what is due so soon after it: waking costs more."""

Fatal = Callable[[str], object]
"""Ends the process with a message. It does not return in production."""

_LOG: Final = logging.getLogger(__name__)


class RaftNode:
    """A voter of the Raft group. `store` is what everybody else uses."""

    _due = float("-inf")
    """When a whole round is due, on the raw clock."""

    def __init__(
        self,
        *,
        identity: Identity,
        timings: RaftTimings,
        persisted: Persisted,
        stable: StableStore,
        links: Links,
        registry: Registry,
        clock: Clock,
        random: Random,
        fatal: Fatal,
        begin_anew: Fatal,
    ) -> None:
        self._identity = identity
        self._timings = timings
        self._stable = stable
        self._links = links
        self._registry = registry
        self._clock = clock
        self._fatal = fatal
        self._begin_anew = begin_anew
        self._put_aside = persisted.put_aside
        self._verdict: Refusal | None = None
        self._contacts: dict[str, Instant] = {}
        self._connected: set[str] = set()
        self._link_numbers: dict[str, int] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._watches = WatchHub()
        self._proposals = Proposals(clock=clock, session=_session(identity, persisted, random))
        self._replica = self._make_replica()
        self._core = self._make_core(persisted, random)
        self._steward = self._make_steward()
        self._present = Present()
        self._registry.publish(self._core.council.present)
        self._facts = self._observe()
        self.store = KeyStore(
            clock=clock,
            watches=self._watches,
            wake=links.wake,
            peek=lambda: self._replica.published,
            status=self._describe,
        )

    def _make_replica(self) -> Replica:
        return Replica(
            clock=self._clock,
            watches=self._watches,
            heard=self._proposals.heard,
            restored=self._proposals.restored,
            fatal=self._fatal,
        )

    def _make_core(self, persisted: Persisted, random: Random) -> RaftCore:
        return RaftCore(
            own=self._identity.seat,
            partners=self._identity.partners,
            timings=self._timings,
            persisted=persisted,
            store=self._stable,
            replica=self._replica,
            clock=self._clock,
            random=random,
            fatal=self._fatal,
            report=Complaints(self._registry, self._clock).tell,
        )

    def _make_steward(self) -> Steward:
        return Steward(
            scope=self._identity.scope,
            clock=self._clock,
            council=self._core.council,
            machine=lambda: self._replica.machine,
            submit=self._proposals.add,
        )

    def start(self) -> None:
        """Listen, dial, and run until `stop`. Raises ConfigError if the port is taken."""
        if self._put_aside is not None:
            _LOG.error(
                "this node joins anew, its Raft directory was put aside: %s", self._put_aside
            )
        self._links.open()
        self._thread = threading.Thread(target=self._run, name="raft", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer everybody who waits, sync and close. Safe to call twice."""
        self.store.close("this node is stopping")
        self._stopping.set()
        self._links.wake()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._proposals.close("this node is stopping")
        self._links.close()
        self._stable.close()

    def refresh(self, files: TlsFiles | None = None) -> None:
        """Read certificates that have changed, soon; `files` are the same with the password of now.
        From any thread. Raises ConfigError if that opens nothing, and nothing has changed then."""
        self._links.refresh(files)

    def step(self, wait: Seconds) -> None:
        """One round; waits at most so long for the network. May raise StorageFailed."""
        heard = [self._take(event) for event in self._links.poll(wait)]
        asked = self.store.take()
        if any(heard) or asked or self._is_due(_SOON_S if heard else 0.0):
            self._go_round(asked)
        else:
            self._send(self._core.speak())

    def _go_round(self, asked: Sequence[Pending]) -> None:
        if self._registry.verdict != self._verdict:
            self._heed(self._registry.verdict)
        for pending in asked:
            self._proposals.add(pending)
        self._proposals.turn(self._core, self._route())
        # Before a sync, which may last: renewals that come meanwhile are read first.
        self._propose_expiries()
        self._steward.turn()
        self._send(self._core.offer())
        self._answer()
        self._core.tick()
        had_majority = self._facts.majority
        self._replica.publish()
        self._facts = self._observe()
        outgoing = self._core.flush()
        self._publish_present()
        self._send(outgoing)
        if self._facts.majority != had_majority:
            self._watches.stir()
        self._due = self._clock.raw() + self._until_due()
        self._proposals.deliver()

    def _answer(self) -> None:
        """Send what waits, once the disk holds what it reflects and greetings tell of it too."""
        outgoing = self._core.flush()
        if outgoing:
            self._publish_present()
            self._send(outgoing)

    def _is_due(self, within: float) -> bool:
        """Whether a whole round is called for within so many seconds."""
        is_told = self._registry.verdict != self._verdict
        return is_told or self._clock.raw() + within >= self._due

    def _until_due(self) -> float:
        """Seconds until something happens by the clock alone."""
        wishes = self._steward.wait
        proposals = self._proposals.wait(self._clock.now())
        return min(_WHOLE_ROUND_S, self._core.wait, self._replica.wait, wishes, proposals)

    def _heed(self, verdict: Refusal | None) -> None:
        """The others hold something against this node itself. If its directory must not be voted
        from, it says no further word out of it."""
        self._verdict = verdict
        if verdict is None:
            _LOG.info("the others hold nothing against this node any more")
            return
        if verdict.grounds is not Grounds.OTHER:  # else it is told of that link alone
            _LOG.warning("this node is no voter: %s", verdict.why)
        if verdict.grounds.voids_directory:
            self._stable.condemn(verdict.why)
            self._begin_anew(verdict.why)

    def _publish_present(self) -> None:
        """Before a message leaves, let greetings say what it tells of."""
        before, now = self._present, self._core.council.present
        if now is before:
            return
        self._present = now
        self._registry.publish(now)
        if now.latest_index != before.latest_index:
            self._links.know(seat.address for seat in self._core.membership.others)
        if now.settled_index != before.settled_index:
            # Who lost its seat is greeted anew, and hears why it stays out.
            settled = before.settled, now.settled, now.settled_index
            for peer in self._core.membership.departed(*settled):
                self._links.drop(peer, "it has no seat in the cluster any more")

    @property
    def wait(self) -> Seconds:
        """How long the next round may wait for the network."""
        left = min(self._due, self._core.heartbeat_due) - self._clock.raw()
        return Seconds(max(0.0, min(left, _LONGEST_WAIT * self._timings.election_min)))

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.step(self.wait)
        except StorageFailed as error:
            self._fatal(str(error))
        except Exception as error:
            self._fatal(f"the raft thread failed: {type(error).__name__}: {error}")

    def _send(self, messages: Sequence[tuple[str, wire.Message]]) -> None:
        for peer, message in messages:
            self._links.send(peer, wire.encode(message))
        if messages:
            self._links.flush()

    def _take(self, event: LinkEvent) -> bool:
        """Whether this calls for a whole round."""
        match event:
            case Received():
                return self._receive(event.peer, event.frame)
            case Up():
                if event.news is not None:
                    self._stable.save_voter(event.peer, event.news)
                self._connected.add(event.peer)
                self._link_numbers[event.peer] = self._link_numbers.get(event.peer, 0) + 1
                self._core.council.meet(event.hello)
                self._links.know(self._core.membership.named_by(event.hello))
                outlived = self._registry.outlived(event.hello)
                if outlived is not None:
                    self._links.drop(outlived, f"its name has gone to {event.peer}")
                self._hasten()
            case Down():
                self._connected.discard(event.peer)
                self._core.council.lose(event.peer)
        return True

    def _hasten(self) -> None:
        """Once a majority is in touch, nobody has to be waited for but a leader who is about to
        speak."""
        membership = self._core.membership
        in_touch = 1 + sum(1 for peer in self._connected if membership.votes(peer))
        if membership.is_majority(in_touch):
            self._core.elections.hasten()

    def _receive(self, peer: str, frame: bytes) -> bool:
        self._contacts[peer] = self._clock.now()
        if not frame:
            return False
        try:
            return self._core.receive(peer, wire.decode(frame))
        except WireError as error:
            self._links.drop(peer, str(error))
            return True

    def _route(self) -> Route | None:
        leader = self._core.engine.leader
        if leader is None:
            return None
        if leader != self._identity.address and leader not in self._connected:
            return None
        return (leader, self._core.engine.term, self._link_numbers.get(leader, 0))

    def _propose_expiries(self) -> None:
        leader = self._core.engine.leader
        if leader is None:
            return
        for expire in self._replica.due(self._rank(leader)):
            self._core.propose(commands.encode(LogCommand(body=expire)), EXPIRY_TIMEOUT)

    def _rank(self, leader: str) -> int:
        """0 for the raft leader, then 1, 2, … by address."""
        if leader == self._identity.address:
            return 0
        own = self._identity.address
        seats = {seat.address for seat in self._core.membership.seats}
        return 1 + sorted({own, *seats} - {leader}).index(own)

    def _observe(self) -> Facts:
        engine = self._core.engine
        return Facts(
            role=engine.role,
            leader=engine.leader,
            term=engine.term,
            commit_index=engine.commit_index,
            applied_index=engine.applied_index,
            majority=self._core.has_majority,
            roll=self._core.council.roll,
            matches=engine.matches if engine.is_leading else {},
            free_bytes=self._stable.free_bytes,
            state_bytes=self._replica.machine.size_bytes,
        )

    def _describe(self) -> RaftStatus:
        fsync = self._stable.fsync_times()
        own = self._links.problem
        contacts = dict(self._contacts)
        return status_of(self._facts, contacts, self._identity, self._registry, fsync, own)


def _session(identity: Identity, persisted: Persisted, random: Random) -> SessionId:
    """One life of one voter: no other can have the same."""
    return SessionId(
        voter=identity.name,
        incarnation=identity.incarnation,
        boot=persisted.boot,
        nonce=draw(random, 60),
    )


def draw(source: Random, bits: int) -> int:
    """So many random bits."""
    return source.getrandbits(bits)
