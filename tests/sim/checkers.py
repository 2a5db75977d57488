"""What must hold in the consensus world, checked by code that shares nothing with the product's.

- S2: a term has one raft leader;
- S3: an index is applied with one content, one result and one state on every replica;
- S4: each result is the model's; what clients saw of each key is linearizable; what was
  acknowledged is there in the end, and what was refused is not;
- S5: no two guardians let a primary live at one true instant, and nobody proposes to end a lease
  while a guardian counts on it;
- watches report every change of the model's history once and in order, or say `Compacted`.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Final

from msgspec import Struct

from raftha.consensus import state
from raftha.consensus.commands import Expire, LogCommand
from raftha.consensus.machine import Machine, Result
from raftha.consensus.node import RaftNode
from raftha.consensus.watch import Watch
from raftha.errors import Compacted
from raftha.model.ids import Revision
from raftha.model.store import RaftRole
from tests.sim.clocks import TrueTime
from tests.sim.host import Host
from tests.sim.model import Answer, Model, answer_of, occurrence_of

HASH_EVERY: Final = 8
"""The whole state is compared at each so many-th index and after a restart; its results, always."""


class Line(Struct):
    """What was applied at an index first; every other replica must agree."""

    payload: bytes
    answer: Answer
    digest: str | None = None


class Verdicts:
    """Collects violations, each once, and keeps the last things that happened."""

    def __init__(self, time: TrueTime) -> None:
        self._time = time
        self.violations: list[str] = []
        self.trace = hashlib.sha256()
        self.recent: list[str] = []

    def violate(self, text: str) -> None:
        """A promise is broken."""
        self.note(f"VIOLATION {text}")
        if text not in self.violations:
            self.violations.append(text)

    def note(self, text: str) -> None:
        """Something worth knowing when a seed is looked at."""
        line = f"{self._time.now:9.3f} {text}"
        self.trace.update(line.encode())
        self.recent.append(line)


class LogChecker:
    """S2, S3 and the sequential half of S4: taps every replica."""

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts
        self.model = Model()
        self.lines: dict[int, Line] = {}
        self.leaders: dict[int, str] = {}
        self._last: tuple[LogCommand, Result] | None = None
        self._fresh: set[str] = set()

    def attach(self, name: str, node: RaftNode) -> None:
        """Hear of everything that this node's replica applies from now on."""
        replica = node._replica
        apply, heard = replica.apply, replica._heard
        self._fresh.add(name)

        def tapped(command: LogCommand, result: Result) -> None:
            self._last = (command, result)
            heard(command, result)

        def checked(index: int, payload: bytes) -> None:
            apply(index, payload)
            self._applied(name, index, payload, replica.machine)

        replica._heard = tapped
        replica.apply = checked  # type: ignore[method-assign]

    def look_at(self, name: str, node: RaftNode) -> None:
        """A round of this node has ended."""
        engine = node._core.engine
        if engine.role is RaftRole.LEADER:
            first = self.leaders.get(engine.term)
            if first is None:
                self.leaders[engine.term] = name
                self._verdicts.note(f"{name} leads term {engine.term}")
            elif first != name:
                self._verdicts.violate(f"S2: term {engine.term} has leaders {first} and {name}")

    def _applied(self, name: str, index: int, payload: bytes, machine: Machine) -> None:
        assert self._last is not None
        command, result = self._last
        answer = answer_of(result)
        line = self.lines.get(index)
        if line is None:
            line = self.lines[index] = Line(payload, answer)
            self._compare_with_model(index, command, answer)
        if (line.payload, line.answer) != (payload, answer):
            self._verdicts.violate(f"S3: index {index} differs on {name}")
        if index % HASH_EVERY and name not in self._fresh:
            return
        self._fresh.discard(name)
        digest = state.digest(machine)
        line.digest = line.digest or digest
        if line.digest != digest:
            self._verdicts.violate(f"S3: state after index {index} differs on {name}")

    def _compare_with_model(self, index: int, command: LogCommand, answer: Answer) -> None:
        expected = self.model.apply(command)
        if expected != answer:
            self._verdicts.violate(f"S4: index {index} was {answer}, must be {expected}")


