"""Keeps what happened on this node, for `raftha why` and `raftha history --events`.

It is kept by each node for itself, beside its Raft directory, and asked of all: what matters most,
a fence or the loss of the majority, happens when nothing can be written to the store, and a store
that is told of every job and decision would be neither small nor quiet. What is noted in the loop
is written by a thread of its own: a hung disk must not hold the loop up.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event, Lock
from typing import Final

import msgspec

from raftha.clock import Clock
from raftha.ha.changes import changes
from raftha.ha.memory import Served
from raftha.ha.table import Decision
from raftha.instants import Seconds
from raftha.logs import event
from raftha.model.happening import Chapter, Happening, Kind
from raftha.model.ids import Epoch, MemberName
from raftha.model.view import View

LOG = logging.getLogger(__name__)

EVENTS: Final = "events.jsonl"
"""Its file, in the directory of sockets and logs."""

KEPT: Final = 300
"""Of decisions, and of everything else: so that restless decisions do not displace the rest."""

LONGEST_BYTES: Final = 256 << 10
"""Of the file, and of the one before it."""

LONGEST_WORDS: Final = 500
_NUMBERS: Final = re.compile(r"[0-9.]+ (?:s|%|MiB|GiB)(?!\w)|[0-9A-F]+/[0-9A-F]+")
_RACES: Final = ("elect", "hand", "lead-30")
"""The rules whose decisions rest on positions."""


def gist(decision: Decision) -> str:
    """What makes a decision another one: a reason that differs in its figures alone is not news."""
    return decision.rule + _NUMBERS.sub("#", decision.reason)


class Chronicle:
    """`note` may be called by every thread, `look` by the loop alone."""

    def __init__(
        self,
        path: Path,
        name: MemberName,
        clock: Clock,
        took_over: Callable[[float], object] = lambda _seconds: None,
    ) -> None:
        self._path = path
        self._name = name
        self._clock = clock
        self._took_over = took_over
        self._lock = Lock()
        self._writing = Lock()
        self._decisions: deque[Happening] = deque(maxlen=KEPT)
        self._others: deque[Happening] = deque(maxlen=KEPT)
        self._unwritten: deque[Happening] = deque(maxlen=KEPT)
        self._news = Event()
        self._before: View | None = None
        self._gist = ""
        self._routed = False
        self._counted: Epoch | None = None
        self._is_failing = False

    def note(self, kind: Kind, words: str, rule: str = "", **facts: str) -> None:
        """Keep one line."""
        line = Happening(
            node=self._name,
            wall=round(self._clock.wall(), 3),
            kind=kind,
            words=words[:LONGEST_WORDS],
            rule=rule,
            facts=facts,
        )
        with self._lock:
            self._ring(line).append(line)
            self._unwritten.append(line)
        self._news.set()

    def asked(self, act: str, caller: str) -> None:
        """Somebody who may asked for this over HTTP."""
        self.note(Kind.ASKED, f"{act} from {caller}")

    def declined(self, act: str, caller: str, status: int, why: str) -> None:
        """What was asked for was refused, or its outcome is not known."""
        word = "refused" if status < 500 else "not done, or not known to be"
        self.note(
            Kind.ASKED, f"{word}: {act} from {caller}", status=str(status), why=why[:LONGEST_WORDS]
        )

    def look(self, view: View, decision: Decision, routed: bool) -> None:
        """Keep what changed since the last tick, and a decision that is another one. `routed` says
        that clients may write here."""
        if self._before is not None:
            for change in changes(self._before, view):
                self.note(change.kind, change.words, **change.facts)
        self._see_writes(view, decision, routed)
        self._before = view
        words = gist(decision)
        if words != self._gist:
            self._gist = words
            self.note(Kind.DECISION, decision.reason, decision.rule, **_facts(view, decision))

    def _see_writes(self, view: View, decision: Decision, routed: bool) -> None:
        if routed == self._routed:
            return
        self._routed = routed
        if not routed:
            self.note(Kind.TAKEOVER, "clients may not write here any more")
            return
        gap = self._gap(view, decision.memory.served)
        if gap is None:
            self.note(Kind.TAKEOVER, "clients may write here")
        else:
            words = "clients may write here, after nobody took writes"
            self.note(Kind.TAKEOVER, words, seconds=f"{gap:.1f}")
            self._took_over(gap)

    def _gap(self, view: View, served: Served | None) -> Seconds | None:
        """The time without writes before those under the lease that is held; told once."""
        if served is None or view.lease is None or view.lease.epoch != served.epoch:
            return None
        if self._counted == served.epoch:
            return None
        self._counted = served.epoch
        return served.gap_seconds

    def latest(self, count: int) -> Chapter:
        """The last so many lines."""
        with self._lock:
            lines = sorted((*self._decisions, *self._others), key=lambda line: line.wall)
        return Chapter(node=self._name, events=tuple(lines[-count:]))

    def run(self, ended: Event) -> None:
        """Read what an earlier agent kept, then write what comes, until `ended` is set."""
        self._remember()
        while not ended.is_set():
            self._news.wait()
            self._news.clear()
            self.flush()

    def flush(self) -> None:
        """Write what is not written yet. Without a disk for it the lines stay in memory."""
        with self._writing:
            with self._lock:
                lines = tuple(self._unwritten)
                self._unwritten.clear()
            try:
                self._append(lines)
                self._is_failing = False
            except OSError as error:
                if not self._is_failing:
                    event(LOG, logging.WARNING, "events cannot be kept on disk", why=str(error))
                self._is_failing = True

    def _append(self, lines: Iterable[Happening]) -> None:
        """Not synced: a crash of the machine may cost the last of them, and no decision rests on
        any."""
        content = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        if not content:
            return
        with self._path.open("ab") as file:
            file.write(content)
            size = file.tell()
        if size > LONGEST_BYTES:
            self._path.replace(_older(self._path))

    def _remember(self) -> None:
        """Lines that cannot be read, such as one that was cut short, are left out."""
        found: list[Happening] = []
        for path in (_older(self._path), self._path):
            try:
                lines = path.read_bytes().splitlines()
            except OSError:
                continue
            for line in lines:
                try:
                    found.append(msgspec.json.decode(line, type=Happening))
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue
        with self._lock:
            for ring in (self._decisions, self._others):
                since = tuple(ring)
                ring.clear()
                ring.extend(line for line in found if self._ring(line) is ring)
                ring.extend(since)

    def _ring(self, line: Happening) -> deque[Happening]:
        return self._decisions if line.kind == Kind.DECISION else self._others


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _facts(view: View, decision: Decision) -> dict[str, str]:
    """What the decision was made by, as far as it fits a line."""
    facts = {}
    acts = list(dict.fromkeys(type(action).__name__ for action in decision.actions))
    if acts:
        facts["acts"] = ", ".join(acts)
    if view.lease is not None:
        facts["epoch"] = str(view.lease.epoch)
    if decision.rule.startswith(_RACES):
        facts["positions"] = _positions(view)
    return facts


def _positions(view: View) -> str:
    own = None if view.server is None else view.server.position
    told = [f"{view.me.name} {own or 'unknown'}"]
    for name, answer in sorted(view.peers.items()):
        position = None if answer.report is None else answer.report.position
        told.append(f"{name} {position or ('no answer' if answer.report is None else 'unknown')}")
    return ", ".join(told)
