"""The Raft library, made safe to stand on: pysyncobj with its unsafe parts replaced.

The only file that imports pysyncobj, and the only one that touches its private names; `core.py`
drives it through the plain methods of `Engine`. What is kept of the library is the election, the
commit rule and the sending of entries; `docs/consensus.md` lists what is replaced, by hazard.

The engine reads no clock but the injected one, does no I/O but through its journal, and sends
nothing itself: messages gather in `out` until the core lets them leave.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from random import Random
from typing import Any, Final
from zlib import crc32

from raftha.consensus import wire
from raftha.consensus.absent import without
from raftha.consensus.audit import verify_library
from raftha.consensus.commands import REGULAR
from raftha.consensus.configuration import Seat, party_id
from raftha.consensus.journal import Journal
from raftha.consensus.outbox import IdlePoller, Outbox
from raftha.consensus.snapshots import Feed
from raftha.instants import Seconds
from raftha.model.settings import RaftTimings
from raftha.model.store import RaftRole

# For passwords of its own, which nothing here uses, the library loads `cryptography` where that is
# installed: 8 MiB of every node's memory.
with without("cryptography"):
    import pysyncobj.syncobj as library
    from pysyncobj import SyncObj, SyncObjConf
    from pysyncobj.node import Node

_FOLLOWER: Final = 0
_LEADER: Final = 2
_BATCH_BYTES: Final = 256 * 1024
_NEVER: Final = 10**9
_NOTHING: Final = ("", 0, 0), float("-inf")


class _Party(Node):  # type: ignore[misc]
    """A node whose hash, and so the library's order of sets, is the same in every process. A voter
    goes by its address; a newcomer behind it by its incarnation too, so that what it holds is never
    counted as the voter's."""

    def __init__(self, seat: Seat, *, votes: bool = True) -> None:
        super().__init__(seat.address if votes else party_id(seat))
        self.seat = seat
        self._hash = crc32(self.id.encode())

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, _Party) and self._id == other._id)


_present: ContextVar[Callable[[], float]] = ContextVar("present")


verify_library(SyncObj, library.VERSION)
library.monotonicTime = lambda: _present.get()()


