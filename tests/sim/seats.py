"""What must hold of the voters, whoever comes and goes.

- A raft leader has the votes of a majority of the seats that its log names, each given by the very
  incarnation that has the seat.
- What it calls committed lies on the disks of a majority of them; a disk counts for the
  incarnation that wrote it.
- Two sets of voters that follow one another differ in one voter at most, no replica has another
  set at an index, and no raft leader changes them before an entry of its own term is committed, or
  before its last change is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from msgspec import Struct

from raftha.consensus import wire
from raftha.consensus.configuration import Configuration
from raftha.consensus.node import RaftNode
from tests.sim.checkers import Verdicts
from tests.sim.clocks import TrueTime
from tests.sim.disk import Records
from tests.sim.host import Host

_VOTE = b"vote"
"""How a frame with a vote begins, after the byte that opens an array and the one of a string."""


class _Reign(Struct):
    """A raft leader in one term, as it was when it was last looked at."""

    term: int
    commit: int
    voters: Configuration | None


class SeatChecker:
    """Counts for itself who votes and who holds what; it asks a node only for its log."""

    def __init__(self, verdicts: Verdicts, time: TrueTime, hosts: Mapping[str, Host]) -> None:
        self._verdicts = verdicts
        self._time = time
        self._hosts = hosts
        self._founders = len(hosts)
        self._votes: dict[tuple[int, str], set[str]] = defaultdict(set)
        self._platters: dict[str, list[Records]] = defaultdict(list)
        self._reigns: dict[str, _Reign] = {}
        self._sets: dict[int, Configuration] = {}
        self.steps = 0

    def attach(self, host: Host) -> None:
        """A process began: what it finds on its disk, and writes there, is this incarnation's."""
        self._reigns.pop(host.name, None)
        platters = self._platters[host.disk.incarnation]
        if not any(host.disk.records is known for known in platters):
            platters.append(host.disk.records)

    def frame_sent(self, source: str, target: str, frame: bytes) -> None:
        """A frame left: is it a vote, and whose?"""
        if not frame.startswith(_VOTE, 2):
            return
        message = wire.decode(frame)
        if isinstance(message, wire.Vote):
            self._votes[message.term, target].add(self._hosts[source].disk.incarnation)

    def look_at(self, host: Host, node: RaftNode) -> None:
        """A round of this node has ended."""
        core = node._core
        self._look_at_steps(host.name, node)
        if not core.engine.is_leading:
            self._reigns.pop(host.name, None)
            return
        now = _Reign(core.engine.term, core.engine.commit_index, core.membership.latest)
        before = self._reigns.get(host.name)
        if before is None or before.term != now.term:
            self._check_election(host, now)
        elif now.commit > before.commit:
            self._check_commit(host, node, now, before.voters)
        self._reigns[host.name] = now

    def _look_at_steps(self, name: str, node: RaftNode) -> None:
        core = node._core
        for index, voters in core._journal.configurations._entries:
            if index <= core.engine.commit_index:
                known = self._sets.setdefault(index, voters)
                if known is not voters and known != voters:
                    self._verdicts.violate(f"S3: {name} has other voters at index {index}")
        if core.engine.is_leading:
            self._check_pace(name, node)

    def _check_pace(self, name: str, node: RaftNode) -> None:
        """Steps that this raft leader took, and that are not committed yet."""
        core, journal = node._core, node._core._journal
        settled, term = core.engine.commit_index, core.engine.term
        taken = [
            index
            for index, _ in journal.configurations._entries
            if index > settled and journal.term_at(index) == term
        ]
        if len(taken) > 1:
            self._verdicts.violate(f"voters: {name} took a step before the last was committed")
        if taken and journal.term_at(settled) != term:
            self._verdicts.violate(f"voters: {name} changed them before its term had committed")

    def _check_election(self, host: Host, reign: _Reign) -> None:
        given = self._votes[reign.term, host.name] | {host.disk.incarnation}
        if not self._is_majority(reign.voters, given):
            self._verdicts.violate(
                f"S2: {host.name} leads term {reign.term} by the votes of {sorted(given)}, which "
                f"are no majority of {_shown(reign.voters)}"
            )

    def _check_commit(
        self, host: Host, node: RaftNode, now: _Reign, before: Configuration | None
    ) -> None:
        """It may have been counted by the voters from before a step of this same round."""
        term = node._core._journal.term_at(now.commit)
        if term is None:
            return
        holders = {host.disk.incarnation, *self._holders(now.commit, term)}
        if not any(self._is_majority(voters, holders) for voters in (now.voters, before)):
            self._verdicts.violate(
                f"S3: {host.name} commits index {now.commit}, which {sorted(holders)} hold: no "
                f"majority of {_shown(now.voters)}"
            )

    def _holders(self, index: int, term: int) -> Iterable[str]:
        for host in self._hosts.values():
            host.disk.settle(self._time.now)
        for incarnation, platters in self._platters.items():
            if any(_holds(records, index, term) for records in platters):
                yield incarnation

    def _is_majority(self, voters: Configuration | None, incarnations: set[str]) -> bool:
        if voters is None:
            return len(incarnations) > self._founders / 2
        present = [seat for seat in voters.seats if seat.incarnation in incarnations]
        return len(present) > len(voters.seats) / 2

    def finish(self) -> None:
        """In the end: the sets of voters in the order of the log."""
        ordered = [self._sets[index] for index in sorted(self._sets)]
        for before, after in pairwise(ordered):
            changes = _changes(before, after)
            self.steps += changes
            if changes > 1:
                self._verdicts.violate(
                    f"voters: {_shown(before)} became {_shown(after)} in one step"
                )


def _holds(records: Records, index: int, term: int) -> bool:
    """Whether a disk holds the entry; what a snapshot took the place of was committed before."""
    entries = records.entries
    if not entries:
        return False
    place = index - entries[0].index
    if place < 0:
        return records.snapshot is not None
    return place < len(entries) and entries[place].term == term


def _changes(before: Configuration, after: Configuration) -> int:
    """Voters that came or went; to write down who answers at an address is no change."""
    old, new = ({seat.address: seat.incarnation for seat in v.seats} for v in (before, after))
    exchanged = [at for at in old.keys() & new.keys() if old[at] and old[at] != new[at]]
    return len(old.keys() ^ new.keys()) + 2 * len(exchanged)


def _shown(voters: Configuration | None) -> str:
    if voters is None:
        return "the first voters"
    return ", ".join(seat.incarnation or f"({seat.address})" for seat in voters.seats)
