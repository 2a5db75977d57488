"""The Raft library, made safe to stand on: pysyncobj with its unsafe parts replaced.

The only file that imports pysyncobj, and the only one that touches its private names; `core.py`
drives it through the plain methods of `Engine`. What is kept of the library is the election, the
commit rule and the sending of entries; `docs/consensus.md` lists what is replaced, by hazard.

The engine reads no clock but the injected one, does no I/O but through its journal, and sends
nothing itself: messages gather in `out` until the core lets them leave.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from random import Random
from typing import Any, Final
from zlib import crc32

from raftha.consensus import wire
from raftha.consensus.absent import without
from raftha.consensus.journal import Journal
from raftha.consensus.snapshots import Feed
from raftha.errors import RafthaError
from raftha.instants import Seconds
from raftha.model.settings import RaftTimings
from raftha.model.store import RaftRole

# For passwords of its own, which nothing here uses, the library loads `cryptography` where that is
# installed: 8 MiB of every node's memory.
with without("cryptography"):
    import pysyncobj.syncobj as library
    from pysyncobj import SyncObj, SyncObjConf
    from pysyncobj.node import Node

AUDITED_VERSION: Final = "0.3.17"
AUDITED: Final = {
    "__init__": "09df12cd7fd7d727",
    "_onTick": "cc9eb08232d005ba",
    "_checkCommandsToApply": "a386a8079361d204",
    "_SyncObj__applyLogEntries": "073db677773b5a2d",
    "_SyncObj__doApplyCommand": "1ea7aa506e950d0a",
    "_SyncObj__onMessageReceived": "ddfe34b6c0282179",
    "_SyncObj__sendNextNodeIdx": "68aaeefc267b8896",
    "_SyncObj__generateRaftTimeout": "92ed37d3620e781a",
    "_SyncObj__onNodeConnected": "2655afb481b4c69b",
    "_SyncObj__onNodeDisconnected": "a81c0475ba2218cc",
    "_SyncObj__getCurrentLogIndex": "e5af22ca246686bd",
    "_SyncObj__getCurrentLogTerm": "1cb8867e6a13d397",
    "_SyncObj__getPrevLogIndexTerm": "6766914806ae2311",
    "_SyncObj__getEntries": "e29c4b33293b2101",
    "_SyncObj__deleteEntriesFrom": "3b23c411bb903d36",
    "_SyncObj__onBecomeLeader": "5a3fd97bc17dc1cf",
    "_SyncObj__setCurrentTerm": "0ad5bf456ac06bd3",
    "_SyncObj__setState": "2c1f239f7bd79b39",
    "_SyncObj__onLeaderChanged": "53b7685e1d897887",
    "_SyncObj__sendAppendEntries": "9cb9073128c392fa",
    "_SyncObj__connectedToAnyone": "acd40e9e3ac6c4cc",
    "_SyncObj__parseChangeClusterRequest": "b2d5d695b12e592f",
    "_SyncObj__tryLogCompaction": "c2f8a0ec14cc7312",
}
"""Private parts of the library that this file overrides or relies on, each with the start of the
SHA-256 of the source that was audited."""

_REGULAR: Final = b"\x00"
_FOLLOWER: Final = 0
_LEADER: Final = 2
_BATCH_BYTES: Final = 256 * 1024
_NEVER: Final = 10**9
_NOTHING: Final = ("", 0, 0), float("-inf")


class LibraryMismatch(RafthaError):
    """The installed pysyncobj is not the one that was audited."""


class _Voter(Node):  # type: ignore[misc]
    """A node whose hash, and so the library's order of sets, is the same in every process."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._hash = crc32(address.encode())

    def __hash__(self) -> int:
        return self._hash


