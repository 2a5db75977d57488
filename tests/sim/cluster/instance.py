"""`raftha.pg.instance.Instance` and the slow programs, on a made-up PostgreSQL.

What talks to the server takes the time that the real one would take to answer, or to give up; what
writes files takes as long as their syncs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct

from raftha.clock import Clock
from raftha.errors import PostgresError, PostgresUnavailable, Problem
from raftha.model.ids import Lsn, SystemId, Timeline
from raftha.model.postgres import (
    Binaries,
    DataDirectory,
    Receiver,
    ServerPlan,
    ServerRole,
    ServerSetup,
    ServerStatus,
    TimelineSwitch,
    Upstream,
)
from raftha.pg import timeline
from raftha.pg.histories import Histories
from raftha.pg.instance import SlotChanges
from raftha.pg.layout import Layout
from raftha.pg.queries import Identity
from raftha.pg.rewind import Comparison, Rewound
from raftha.pg.run import Cancelled
from raftha.pg.upstream import UpstreamLine
from tests.sim.cluster.directory import VERSION, Directory
from tests.sim.cluster.faults import Moment
from tests.sim.cluster.fibers import Fibers, Life
from tests.sim.cluster.postgres import Server

SYNC_S = 0.004
"""What writing the files of a server's configuration takes."""


class Here(Struct, frozen=True):
    """What an agent's process finds on its machine. `server` is the one that runs now, `remote` the
    one that answers at an address, if any does; `system` draws a system identifier."""

    name: str
    directory: Directory
    server: Callable[[], Server | None]
    remote: Callable[[str, int], Server | None]
    random: Random
    fibers: Fibers
    life: Life
    happened: Callable[[Moment], None]

    def take(self, seconds: float) -> None:
        """Time passes for the code that calls."""
        self.fibers.sleep(self.life, seconds)

    def wait_for_disk(self) -> None:
        """A write to a hung disk does not come back."""
        self.take(SYNC_S)
        while self.directory.is_hung:
            self.take(0.1)


