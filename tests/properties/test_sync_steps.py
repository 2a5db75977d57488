"""The synchronous set on any schedule: one who may be promoted lacks nothing that was acknowledged.

The primary commits all the while. Standbys come and go, the settings are changed, checkpoints end
late or fail, writes to the store are lost, and the agent forgets everything when it is restarted.
Who may hold what, and what a promotion could lack, is worked out here from sets alone.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from typing import Final

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from raftha.ha.actions import Checkpoint, Configure, Submit
from raftha.ha.decide import decide
from raftha.ha.memory import Memory
from raftha.instants import Instant
from raftha.model.cluster import MemberState, SyncSet
from raftha.model.ids import Lsn, MemberName, Revision
from raftha.model.settings import DynamicConfig, SynchronousMode
from raftha.model.store import Put, Remove, VoterStatus
from raftha.model.view import JobKind, JobResult, JobView, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, N2, N3

N4: Final = MemberName("n4")
STANDBYS: Final = (N2, N3, N4)
EVENTS: Final = st.sampled_from(
    [
        *(f"{word} {name}" for word in ("attach", "detach", "flush") for name in STANDBYS),
        *("wait", "wait long", "checkpoint ends", "checkpoint ends", "checkpoint fails"),
        *("mode on", "mode off", "mode quorum", "mode quorum", "strict on", "strict off"),
        *("count 1", "count 2", "stopping n2", "running n2", "restart agent", "lose write"),
    ]
)
FOURTH: Final = VoterStatus(address=b.identity(N4).raft, name=N4, is_self=False, connected=True)


class Rule(Struct, frozen=True):
    """A setting that commits may wait by: any `count` of `names`. They did so up to `upto`."""

    count: int
    names: tuple[MemberName, ...]
    upto: int | None = None


def rule_of(setting: str) -> Rule:
    """As PostgreSQL reads it."""
    words = setting.replace("ANY ", "").replace('"', "").replace(",", "")
    if not words:
        return Rule(0, ())
    count, _, names = words.partition(" (")
    if not names:  # a name alone
        return Rule(1, (MemberName(count),))
    return Rule(int(count), tuple(MemberName(n) for n in names.rstrip(")").split()))


@dataclass(slots=True)
class Primary:
    """A primary with its setting, the store's set, and what each standby has flushed. `rules` are
    the settings by which what is not on every standby may have been acknowledged."""

    config: DynamicConfig = DynamicConfig()
    now: Instant = pg.T0
    sync: SyncSet | None = None
    names: str = ""
    flushed: int = 5000
    rules: list[Rule] = field(default_factory=lambda: [Rule(0, ())])
    standbys: dict[MemberName, int] = field(default_factory=lambda: dict.fromkeys(STANDBYS, 4000))
    attached: set[MemberName] = field(default_factory=set)
    states: dict[MemberName, MemberState] = field(default_factory=dict)
    job: JobView | None = None
    finished: JobResult | None = None
    memory: Memory = field(default_factory=Memory)
    loses: bool = False
    proved: int = 0
    began: int = 0
    redo: int = 0
    revision: int = 41

    def happen(self, event: str) -> None:
        word, _, name = event.partition(" ")
        match word, MemberName(name):
            case "attach", who:
                self.attached.add(who)
            case "detach", who:
                self.attached.discard(who)
            case "flush", who if who in self.attached:
                self.standbys[who] = self.flushed
            case "wait", long:
                self.now = self.now.plus(0.6 if long else 0.2)
            case "checkpoint", how if self.job is not None:
                self._end_checkpoint("no" if how == "fails" else None)
            case "mode", mode:
                self.config = replace(self.config, synchronous_mode=SynchronousMode(mode))
            case "strict", switch:
                self.config = replace(self.config, synchronous_mode_strict=switch == "on")
            case "count", number:
                self.config = replace(self.config, synchronous_node_count=int(number))
            case "stopping", who:
                self.states[who] = MemberState.STOPPING
            case "running", who:
                self.states[who] = MemberState.STREAMING
            case "restart", _:
                self.memory = Memory(plan=None)
            case "lose", _:
                self.loses = True

    def _end_checkpoint(self, error: str | None) -> None:
        """The last setting from before its start is in force, and none from before that one."""
        self.job = None
        self.finished = JobResult(kind=JobKind.CHECKPOINT, ended=self.now, error=error)
        self.now = self.now.plus(0.001)  # it is noticed later than it ended
        if error is not None:
            return
        self.redo = self.began
        for place, rule in enumerate(self.rules[: self.proved - 1]):
            if rule.upto is None:
                self.rules[place] = replace(rule, upto=self.flushed)

    def view(self) -> View:
        members = (b.member(n, state=self.states.get(n, MemberState.STREAMING)) for n in STANDBYS)
        cluster = b.cluster(
            sync=self.sync, config=self.config, members={N1: b.member(N1)} | b.members(*members)
        )
        rows = tuple(pg.attached(n, self.standbys[n]) for n in sorted(self.attached))
        where = pg.lsn(self.flushed)
        server = pg.primary(
            synchronous_standby_names=self.names,
            attached=rows,
            flushed=where,
            written=where,
            redo=pg.lsn(self.redo),
        )
        return replace(
            b.view(cluster=cluster, server=server, job=self.job, finished=self.finished),
            now=self.now,
            lease=b.lease(valid_until=self.now.plus(4.0)),
            server_seen=self.now,
            raft=replace(b.raft(), voters=(*b.raft().voters, FOURTH)),
        )

    def step(self) -> None:
        """One tick, and what it asked for."""
        decision = decide(self.view(), self.memory, KEYS)
        self.memory = decision.memory
        for action in decision.actions:
            match action:
                case Configure(plan) if plan.synchronous_standby_names != self.names:
                    self.names = plan.synchronous_standby_names
                    self.rules.append(rule_of(self.names))
                case Checkpoint() if self.job is None:
                    self.job = JobView(kind=JobKind.CHECKPOINT, started=self.now)
                    self.proved, self.began = len(self.rules), self.flushed
                case Submit("sync", command):
                    self._write(command.writes[0])
        self.now = self.now.plus(0.01)
        self.flushed += 1

    def _write(self, write: object) -> None:
        if self.loses:
            self.loses = False
            return
        self.revision += 1
        if isinstance(write, Remove):
            self.sync = None
        elif isinstance(write, Put):
            told = msgspec.json.decode(write.value)
            self.sync = SyncSet(
                leader=N1,
                standbys=tuple(told["sync_standby"]),
                revision=Revision(self.revision),
                quorum=told.get("quorum", 0),
                floor=Lsn.parse(told["floor"]) if "floor" in told else None,
            )

    def check(self) -> None:
        """No set of standbys that promotes lacks what any set may have acknowledged."""
        if self.sync is None or not self.sync.standbys:
            return
        for heard in combinations(self.sync.standbys, self.sync.quorum + 1):
            assert self.sync.floor is not None, "an older copy of who may lead would not be noticed"
            assert max(self.standbys[n] for n in heard) >= self.sync.floor.value, "it may not lead"
            for rule in self.rules:
                self._check(set(heard), rule)

    def _check(self, heard: set[MemberName], rule: Rule) -> None:
        everything = {
            n for n in STANDBYS if rule.upto is not None and self.standbys[n] >= rule.upto
        }
        for holders in combinations(rule.names, rule.count):
            has_it = heard & (set(holders) | everything)
            assert has_it, f"{sorted(heard)} may lack what {holders} acknowledged by {rule}"


def play(primary: Primary, *events: str) -> None:
    for event in events:
        primary.happen(event)
        primary.step()
        primary.check()


def calm(primary: Primary) -> None:
    """Every standby is there, and whatever is asked for ends well."""
    play(primary, "running n2", *(f"attach {name}" for name in STANDBYS))
    for _ in range(6):
        play(primary, "wait long", "checkpoint ends", *(f"flush {name}" for name in STANDBYS))


@cache
def settled(*events: str) -> Primary:
    primary = Primary()
    play(primary, *events)
    calm(primary)
    return primary


MODES: Final = st.sampled_from(["mode on", "mode quorum"])


@given(MODES, st.sampled_from(["count 1", "count 2"]), st.lists(EVENTS, max_size=40))
def test_whoever_may_be_promoted_lacks_nothing(mode: str, count: str, events: list[str]) -> None:
    play(deepcopy(settled(mode, count)), *events)


@settings(max_examples=25)
@given(st.lists(EVENTS, max_size=20))
def test_left_in_peace_it_ends_with_both_in_agreement(events: list[str]) -> None:
    primary = Primary()
    play(primary, *events)
    calm(primary)

    count = primary.config.synchronous_node_count
    told = (0, 0) if primary.sync is None else (len(primary.sync.standbys), primary.sync.quorum)
    match primary.config.synchronous_mode:
        case SynchronousMode.OFF:
            assert (told, primary.names) == ((0, 0), "")
        case SynchronousMode.ON:
            assert told == (count, 0)
            assert primary.names.startswith(f"{count} (")
        case SynchronousMode.QUORUM:
            assert told == (3, 3 - count)
            assert primary.names == f'ANY {count} ("n2", "n3", "n4")'