class _Outbox:
    """Stands where the library expects a transport: collects messages until they may leave."""

    ready = True

    def __init__(self) -> None:
        self.messages: list[tuple[str, wire.Message]] = []

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        packed = wire.from_library(message)
        if packed is not None:
            self.messages.append((node.id, packed))
        return True

    def ignore(self, *_: object) -> None:
        """The library registers callbacks here; the core calls it directly instead."""

    setOnNodeConnectedCallback = ignore  # noqa: N815
    setOnNodeDisconnectedCallback = ignore  # noqa: N815
    setOnMessageReceivedCallback = ignore  # noqa: N815
    setOnReadonlyNodeConnectedCallback = ignore  # noqa: N815
    setOnReadonlyNodeDisconnectedCallback = ignore  # noqa: N815
    setOnUtilityMessageCallback = ignore  # noqa: N815
    destroy = ignore


class _IdlePoller:
    """The library ends each tick by polling its sockets; it has none."""

    def poll(self, timeout: float) -> None:
        """Nothing to wait for."""


_present: ContextVar[Callable[[], float]] = ContextVar("present")


def verify_library(audited: Mapping[str, str]) -> None:
    """Raise LibraryMismatch unless every part that this file leans on is the audited one."""
    changed = [name for name, digest in audited.items() if _source_digest(name) != digest]
    if library.VERSION != AUDITED_VERSION or changed:
        raise LibraryMismatch(
            f"pysyncobj {library.VERSION} is installed, raftha needs exactly {AUDITED_VERSION} "
            f"unmodified (differs: {', '.join(changed) or 'version'}): "
            f"pip install 'pysyncobj=={AUDITED_VERSION}'"
        )


def _source_digest(name: str) -> str:
    part = SyncObj.__dict__.get(name)
    source = "" if part is None else inspect.getsource(part)
    return hashlib.sha256(source.encode()).hexdigest()[:16]


verify_library(AUDITED)
library.monotonicTime = lambda: _present.get()()


class Engine(SyncObj):  # type: ignore[misc]
    """One voter's Raft state. All calls come from one thread."""

    def __init__(
        self,
        *,
        address: str,
        peers: Sequence[str],
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
        self._voters = {peer: _Voter(peer) for peer in peers}
        self._outbox = _Outbox()
        self._acknowledged = _NOTHING
        self.feed = Feed()
        # The library's constructor reads every attribute of its object, properties too.
        self._SyncObj__newAppendEntriesTime = 0.0
        self._bind_time()
        super().__init__(
            _Voter(address),
            list(self._voters.values()),
            _configuration(timings),
            transport=self._outbox,
        )
        self._poller = _IdlePoller()

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
        """Whether exactly this was said on this link, so lately that to say it again would tell the
        raft leader nothing, not even that this node lives."""
        said, when = self._acknowledged
        recent = self._now() - when < self._timings.append_period / 2
        return recent and said == (peer, self.term, next_index)

    def ask_again(self, peer: str) -> None:
        """Tell the raft leader to go back to where both logs surely agree. Going back one entry at
        a time, as the library does, may never end while the backlog spans several messages."""
        common = max(self.commit_index, self.applied_index)
        self._progress(peer, common + 1, reset=True, success=False)

    def connected(self, peer: str) -> None:
        """A link to this voter is up."""
        self._acknowledged = _NOTHING
        self._SyncObj__onNodeConnected(self._voters[peer])

    def disconnected(self, peer: str) -> None:
        """The link is gone: a snapshot on it starts over, or its parts would not fit together."""
        self.feed.cancelTransmisstion(self._voters[peer])
        self._SyncObj__onNodeDisconnected(self._voters[peer])

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

    @property
    def answers(self) -> Mapping[str, float]:
        """When each follower last answered this raft leader."""
        return {node.id: heard for node, heard in self._SyncObj__lastResponseTime.items()}

    @property
    def matches(self) -> Mapping[str, int]:
        """What this raft leader knows each follower to hold."""
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
        if command[:1] == _REGULAR:
            self._apply(self.applied_index + 1, command[1:])

    def _SyncObj__parseChangeClusterRequest(self, _command: bytes) -> None:  # noqa: N802
        """Members are configured, never changed through the log."""

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
        super()._SyncObj__onMessageReceived(self._voters[peer], message)

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
