"""A made-up PostgreSQL server: one life of a postmaster and its children on a data directory.

It commits rows, waits for the synchronous standby as far as its checkpointer has published that it
must, streams, follows, promotes, stops in three ways, crashes and hangs. Where the model had a
choice it does what hurts most: children outlive a killed postmaster, a reload is in force late.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from random import Random
from typing import Final

from raftha.model.postgres import ControlState, ServerPlan
from tests.sim.cluster.cables import Cables
from tests.sim.cluster.directory import Directory
from tests.sim.cluster.family import Family
from tests.sim.cluster.fibers import Fibers, Life
from tests.sim.cluster.processes import Machine, Process
from tests.sim.cluster.replication import DATA, Stream, safe_end
from tests.sim.cluster.sessions import Commit, Session, Watcher
from tests.sim.cluster.tuning import Tuning
from tests.sim.cluster.wal import Wal

LOOK_S: Final = 0.2
"""`wal_retrieve_retry_interval`, and how often a stream is looked at."""
PAGE_SHARE: Final = 0.1
"""In so many of these looks a standby has written pages since the last."""


class Server:
    """`number` tells it from every other life of any server. `died_unseen` says that its postmaster
    was killed while the guardian was frozen."""

    def __init__(
        self,
        node: str,
        number: int,
        directory: Directory,
        machine: Machine,
        life: Life,
        *,
        fibers: Fibers,
        cables: Cables,
        random: Random,
        watcher: Watcher,
        is_host_up: Callable[[], bool],
        server_at: Callable[[str], Server | None],
    ) -> None:
        self.node = node
        self.number = number
        self.directory = directory
        self.life = life
        self._fibers = fibers
        self._cables = cables
        self._random = random
        self._watcher = watcher
        self._is_host_up = is_host_up
        self._server_at = server_at
        directory.is_to_promote = False  # an earlier life's file: the postmaster removes it
        self.in_recovery = directory.standby_signal
        self.is_answering = False
        self.is_draining = self.died_unseen = False
        self.received: int | None = None
        self.replays_until = 0.0
        self.tuning = Tuning(directory)
        self.plan: ServerPlan = directory.plan or ServerPlan(role="primary")  # type: ignore[arg-type]
        self.names_shown = ""
        self.names_in_force = ""
        self.loads = 0
        self.upstream: Stream | None = None
        self.streams: list[Stream] = []
        self.commits: list[Commit] = []
        self.family = Family(
            machine, fibers, life, random, told=self._told, orphaned=self._end_streams
        )

    # What is known of it.

    @property
    def wal(self) -> Wal:
        return self.directory.wal

    @property
    def postmaster(self) -> Process:
        return self.family.postmaster

    @property
    def children(self) -> list[Process]:
        return self.family.children

    @property
    def is_stopping(self) -> bool:
        return self.family.is_stopping

    @property
    def is_host_up(self) -> bool:
        return self._is_host_up()

    @property
    def accepts(self) -> bool:
        """A new connection is let in by the postmaster."""
        runs = self.postmaster.is_alive and not self.postmaster.is_stopped
        return runs and self.is_answering and not self.is_stopping and self.life.runs

    @property
    def is_primary(self) -> bool:
        return self.is_answering and not self.in_recovery

    @property
    def may_write(self) -> bool:
        """Some process of it may commit at this instant. An immediate stop reaches them one after
        the other; after a fast one none is left that serves a client."""
        serves = self.life.runs and bool(self.children) and not self.is_draining
        return self.is_primary and serves

    # Its life.

    def start(self) -> None:
        """The postmaster was started: recovery, then it answers."""
        self._load()
        self.names_in_force = self.names_shown
        took = self._random.uniform(0.05, 0.3)
        self._fibers.after(took, self.life, self._recovered)

    def _recovered(self) -> None:
        if not self.postmaster.is_alive or self.is_stopping:
            return
        if self._fails_to_start():
            self.family.stop(1)
            return
        if self.in_recovery:
            self.is_answering = True
            self.directory.state = ControlState.ARCHIVE_RECOVERY
            self._replay()
            self._fibers.after(0.0, self.life, self._look_around)
            return
        self.wal.own(self.node)
        if not self._write_checkpoint():
            return
        self.tuning.tell()
        self.is_answering = True
        self.directory.state = ControlState.PRODUCTION
        self._watcher.opened(self)
        self._fibers.after(LOOK_S, self.life, self._look_around)

    def _fails_to_start(self) -> bool:
        """There may be no room for the lock file; or its files ask for what cannot be."""
        directory = self.directory
        if directory.is_read_only or (directory.is_full and self._random.random() < 0.5):
            directory.effects["starts refused by a full disk"] += 1
            return True
        if not self.in_recovery:
            return False
        if self.tuning.is_too_small:
            directory.effects["starts refused by a size"] += 1
            return True
        return not directory.histories.leads_on(self.wal.number)

    def _replay(self) -> None:
        """What was received before takes a while to be replayed; a position is told meanwhile that
        is lower than what this server has acknowledged."""
        took = self._random.choice((0.0, 0.0, self._random.uniform(0.0, 3.0)))
        self.replays_until = self._fibers.schedule.time.now + took

    @property
    def replayed(self) -> int:
        """How far it says it has replayed."""
        if self.has_replayed:
            return self.wal.end
        return self.tuning.stands_at or self.directory.checkpoint

    @property
    def has_replayed(self) -> bool:
        is_through = self._fibers.schedule.time.now >= self.replays_until
        return is_through and self.tuning.stands_at is None

    def _look_around(self) -> None:
        """Each `LOOK_S`: whom to stream from, and whether the streams are sound."""
        for stream in (*self.streams, *filter(None, (self.upstream,))):
            stream.look()
        before = len(self.streams)
        self.streams = [stream for stream in self.streams if stream.is_open_above]
        if self.upstream is not None and not self.upstream.is_open_below:
            self.upstream = None
        if len(self.streams) != before:
            self.release()
        if self.in_recovery and self.has_replayed:
            self.tuning.replay()
        if self.in_recovery and self._random.random() < PAGE_SHARE:
            self._note_recovered()
        if self.in_recovery and self.upstream is None and not self.is_stopping:
            self._attach()
        self._fibers.after(LOOK_S, self.life, self._look_around)

    def _attach(self) -> None:
        wanted = self.plan.upstream
        if wanted is None or self.directory.is_to_promote:
            return
        source = self._server_at(wanted.address.host)
        if source is None or not self._cables.carry_both(DATA, self.node, source.node):
            return
        lacks_slot = wanted.slot is not None and wanted.slot not in source.directory.slots
        if not source.accepts or lacks_slot or not self.directory.may_follow(source.directory):
            return
        stream = Stream(source, self, wanted.application_name, self._fibers, self._cables)
        self.upstream = stream
        for other in source.streams:
            if other.standby is self:
                other.close()
        source.streams.append(stream)
        self.received = self.wal.end
        stream.flow()
        stream.answer()

    def cut_stream(self) -> bool:
        """The receiver is ended; whether there was one."""
        stream, self.upstream = self.upstream, None
        if stream:
            stream.close()
        return stream is not None

    def end_doubles(self) -> tuple[str, ...]:
        """Of the streams of one name the newest stays; who was ended."""
        newest = {stream.name.lower(): stream for stream in self.streams}
        old = [s for s in self.streams if newest[s.name.lower()] is not s]
        for stream in old:
            stream.close()
        return tuple(stream.name for stream in old)

    # WAL.

    def receive(self, wal: Wal, until: int) -> None:
        """What an upstream sent has come and is on the disk."""
        if not self.in_recovery:
            return
        if not self.directory.takes_wal(until - self.wal.end):
            self.directory.effects["receivers ended by a full disk"] += 1
            self.cut_stream()
            return
        self.wal.receive(wal, until)
        self.received = self.wal.end
        for stream in self.streams:
            stream.flow()

    def _note_recovered(self) -> None:
        """The minimum recovery point: a clean stop writes it, and now and then a page does."""
        if not self.has_replayed:
            return
        self.directory.recovered = self.wal.end
        self.directory.recovered_line = self.wal.number

    def _write(self, size: int, row: int) -> int | None:
        """The end of a new record; None if there is no room for it, which ends the server."""
        if not self.directory.takes_wal(size):
            self.directory.effects["servers ended by a full disk"] += 1
            self.family.panic()
            return None
        end = self.wal.append(size, row)
        for stream in self.streams:
            stream.flow()
        return end

    def _write_checkpoint(self) -> bool:
        if self._write(100, -1) is None:
            return False
        self.directory.checkpoint = self.wal.last_record
        self.directory.checkpoint_line = self.wal.number
        return True

    def checkpoint(self) -> None:
        """CHECKPOINT: also the checkpointer's moment to publish what was reloaded."""
        if self.is_primary:
            self._publish(self.names_shown)
            self._write_checkpoint()

    # Sessions.

    def connect(self) -> Session | None:
        """A session of a user; None if it is not let in."""
        if not self.accepts or self.plan.closed:
            return None
        return Session(self, self.family.fork())

    def commit(self, session: Session, row: int, done: Callable[[], None]) -> bool:
        """Write a row; `done` is called if and when the commit is acknowledged. False if it is
        refused."""
        if not self.may_write or not session.is_open or self.directory.is_hung:
            return False
        end = self._write(self._random.randrange(60, 400), row)
        if end is None:
            return False
        self.commits.append(Commit(session, row, end, done))
        self.release()
        return True

    def release(self) -> None:
        """Acknowledge the commits that wait for nothing any more."""
        safe = safe_end(self.names_in_force, self.streams)
        due = [c for c in self.commits if safe is None or c.end <= safe]
        if not due:
            return
        self.commits = [c for c in self.commits if c not in due]
        for commit in due:
            if commit.session.is_open and self.life.runs:
                self._watcher.acknowledge(self, commit.row, commit.end)
                commit.done()

    # Configuration.

    def reload(self) -> None:
        """The postmaster reads the files; the checkpointer publishes a while later."""
        self._load()
        shown = self.names_shown
        self._fibers.after(self._random.uniform(0.0, 0.3), self.life, lambda: self._publish(shown))

    def _load(self) -> None:
        before = self.plan.upstream
        self.plan = self.directory.plan or self.plan
        self.names_shown = self.plan.synchronous_standby_names
        self.loads += 1
        if before != self.plan.upstream and self.upstream is not None:
            self.upstream.close()
            self.upstream = None

    def _publish(self, names: str) -> None:
        if names == self.names_shown:
            self.names_in_force = names
            self.release()

    # Signals.

    def _told(self, number: int) -> None:
        match number:
            case signal.SIGUSR1:
                self._look_for_promotion()
            case signal.SIGINT:
                self._stop_fast()
            case signal.SIGQUIT:
                self.family.stop(2)

    def _look_for_promotion(self) -> None:
        if self.directory.is_to_promote and self.in_recovery and self.is_answering:
            self._watcher.told_to_promote(self)
            left = max(0.0, self.replays_until - self._fibers.schedule.time.now)
            took = left + self._random.uniform(0.1, 0.25)
            self._fibers.after(took, self.life, self._promoted)

    def _promoted(self) -> None:
        """Recovery ends at the end of what is here; a number that is taken is skipped."""
        if not self.directory.is_to_promote or not self.postmaster.is_alive or self.is_stopping:
            return
        self.tuning.replay()
        if self.tuning.stands_at is not None or not self.directory.takes_wal(60):
            self.directory.effects["promotions that ended the server"] += 1
            self.family.stop(1)
            return
        self._end_streams()
        histories = self.directory.histories
        self.wal.promote(histories.free_above(self.wal.number), self.node)
        histories.begin(self.wal)
        self._note_recovered()
        self.in_recovery = False
        self.directory.standby_signal = self.directory.is_to_promote = False
        self.directory.state = ControlState.PRODUCTION
        self.tuning.tell()
        self._watcher.promoted(self)
        self._watcher.opened(self)

    def _stop_fast(self) -> None:
        """Sessions end, the last record is written, and standbys that stream receive it."""
        if self.is_stopping:
            return
        was_primary = self.is_primary
        self.family.is_stopping = self.is_draining = True
        self.commits.clear()
        if was_primary:
            if not self._write_checkpoint():
                self.family.stop(2)
                return
            self.directory.state = ControlState.SHUT_DOWN
        elif self.is_answering:
            self._note_recovered()
            self.directory.state = ControlState.SHUT_DOWN_IN_RECOVERY
        self._fibers.after(self._random.uniform(0.05, 0.2), self.life, self._end_of_stop)

    def _end_of_stop(self) -> None:
        end = self.wal.end
        if any(s.is_open_above and (s.flush or 0) < end for s in self.streams):
            self._fibers.after(0.05, self.life, self._end_of_stop)
            return
        self.family.stop(0)

    def _end_streams(self) -> None:
        for stream in (*self.streams, *filter(None, (self.upstream,))):
            stream.close()
        self.streams, self.upstream = [], None