class FakeInstance:
    """The methods of `Instance`, each with its errors."""

    def __init__(self, here: Here, config: Any, clock: Clock) -> None:
        self._here = here
        self._directory = here.directory
        self.config = config
        self.clock = clock
        run_dir = here.directory.path.parent
        self.layout = Layout(data_dir=here.directory.path, run_dir=run_dir)
        self.histories = Histories(here.directory.histories)

    def log_in_as(self, authentication: Any) -> None:
        """Everybody is let in."""

    def binaries(self, data_major: int | None) -> Binaries:  # noqa: ARG002
        return Binaries(bin_dir=Path("/sim/bin"), major=15, version="15.18", origin="system")

    def inspect(self) -> DataDirectory:
        return self._directory.look()

    def has_control_file(self) -> bool:
        return not self._directory.is_empty

    def is_unborn(self) -> bool:
        return self._directory.is_unborn

    def is_closed(self) -> bool:
        plan = self._directory.plan
        return plan is not None and plan.closed

    def start_command(self, binaries: Binaries) -> tuple[list[str], dict[str, str]]:
        return [str(binaries.bin_dir / "postgres")], {}

    def configure(self, plan: ServerPlan) -> bool:
        here, directory = self._here, self._directory
        here.wait_for_disk()
        changed = directory.configure(plan)
        is_running = here.server() is not None
        if plan.role is ServerRole.STANDBY and not directory.standby_signal:
            directory.require_space()
            directory.standby_signal = True
        if is_running:
            return changed
        current = None if directory.is_empty else Timeline(directory.checkpoint_line)
        changed |= self.histories.before_start(plan.role, current)
        if plan.role is ServerRole.PRIMARY:
            directory.standby_signal = False
        return changed

    def confirm_birth(self) -> None:
        self._here.wait_for_disk()
        self._directory.is_unborn = False

    def forks(self, timeline: Timeline) -> tuple[TimelineSwitch, ...]:
        return self.histories.forks(timeline)

    def status(self, timeout: float) -> ServerStatus:
        """Over a connection that was there before, which a stopped postmaster does not disturb."""
        server = self._here.server()
        if server is None or not server.is_answering or server.is_stopping:
            raise PostgresUnavailable("the database system is starting up, or is gone")
        if not server.life.runs:
            self._here.take(timeout)
            raise PostgresUnavailable(f"no answer within {timeout:g} s")
        return _status(server)

    def probe(self, timeout: float) -> None:
        self._reach(timeout)
        if self._directory.is_hung:
            self._here.take(timeout)
            raise PostgresUnavailable("the disk does not answer")
        if self._directory.is_full:
            raise PostgresUnavailable("no space left on device")

    def reload(self, timeout: float) -> str:
        server = self._reach(timeout)
        self._here.take(0.01)
        server = self._reach(timeout)
        server.reload()
        return str(server.loads)

    def refused_parameters(self, asked: Any, timeout: float) -> tuple[Problem, ...]:  # noqa: ARG002
        """PostgreSQL has nothing against them."""
        return ()

    def missing_libraries(self, parameters: Any, timeout: float) -> list[Problem]:  # noqa: ARG002
        """All are there."""
        return []

    def refused_settings(self, timeout: float) -> tuple[str, ...]:
        self._reach(timeout)
        return ()

    def setup(self, timeout: float) -> ServerSetup:
        self._reach(timeout)
        return ServerSetup(settings={}, roles={})

    def checkpoint(self, timeout: float) -> None:
        self._reach(min(timeout, 5.0))
        self._here.take(self._here.random.choice((0.05, 0.2, 1.0)))
        self._reach(min(timeout, 5.0)).checkpoint()

    def flush_position(self, timeout: float) -> Lsn:
        return Lsn(self._reach(timeout).wal.end)

    def drop_slot(self, name: str, timeout: float = 5.0) -> bool:
        server = self._reach(timeout)
        if name not in self._directory.slots:
            return False
        self._directory.slots.discard(name)
        for stream in server.streams:
            if stream.standby.node == name:
                stream.close()
        return True

    def install_slots(self) -> tuple[str, ...]:
        return ()

    def discard_slots(self, names: Iterable[str]) -> None:  # noqa: ARG002
        self._directory.slots.clear()

    def forget_slots(self) -> None:
        """A copy has none."""

    def made_slots(self) -> frozenset[str]:
        """Nobody else makes one."""
        return frozenset(self._directory.slots)

    def ensure_slots(self, wanted: Iterable[str], timeout: float = 5.0) -> SlotChanges:
        self._reach(timeout)
        missing = sorted(set(wanted) - self._directory.slots)
        if missing and self._directory.is_full:
            raise PostgresError("could not create the slot: no space left on device")
        self._directory.slots |= set(missing)
        return SlotChanges(created=tuple(missing))

    def cut_stream(self, timeout: float = 0.3) -> bool:
        server = self._reach(timeout)
        if server.plan.upstream is not None:
            raise PostgresError("an upstream is still configured")
        return server.cut_stream()

    def terminate_duplicates(self, streams: Any, timeout: float = 5.0) -> tuple[str, ...]:  # noqa: ARG002
        return self._reach(timeout).end_doubles()

    def place_history_files(
        self, current: Timeline, burned: Iterable[Timeline]
    ) -> tuple[Timeline, ...]:
        self._here.happened(Moment.PROMOTION)
        self._here.wait_for_disk()
        return self.histories.before_promotion(current, burned)

    def create_roles(self, authentication: Any, timeout: float = 5.0) -> bool:  # noqa: ARG002
        server = self._reach(timeout)
        self._here.take(0.05)
        if not server.may_write:
            raise PostgresUnavailable("the server is gone")
        server.checkpoint()
        return True

    def close(self) -> None:
        """No connection is kept."""

    def _reach(self, timeout: float) -> Server:
        """A new connection of the superuser."""
        server = self._here.server()
        if server is None or not server.postmaster.is_alive:
            raise PostgresUnavailable("no server listens")
        if not server.is_answering or server.is_stopping:
            raise PostgresUnavailable("the database system is starting up, or shutting down")
        if not server.accepts:
            self._here.take(timeout)
            raise PostgresUnavailable(f"no connection within {timeout:g} s")
        return server


def _status(server: Server) -> ServerStatus:
    wal, plan = server.wal, server.plan
    end = Lsn(wal.end)
    common: dict[str, Any] = {
        "version": VERSION,
        "system_id": SystemId(server.directory.system),
        "in_recovery": server.in_recovery,
        "timeline": Timeline(wal.number),
        "started": str(server.number),
        "attached": tuple(stream.row() for stream in server.streams if stream.is_open_above),
        "slots": tuple(sorted(server.directory.slots)),
        "synchronous_standby_names": server.names_shown,
        "conf_loaded": str(server.loads),
        "pending_restart": server.tuning.pending(plan),
        "sizes": server.tuning.sizes,
    }
    if not server.in_recovery:
        redo = Lsn(server.directory.checkpoint)
        return ServerStatus(**common, written=end, flushed=end, redo=redo)
    stream, receiver = server.upstream, None
    if stream is not None and plan.upstream is not None:
        address = plan.upstream.address
        receiver = Receiver(
            status="streaming",
            host=address.host,
            port=address.port,
            slot=plan.upstream.slot,
            pid=server.number,
        )
    received = None if server.received is None else Lsn(server.received)
    return ServerStatus(
        **common,
        received=received,
        replayed=Lsn(server.replayed),
        replay_pause=server.tuning.pause,
        replay_waits=server.has_replayed,
        receiver=receiver,
    )