class LeaseChecker:
    """S5, at every instant at which somebody begins to count on a lease or would end one."""

    def __init__(self, verdicts: Verdicts, hosts: Iterable[Host]) -> None:
        self._verdicts = verdicts
        self._hosts = hosts
        self.takeovers = 0
        self.renewals = 0
        self.latest = 0.0
        self.expiries = 0

    def attach(self, host: Host, node: RaftNode) -> None:
        """Hear of every lease that this node would end."""
        replica = node._replica
        due = replica.due

        def checked(rank: int) -> tuple[Expire, ...]:
            found = due(rank)
            for expire in found:
                self._expiring(host, expire)
            return found

        replica.due = checked  # type: ignore[method-assign]

    def armed(self, host: Host, now: float, previous: object) -> None:
        """This host's guardian was given its deadline at a true time."""
        self.renewals += 1
        self.latest = now
        if previous is None:
            self.takeovers += 1
            self._verdicts.note(f"{host.name} holds the lease")
        others = [other.name for other in self._hosts if other is not host and other.may_write(now)]
        if others and host.may_write(now):
            self._verdicts.violate(f"S5: {host.name} and {others} hold one lease at {now:.3f}")

    def _expiring(self, host: Host, expire: Expire) -> None:
        self.expiries += 1
        for other in self._hosts:
            deadline = other.deadline
            counted = deadline is not None and deadline.renewal <= expire.expect
            if counted and other.may_write(host.time.now):
                self._verdicts.violate(
                    f"S5: {host.name} would end the lease of revision {expire.expect}, "
                    f"which {other.name} counts on at {host.time.now:.3f}"
                )


class WatchChecker:
    """One watcher of everything on each host; it goes on after a restart where it had been."""

    def __init__(self, verdicts: Verdicts, model: Model) -> None:
        self._verdicts = verdicts
        self._model = model
        self._seen: dict[str, Revision] = {}
        self._watches: dict[str, _Watcher] = {}
        self.events = 0
        self.compacted = 0

    def attach(self, name: str, node: RaftNode) -> None:
        """A process began: go on after what this host has seen, or from what it holds."""
        watcher = _Watcher(name, node, self._seen.get(name))
        self._watches[name] = watcher
        self._place(watcher)
        restore = node._replica.restore

        def restored(data: bytes) -> None:
            watcher.may_be_compacted = True
            restore(data)

        node._replica.restore = restored  # type: ignore[method-assign]

    def look_at(self, name: str) -> None:
        """A round of this host has ended."""
        watcher = self._watches[name]
        if watcher.notified:
            watcher.notified = False
            self._poll(watcher)

    def finish(self, name: str, node: RaftNode) -> None:
        """At the end nothing may be missing up to what the host shows."""
        watcher = self._watches[name]
        self._poll(watcher)
        history = self._model.history
        if watcher.place < len(history):
            missed = history[watcher.place]
            if missed.revision <= node.store.peek().revision:
                self._verdicts.violate(f"watch on {name} missed {missed}")

    def _poll(self, watcher: _Watcher) -> None:
        try:
            events = watcher.watch.poll()
        except Compacted:
            self._compacted(watcher)
            return
        for event in events:
            occurrence = occurrence_of(event)
            history = self._model.history
            expected = history[watcher.place] if watcher.place < len(history) else None
            if occurrence != expected:
                text = f"watch on {watcher.name} saw {occurrence}, must see {expected}"
                self._verdicts.violate(text)
            watcher.place += 1
            self._seen[watcher.name] = Revision(event.revision)
        self.events += len(events)

    def _compacted(self, watcher: _Watcher) -> None:
        self.compacted += 1
        if not watcher.may_be_compacted:
            self._verdicts.violate(f"watch on {watcher.name} was compacted without a snapshot")
        watcher.watch.close()
        watcher.begin(None)
        self._place(watcher)

    def _place(self, watcher: _Watcher) -> None:
        key: Callable[[object], int] = attrgetter("revision")
        watcher.place = bisect_right(self._model.history, watcher.after, key=key)
        self._seen[watcher.name] = watcher.after


class _Watcher:
    """A watch, and its place in the model's history."""

    def __init__(self, name: str, node: RaftNode, after: Revision | None) -> None:
        self.name = name
        self.notified = False
        self.place = 0
        self._node = node
        # A process starts with its stored snapshot: what led there it does not know.
        self.may_be_compacted = True
        self.begin(after)

    def begin(self, after: Revision | None) -> None:
        self.after = self._node.store.peek().revision if after is None else after
        self.watch: Watch = self._node.store.watch("", self._notify, self.after)
        self.notified = True

    def _notify(self) -> None:
        self.notified = True