class Engine(SyncObj):  # type: ignore[misc]
    """One voter's Raft state. All calls come from one thread."""

    def __init__(
        self,
        *,
        address: str,
        timings: RaftTimings,
        now: Callable[[], float],
        random: Random,
        make_durable: Callable[[], None],
        apply: Callable[[int, bytes], None],
    ) -> None:
        self._timings = timings
        self._now = now
        self._random = random
        self._make_durable = make_durable
        self._apply = apply
        self._parties: dict[str, _Party] = {}
        self._outbox = Outbox()
        self._acknowledged = _NOTHING
        self.feed = Feed()
        # The library's constructor reads every attribute of its object, properties too.
        self._SyncObj__newAppendEntriesTime = 0.0
        self._bind_time()
        own = _Party(Seat(address))
        super().__init__(own, [], _configuration(timings), transport=self._outbox)
        self._poller = IdlePoller()

    def adopt(self, journal: Journal, term: int, vote: str | None) -> None:
        """Stand on this log, term and vote instead of the library's own, empty ones."""
        self._SyncObj__raftLog = journal
        self._SyncObj__serializer = self.feed
        self._SyncObj__needLoadDumpFile = False
        self._SyncObj__raftCurrentTerm = term
        self._SyncObj__votedForNodeId = vote

    # What happens.

    def turn(self) -> None:
        """The library's tick: election if due, commit, apply, heartbeat if due."""
        self._bind_time()
        super()._onTick(0.0)

    def hand(self, peer: str, message: wire.Message) -> None:
        """Let the library's handler see a message that has passed our checks."""
        self._hand(peer, wire.to_library(message))

    def hear_leader(self, peer: str, term: int, commit: int) -> None:
        """Take note of who leads, of the term, and of a commit index that our log surely has."""
        header = {"type": "append_entries", "term": term, "commit_index": commit}
        self._hand(peer, header)

    def hear_part(self, peer: str, term: int) -> None:
        """A part of a snapshot tells who leads, and moves no commit index. The answer claims only
        that this node lives: without any the raft leader steps down, and the next begins anew."""
        self.hear_leader(peer, term, 0)
        self._progress(peer, 1, reset=False, success=False)

    def follow_term(self, term: int) -> None:
        """Someone is in a later term: become a follower in it."""
        if term > self.term:
            self._SyncObj__setCurrentTerm(term, None)
            self._SyncObj__setState(_FOLLOWER)
            self._SyncObj__raftLeader = None

    def forget_leader(self) -> None:
        """The raft leader has not been heard for too long."""
        self._SyncObj__raftLeader = None

    def step_down(self, patience: Seconds) -> None:
        """Lead no more, and leave it to others to stand for so long."""
        self._SyncObj__setState(_FOLLOWER)
        self.forget_leader()
        self.election_due = self._now() + patience

    def jump_to(self, index: int) -> None:
        """A snapshot brought the state to this index."""
        self._SyncObj__raftLastApplied = index
        self._SyncObj__raftCommitIndex = max(self.commit_index, index)

    def send_entries(self) -> None:
        """Send every follower what it lacks, or a heartbeat, now."""
        self._bind_time()
        self._SyncObj__sendAppendEntries()

    def acknowledge(self, peer: str, next_index: int) -> None:
        """Tell the raft leader that everything before this index is held."""
        self._acknowledged = (peer, self.term, next_index), self._now()
        self._progress(peer, next_index, reset=False, success=True)

    def acknowledged_lately(self, peer: str, next_index: int) -> bool:
        """Whether just this was said on this link lately: every other heartbeat is answered."""
        said, when = self._acknowledged
        recent = self._now() - when < self._timings.append_period * 1.5
        return recent and said == (peer, self.term, next_index)

    def ask_again(self, peer: str) -> None:
        """Tell the raft leader to go back to where both logs surely agree. Going back one entry at
        a time, as the library does, may never end while the backlog spans several messages."""
        common = max(self.commit_index, self.applied_index)
        self._progress(peer, common + 1, reset=True, success=False)

    def arrange(
        self, voters: Sequence[Seat], newcomers: Sequence[Seat], linked: Collection[str]
    ) -> None:
        """From now on these other voters count, these newcomers are given the log, and these
        addresses are in touch. A newcomer that became a voter keeps what it holds."""
        self._acknowledged = _NOTHING
        before = {**self._parties}
        seated = [_Party(seat) for seat in voters]
        others = [_Party(seat, votes=False) for seat in newcomers]
        self._parties = {party.id: party for party in (*seated, *others)}
        for key, gone in before.items():
            if key not in self._parties:
                self._forget(gone, self._parties.get(gone.seat.address))
            elif gone.seat.is_bound and gone.seat != self._parties[key].seat:
                self._forget(gone, None)
        for party in self._parties.values():
            self._begin(party)
        self._SyncObj__otherNodes = set(seated)
        self._SyncObj__readonlyNodes = set(others)
        present = [party for party in self._parties.values() if party.id in linked]
        self._SyncObj__connectedNodes = set(present)

    def disconnected(self, party: str) -> None:
        """The link is gone: a snapshot on it starts over, or its parts would not fit together."""
        self.feed.cancelTransmisstion(self._party(party))

    # What is known.

    @property
    def out(self) -> list[tuple[str, wire.Message]]:
        """Messages that wait to be sent."""
        return self._outbox.messages

    def take_out(self) -> list[tuple[str, wire.Message]]:
        """Hand the waiting messages over."""
        messages, self._outbox.messages = self._outbox.messages, []
        return messages

    @property
    def term(self) -> int:
        return int(self.raftCurrentTerm)

    @property
    def commit_index(self) -> int:
        return int(self.raftCommitIndex)

    @property
    def applied_index(self) -> int:
        return int(self.raftLastApplied)

    @property
    def is_leading(self) -> bool:
        return bool(self._SyncObj__raftState == _LEADER)

    @property
    def role(self) -> RaftRole:
        roles = (RaftRole.FOLLOWER, RaftRole.CANDIDATE, RaftRole.LEADER)
        return roles[self._SyncObj__raftState]

    @property
    def leader(self) -> str | None:
        """The address of the raft leader, as far as is known."""
        node = self._SyncObj__raftLeader
        return None if node is None else str(node.id)

    @property
    def heartbeat_due(self) -> float:
        """When the raft leader must speak again, on the injected clock."""
        return float(self._SyncObj__newAppendEntriesTime)

    @heartbeat_due.setter
    def heartbeat_due(self, when: float) -> None:
        self._SyncObj__newAppendEntriesTime = when

    @property
    def election_due(self) -> float:
        """When a follower loses patience, on the injected clock."""
        return float(self._SyncObj__raftElectionDeadline)

    @election_due.setter
    def election_due(self, when: float) -> None:
        self._SyncObj__raftElectionDeadline = when

    def draw_patience(self) -> Seconds:
        """A random time to wait for a raft leader."""
        low, high = self._timings.election_min, self._timings.election_max
        return Seconds(low + (high - low) * self._random.random())

    def follows(self, party: str) -> bool:
        """Whether this raft leader keeps account of this party."""
        return self._party(party) in self._SyncObj__raftMatchIndex

    @property
    def answers(self) -> Mapping[str, float]:
        """When each follower last answered this raft leader."""
        return {node.id: heard for node, heard in self._SyncObj__lastResponseTime.items()}

    @property
    def matches(self) -> Mapping[str, int]:
        """What this raft leader knows each party to hold."""
        return {node.id: index for node, index in self._SyncObj__raftMatchIndex.items()}

    # Parts of the library that are replaced, under its names.

    def _SyncObj__generateRaftTimeout(self) -> float:  # noqa: N802
        return self.draw_patience()

    def _SyncObj__setCurrentTerm(self, term: int, vote: str | None) -> None:  # noqa: N802
        """Storage first: the library changes memory first, and after a failed write leads on in a
        term that is not its own."""
        self._SyncObj__raftLog.setCurrentTerm(term, vote)
        self._SyncObj__raftCurrentTerm = term
        self._SyncObj__votedForNodeId = vote

    def _SyncObj__onBecomeLeader(self) -> None:  # noqa: N802
        """The first entry of a new raft leader is durable before it is counted."""
        super()._SyncObj__onBecomeLeader()
        self._make_durable()

    def _SyncObj__sendNextNodeIdx(  # noqa: N802
        self,
        node: Node,
        reset: bool = False,
        nextNodeIdx: int | None = None,  # noqa: N803
        success: bool = False,
    ) -> None:
        """The answer to an append. The library's own carries no term, so a later one could count
        it; and only an index that was compared with the raft leader's log is acknowledged."""
        if success and nextNodeIdx is not None:
            self.acknowledge(node.id, nextNodeIdx)
        elif reset:
            self.ask_again(node.id)

    def _SyncObj__doApplyCommand(self, command: bytes) -> None:  # noqa: N802
        """No pickle, no membership or version commands: one kind of entry does anything at all."""
        if command[:1] == REGULAR:
            self._apply(self.applied_index + 1, command[1:])

    def _SyncObj__parseChangeClusterRequest(self, _command: bytes) -> None:  # noqa: N802
        """Voters change by entries of our own kind, which the library knows nothing of."""

    def _SyncObj__tryLogCompaction(self) -> None:  # noqa: N802
        """The core compacts: snapshot and log change in one transaction."""

    def _checkCommandsToApply(self) -> None:  # noqa: N802
        """The library's queue stays empty: the core appends."""

    def _bind_time(self) -> None:
        """From now on the library reads this voter's clock, in this thread: before each call that
        may let it read one."""
        _present.set(self._now)

    def _hand(self, peer: str, message: dict[str, Any]) -> None:
        self._bind_time()
        super()._SyncObj__onMessageReceived(self._party(peer), message)

    def _party(self, key: str) -> _Party:
        """Whoever goes by this id; a raft leader may be one that has no seat in our log yet."""
        return self._parties.get(key) or _Party(Seat(key))

    def _begin(self, party: _Party) -> None:
        """A raft leader knows nothing yet of what this one holds."""
        if self.is_leading:
            self._SyncObj__raftMatchIndex.setdefault(party, 0)
            self._SyncObj__raftNextIndex.setdefault(party, self._SyncObj__getCurrentLogIndex() + 1)
            self._SyncObj__lastResponseTime.setdefault(party, self._now())

    def _forget(self, gone: _Party, heir: _Party | None) -> None:
        self.feed.cancelTransmisstion(gone)
        is_same = heir is not None and heir.seat.incarnation == gone.seat.incarnation
        for known in (
            self._SyncObj__raftMatchIndex,
            self._SyncObj__raftNextIndex,
            self._SyncObj__lastResponseTime,
        ):
            value = known.pop(gone, None)
            if is_same and value is not None:
                known[heir] = value

    def _progress(self, peer: str, next_index: int, *, reset: bool, success: bool) -> None:
        self.out.append((peer, wire.Progress(self.term, next_index, reset, success)))


def _configuration(timings: RaftTimings) -> SyncObjConf:
    return SyncObjConf(
        autoTick=False,
        appendEntriesUseBatch=True,
        appendEntriesBatchSizeBytes=_BATCH_BYTES,
        commandsWaitLeader=False,
        connectionTimeout=max(timings.dead_after, timings.election_max),
        dynamicMembershipChange=False,
        raftMinTimeout=timings.election_min,
        raftMaxTimeout=timings.election_max,
        appendEntriesPeriod=timings.append_period,
        leaderFallbackTimeout=timings.fallback,
        logCompactionMinEntries=_NEVER,
        logCompactionMinTime=_NEVER,
        useFork=False,
    )