class Job(Struct, frozen=True):
    """What a slow program is told."""

    cancel: Callable[[], bool]
    layout: Layout


class Tools:
    """The slow programs: initdb, pg_basebackup, pg_rewind, and the comparison before it."""

    def __init__(self, here: Here) -> None:
        self._here = here

    def job(self, *, cancel: Callable[[], bool], **_: Any) -> Job:
        """What a program is told."""
        return Job(cancel, Layout(data_dir=self._here.directory.path, run_dir=Path("/sim")))

    def initialise(self, job: Job, options: Any, **_: Any) -> None:  # noqa: ARG002
        here = self._here
        if not here.directory.is_empty:
            raise PostgresError("the directory is not empty")
        here.take(here.random.uniform(0.3, 0.8))
        self._require_space()
        here.directory.born(f"7{here.random.getrandbits(60)}", here.name)
        here.directory.is_unborn = True

    def clone(self, job: Job, source: Upstream, system: SystemId | None, **_: bool) -> None:
        self._require_stopped()
        server = self._ask(source, system)
        for _ in range(here_steps(self._here)):
            self._here.take(0.1)
            if job.cancel():
                raise Cancelled("the copy was cancelled")
            self._require(server, source)
            self._require_space()
        self._require_stopped()
        self._here.directory.back_up(server.directory)

    def compare(self, job: Job, source: Upstream, system: SystemId | None) -> Comparison:  # noqa: ARG002
        self._require_stopped()
        server = self._ask(source, system)
        own, other = self._here.directory.wal, server.wal
        self._here.take(0.05)
        identity = Identity(
            system_id=SystemId(server.directory.system),
            timeline=Timeline(other.number),
            position=Lsn(other.end),
        )
        return Comparison(
            relation=timeline.relation(
                timeline=Timeline(own.number),
                last_record=Lsn(own.last_record),
                history=other.history,
                upstream_timeline=Timeline(other.number),
                upstream_position=Lsn(other.end),
            ),
            timeline=Timeline(own.number),
            last_record=Lsn(own.last_record),
            end=Lsn(own.end),
            upstream=UpstreamLine(identity=identity, history=other.history),
            was_primary=self._here.directory.look().of_primary,
        )

    def rewind(self, job: Job, source: Upstream, comparison: Comparison) -> Rewound:  # noqa: ARG002
        self._require_stopped()
        server = self._ask(source, None)
        directory = self._here.directory
        directory.is_rewinding = True
        self._here.take(self._here.random.uniform(0.3, 0.8))
        if job.cancel():
            raise Cancelled("the rewind was cancelled")
        self._require(server, source)
        self._require_space()
        directory.rewind(server.directory)
        return Rewound(kept=None)

    def mark_standby(self, path: Path) -> None:  # noqa: ARG002
        self._here.wait_for_disk()
        self._here.directory.require_space()
        self._here.directory.standby_signal = True

    def _ask(self, source: Upstream, system: SystemId | None) -> Server:
        server = self._here.remote(source.address.host, source.address.port)
        if server is None or not server.accepts:
            self._here.take(2.0)
            raise PostgresUnavailable(f"{source.address} does not answer")
        if system is not None and server.directory.system != system:
            raise PostgresError("the address leads to another cluster")
        if source.slot is not None and source.slot not in server.directory.slots:
            raise PostgresError(f'replication slot "{source.slot}" does not exist')
        return server

    def _require(self, server: Server, source: Upstream) -> None:
        found = self._here.remote(source.address.host, source.address.port)
        if found is not server or not server.life.runs:
            raise PostgresError("the connection to the source was lost")

    def _require_space(self) -> None:
        try:
            self._here.directory.require_space()
        except OSError as error:
            raise PostgresError(f"the program failed: {error}") from error

    def _require_stopped(self) -> None:
        if self._here.server() is not None:
            raise PostgresError("PostgreSQL still runs on the directory")


def here_steps(here: Here) -> int:
    """How long a base backup takes, in tenths of a second."""
    return here.random.randint(2, 8)
