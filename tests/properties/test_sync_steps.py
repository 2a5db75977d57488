"""The synchronous set on any schedule: who is named in the store is named by the setting in force.

The primary commits all the while. Standbys come and go, the mode is switched, checkpoints end late
or fail, writes to the store are lost, and the agent forgets everything when it is restarted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from raftha.ha.actions import Checkpoint, Configure, Submit
from raftha.ha.decide import decide
from raftha.ha.memory import Memory
from raftha.ha.plans import names_for
from raftha.instants import Instant
from raftha.model.cluster import MemberState, SyncSet
from raftha.model.ids import MemberName, Revision
from raftha.model.settings import DynamicConfig, SynchronousMode
from raftha.model.store import Put, Remove
from raftha.model.view import JobKind, JobResult, JobView, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, N2, N3

EVENTS: Final = st.sampled_from(
    [
        *("attach n2", "attach n3", "detach n2", "detach n3", "flush n2", "flush n3"),
        *("wait", "wait long", "checkpoint ends", "checkpoint ends", "checkpoint fails"),
        *("switch mode", "stopping n2", "running n2", "restart agent", "lose write"),
    ]
)


@dataclass(slots=True)
class Primary:
    """A primary with its setting, the store's set, and what each standby has flushed."""

    now: Instant = pg.T0
    sync: SyncSet | None = None
    names: str = ""
    mode: SynchronousMode = SynchronousMode.ON
    flushed: int = 5000
    unwaited: dict[str, int] = field(default_factory=dict)
    standbys: dict[MemberName, int] = field(default_factory=lambda: {N2: 4000, N3: 4000})
    attached: set[MemberName] = field(default_factory=set)
    states: dict[MemberName, MemberState] = field(default_factory=dict)
    job: JobView | None = None
    finished: JobResult | None = None
    memory: Memory = field(default_factory=Memory)
    loses: bool = False
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
                error = "no" if how == "fails" else None
                self.job = None
                self.finished = JobResult(kind=JobKind.CHECKPOINT, ended=self.now, error=error)
            case "switch", _:
                is_on = self.mode is SynchronousMode.ON
                self.mode = SynchronousMode.OFF if is_on else SynchronousMode.ON
            case "stopping", who:
                self.states[who] = MemberState.STOPPING
            case "running", who:
                self.states[who] = MemberState.STREAMING
            case "restart", _:
                self.memory = Memory(plan=None)
            case "lose", _:
                self.loses = True

    def view(self) -> View:
        cluster = b.cluster(
            sync=self.sync,
            config=DynamicConfig(synchronous_mode=self.mode),
            members=b.members(*(b.member(n, state=s) for n, s in self.states.items())),
        )
        rows = tuple(pg.attached(n, self.standbys[n]) for n in sorted(self.attached))
        where = pg.lsn(self.flushed)
        server = pg.primary(
            synchronous_standby_names=self.names, attached=rows, flushed=where, written=where
        )
        return replace(
            b.view(cluster=cluster, server=server, job=self.job, finished=self.finished),
            now=self.now,
            lease=b.lease(valid_until=self.now.plus(4.0)),
            server_seen=self.now,
        )

    def step(self) -> None:
        """One tick, and what it asked for."""
        decision = decide(self.view(), self.memory, KEYS)
        self.memory = decision.memory
        for action in decision.actions:
            match action:
                case Configure(plan):
                    self._set(plan.synchronous_standby_names)
                case Checkpoint() if self.job is None:
                    self.job = JobView(kind=JobKind.CHECKPOINT, started=self.now)
                case Submit("sync", command):
                    self._write(command.writes[0])
        self.now = self.now.plus(0.01)
        self.flushed += 1

    def _set(self, names: str) -> None:
        """Commits up to here waited for nobody named newly."""
        self.names = names
        self.unwaited = {names: self.flushed}

    def _write(self, write: object) -> None:
        if self.loses:
            self.loses = False
            return
        self.revision += 1
        if isinstance(write, Remove):
            self.sync = None
        elif isinstance(write, Put):
            named = tuple(n for n in (N2, N3) if f'"{n}"'.encode() in write.value)
            known = self.sync.standbys if self.sync else ()
            for name in set(named) - set(known):
                self._prove(name)
            self.sync = SyncSet(leader=N1, standbys=named, revision=Revision(self.revision))

    def _prove(self, name: MemberName) -> None:
        assert self.names == names_for(name), "named in the store before it is waited for"
        assert self.standbys[name] >= self.unwaited.get(self.names, 0), (
            f"{name} lacks what was acknowledged without it"
        )
        done = self.finished
        assert done is not None, "no checkpoint has shown that the setting is in force"
        assert done.error is None, "the checkpoint failed"

    def check(self) -> None:
        """The invariant of `raftha.ha.sync`."""
        for name in self.sync.standbys if self.sync else ():
            assert self.names == names_for(name), "a commit may be acknowledged without it"


@given(st.lists(EVENTS, max_size=60))
def test_whoever_the_store_names_is_waited_for(events: list[str]) -> None:
    primary = Primary()
    for event in events:
        primary.happen(event)
        primary.step()
        primary.check()


@settings(max_examples=25)
@given(st.lists(EVENTS, max_size=20))
def test_left_in_peace_it_ends_with_both_in_agreement(events: list[str]) -> None:
    primary = Primary()
    for event in events:
        primary.happen(event)
        primary.step()
    for event in ("running n2", "attach n2", "attach n3"):
        primary.happen(event)
    for _ in range(6):
        for event in ("wait long", "checkpoint ends", "flush n2", "flush n3"):
            primary.happen(event)
            primary.step()
            primary.check()

    wanted = 1 if primary.mode is SynchronousMode.ON else 0
    assert len(primary.sync.standbys if primary.sync else ()) == wanted
    assert (primary.names != "") == bool(wanted)
