"""One voter of the Raft group: what may be believed of a message, and what may be sent.

The core stands between the network and the library (`syncobj.py`), on one thread, and keeps these
rules:

- nothing that was written may show in a message before `flush` has made it durable, but for the
  entries that a raft leader offers to the others;
- the raft leader counts its own copy only when that copy is durable;
- a log entry is removed only at a proven conflict, and never if it was committed;
- a snapshot is installed only whole, sound and newer than the state;
- an election disturbs nobody unless a majority would support it (`elections.py`);
- the voters are those whom the log names (`council.py`);
- what should be impossible (two leaders in a term, a committed entry contradicted) ends the process
  through `fatal`, because going on would spread it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final, Protocol, assert_never

from raftha.clock import Clock
from raftha.consensus import configuration, wire
from raftha.consensus.commands import Body, NewerFormat, WireError
from raftha.consensus.compaction import Compaction
from raftha.consensus.configuration import Seat
from raftha.consensus.council import Council
from raftha.consensus.elections import Elections
from raftha.consensus.forwards import Intake, Report
from raftha.consensus.journal import Journal
from raftha.consensus.marks import Marks
from raftha.consensus.membership import Membership
from raftha.consensus.news import News
from raftha.consensus.snapshots import Assembly
from raftha.consensus.stable import Origin, Persisted, StableStore
from raftha.consensus.state import LogEntry, unseal
from raftha.consensus.syncobj import Engine
from raftha.errors import StorageFailed
from raftha.instants import Seconds
from raftha.model.settings import RaftTimings
from raftha.model.store import RaftRole

COMPACTION_PAUSE: Final = Seconds(0.02)
"""Between two parts of a snapshot in the making, if nothing else calls for a round."""


class Replica(Protocol):
    """What the log is for."""

    def appended(self, index: int) -> None:
        """An entry arrived at this index, perhaps to be replaced later."""

    def apply(self, index: int, payload: bytes) -> None:
        """The entry at this index is committed."""

    def lack_of_room(self, body: Body, under_way: int) -> str | None:
        """Why there is no room for a command, with so many bytes under way; None if there is."""

    def dump(self) -> Iterator[bytes]:
        """The whole state as it is now, for a snapshot, in pieces that are made one by one."""

    def restore(self, data: bytes) -> None:
        """Take this state. Raises WireError if it is none."""


class RaftCore:
    """Call `tick` often, `receive` for each message, and send what `flush` hands out."""

    def __init__(
        self,
        *,
        own: Seat,
        partners: tuple[str, ...],
        timings: RaftTimings,
        persisted: Persisted,
        store: StableStore,
        replica: Replica,
        clock: Clock,
        random: Random,
        fatal: Callable[[str], object],
        report: Report,
    ) -> None:
        self._timings = timings
        self._store = store
        self._replica = replica
        self._clock = clock
        self._random = random
        self._fatal = fatal
        self._journal = Journal(store, replica.appended, fatal)
        self.membership = Membership(
            own=own,
            partners=partners,
            standing=persisted.standing,
            first_seen=persisted.voters,
            log=self._journal.configurations,
        )
        self._marks = Marks(persisted.marks)
        self._assembly = Assembly(
            lambda part, first: store.stage(Origin.RECEIVED, part, first=first)
        )
        self._ticked = self._now()
        self.engine = Engine(
            address=own.address,
            timings=timings,
            now=self._now,
            random=random,
            make_durable=store.sync,
            apply=lambda index, payload: self._replica.apply(index, payload),
        )
        self._intake = Intake(self.engine, self._journal, report, replica.lack_of_room)
        self._news = News(self.engine, self._journal, self._intake)
        self.elections = self._make_elections()
        self.council = self._make_council()
        self._compaction = self._make_compaction()
        self._adopt(persisted)

    def _make_elections(self) -> Elections:
        return Elections(
            engine=self.engine,
            membership=self.membership,
            journal=self._journal,
            timings=self._timings,
            marks=self._marks,
            random=self._random,
            now=self._now,
        )

    def _make_council(self) -> Council:
        return Council(
            membership=self.membership,
            engine=self.engine,
            journal=self._journal,
            store=self._store,
            random=self._random,
            now=self._now,
            fallback=self._timings.fallback,
            patience=self._timings.election_max,
            marks=self._marks,
        )

    def _make_compaction(self) -> Compaction:
        return Compaction(
            journal=self._journal,
            store=self._store,
            feed=self.engine.feed,
            dump=self._replica.dump,
            now=self._now(),
        )

    # What the node calls.

    def speak(self) -> list[tuple[str, wire.Message]]:
        """Nothing has changed: a heartbeat if one is due, and the answer to one, are all there is
        to say. It is said only when what it reflects is durable, as everything is."""
        self._ticked = self._now()
        if self.heartbeat_due < self._ticked:
            self.engine.send_entries()
        return self.flush() if self.engine.out else []

    def tick(self) -> None:
        """Elections, commitment, application, sending: everything that is due now."""
        now = self._now()
        self.elections.grant_time_after_pause(now, self._ticked)
        if self.engine.is_leading:
            self._sync()
            self.council.advance()
        else:
            self.elections.tick(now)
        self.engine.turn()
        self._news.tell(now)
        self._compaction.turn(now, self.engine.applied_index)
        self._ticked = now

    def receive(self, peer: str, message: wire.Message) -> bool:
        """Take one message from a linked node. Returns whether anything but an answer may follow
        from it: mostly nothing does. Raises WireError if it makes no sense."""
        if not self.membership.knows(peer):
            return False
        matters = self._dispatch(peer, message)
        self.council.follow_log()
        return matters

    def propose(self, payload: bytes, remaining: Seconds) -> bool:
        """Append a command, or forward it to the raft leader; False if neither is possible."""
        if self.engine.is_leading:
            return self._intake.append(payload)
        leader = self.engine.leader
        if leader is None or not self.membership.knows(leader):
            return False
        useful = min(max(0.0, remaining), wire.MAX_REMAINING_S)
        self.engine.out.append((leader, wire.Forward(payload, useful)))
        return True

    def objection(self, body: Body) -> str | None:
        """Why a command is not to be proposed at all; None if it may be."""
        return self._intake.objection(body)

    def offer(self) -> list[tuple[str, wire.Message]]:
        """New entries of a raft leader: they claim nothing about its disk, so they leave before it
        holds them; but if anything else waits, they wait for `flush` too, in order."""
        if not self.engine.is_leading or self.engine.out:
            return []
        self._news.tell(self._now())
        return self.engine.take_out()

    def flush(self) -> list[tuple[str, wire.Message]]:
        """Make everything durable, then hand out the messages that reflect it."""
        self._sync()
        return self.engine.take_out()

    def compact(self) -> None:
        """Begin to put the applied state in place of the log that led to it; `tick` goes on."""
        self._compaction.begin(self._now(), self.engine.applied_index)

    @property
    def wait(self) -> Seconds:
        """Seconds until something of the core's own is due that changes anything."""
        if self._compaction.is_under_way:
            return COMPACTION_PAUSE
        leading = self.engine.is_leading
        due = self.council.answers_lapse() if leading else self.engine.election_due
        return Seconds(max(0.0, due - self._now()))

    @property
    def heartbeat_due(self) -> float:
        """When this raft leader must speak again, on the raw clock; never if it is none."""
        return self.engine.heartbeat_due if self.engine.is_leading else math.inf

    @property
    def has_majority(self) -> bool:
        """Whether a majority is in touch now: it answers this leader, or its leader is heard."""
        if self.engine.role is not RaftRole.LEADER:
            horizon = self._now() - self._timings.fallback
            return self.engine.leader is not None and self.elections.leader_heard > horizon
        return self.membership.is_majority(len(self.council.answering()))

    # Start.

    def _adopt(self, persisted: Persisted) -> None:
        """Begin with what the store holds. Raises StorageFailed if its parts do not fit."""
        try:
            image = None if persisted.snapshot is None else unseal(persisted.snapshot)
            self._journal.open(persisted, image)
        except WireError as error:
            raise StorageFailed(f"the stored log is damaged: {error}") from error
        term = max(persisted.term, self._journal[-1][2])
        vote = persisted.vote if term == persisted.term else None
        self._journal.setCurrentTerm(term, vote)
        self.engine.adopt(self._journal, term, vote)
        self.council.follow_log()
        if persisted.snapshot is None or image is None:
            return
        try:
            self._replica.restore(image.state)
        except WireError as error:
            raise StorageFailed(f"the stored snapshot is damaged: {error}") from error
        if self._journal.term_at(image.head.last.index) != image.head.last.term:
            raise StorageFailed("the stored log does not continue the stored snapshot")
        self.engine.jump_to(image.head.last.index)
        self.engine.feed.offer(persisted.snapshot)

    # Messages.

    def _dispatch(self, peer: str, message: wire.Message) -> bool:
        match message:
            case wire.Append():
                before = self._gist()
                self._take_entries(peer, message)
                return self._gist() != before
            case wire.Chunk():
                self._take_chunk(peer, message)
            case wire.Progress():
                return self._take_progress(peer, message)
            case wire.AskVote() | wire.Vote() | wire.Canvass() | wire.Support():
                self.elections.take(peer, message)
            case wire.Stale():
                if self.membership.votes(peer):
                    self.engine.follow_term(message.term)
            case wire.Forward():
                if self.engine.is_leading and message.remaining > 0:
                    self._intake.take(peer, message.payload)
            case _:
                assert_never(message)
        return True

    def _gist(self) -> tuple[int, int, int, str | None]:
        """What of the log and the leadership a round acts on."""
        engine = self.engine
        return self._journal.last_index, engine.commit_index, engine.term, engine.leader

    def _accept_leader(self, peer: str, term: int) -> bool:
        """Whether this comes from the rightful raft leader; an outdated one is told so."""
        if term < self.engine.term:
            self.engine.out.append((peer, wire.Stale(self.engine.term)))
            return False
        if self.engine.is_leading and term == self.engine.term:
            self._fatal(f"two raft leaders in term {term}: this node and {peer}")
            return False
        self.elections.hear_leader()
        return True

    def _take_entries(self, peer: str, message: wire.Append) -> None:
        """Keep what is there already, cut only at a conflict, add what is new."""
        previous, entries = message.prev_index, message.entries
        if any(entry.index != previous + 1 + i for i, entry in enumerate(entries)):
            raise WireError("log entries that do not follow one another")
        self._check_voters(entries)
        if not self._accept_leader(peer, message.term):
            return
        if self._journal.term_at(previous) != message.prev_term:
            self.engine.hear_leader(peer, message.term, 0)
            self.engine.ask_again(peer)
            return
        known = self._known_prefix(entries)
        last = previous + len(entries)
        if known == len(entries):
            self.engine.hear_leader(peer, message.term, min(message.commit, last))
            if entries or not self.engine.acknowledged_lately(peer, last + 1):
                self.engine.acknowledge(peer, last + 1)
            return
        fresh = entries[known:]
        before = fresh[0].index - 1
        if before < max(self.engine.commit_index, self.engine.applied_index):
            self._fatal(f"{peer} wants to overwrite committed entry {before + 1}")
            return
        term_before = self._journal.at(before)[2]
        tail = wire.Append(message.term, message.commit, before, term_before, fresh)
        self.engine.hand(peer, tail)

    def _check_voters(self, entries: Sequence[LogEntry]) -> None:
        """No entry is kept whose set of voters cannot be read. Raises WireError."""
        try:
            for entry in entries:
                configuration.decode(entry.command)
        except NewerFormat as error:
            self._fatal(str(error))

    def _known_prefix(self, entries: Sequence[LogEntry]) -> int:
        """How many of these entries the log holds already."""
        for count, entry in enumerate(entries):
            if self._journal.term_at(entry.index) != entry.term:
                return count
            if self._journal.at(entry.index)[0] != entry.command:
                self._fatal(f"entry {entry.index} of term {entry.term} exists with two contents")
        return len(entries)

    def _take_chunk(self, peer: str, message: wire.Chunk) -> None:
        """Collect a snapshot in memory. A chunk says nothing about our log, so it commits none."""
        if not self._accept_leader(peer, message.term):
            return
        self.engine.hear_part(peer, message.term)
        sealed = self._assembly.add((peer, message.term), message)
        if sealed is None:
            return
        image = unseal(sealed)
        if image.head.last.index <= self.engine.applied_index:
            self.engine.ask_again(peer)
            return
        self._replica.restore(image.state)
        self._store.replace(self._journal.install(image))
        self._compaction.abandon()
        self.engine.jump_to(image.head.last.index)
        self.engine.feed.offer(sealed)
        self.engine.acknowledge(peer, image.head.last.index + 1)

    def _take_progress(self, peer: str, message: wire.Progress) -> bool:
        """Whether something may follow: the follower holds what is not committed, or the voters are
        about to change."""
        if message.term != self.engine.term or not self.engine.is_leading:
            return False
        if message.next_index > self._journal.last_index + 1:
            self._fatal(f"{peer} holds entries that its raft leader, this node, does not")
            return False
        voter = self.membership.voter_at(peer)
        if voter is not None:
            self.council.hear(voter)
        if message.success and voter is not None:
            self._marks.acknowledged(voter, message.term, message.next_index - 1, self._now())
        party = self.membership.party_id(peer)
        if not self.engine.follows(party):
            return False
        self.engine.hand(party, message)
        return message.next_index - 1 > self.engine.commit_index or not self.council.is_settled

    # Small parts.

    def _sync(self) -> None:
        """What peers promised waits a while, and goes to the disk with something else."""
        if self._marks.is_late(self._now()):
            self._store.save_marks(self._marks.take_unsaved())
        self._store.sync()

    def _now(self) -> float:
        return self._clock.raw()
